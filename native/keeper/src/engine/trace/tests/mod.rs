mod socket;

use super::account::Account;
use super::points::{Point, read};

/// A field with bytes; a field with a number.
fn bytes(number: u8, value: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    let mut length = value.len();
    while length > 0x7f {
        field.push(length as u8 | 0x80);
        length >>= 7;
    }
    field.push(length as u8);
    field.extend(value);
    field
}

fn number(field: u8, value: u8) -> Vec<u8> {
    vec![field << 3, value]
}

fn message(kind: u8, dropped: u8, fields: &[Vec<u8>]) -> Vec<u8> {
    [vec![8, 0, kind, 0, dropped, 0, 0, 0], fields.concat()].concat()
}

fn whose(thread: u8) -> Vec<u8> {
    bytes(1, &[number(2, thread), number(4, thread), bytes(7, &number(2, 100))].concat())
}

fn asked(thread: u8) -> Vec<u8> {
    message(6, 0, &[whose(thread), number(4, 59)])
}

fn answered(thread: u8, error: u8, dropped: u8) -> Vec<u8> {
    let exit = if error == 0 { Vec::new() } else { number(2, error) };
    message(6, dropped, &[whose(thread), bytes(2, &exit), number(4, 59)])
}

fn runs(thread: u8, argv: &[&str]) -> Vec<u8> {
    let mut fields = vec![whose(thread), bytes(2, b"/bin/true")];
    fields.extend(argv.iter().map(|word| bytes(3, word.as_bytes())));
    message(3, 0, &fields)
}

fn cloned(by: u8, thread: u8, group: u8) -> Vec<u8> {
    message(2, 0, &[bytes(1, &number(4, by)), number(3, thread), number(4, group)])
}

/// Commands as `pid<parent words`, with `?` for those without words; then what is wrong, if anything.
fn account(messages: &[Vec<u8>]) -> (Vec<String>, Option<String>) {
    let mut account = Account::default();
    let mut commands = Vec::new();
    for bytes in messages {
        match read(bytes, true).map_err(String::from).and_then(|message| account.take(message)) {
            Ok(None) => {}
            Ok(Some(command)) => {
                let argv = command.words.map(|words| words.argv.join(&b' '));
                let words = argv.map_or("?".into(), |argv| String::from_utf8_lossy(&argv).into_owned());
                commands.push(format!("{}<{:?} {words}", command.pid, command.parent.unwrap_or(0)));
            }
            Err(wrong) => return (commands, Some(wrong)),
        }
    }
    (commands, None)
}

#[test]
fn commands_and_who_started_them() {
    let began = message(1, 0, &[bytes(4, b"/caisson/agent"), bytes(4, b"leash")]);
    let (commands, wrong) = account(&[
        began,
        cloned(1, 2, 2),
        // A thread is not a child.
        cloned(2, 9, 2),
        asked(2),
        runs(2, &["true", "one"]),
        answered(2, 0, 0),
        cloned(2, 3, 3),
        asked(3),
        answered(3, 2, 0),
    ]);
    assert_eq!((commands, wrong), (vec!["1<0 /caisson/agent leash".into(), "2<1 true one".into()], None));
}

#[test]
fn a_command_whose_words_were_not_said_is_known_by_its_call() {
    let (commands, wrong) = account(&[asked(2), answered(2, 0, 1), asked(2), answered(2, 0, 1)]);
    assert_eq!((commands, wrong), (vec!["2<0 ?".into(), "2<0 ?".into()], None));
    // A thread that died during execve does not answer for a later thread with its number.
    let (commands, wrong) = account(&[asked(2), runs(2, &["a"]), cloned(1, 2, 2), answered(2, 0, 0)]);
    assert_eq!((commands, wrong), (vec!["2<0 a".into(), "2<1 ?".into()], None));
}

#[test]
fn what_was_lost_otherwise_is_told() {
    let (_, wrong) = account(&[asked(2), runs(2, &["a"]), answered(2, 0, 1)]);
    assert_eq!(wrong.as_deref(), Some("1 of its trace points were lost"));
    // The parent's exit may be reported before the command that it started.
    let (commands, wrong) = account(&[asked(2), asked(3), answered(3, 2, 1), answered(2, 0, 1), answered(3, 2, 0)]);
    assert_eq!((commands, wrong), (vec!["2<0 ?".into()], None));
}

#[test]
fn words_are_bounded() {
    let many: Vec<&str> = vec!["x"; 300];
    let read_words = |bytes: &[u8]| match read(bytes, true).map(|message| message.point) {
        Ok(Point::Runs(_, words)) => (words.argv.len(), words.argv.concat().len(), words.truncated),
        _ => panic!("it is a command"),
    };
    assert_eq!(read_words(&runs(2, &many)), (256, 256, true));
    let long = "y".repeat(5000);
    assert_eq!(read_words(&runs(2, &[&long, &long])), (2, 8192, true));
    assert_eq!(read_words(&runs(2, &["", "z"])), (2, 1, false));
    // The beginning of a message longer than we read: its header still counts.
    let longer = runs(2, &["a"]);
    let cut = read(&longer[..20], false);
    assert!(matches!(cut.map(|message| message.point), Ok(Point::Other)));
}

/// xorshift: the same messages in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % most as u64) as usize
    }
}

#[test]
fn what_is_malformed_is_refused_and_nothing_else_happens() {
    let whole =
        [asked(2), answered(2, 1, 0), runs(2, &["a", "bc", ""]), cloned(1, 2, 2), message(1, 0, &[bytes(4, b"x")])];
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let mut account = Account::default();
    let (mut refused, mut taken) = (0, 0);
    for _ in 0..200_000 {
        let mut bytes = whole[random.below(whole.len())].clone();
        for _ in 0..=random.below(3) {
            let at = random.below(bytes.len());
            match random.below(3) {
                0 => bytes[at] = random.below(256) as u8,
                1 => bytes.truncate(at.max(1)),
                _ => bytes.insert(at, random.below(256) as u8),
            }
        }
        match read(&bytes, random.below(8) > 0).map_err(String::from).and_then(|message| account.take(message)) {
            Ok(_) => taken += 1,
            Err(_) => {
                refused += 1;
                account = Account::default();
            }
        }
    }
    assert!(refused > 10_000 && taken > 10_000, "{refused} refused, {taken} taken");
    for length in 0..64 {
        let noise: Vec<u8> = (0..length).map(|_| random.below(256) as u8).collect();
        let _ = read(&noise, true);
    }
}
