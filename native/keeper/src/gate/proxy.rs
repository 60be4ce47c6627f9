//! Parses what programs send to the gate's own proxies: HTTP (RFC 9110, RFC 9112) and SOCKS5 (RFC 1928). Pure, strict
//! and bounded: anything not exactly right is refused, with the reason.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::target::Target;

/// The longest head of an HTTP request; SOCKS5 messages are all shorter.
pub const MAX_HEAD: usize = 16 * 1024;
const MAX_METHOD: usize = 32;

#[derive(Debug, PartialEq, Eq)]
pub enum Read<T> {
    /// Incomplete; it may still become a message.
    More,
    /// The message, and its length in bytes.
    Whole(T, usize),
    Wrong(&'static str),
}

#[derive(Debug, PartialEq, Eq)]
pub struct HttpRequest {
    /// True for CONNECT; false for a request with an absolute http:// URL.
    pub connect: bool,
    pub target: Target,
    pub port: u16,
}

pub fn http(bytes: &[u8]) -> Read<HttpRequest> {
    let Some(end) = bytes.windows(4).take(MAX_HEAD - 3).position(|four| four == b"\r\n\r\n") else {
        // A bare LF is used for request smuggling; refuse it at once.
        let bare = bytes.windows(2).any(|two| two[1] == b'\n' && two[0] != b'\r') || bytes.first() == Some(&b'\n');
        return match (bare, bytes.len() < MAX_HEAD) {
            (true, _) => Read::Wrong("a bare line feed"),
            (_, true) => Read::More,
            (_, false) => Read::Wrong("a head of more than 16 KiB"),
        };
    };
    match head(&bytes[..end]) {
        Ok(request) => Read::Whole(request, end + 4),
        Err(why) => Read::Wrong(why),
    }
}

fn head(head: &[u8]) -> Result<HttpRequest, &'static str> {
    let mut lines = Lines(head);
    let mut words = lines.next().unwrap_or_default().split(|byte| *byte == b' ');
    let (Some(method), Some(url), Some(version), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return Err("not a request line");
    };
    if method.is_empty() || method.len() > MAX_METHOD || !method.iter().all(|byte| is_token(*byte)) {
        return Err("a malformed method");
    }
    if !matches!(version, b"HTTP/1.1" | b"HTTP/1.0") {
        return Err("not HTTP/1.1 or HTTP/1.0");
    }
    if !url.iter().all(|byte| byte.is_ascii_graphic()) {
        return Err("characters in the URL that none has");
    }
    let connect = method == b"CONNECT";
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':').ok_or("a header without a colon")?;
        let (name, value) = line.split_at(colon);
        if name.is_empty() || !name.iter().all(|byte| is_token(*byte)) {
            return Err("a malformed header name");
        }
        if value.iter().any(|byte| *byte != b'\t' && byte.is_ascii_control()) {
            return Err("control characters in a header");
        }
        if connect && (name.eq_ignore_ascii_case(b"content-length") || name.eq_ignore_ascii_case(b"transfer-encoding"))
        {
            return Err("CONNECT with a body");
        }
    }
    let (target, port) = if connect {
        Target::read_with_port(url, None).ok_or("CONNECT to something else than HOST:PORT")?
    } else {
        let scheme = url.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case(b"http://"));
        scheme.ok_or("a URL that is not http://HOST/..")?;
        let rest = &url[7..];
        let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len());
        Target::read_with_port(&rest[..end], Some(80)).ok_or("a URL without a proper host")?
    };
    Ok(HttpRequest { connect, target, port })
}

/// Lines ended by CR LF. A lone CR or LF stays in the line, where no rule allows it.
struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.0.is_empty() {
            return None;
        }
        let end = self.0.windows(2).position(|two| two == b"\r\n");
        let line = &self.0[..end.unwrap_or(self.0.len())];
        self.0 = end.map_or(&[], |end| &self.0[end + 2..]);
        Some(line)
    }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

const SOCKS_VERSION: u8 = 5;

/// The reply codes of RFC 1928.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Reply {
    Succeeded = 0,
    GeneralFailure = 1,
    NotAllowed = 2,
    HostUnreachable = 4,
    CommandNotSupported = 7,
    AddressTypeNotSupported = 8,
}

impl Reply {
    pub fn bytes(self) -> [u8; 10] {
        [SOCKS_VERSION, self as u8, 0, 1, 0, 0, 0, 0, 0, 0]
    }
}

/// Whether it offers to come without credentials, the only method here.
pub fn socks_greeting(bytes: &[u8]) -> Read<bool> {
    match bytes {
        [version, ..] if *version != SOCKS_VERSION => Read::Wrong("not SOCKS5"),
        [_, count, rest @ ..] => match rest.get(..usize::from(*count)) {
            Some(methods) => Read::Whole(methods.contains(&0), 2 + methods.len()),
            None => Read::More,
        },
        _ => Read::More,
    }
}

pub fn socks_answer(accepted: bool) -> [u8; 2] {
    [SOCKS_VERSION, if accepted { 0 } else { 0xFF }]
}

