//! Known values in a text.

use aho_corasick::automaton::{Automaton, StateID};
use aho_corasick::nfa::noncontiguous::NFA;
use aho_corasick::{Anchored, MatchError};

use super::Spans;

/// Up to this many bytes, plain comparison is faster than building an automaton.
const BY_HAND: usize = 1 << 20;

/// Values to find in several texts.
pub struct Values<'a> {
    values: Vec<&'a str>,
    /// Only for large inputs, because other requests wait meanwhile.
    automaton: Option<NFA>,
}

impl<'a> Values<'a> {
    /// `bytes`: the total length of all texts.
    pub fn of(values: Vec<&'a str>, bytes: usize) -> Values<'a> {
        let is_much = bytes.saturating_mul(values.len()) > BY_HAND;
        let automaton = is_much.then(|| NFA::builder().prefilter(false).build(&values).ok()).flatten();
        Values { values, automaton }
    }

    pub fn find(&self, text: &str, spans: &mut Spans) {
        if self.automaton.as_ref().is_some_and(|automaton| search(text, automaton, spans).is_ok()) {
            return;
        }
        for value in &self.values {
            spans.extend(text.match_indices(value).map(|(at, _)| at..at + value.len()));
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &'a str> {
        self.values.iter().copied()
    }
}

/// Finds the longest match that ends at each position, since shorter ones lie within it. Overlapping matches are
/// merged.
fn search(text: &str, automaton: &NFA, spans: &mut Spans) -> Result<(), MatchError> {
    let mut state = automaton.start_state(Anchored::No)?;
    for (at, byte) in text.bytes().enumerate() {
        state = automaton.next_state(Anchored::No, state, byte);
        if !automaton.is_match(state) {
            continue;
        }
        let start = at + 1 - longest(automaton, state);
        match spans.last_mut() {
            Some(last) if start < last.end => (last.start, last.end) = (last.start.min(start), at + 1),
            _ => spans.push(start..at + 1),
        }
    }
    Ok(())
}

/// A state lists its own pattern before those that are suffixes of it.
fn longest(automaton: &NFA, state: StateID) -> usize {
    automaton.pattern_len(automaton.match_pattern(state, 0))
}

#[cfg(test)]
mod tests {
    use super::{BY_HAND, Values};

    /// The bytes of a text that belong to a value.
    fn hidden(text: &str, values: &[&str]) -> Vec<bool> {
        let mut spans = Vec::new();
        Values::of(values.to_vec(), text.len()).find(text, &mut spans);
        let mut hidden = vec![false; text.len()];
        for span in spans {
            hidden[span].fill(true);
        }
        hidden
    }

    /// Compares every value at every position.
    fn by_hand(text: &str, values: &[&str]) -> Vec<bool> {
        let mut hidden = vec![false; text.len()];
        for at in 0..text.len() {
            for value in values.iter().filter(|value| text.as_bytes()[at..].starts_with(value.as_bytes())) {
                hidden[at..at + value.len()].fill(true);
            }
        }
        hidden
    }

    #[test]
    fn an_automaton_finds_what_each_value_would_have_found_by_itself() {
        let values = ["abcabc", "abcabcab", "bcabca", "aaaaaa", "aaaaaaaaaa", "caccac", "ababababab", "héhéhé"];
        let pieces = ["abc", "ab", "aaaa", "cac", "bca", "hé", "x", "abab"];
        let (mut text, mut chance) = (String::new(), 7_u64);
        while text.len() * values.len() <= BY_HAND {
            chance = chance.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            text.push_str(pieces[(chance >> 33) as usize % pieces.len()]);
        }
        let found = hidden(&text, &values);
        assert!(found.contains(&true) && found.contains(&false));
        assert_eq!(found, by_hand(&text, &values));
    }

    #[test]
    fn many_values_of_one_beginning_are_found_in_one_walk() {
        let values: Vec<String> = (0..512).map(|number| format!("{}{number}", "a".repeat(200))).collect();
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        let text = "a".repeat(256 * 1024) + "511 and more";
        let mut spans = Vec::new();
        Values::of(values, text.len()).find(&text, &mut spans);
        assert_eq!(spans.as_slice(), std::slice::from_ref(&(256 * 1024 - 200..256 * 1024 + 3)));
    }
}
