//! DNS questions of the sandbox, and the answers (RFC 1035, RFC 6891). Anything but exactly one ordinary question is
//! refused.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::addresses::{pool_4, pool_6};
use super::names::{MAX_LENGTH, normal};

const HEADER: usize = 12;
/// In seconds. Short, because the rules may change while the sandbox lives.
const TTL: u32 = 10;
const UDP_SIZE: u16 = 1232;
const TYPE_A: u16 = 1;
const TYPE_AAAA: u16 = 28;
const TYPE_OPT: u16 = 41;
const CLASS_IN: u16 = 1;

/// The longest legitimate message with one question.
pub const MAX_QUESTION: usize = 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    A,
    Aaaa,
    /// Any other type; never answered with a record. (HTTPS and SVCB records would deliver keys that hide the name from
    /// the gate.)
    Other,
}

impl Kind {
    pub fn word(self) -> &'static str {
        match self {
            Kind::A => "A",
            Kind::Aaaa => "AAAA",
            Kind::Other => "other",
        }
    }
}

/// A question that may be passed on to the host.
#[derive(Debug, PartialEq, Eq)]
pub struct Question {
    /// Id, header flags and question as received: the answer repeats them, including upper and lower case.
    id: [u8; 2],
    recursion_desired: bool,
    asked: Vec<u8>,
    edns: bool,
    pub name: String,
    pub kind: Kind,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    Question(Question),
    /// Answered at once and not reported: names that no server of this kind knows.
    Local(Vec<u8>),
    /// Refused with this answer, for this reason.
    Refused(Vec<u8>, &'static str),
    /// Not even a header, or itself an answer: gets no reply.
    Nothing,
}

#[derive(Clone, Copy)]
#[repr(u8)]
pub enum Code {
    NoError = 0,
    FormErr = 1,
    ServFail = 2,
    NxDomain = 3,
    NotImp = 4,
    Refused = 5,
}

pub fn hear(message: &[u8]) -> Heard {
    let Some((header, rest)) = message.split_first_chunk::<HEADER>() else { return Heard::Nothing };
    let count = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let (id, recursion_desired) = ([header[0], header[1]], header[2] & 1 == 1);
    if header[2] & 0x80 != 0 {
        return Heard::Nothing;
    }
    let refused = |code, why| {
        let empty =
            Question { id, recursion_desired, asked: Vec::new(), edns: false, name: String::new(), kind: Kind::Other };
        Heard::Refused(empty.answer(code), why)
    };
    if header[2] & 0x78 != 0 {
        return refused(Code::NotImp, "not a standard query");
    }
    if header[2] & 0x06 != 0
        || count(4) != 1
        || count(6) != 0
        || count(8) != 0
        || count(10) > 1
        || message.len() > MAX_QUESTION
    {
        return refused(Code::FormErr, "not one plain question");
    }
    let Some((name, question)) = read_name(rest) else { return refused(Code::FormErr, "a malformed name") };
    let Some(&[k0, k1, c0, c1]) = rest.get(question..question + 4).and_then(|fixed| fixed.first_chunk::<4>()) else {
        return refused(Code::FormErr, "a question that is cut off");
    };
    let (asked, additional) = rest.split_at(question + 4);
    let edns = match (count(10), additional) {
        (0, []) => false,
        (1, additional) if is_opt(additional) => true,
        _ => return refused(Code::FormErr, "more than a question"),
    };
    let kind = match u16::from_be_bytes([k0, k1]) {
        TYPE_A => Kind::A,
        TYPE_AAAA => Kind::Aaaa,
        _ => Kind::Other,
    };
    let mut question = Question { id, recursion_desired, asked: asked.to_vec(), edns, name: String::new(), kind };
    if u16::from_be_bytes([c0, c1]) != CLASS_IN {
        return Heard::Refused(question.answer(Code::Refused), "not of class IN");
    }
    let Some(name) = normal(&name) else {
        return Heard::Refused(question.answer(Code::Refused), "not a host name");
    };
    question.name = name;
    if question.name == "localhost" || question.name.ends_with(".localhost") {
        return Heard::Local(question.loopback());
    }
    // A reverse lookup: no address here belongs to anyone outside.
    if question.name.ends_with(".arpa") {
        return Heard::Local(question.answer(Code::NxDomain));
    }
    Heard::Question(question)
}

/// The name with dots, and where it ends. Compression pointers are refused: nothing precedes a question that they could
/// refer to.
fn read_name(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let mut name = Vec::new();
    let mut at = 0;
    loop {
        let length = usize::from(*bytes.get(at)?);
        if length == 0 {
            return Some((name, at + 1));
        }
        let label = bytes.get(at + 1..at + 1 + length).filter(|_| length < 0x40)?;
        // A dot within a label would be read as two labels.
        if label.contains(&b'.') || name.len() + length > MAX_LENGTH {
            return None;
        }
        if !name.is_empty() {
            name.push(b'.');
        }
        name.extend_from_slice(label);
        at += 1 + length;
    }
}

/// Exactly one OPT record, of version 0.
fn is_opt(bytes: &[u8]) -> bool {
    let Some((fixed, data)) = bytes.split_first_chunk::<11>() else { return false };
    fixed[0] == 0
        && u16::from_be_bytes([fixed[1], fixed[2]]) == TYPE_OPT
        && fixed[6] == 0
        && usize::from(u16::from_be_bytes([fixed[9], fixed[10]])) == data.len()
}

impl Question {
    /// An answer without records.
    pub fn answer(&self, code: Code) -> Vec<u8> {
        self.message(code, None)
    }

