//! Removes secrets from command lines and texts before they are recorded: stored secrets, values of variables whose
//! names mark them as secret, values of flags and names that ask for a secret, passwords in URLs, headers, and keys
//! recognisable by their form.
//!
//! This is not a security boundary: anyone who wants to can write a secret in a form that it does not recognise. It
//! catches secrets in the forms that programs normally use.

mod addresses;
mod flags;
mod named;
mod shapes;
mod values;

use std::fs;
use std::io::{ErrorKind, Result};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use flags::Words;
pub use named::is_secret;
use values::Values;

const INSTEAD: &str = "[redacted]";
/// Shorter values would occur in every line.
const LEAST_BYTES: usize = 6;
/// The least recognised part of a value that is cut off at the end of a text.
const LEAST_BEGINNING: usize = 4;

type Spans = Vec<Range<usize>>;

pub struct Redaction {
    folder: PathBuf,
    changed: Option<SystemTime>,
    stored: Vec<String>,
}

impl Redaction {
    /// The stored secrets of an installation lie beside the folder of its log, one file each (host/airlock/secrets.ts).
    pub fn beside(log: &Path) -> Redaction {
        let home = log.parent().and_then(Path::parent).unwrap_or(Path::new("/"));
        Redaction { folder: home.join("secrets"), changed: None, stored: Vec::new() }
    }

    /// Loads values that were stored, changed or removed since. If one cannot be read it cannot be redacted, so this
    /// fails, and nothing is recorded.
    pub fn refresh(&mut self) -> Result<()> {
        let changed = match fs::metadata(&self.folder) {
            Ok(status) => Some(status.modified()?),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        if changed == self.changed {
            return Ok(());
        }
        let mut stored = Vec::new();
        if changed.is_some() {
            for entry in fs::read_dir(&self.folder)? {
                match fs::read_to_string(entry?.path()) {
                    Ok(value) if value.len() >= LEAST_BYTES => stored.push(value),
                    // Removed since it was listed.
                    Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
        }
        (self.stored, self.changed) = (stored, changed);
        Ok(())
    }

    /// A command line: a program and its arguments. `known` are values of its variables; `cut`: the last word continues
    /// beyond what was read.
    pub fn words(&self, words: &[String], known: &[String], cut: bool) -> Vec<String> {
        let mut following = Words::new();
        let last = words.len().saturating_sub(1);
        let values = self.values(known, words.iter().map(String::len).sum());
        let one = |(index, word): (usize, &String)| {
            let mut spans = spans(word, &values);
            spans.extend(following.next(word));
            spans.extend(named::whole(word));
            if cut && index == last {
                spans.extend(beginnings(word, &values));
            }
            without(word, spans)
        };
        words.iter().enumerate().map(one).collect()
    }

    /// Code, rules, or a command line for a shell.
    pub fn text(&self, text: &str, known: &[String]) -> String {
        without(text, spans(text, &self.values(known, text.len())))
    }

    fn values<'a>(&'a self, known: &'a [String], bytes: usize) -> Values<'a> {
        let all = self.stored.iter().chain(known).map(String::as_str);
        Values::of(all.filter(|value| value.len() >= LEAST_BYTES).collect(), bytes)
    }
}

fn spans(text: &str, values: &Values) -> Spans {
    let mut spans = Spans::new();
    values.find(text, &mut spans);
    addresses::find(text, &mut spans);
    named::find(text, &mut spans);
    shapes::find(text, &mut spans);
    flags::find(text, &mut spans);
    spans
}

fn beginnings(text: &str, values: &Values) -> Option<Range<usize>> {
    let ends = |value: &str| {
        let lengths = LEAST_BEGINNING..value.len();
        lengths.rev().filter(|length| value.is_char_boundary(*length)).find(|length| text.ends_with(&value[..*length]))
    };
    values.iter().filter_map(ends).max().map(|length| text.len() - length..text.len())
}

fn without(text: &str, mut spans: Spans) -> String {
    if spans.is_empty() {
        return text.to_string();
    }
    spans.sort_by_key(|span| (span.start, span.end));
    let (mut kept, mut done) = (String::with_capacity(text.len()), 0);
    for span in spans {
        if span.start >= done && span.start < span.end {
            kept.push_str(&text[done..span.start]);
            kept.push_str(INSTEAD);
        }
        done = done.max(span.end);
    }
    kept.push_str(&text[done..]);
    kept
}
