//! The target of a connection, as programs inside name it.

use std::net::{IpAddr, Ipv6Addr};

use super::names::normal;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    Name(String),
    Address(IpAddr),
}

impl Target {
    /// An IPv4-mapped IPv6 address is treated as the IPv4 address.
    pub fn of(address: IpAddr) -> Target {
        Target::Address(address.to_canonical())
    }

    /// The host of a URL: a name, a plain IPv4 address (no legacy notation), or an IPv6 address in brackets.
    pub fn read(host: &[u8]) -> Option<Target> {
        if let Some(inner) = host.strip_prefix(b"[") {
            let text = std::str::from_utf8(inner.strip_suffix(b"]")?).ok()?;
            return text.parse::<Ipv6Addr>().ok().map(|address| Target::of(address.into()));
        }
        let plain = std::str::from_utf8(host).ok().and_then(|text| text.parse::<std::net::Ipv4Addr>().ok());
        plain.map(|address| Target::Address(address.into())).or_else(|| normal(host).map(Target::Name))
    }

    /// `host:port`; the port may be missing if `usual` is given.
    pub fn read_with_port(authority: &[u8], usual: Option<u16>) -> Option<(Target, u16)> {
        let after_brackets = authority.iter().rposition(|byte| *byte == b']').map_or(0, |end| end + 1);
        match authority[after_brackets..].iter().position(|byte| *byte == b':') {
            Some(colon) => {
                let (host, port) = authority.split_at(after_brackets + colon);
                Some((Target::read(host)?, read_port(&port[1..])?))
            }
            None => Some((Target::read(authority)?, usual?)),
        }
    }
}

fn read_port(digits: &[u8]) -> Option<u16> {
    if digits.is_empty() || digits.len() > 5 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok().filter(|port| *port != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_in_one_way_only() {
        let address = |text: &str| Some(Target::Address(text.parse().expect("an address")));
        assert_eq!(Target::read(b"1.2.3.4"), address("1.2.3.4"));
        assert_eq!(Target::read(b"[2001:db8::1]"), address("2001:db8::1"));
        assert_eq!(Target::read(b"[::ffff:127.0.0.1]"), address("127.0.0.1"));
        assert_eq!(Target::read(b"Example.ORG."), Some(Target::Name("example.org".into())));
        let bad = [
            "0177.0.0.1",
            "2130706433",
            "0x7f.1",
            "127.1",
            "1.2.3.4.",
            "[1.2.3.4]",
            "[::1",
            "::1",
            "[::1%lo]",
            "[fe80::1%25lo]",
            "a b",
            "a@b",
            "",
        ];
        for host in bad {
            assert_eq!(Target::read(host.as_bytes()), None, "{host}");
        }
    }

    #[test]
    fn ports_are_numbers() {
        let read = |text: &str| Target::read_with_port(text.as_bytes(), Some(80)).map(|(_, port)| port);
        assert_eq!(read("a.example:443"), Some(443));
        assert_eq!(read("[::1]:443"), Some(443));
        assert_eq!(read("a.example"), Some(80));
        assert_eq!(read("[::1]"), Some(80));
        for text in ["a:", "a:0", "a:65536", "a:+1", "a:1:2", "a: 1", "a:00000443", "[::1]443", ":443", "a:http"] {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(Target::read_with_port(b"a.example", None), None);
    }
}