    /// An answer with the addresses handed out for the name.
    pub fn allowed(&self, number: u32) -> Vec<u8> {
        self.message(Code::NoError, self.data(pool_4(number), pool_6(number)))
    }

    fn loopback(&self) -> Vec<u8> {
        self.message(Code::NoError, self.data(Ipv4Addr::LOCALHOST, Ipv6Addr::LOCALHOST))
    }

    fn data(&self, v4: Ipv4Addr, v6: Ipv6Addr) -> Option<(u16, Vec<u8>)> {
        match self.kind {
            Kind::A => Some((TYPE_A, v4.octets().to_vec())),
            Kind::Aaaa => Some((TYPE_AAAA, v6.octets().to_vec())),
            Kind::Other => None,
        }
    }

    fn message(&self, code: Code, record: Option<(u16, Vec<u8>)>) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER + self.asked.len() + 48);
        bytes.extend(self.id);
        // QR, and RA: recursion available.
        bytes.extend([0x80 | u8::from(self.recursion_desired), 0x80 | code as u8]);
        let counts = [!self.asked.is_empty(), record.is_some(), false, self.edns];
        counts.iter().for_each(|one| bytes.extend(u16::from(*one).to_be_bytes()));
        bytes.extend(&self.asked);
        if let Some((kind, data)) = record {
            // A pointer to the name in the question.
            bytes.extend((0xC000 | HEADER as u16).to_be_bytes());
            bytes.extend(kind.to_be_bytes());
            bytes.extend(CLASS_IN.to_be_bytes());
            bytes.extend(TTL.to_be_bytes());
            bytes.extend((data.len() as u16).to_be_bytes());
            bytes.extend(data);
        }
        if self.edns {
            bytes.push(0);
            bytes.extend(TYPE_OPT.to_be_bytes());
            bytes.extend(UDP_SIZE.to_be_bytes());
            bytes.extend([0; 6]);
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::chance::Chance;

    fn message(name: &[u8], kind: u16) -> Vec<u8> {
        let mut bytes = vec![0xAB, 0xCD, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split(|byte| *byte == b'.') {
            bytes.push(label.len() as u8);
            bytes.extend_from_slice(label);
        }
        bytes.push(0);
        bytes.extend(kind.to_be_bytes());
        bytes.extend(CLASS_IN.to_be_bytes());
        bytes
    }

    fn with_opt(mut bytes: Vec<u8>) -> Vec<u8> {
        bytes[11] = 1;
        bytes.extend([0, 0, 41, 4, 0xD0, 0, 0, 0, 0, 0, 4, 0, 10, 0, 0]);
        bytes
    }

    #[test]
    fn a_question_is_answered_as_it_was_asked() {
        let asked = with_opt(message(b"WWW.Example.org", TYPE_A));
        let Heard::Question(question) = hear(&asked) else { panic!("refused") };
        assert_eq!((question.name.as_str(), question.kind), ("www.example.org", Kind::A));
        let answer = question.allowed(7);
        assert_eq!(answer[..12], [0xAB, 0xCD, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 1]);
        assert_eq!(answer[12..33], asked[12..33]);
        assert_eq!(answer[33..49], [0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 10, 0, 4, 198, 18, 1, 7]);
        assert_eq!(answer.len(), 49 + 11);
    }

    #[test]
    fn no_record_but_addresses_is_ever_given_out() {
        for kind in (0..300).chain([u16::MAX]) {
            let Heard::Question(question) = hear(&message(b"a.example", kind)) else { panic!("refused {kind}") };
            let records = u16::from_be_bytes([question.allowed(0)[6], question.allowed(0)[7]]);
            assert_eq!(records, u16::from(matches!(kind, TYPE_A | TYPE_AAAA)), "type {kind}");
        }
    }

    #[test]
    fn whatever_comes_is_judged_and_never_more_than_a_name_is_asked() {
        let whole = [
            message(b"a.example", TYPE_A),
            with_opt(message(b"A-b_c.example", TYPE_AAAA)),
            message(b"127.0.0.1", TYPE_A),
            message(b"localhost", TYPE_A),
            message(&[b"a".as_slice(); 120].join(&b'.'), 65),
        ];
        let whole: Vec<&[u8]> = whole.iter().map(Vec::as_slice).collect();
        let mut chance = Chance::new(1);
        let mut asked = 0;
        for round in 0..200_000 {
            let bytes = if round % 4 == 0 { chance.bytes(300) } else { chance.spoiled(&whole) };
            match hear(&bytes) {
                Heard::Question(question) => {
                    asked += 1;
                    let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.');
                    let name = &question.name;
                    assert!(!name.is_empty() && name.len() <= MAX_LENGTH && name.bytes().all(plain), "{name}");
                    assert!(!name.starts_with('.') && !name.ends_with('.') && !name.contains(".."), "{name}");
                    assert!(name.parse::<std::net::IpAddr>().is_err(), "{name}");
                    assert_eq!(
                        bytes.len(),
                        12 + question.asked.len()
                            + if question.edns { bytes.len() - 12 - question.asked.len() } else { 0 }
                    );
                    assert!(question.allowed(1).len() <= 512);
                }
                Heard::Refused(answer, _) | Heard::Local(answer) => {
                    assert_eq!(answer[..2], bytes[..2]);
                    assert!(answer.len() <= 512 && answer[2] & 0x80 != 0);
                }
                Heard::Nothing => assert!(bytes.len() < HEADER || bytes[2] & 0x80 != 0),
            }
        }
        assert!(asked > 10_000, "{asked}");
    }
}
