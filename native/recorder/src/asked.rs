//! What a host asks to have secrets taken out of.

use std::io::Result;

use caisson_audit::Redaction;
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// A command line: a program and its arguments.
    words: Vec<String>,
    texts: Vec<String>,
    /// Values of variables that are secrets.
    known: Vec<String>,
}

#[derive(Serialize)]
struct Said {
    words: Vec<String>,
    texts: Vec<String>,
}

pub fn redacted(redaction: &mut Redaction, asked: &str) -> Result<String> {
    let Asked { words, texts, known } = serde_json::from_str(asked)?;
    redaction.refresh()?;
    let texts = texts.iter().map(|text| redaction.text(text, &known)).collect();
    Ok(serde_json::to_string(&Said { words: redaction.words(&words, &known, false), texts })?)
}
