//! The frame format between the two relays: a length, a line number, a kind, and the payload. All numbers are
//! little-endian.

pub const HEADER: usize = 9;
pub const MAX_PAYLOAD: usize = 64 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A leash message without a descriptor.
    Message,
    /// A leash message that comes with a line.
    Open,
    Data,
    /// This many more bytes may be sent on this line (four bytes).
    Credit,
    Close,
    /// From the host: this guest was asleep, and its former peer is gone. Closes all lines, and their numbers start
    /// over.
    Anew,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: Kind,
    pub line: u32,
    pub payload: Vec<u8>,
}

/// The input is not a frame; resynchronisation is impossible.
#[derive(Debug, PartialEq, Eq)]
pub struct Broken(pub &'static str);

pub fn encode(out: &mut Vec<u8>, kind: Kind, line: u32, payload: &[u8]) {
    debug_assert!(payload.len() <= MAX_PAYLOAD);
    out.extend((payload.len() as u32).to_le_bytes());
    out.extend(line.to_le_bytes());
    out.push(kind as u8);
    out.extend(payload);
}

/// The first frame and its length; None while it is incomplete.
pub fn decode(bytes: &[u8]) -> Result<Option<(Frame, usize)>, Broken> {
    let Some((header, rest)) = bytes.split_at_checked(HEADER) else { return Ok(None) };
    let number = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let length = number(0) as usize;
    if length > MAX_PAYLOAD {
        return Err(Broken("a frame over the limit"));
    }
    let kind = match header[8] {
        0 => Kind::Message,
        1 => Kind::Open,
        2 => Kind::Data,
        3 => Kind::Credit,
        4 => Kind::Close,
        5 => Kind::Anew,
        _ => return Err(Broken("a frame of no kind")),
    };
    let Some(payload) = rest.get(..length) else { return Ok(None) };
    Ok(Some((Frame { kind, line: number(4), payload: payload.to_vec() }, HEADER + length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_as_they_went_in_and_not_before_they_are_whole() {
        let mut bytes = Vec::new();
        encode(&mut bytes, Kind::Open, 7, b"hello");
        encode(&mut bytes, Kind::Close, 8, b"");
        for cut in 0..HEADER + 5 {
            assert_eq!(decode(&bytes[..cut]), Ok(None));
        }
        let (frame, used) = decode(&bytes).unwrap().unwrap();
        assert_eq!((frame.kind, frame.line, frame.payload.as_slice(), used), (Kind::Open, 7, &b"hello"[..], 14));
        let (frame, _) = decode(&bytes[used..]).unwrap().unwrap();
        assert_eq!((frame.kind, frame.line), (Kind::Close, 8));
    }

    #[test]
    fn what_is_no_frame_is_refused_before_its_bytes_have_come() {
        let mut long = u32::MAX.to_le_bytes().to_vec();
        long.extend([0; 5]);
        assert!(decode(&long).is_err());
        assert!(decode(&[0, 0, 0, 0, 0, 0, 0, 0, 99]).is_err());
    }
}
