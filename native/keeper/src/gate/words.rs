//! Guesses from the first bytes of a connection whether a refused client could read an explanation. Pure.

/// The longest request line that is waited for.
pub const MAX_FIRST_WORDS: usize = 8 * 1024;
const MAX_METHOD: usize = 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    /// An HTTP/1 request.
    Http1,
    /// HTTP/2 without TLS, by prior knowledge.
    Http2,
    /// Still too short to tell.
    Unclear,
    Other,
}

pub fn speaks(bytes: &[u8]) -> Speaks {
    let mut words = bytes.splitn(3, |byte| *byte == b' ');
    let (method, target, version) = (words.next().unwrap_or_default(), words.next(), words.next());
    let is_method = method.len() <= MAX_METHOD && method.iter().all(|byte| byte.is_ascii_uppercase() || *byte == b'-');
    if !is_method || (target.is_some() && method.is_empty()) {
        return Speaks::Other;
    }
    if target.is_some_and(|target| !target.iter().all(u8::is_ascii_graphic) || version.is_some() && target.is_empty()) {
        return Speaks::Other;
    }
    for (spoken, start) in [(Speaks::Http1, &b"HTTP/1."[..]), (Speaks::Http2, b"HTTP/2.0\r\n\r\nSM\r\n\r\n")] {
        match version {
            Some(version) if version.starts_with(start) => return spoken,
            Some(version) if start.starts_with(version) && bytes.len() < MAX_FIRST_WORDS => return Speaks::Unclear,
            _ => {}
        }
    }
    if version.is_none() && bytes.len() < MAX_FIRST_WORDS { Speaks::Unclear } else { Speaks::Other }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_from_the_rest() {
        assert_eq!(speaks(b"GET /path?x=1 HTTP/1.1\r\nHost: a\r\n\r\n"), Speaks::Http1);
        assert_eq!(speaks(b"M-SEARCH * HTTP/1.0\r\n"), Speaks::Http1);
        assert_eq!(speaks(b"GET http://a.example/ HTTP/1."), Speaks::Http1);
        assert_eq!(speaks(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0"), Speaks::Http2);
        let other: [&[u8]; 10] = [
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            b"hello",
            b"SSH-2.0-OpenSSH_9.2\r\n",
            b"EHLO a.example\r\n",
            b" / HTTP/1.1\r\n",
            b"GET  HTTP/1.1\r\n",
            b"GET /a\tb HTTP/1.1\r\n",
            b"GET / HTTP/3.0\r\n",
            b"GET / HTTP/2.0\r\nHost: a\r\n\r\n",
            b"*1\r\n$4\r\nPING\r\n",
        ];
        for bytes in other {
            assert_eq!(speaks(bytes), Speaks::Other, "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn every_beginning_is_unclear_and_none_without_end() {
        for whole in [&b"OPTIONS * HTTP/1."[..], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
            for end in 0..whole.len() {
                assert_eq!(speaks(&whole[..end]), Speaks::Unclear, "{end}");
            }
        }
        let long = [&b"GET /"[..], &vec![b'x'; MAX_FIRST_WORDS]].concat();
        assert_eq!(speaks(&long[..MAX_FIRST_WORDS]), Speaks::Other);
        assert_eq!(speaks(&[b'A'; MAX_METHOD + 1]), Speaks::Other);
    }
}