pub fn socks_request(bytes: &[u8]) -> Read<Result<(Target, u16), Reply>> {
    let (command, kind) = match bytes {
        [version, ..] if *version != SOCKS_VERSION => return Read::Wrong("not SOCKS5"),
        [_, command, 0, kind, ..] => (*command, *kind),
        [_, _, _, ..] if bytes[2] != 0 => return Read::Wrong("a reserved byte that is not zero"),
        _ => return Read::More,
    };
    let rest = &bytes[4..];
    let (length, host) = match (kind, rest.first()) {
        (1, _) => (4, 0),
        (4, _) => (16, 0),
        (3, Some(length)) => (usize::from(*length), 1),
        (3, None) => return Read::More,
        _ => return Read::Whole(Err(Reply::AddressTypeNotSupported), bytes.len()),
    };
    let end = host + length;
    let Some(&[high, low]) = rest.get(end..end + 2).and_then(|port| port.first_chunk::<2>()) else { return Read::More };
    let (host, port) = (&rest[host..end], u16::from_be_bytes([high, low]));
    let whole = |result| Read::Whole(result, 4 + end + 2);
    if command != 1 {
        return whole(Err(Reply::CommandNotSupported));
    }
    let target = match kind {
        1 => host.first_chunk::<4>().map(|address| Target::of(IpAddr::V4(Ipv4Addr::from(*address)))),
        4 => host.first_chunk::<16>().map(|address| Target::of(IpAddr::V6(Ipv6Addr::from(*address)))),
        _ => Target::read(host),
    };
    whole(target.filter(|_| port != 0).map(|target| (target, port)).ok_or(Reply::GeneralFailure))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::chance::Chance;

    const HEADS: [&[u8]; 4] = [
        b"CONNECT server.example:443 HTTP/1.1\r\nHost: server.example:443\r\nUser-Agent: x\r\n\r\n",
        b"CONNECT [2001:db8::1]:443 HTTP/1.0\r\n\r\n",
        b"GET http://server.example/path?query HTTP/1.1\r\nHost: server.example\r\nAccept: */*\r\n\r\n",
        b"POST http://203.0.113.7:8080 HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
    ];
    const SOCKS: [&[u8]; 3] = [
        b"\x05\x01\x00\x03\x0eserver.example\x01\xbb",
        b"\x05\x01\x00\x01\xcb\x00\x71\x07\x00\x50",
        b"\x05\x01\x00\x04\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x50more",
    ];

    #[test]
    fn requests_are_read() {
        let name = |name: &str| Target::Name(name.into());
        let read = |head| match http(head) {
            Read::Whole(request, _) => (request.connect, request.target, request.port),
            other => panic!("{other:?}"),
        };
        assert_eq!(read(HEADS[0]), (true, name("server.example"), 443));
        assert_eq!(read(HEADS[1]), (true, Target::Address("2001:db8::1".parse().expect("an address")), 443));
        assert_eq!(read(HEADS[2]), (false, name("server.example"), 80));
        assert_eq!(read(HEADS[3]), (false, Target::Address("203.0.113.7".parse().expect("an address")), 8080));
        assert!(matches!(http(HEADS[3]), Read::Whole(_, length) if length == HEADS[3].len() - 3));
        assert!(
            matches!(socks_request(SOCKS[0]), Read::Whole(Ok((target, 443)), 21) if target == name("server.example"))
        );
        assert!(matches!(socks_request(SOCKS[2]), Read::Whole(Ok((Target::Address(_), 80)), 22)));
    }

    #[test]
    fn a_head_has_an_end() {
        let endless = [b"GET http://a/ HTTP/1.1\r\n".to_vec(), b"X: y\r\n".repeat(10_000)].concat();
        let step = |length: usize| http(&endless[..length]);
        assert_eq!(step(MAX_HEAD - 1), Read::More);
        assert!(matches!(step(MAX_HEAD), Read::Wrong(_)));
        for head in HEADS {
            let end = head.windows(4).position(|four| four == b"\r\n\r\n").expect("an end") + 4;
            for length in 0..end {
                assert_eq!(http(&head[..length]), Read::More, "{length}");
            }
        }
    }

    #[test]
    fn whatever_comes_is_judged_alike_in_one_piece_or_in_many() {
        let mut chance = Chance::new(2);
        let (mut whole, mut wrong) = (0, 0);
        for round in 0..60_000 {
            let bytes = if round % 8 == 0 { chance.bytes(200) } else { chance.spoiled(&HEADS) };
            let result = http(&bytes);
            match &result {
                Read::Whole(request, length) => {
                    whole += 1;
                    assert!(*length <= bytes.len() && bytes[..*length].ends_with(b"\r\n\r\n") && request.port != 0);
                    assert!(!bytes[..*length].contains(&0), "NUL");
                    if let Target::Name(name) = &request.target {
                        assert!(
                            name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)),
                            "{name}"
                        );
                    }
                    // The verdict depends only on the complete head, whatever follows.
                    assert_eq!(http(&bytes[..*length]), result);
                    assert_eq!(
                        http(&[&bytes[..*length], b"GET http://other.example/ HTTP/1.1\r\n\r\n"].concat()),
                        result
                    );
                }
                Read::Wrong(_) => wrong += 1,
                Read::More => assert!(!bytes.windows(4).any(|four| four == b"\r\n\r\n")),
            }
        }
        assert!(whole > 10_000 && wrong > 10_000, "{whole} {wrong}");
    }

    #[test]
    fn whatever_comes_to_socks_is_judged() {
        let mut chance = Chance::new(3);
        let mut whole = 0;
        for round in 0..100_000 {
            let bytes = if round % 8 == 0 { chance.bytes(300) } else { chance.spoiled(&SOCKS) };
            match socks_request(&bytes) {
                Read::Whole(Ok((_, port)), length) => {
                    whole += 1;
                    assert!(length <= bytes.len() && port != 0 && bytes[..3] == [5, 1, 0]);
                }
                Read::Whole(Err(_), length) => assert!(length <= bytes.len()),
                Read::More => assert!(bytes.len() < 4 + 256 + 2),
                Read::Wrong(_) => {}
            }
            if let Read::Whole(_, length) = socks_greeting(&bytes) {
                assert!(length <= bytes.len());
            }
        }
        assert!(whole > 10_000, "{whole}");
    }
}
