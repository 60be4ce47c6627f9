//! Values of flags that ask for a secret: `--password x`, and the short flags of programs known to have them.

use std::ops::Range;

use super::Spans;
use super::named::is_secret;

#[derive(Clone, Copy)]
enum Value {
    Whole,
    /// What follows this character; nothing if the character is missing.
    Behind(char),
}

/// A program's flag, which part of its value is secret, and whether the value may be the next word or must be attached.
struct Flag(&'static str, Value, bool);

const PASSWORD: &[Flag] = &[Flag("-p", Value::Whole, true)];
const PROGRAMS: [(&[&str], &[Flag]); 10] = [
    (
        &[
            "mysql",
            "mysqldump",
            "mysqladmin",
            "mysqlimport",
            "mariadb",
            "mariadb-dump",
            "mariadb-admin",
            "7z",
            "7za",
            "7zz",
            "rar",
            "unrar",
        ],
        &[Flag("-p", Value::Whole, false)],
    ),
    (
        &["sshpass", "mongo", "mongosh", "mongodump", "mongorestore", "mongoexport", "useradd", "usermod", "cqlsh"],
        PASSWORD,
    ),
    (
        &["curl"],
        &[
            Flag("-u", Value::Behind(':'), true),
            Flag("--user", Value::Behind(':'), true),
            Flag("-U", Value::Behind(':'), true),
            Flag("--proxy-user", Value::Behind(':'), true),
        ],
    ),
    (&["http", "https", "xh"], &[Flag("-a", Value::Behind(':'), true), Flag("--auth", Value::Whole, true)]),
    (&["redis-cli"], &[Flag("-a", Value::Whole, true)]),
    (
        &["ldapsearch", "ldapadd", "ldapmodify", "ldapdelete", "ldapwhoami", "ldappasswd"],
        &[Flag("-w", Value::Whole, true)],
    ),
    (&["zip", "unzip", "sqlcmd", "bcp"], &[Flag("-P", Value::Whole, true)]),
    (&["smbclient", "rpcclient", "net"], &[Flag("-U", Value::Behind('%'), true)]),
    (&["lftp"], &[Flag("-u", Value::Behind(','), true)]),
    (&["openssl"], &[Flag("pass:", Value::Whole, false)]),
];
/// Programs that start another one, to which the following flags belong.
const BEFORE: [&str; 13] = [
    "sudo", "doas", "env", "time", "nohup", "exec", "command", "nice", "timeout", "stdbuf", "setsid", "xargs",
    "sshpass",
];
/// A flag that begins with one of these takes no secret.
const YES_OR_NO: [&str; 16] = [
    "no", "show", "with", "save", "use", "ask", "prompt", "generate", "print", "get", "create", "reset", "list",
    "revoke", "rotate", "verify",
];

/// Scans a command line, word by word.
pub struct Words {
    flags: Option<&'static [Flag]>,
    is_begun: bool,
    expected: Option<Value>,
}

impl Words {
    pub fn new() -> Words {
        Words { flags: None, is_begun: false, expected: None }
    }

    /// The secret part of the next word.
    pub fn next(&mut self, word: &str) -> Option<Range<usize>> {
        if let Some(value) = self.expected.take()
            && !word.starts_with("--")
        {
            return secret(word, 0, value);
        }
        if !word.starts_with('-') && !self.is_begun {
            self.begin(word);
            return None;
        }
        // `docker login -p`, and similar.
        if word == "login" && self.flags.is_none() {
            self.flags = Some(PASSWORD);
        }
        for Flag(flag, value, may_follow) in self.flags.into_iter().flatten() {
            if word == *flag && *may_follow {
                self.expected = Some(*value);
                return None;
            }
            if let Some(rest) = word.strip_prefix(flag)
                && !rest.is_empty()
                && !flag.starts_with("--")
            {
                return secret(word, flag.len(), *value);
            }
        }
        if asks(word) {
            self.expected = Some(Value::Whole);
        }
        None
    }

    fn begin(&mut self, word: &str) {
        let program = word.rsplit('/').next().unwrap_or(word);
        if let Some((_, flags)) = PROGRAMS.iter().find(|(names, _)| names.contains(&program)) {
            self.flags = Some(flags);
        }
        self.is_begun = !word.contains('=') && !BEFORE.contains(&program);
    }
}

fn secret(word: &str, from: usize, value: Value) -> Option<Range<usize>> {
    let start = match value {
        Value::Whole => from,
        Value::Behind(mark) => from + word[from..].find(mark)? + mark.len_utf8(),
    };
    (start < word.len()).then_some(start..word.len())
}

/// `--password`, `-password`; not `-p`, which differs from program to program.
fn asks(word: &str) -> bool {
    let Some(flag) = word.strip_prefix('-') else { return false };
    let name = flag.trim_start_matches('-');
    let first = name.split(['-', '_']).next().unwrap_or("");
    name.len() > 2
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
        && is_secret(name)
        && !(name.len() > first.len() && YES_OR_NO.contains(&first))
}

/// Scans a text: a shell command line, or code that contains such words.
pub fn find(text: &str, spans: &mut Spans) {
    let mut words = Words::new();
    let mut at = 0;
    while let Some(Token { place, begins, ends }) = token_behind(text, at) {
        if begins {
            words = Words::new();
        }
        if let Some(span) = words.next(&text[place.clone()]) {
            spans.push(place.start + span.start..place.start + span.end);
        }
        at = place.end;
        if ends {
            words = Words::new();
        }
    }
}

struct Token {
    /// Without its quotes and brackets.
    place: Range<usize>,
    /// A command begins with it.
    begins: bool,
    /// The command ends after it.
    ends: bool,
}

fn token_behind(text: &str, from: usize) -> Option<Token> {
    let is_border = |c: char| c.is_whitespace() || "\"'`()[]{},;|&".contains(c);
    let start = from + text[from..].find(|c| !is_border(c))?;
    let before = start.checked_sub(1).map(|at| text.as_bytes()[at]);
    let quoted = match before {
        Some(quote @ (b'"' | b'\'')) => text[start..].find(char::from(quote)),
        _ => None,
    };
    // A quoted word extends to the closing quote, unless it is itself a command line for a shell: then its words count
    // separately.
    let is_line = quoted.is_some_and(|length| text[start..start + length].contains(" -"));
    let length = quoted.filter(|_| !is_line).or_else(|| text[start..].find(is_border)).unwrap_or(text.len() - start);
    let end = start + length;
    let behind = text[end..].trim_start_matches(['"', '\'', ' ', '\t']);
    let ends = behind.starts_with(['\n', ';', '|', '&', '(', ')', '`']);
    Some(Token { place: start..end, begins: is_line, ends })
}
