//! Names, and the addresses handed out for them. A name keeps its address while it is looked up or connected to. The
//! least recently used name makes room, and its address is the last to be reused.

use std::collections::HashMap;

use super::addresses::POOL;

pub const MAX_NAMES: usize = 4096;
pub const MAX_LENGTH: usize = 253;
const MAX_LABEL: usize = 63;

/// Lower case, without the trailing dot. None: not a name that the host is asked about.
pub fn normal(name: &[u8]) -> Option<String> {
    let name = name.strip_suffix(b".").unwrap_or(name);
    if name.is_empty() || name.len() > MAX_LENGTH {
        return None;
    }
    let fine = |label: &[u8]| {
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (1..=MAX_LABEL).contains(&label.len()) && label.iter().all(plain)
    };
    let mut last: &[u8] = &[];
    for label in name.split(|byte| *byte == b'.') {
        if !fine(label) {
            return None;
        }
        last = label;
    }
    // A name that ends in a number is an address, or meant to be taken for one: 127.1, 0x7f.1, 2130706433 (WHATWG URL,
    // "ends in a number").
    let hex = last.strip_prefix(b"0x").or(last.strip_prefix(b"0X"));
    if last.iter().all(u8::is_ascii_digit) || hex.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
        return None;
    }
    String::from_utf8(name.to_ascii_lowercase()).ok()
}

#[derive(Default)]
pub struct Names {
    numbers: HashMap<String, u32>,
    given: HashMap<u32, Given>,
    next: u32,
    now: u64,
}

struct Given {
    name: String,
    used: u64,
}

impl Names {
    /// The index of this name's addresses.
    pub fn give(&mut self, name: &str) -> u32 {
        self.now += 1;
        if let Some(number) = self.numbers.get(name) {
            if let Some(given) = self.given.get_mut(number) {
                given.used = self.now;
            }
            return *number;
        }
        if self.given.len() >= MAX_NAMES {
            self.forget_oldest();
        }
        // There are more indexes than names, so a free one is near.
        while self.given.contains_key(&self.next) {
            self.next = (self.next + 1) % POOL;
        }
        let number = self.next;
        self.next = (self.next + 1) % POOL;
        self.numbers.insert(name.to_string(), number);
        self.given.insert(number, Given { name: name.to_string(), used: self.now });
        number
    }

    pub fn name_of(&mut self, number: u32) -> Option<String> {
        self.now += 1;
        let given = self.given.get_mut(&number)?;
        given.used = self.now;
        Some(given.name.clone())
    }

    fn forget_oldest(&mut self) {
        let oldest = self.given.iter().min_by_key(|(_, given)| given.used).map(|(number, _)| *number);
        if let Some(given) = oldest.and_then(|number| self.given.remove(&number)) {
            self.numbers.remove(&given.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_alike_or_refused() {
        for (name, made) in [
            ("Example.ORG", "example.org"),
            ("example.org.", "example.org"),
            ("_srv._tcp.a-b.example", "_srv._tcp.a-b.example"),
            ("x", "x"),
            ("1.example", "1.example"),
        ] {
            assert_eq!(normal(name.as_bytes()).as_deref(), Some(made));
        }
        let long = [&b"a".repeat(64)[..], b".org"].concat();
        let longer = b"abcdefg.".repeat(32);
        for name in [
            &b""[..],
            b".",
            b"..",
            b".org",
            b"a..b",
            b"a.b..",
            b"a\0.org",
            b"a%00.org",
            b"a b",
            b"a\r\n",
            b"a/b",
            b"a@b",
            b"\xc3\xbc.org",
            b"127.1",
            b"0177.0.0.1",
            b"2130706433",
            b"0x7f.0.0.0x1",
            b"a.0x",
            b"1.2.3.4",
            b"[::1]",
            b"::1",
            b"a:80",
            &long,
            &longer,
        ] {
            assert_eq!(normal(name), None, "{}", String::from_utf8_lossy(name));
        }
    }

    #[test]
    fn a_name_keeps_its_number_while_it_is_used() {
        let mut names = Names::default();
        let first = names.give("first.example");
        for number in 0..2 * MAX_NAMES {
            names.give(&format!("{number}.example"));
            assert_eq!(names.give("first.example"), first);
        }
        assert_eq!(names.name_of(first).as_deref(), Some("first.example"));
        assert_eq!(names.given.len(), MAX_NAMES);
        assert_eq!(names.numbers.len(), MAX_NAMES);
        // It was forgotten, and so were its addresses.
        let known = names.give("8000.example");
        names.forget_oldest();
        assert_eq!(names.name_of(known).as_deref(), Some("8000.example"));
        assert_eq!(names.name_of(first + 1), None);
    }

    #[test]
    fn an_address_is_not_given_to_another_name_soon() {
        let mut names = Names::default();
        let first = names.give("first.example");
        let mut soonest = None;
        for number in 0..POOL + 10 {
            let given = names.give(&format!("{number}.example"));
            if given == first {
                soonest = Some(number);
                break;
            }
        }
        assert_eq!(soonest, Some(POOL - 1));
    }
}
