//! Passwords in URLs: `https://name:password@host`, and tokens that stand alone before the `@`.

use super::Spans;

/// A user name alone is not a secret, but something as long as a token is.
const LEAST_TOKEN: usize = 16;

pub fn find(text: &str, spans: &mut Spans) {
    for (at, mark) in text.match_indices("://") {
        let start = at + mark.len();
        let authority = &text[start..];
        let end = authority.find(|c: char| c.is_whitespace() || "/?#\"'`<>|;\\".contains(c)).unwrap_or(authority.len());
        let Some(user) = authority[..end].rfind('@') else { continue };
        match authority[..user].find(':') {
            Some(colon) if colon + 1 < user => spans.push(start + colon + 1..start + user),
            None if user >= LEAST_TOKEN => spans.push(start..start + user),
            _ => {}
        }
    }
}
