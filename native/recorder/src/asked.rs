//! What a host asks to have secrets taken out of.

use std::io::Result;

use caisson_audit::{Redaction, is_secret};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// A command line: a program and its arguments.
    words: Vec<String>,
    texts: Vec<String>,
    /// Variables, of which those count whose names say that they are secrets.
    variables: Vec<(String, String)>,
}

#[derive(Serialize)]
struct Said {
    words: Vec<String>,
    texts: Vec<String>,
}

pub fn redacted(redaction: &mut Redaction, asked: &str) -> Result<String> {
    let Asked { words, texts, variables } = serde_json::from_str(asked)?;
    redaction.refresh()?;
    let known: Vec<String> =
        variables.into_iter().filter(|(name, _)| is_secret(name)).map(|(_, value)| value).collect();
    let texts = texts.iter().map(|text| redaction.text(text, &known)).collect();
    Ok(serde_json::to_string(&Said { words: redaction.words(&words, &known, false), texts })?)
}
