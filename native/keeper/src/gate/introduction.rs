//! The gate's client side of SOCKS5, for a proxy between the gate and the target (RFC 1928, RFC 1929). Pure: input and
//! output, no sockets. The target is always the address that was checked, never a name, so the proxy resolves nothing.

use std::net::{IpAddr, SocketAddr};

use serde::Deserialize;

const VERSION: u8 = 5;
const NO_CREDENTIALS: u8 = 0;
const CREDENTIALS: u8 = 2;
const CREDENTIALS_VERSION: u8 = 1;
const CONNECT: u8 = 1;
const V4: u8 = 1;
const NAME: u8 = 3;
const V6: u8 = 4;

/// A proxy, as the host names it for one connection.
#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
pub struct Proxy {
    /// Checked addresses, in the order in which to dial them.
    pub dial: Vec<IpAddr>,
    pub port: u16,
    pub credentials: Option<Credentials>,
}

#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    username: String,
    password: String,
}

/// Omits the credentials, which must not be printed.
impl std::fmt::Debug for Proxy {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "proxy {:?}:{}", self.dial, self.port)
    }
}

#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// Send this, then wait for as many bytes as `wants` says.
    Say(Vec<u8>),
    /// The answer is longer; read on.
    More,
    /// The tunnel is open: further bytes are the server's.
    Open,
    /// The proxy cannot reach this address; another may work.
    Elsewhere,
    /// The proxy is unusable for us.
    Wrong(&'static str),
}

#[derive(Clone, Copy)]
enum Awaited {
    Method,
    Word,
    /// This many bytes of it.
    Reply(usize),
}

/// One handshake with the proxy.
pub struct Introduction {
    awaited: Awaited,
    target: SocketAddr,
    credentials: Option<Credentials>,
}

impl Introduction {
    /// Also returns the greeting to send first.
    pub fn begin(target: SocketAddr, credentials: Option<Credentials>) -> (Introduction, Vec<u8>) {
        let methods: &[u8] = if credentials.is_some() { &[NO_CREDENTIALS, CREDENTIALS] } else { &[NO_CREDENTIALS] };
        let greeting = [&[VERSION, methods.len() as u8], methods].concat();
        (Introduction { awaited: Awaited::Method, target, credentials }, greeting)
    }

    /// The length of the answer, as far as it is known. Not one byte more may be read from the proxy.
    pub fn wants(&self) -> usize {
        match self.awaited {
            Awaited::Method | Awaited::Word => 2,
            Awaited::Reply(length) => length,
        }
    }

    /// `bytes`: exactly as many as `wants` says.
    pub fn hear(&mut self, bytes: &[u8]) -> Heard {
        match (self.awaited, bytes) {
            (Awaited::Method, [VERSION, NO_CREDENTIALS]) => self.ask(),
            (Awaited::Method, [VERSION, CREDENTIALS]) => match &self.credentials {
                Some(Credentials { username, password }) => {
                    self.awaited = Awaited::Word;
                    // Longer ones are refused where the rules are read.
                    let [user, word] = [username, password].map(|text| {
                        let text = &text.as_bytes()[..text.len().min(255)];
                        [&[text.len() as u8], text].concat()
                    });
                    Heard::Say([&[CREDENTIALS_VERSION][..], &user, &word].concat())
                }
                None => Heard::Wrong("the egress proxy wants credentials, and there are none"),
            },
            (Awaited::Method, [VERSION, _]) => {
                Heard::Wrong("the egress proxy wants other credentials than a name and a password")
            }
            (Awaited::Word, [_, 0]) => self.ask(),
            (Awaited::Word, _) => Heard::Wrong("the egress proxy refused the credentials"),
            (Awaited::Reply(length), [VERSION, code, _, kind, first, ..]) => {
                let address = match *kind {
                    V4 => 4,
                    V6 => 16,
                    NAME => 1 + usize::from(*first),
                    _ => return Heard::Wrong(NOT_SOCKS5),
                };
                let whole = 4 + address + 2;
                self.awaited = Awaited::Reply(whole);
                match *code {
                    0 if length == whole => Heard::Open,
                    0 if length < whole => Heard::More,
                    0 => Heard::Wrong(NOT_SOCKS5),
                    _ => Heard::Elsewhere,
                }
            }
            _ => Heard::Wrong(NOT_SOCKS5),
        }
    }

