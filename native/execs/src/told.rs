//! The message that reports an exec over a leash, where it is noticed inside and recorded outside: numbers, and
//! NUL-terminated strings. The sender may be hostile, so the input is bounded, and accepted only if it is well-formed.

use super::{Exec, MAX_ARGS, MAX_ARGS_BYTES, MAX_PATH, MAX_SECRETS_BYTES, MAX_VARIABLES};

/// A first byte that no JSON message has.
const MARK: u8 = 1;
const HEADER: usize = 16;
pub const MOST_TOLD_BYTES: usize = HEADER + MAX_PATH + 1 + MAX_ARGS_BYTES + MAX_ARGS + MAX_SECRETS_BYTES;

/// Whether a message is of this kind.
pub fn is_told(message: &[u8]) -> bool {
    message.first() == Some(&MARK)
}

impl Exec {
    pub fn tell(&self) -> Vec<u8> {
        let mut told = vec![MARK, self.truncated.into()];
        told.extend((self.argv.len() as u16).to_le_bytes());
        told.extend(self.pid.to_le_bytes());
        told.extend(self.id.to_le_bytes());
        for text in std::iter::once(&self.path).chain(&self.argv).chain(&self.secrets) {
            told.extend(text);
            told.push(0);
        }
        told
    }

    /// None: it is malformed.
    pub fn hear(told: &[u8]) -> Option<Exec> {
        let (header, texts) = told.split_first_chunk::<HEADER>()?;
        let [MARK, truncated @ 0..=1, count_low, count_high, pid @ .., _, _, _, _, _, _, _, _] = *header else {
            return None;
        };
        let count = usize::from(u16::from_le_bytes([count_low, count_high]));
        if told.len() > MOST_TOLD_BYTES || count > MAX_ARGS || !texts.ends_with(&[0]) {
            return None;
        }
        let mut texts = texts[..texts.len() - 1].split(|byte| *byte == 0).map(<[u8]>::to_vec);
        let path = texts.next().filter(|path| path.len() <= MAX_PATH)?;
        let argv: Vec<Vec<u8>> = texts.by_ref().take(count).collect();
        let secrets: Vec<Vec<u8>> = texts.take(MAX_VARIABLES + 1).collect();
        let is_whole = argv.len() == count && argv.iter().map(Vec::len).sum::<usize>() <= MAX_ARGS_BYTES;
        let id = u64::from_le_bytes(*header.last_chunk()?);
        let exec = Exec { id, pid: u32::from_le_bytes(pid), path, argv, truncated: truncated == 1, secrets };
        (is_whole && exec.secrets.len() <= MAX_VARIABLES).then_some(exec)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exec() -> Exec {
        let argv = vec![b"ls".to_vec(), Vec::new(), b"\xff".to_vec()];
        Exec {
            id: 7 << 40,
            pid: 300,
            path: b"/bin/ls".to_vec(),
            argv,
            truncated: true,
            secrets: vec![b"abcdef".to_vec()],
        }
    }

    #[test]
    fn what_is_told_is_heard() {
        for exec in [exec(), Exec { argv: Vec::new(), path: Vec::new(), secrets: Vec::new(), ..exec() }] {
            assert!(is_told(&exec.tell()));
            assert_eq!(Exec::hear(&exec.tell()), Some(exec));
        }
        assert!(!is_told(b"{}") && !is_told(b""));
    }

    #[test]
    fn the_largest_that_is_read_can_be_told() {
        let argv: Vec<Vec<u8>> = (0..MAX_ARGS).map(|_| vec![b'a'; MAX_ARGS_BYTES / MAX_ARGS]).collect();
        let secrets = vec![vec![b's'; MAX_SECRETS_BYTES - 1]];
        let exec = Exec { path: vec![b'p'; MAX_PATH], argv, secrets, ..exec() };
        assert_eq!(exec.tell().len(), MOST_TOLD_BYTES);
        assert_eq!(Exec::hear(&exec.tell()), Some(exec));
    }

    #[test]
    fn what_is_cut_short_or_says_more_than_agreed_is_nothing() {
        let told = exec().tell();
        for length in 0..told.len() {
            // Cut before its last secret, or before the end of an argument, it may decode to another exec, but never to
            // one with fewer arguments than it counts.
            if let Some(heard) = Exec::hear(&told[..length]) {
                assert_eq!(heard.argv.len(), 3);
            }
        }
        let with = |at: usize, byte: u8| {
            let mut told = told.clone();
            told[at] = byte;
            Exec::hear(&told)
        };
        assert_eq!((with(0, 2), with(1, 2), with(2, 200), with(3, 9)), (None, None, None, None));
        assert_eq!(Exec::hear(&Exec { path: vec![b'p'; MAX_PATH + 1], ..exec() }.tell()), None);
        assert_eq!(Exec::hear(&Exec { argv: vec![vec![b'a'; MAX_ARGS_BYTES + 1]], ..exec() }.tell()), None);
        assert_eq!(Exec::hear(&Exec { secrets: vec![Vec::new(); MAX_VARIABLES + 1], ..exec() }.tell()), None);
        assert_eq!(Exec::hear(&Exec { secrets: vec![vec![b's'; MOST_TOLD_BYTES]], ..exec() }.tell()), None);
    }
}
