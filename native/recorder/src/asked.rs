//! A host's request to remove secrets.

use std::collections::BTreeMap;
use std::io::{Error, ErrorKind, Result};

use caisson_audit::Redaction;
use serde_json::json;

/// `words`: a command line, i.e. a program and its arguments. `texts`: other texts. `known`: values of variables that
/// are secrets. Parsed without serde's macros, which would have to be built for this library alone.
const ASKED: [&str; 3] = ["words", "texts", "known"];

pub fn redacted(redaction: &mut Redaction, asked: &str) -> Result<String> {
    let [words, texts, known] = lists(asked)?;
    redaction.refresh()?;
    let texts: Vec<_> = texts.iter().map(|text| redaction.text(text, &known)).collect();
    Ok(json!({ "words": redaction.words(&words, &known, false), "texts": texts }).to_string())
}

/// Requires all three, and allows nothing else.
fn lists(asked: &str) -> Result<[Vec<String>; 3]> {
    let mut lists: BTreeMap<String, Vec<String>> = serde_json::from_str(asked)?;
    let taken = ASKED.map(|name| lists.remove(name));
    if let Some(name) = lists.keys().next() {
        return Err(refused(format!("unknown field `{name}`, there are: {}", ASKED.join(", "))));
    }
    let [Some(words), Some(texts), Some(known)] = taken else {
        return Err(refused(format!("a field is missing, there are: {}", ASKED.join(", "))));
    };
    Ok([words, texts, known])
}

fn refused(why: String) -> Error {
    Error::new(ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::lists;

    #[test]
    fn takes_the_lists_that_it_knows_and_no_other() {
        let asked = r#"{"words":["a"],"texts":[],"known":["b","c"]}"#;
        assert_eq!(lists(asked).unwrap(), [vec!["a".to_owned()], vec![], vec!["b".to_owned(), "c".to_owned()]]);
        let more = lists(r#"{"words":[],"texts":[],"known":[],"stored":[]}"#).unwrap_err();
        assert!(more.to_string().contains("unknown field `stored`"));
        let less = lists(r#"{"words":[],"texts":[]}"#).unwrap_err();
        assert!(less.to_string().contains("a field is missing"));
        assert!(lists(r#"{"words":"a","texts":[],"known":[]}"#).is_err());
    }
}
