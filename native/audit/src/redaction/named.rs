//! Values after names that mark them as secret: `PASSWORD=...`, `"token": "..."`, `Authorization: ...`, `?api_key=...`.

use std::ops::Range;

use super::Spans;

const PARTS: [&str; 18] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "accesskey",
    "accountkey",
    "privatekey",
    "credential",
    "authkey",
    "sessionkey",
    "signingkey",
    "encryptionkey",
    "sharedkey",
    "masterkey",
    "licensekey",
    "connectionstring",
];
const WHOLE: [&str; 12] = [
    "pass",
    "pwd",
    "pat",
    "jwt",
    "auth",
    "authorization",
    "proxyauthorization",
    "cookie",
    "setcookie",
    "sig",
    "signature",
    "bearer",
];
const ENDS: [&str; 4] = ["pass", "pwd", "password", "passwd"];
/// Names of things about a secret that are not secret themselves.
const ABOUT: [&str; 28] = [
    "file",
    "path",
    "dir",
    "name",
    "id",
    "url",
    "uri",
    "ttl",
    "type",
    "stdin",
    "env",
    "helper",
    "count",
    "limit",
    "length",
    "len",
    "size",
    "expiry",
    "expires",
    "timeout",
    "tokens",
    "tokenizer",
    "store",
    "prompt",
    "policy",
    "field",
    "algorithm",
    "version",
];
/// Headers whose value is a secret to the end of the line.
const HEADERS: [&str; 4] = ["authorization", "proxyauthorization", "cookie", "setcookie"];

/// Whether a variable, flag, field or header of that name is a secret.
#[must_use]
pub fn is_secret(name: &str) -> bool {
    let plain = plain(name);
    if ABOUT.iter().any(|end| plain.ends_with(end)) {
        return false;
    }
    WHOLE.contains(&plain.as_str())
        || PARTS.iter().any(|part| plain.contains(part))
        || ENDS.iter().any(|end| plain.ends_with(end))
}

fn plain(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

/// The value of a word that is a name and its value, up to the word's end: `--password=a b`, `PASSWORD=a b`.
pub fn whole(word: &str) -> Option<Range<usize>> {
    let equals = word.find('=')?;
    let name = &word[..equals];
    (is_name(name) && is_secret(name) && equals + 1 < word.len()).then_some(equals + 1..word.len())
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_of_name)
}

fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

pub fn find(text: &str, spans: &mut Spans) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if !is_of_name(bytes[at]) {
            at += 1;
            continue;
        }
        let start = at;
        while at < bytes.len() && is_of_name(bytes[at]) {
            at += 1;
        }
        if let Some(span) = value_behind(text, start..at)
            && is_secret(&text[start..at])
        {
            spans.push(span);
        }
    }
}

/// What follows a name, if it could be its value.
fn value_behind(text: &str, name: Range<usize>) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let get = |at: usize| bytes.get(at).copied();
    let mut at = name.end;
    // Also accepts `\"`, for a text within a text.
    while matches!(get(at), Some(b'"' | b'\'' | b'\\')) {
        at += 1;
    }
    let blanks = |mut at: usize| {
        while matches!(get(at), Some(b' ' | b'\t' | b'+')) {
            at += 1;
        }
        at
    };
    let separator = blanks(at);
    let mut is_loose = separator > at;
    at = match (get(separator)?, get(separator + 1)) {
        (b':', Some(b'=')) | (b'=', Some(b'>')) => separator + 2,
        (b'=', Some(b'=')) => return None,
        (b'=' | b':', _) => separator + 1,
        _ => return None,
    };
    let is_colon = bytes[separator] == b':';
    let value = blanks(at);
    is_loose |= value > at || is_colon;
    let is_header = |name: &str| name.contains('-') || HEADERS.contains(&plain(name).as_str());
    if is_colon && is_header(&text[name]) {
        let end = text[value..].find(['\r', '\n', '"', '\'', '`']).map_or(text.len(), |length| value + length);
        // If the header name has its own quotes, the value is in the next pair.
        if end > value {
            return Some(value..end);
        }
    }
    let mut begin = value;
    while get(begin) == Some(b'\\') {
        begin += 1;
    }
    if let Some(quote @ (b'"' | b'\'')) = get(begin) {
        let inner = begin + 1;
        let end = text[inner..].find([char::from(quote), '\\', '\n']).map_or(text.len(), |length| inner + length);
        return (end > inner).then_some(inner..end);
    }
    let end = text[value..]
        .find(|c: char| c.is_whitespace() || "&;,|\"'`)}]<>\\".contains(c))
        .map_or(text.len(), |length| value + length);
    let said = &text[value..end];
    // `token = read_it()` is code, but `token = 8f3b...` is a secret.
    (end > value && (!is_loose || is_literal(said))).then_some(value..end)
}

fn is_literal(said: &str) -> bool {
    let has = |what: fn(&u8) -> bool| said.as_bytes().iter().any(what);
    said.len() >= 6 && !has(|byte| matches!(byte, b'(' | b'[' | b'{')) && has(u8::is_ascii_digit) || said.len() >= 20
}