    fn ask(&mut self) -> Heard {
        // Five bytes are enough to learn the length, and every reply is longer.
        self.awaited = Awaited::Reply(5);
        let (kind, address) = match self.target.ip() {
            IpAddr::V4(address) => (V4, address.octets().to_vec()),
            IpAddr::V6(address) => (V6, address.octets().to_vec()),
        };
        Heard::Say([&[VERSION, CONNECT, 0, kind][..], &address, &self.target.port().to_be_bytes()].concat())
    }
}

const NOT_SOCKS5: &str = "the egress proxy does not speak SOCKS5";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::chance::Chance;

    fn credentials() -> Option<Credentials> {
        Some(Credentials { username: "me".into(), password: "word".into() })
    }

    fn begin(with: Option<Credentials>) -> Introduction {
        Introduction::begin("203.0.113.7:443".parse().expect("an address"), with).0
    }

    const ASKED: &[u8] = b"\x05\x01\x00\x01\xcb\x00\x71\x07\x01\xbb";

    #[test]
    fn it_asks_for_the_address_and_no_name() {
        let target = "[2001:db8::1]:80".parse().expect("an address");
        let (mut one, greeting) = Introduction::begin(target, None);
        assert_eq!(greeting, b"\x05\x01\x00");
        let asked = [&b"\x05\x01\x00\x04\x20\x01\x0d\xb8"[..], &[0; 11], b"\x01\x00\x50"].concat();
        assert_eq!(one.hear(b"\x05\x00"), Heard::Say(asked));
        assert_eq!((one.hear(b"\x05\x00\x00\x03\x02"), one.wants()), (Heard::More, 9));
        assert_eq!(one.hear(b"\x05\x00\x00\x03\x02ab\x00\x01"), Heard::Open);
    }

    #[test]
    fn it_shows_its_credentials_where_they_are_wanted_and_nowhere_else() {
        let (_, greeting) = Introduction::begin("1.1.1.1:1".parse().expect("an address"), credentials());
        assert_eq!(greeting, b"\x05\x02\x00\x02");
        let mut one = begin(credentials());
        assert_eq!(one.hear(b"\x05\x02"), Heard::Say(b"\x01\x02me\x04word".to_vec()));
        assert_eq!(one.hear(b"\x01\x00"), Heard::Say(ASKED.to_vec()));
        assert_eq!(begin(credentials()).hear(b"\x05\x00"), Heard::Say(ASKED.to_vec()));
        assert!(!format!("{:?}", Proxy { dial: vec![], port: 1, credentials: credentials() }).contains("word"));
    }

    #[test]
    fn what_is_not_a_way_is_no_way() {
        assert!(matches!(begin(None).hear(b"\x05\x02"), Heard::Wrong(_)));
        assert!(matches!(begin(credentials()).hear(b"\x05\xff"), Heard::Wrong(_)));
        assert!(matches!(begin(None).hear(b"HT"), Heard::Wrong(_)));
        let mut refused = begin(credentials());
        refused.hear(b"\x05\x02");
        assert!(matches!(refused.hear(b"\x01\x01"), Heard::Wrong(_)));
        let mut elsewhere = begin(None);
        elsewhere.hear(b"\x05\x00");
        assert_eq!(elsewhere.hear(b"\x05\x05\x00\x01\x00"), Heard::Elsewhere);
    }

    #[test]
    fn whatever_it_says_is_bounded_and_not_taken_for_a_way() {
        let mut chance = Chance::new(7);
        for _ in 0..20_000 {
            let mut one = begin(credentials());
            for _ in 0..5 {
                let wants = one.wants();
                assert!((2..=4 + 256 + 2).contains(&wants));
                let mut bytes = chance.bytes(wants);
                bytes.resize(wants, 0);
                match one.hear(&bytes) {
                    Heard::Open => assert_eq!((bytes[0], bytes[1]), (VERSION, 0)),
                    Heard::Say(said) => assert!(said.len() <= 3 + 2 * 255),
                    Heard::More => assert!(one.wants() > wants),
                    Heard::Elsewhere | Heard::Wrong(_) => break,
                }
            }
        }
    }
}
