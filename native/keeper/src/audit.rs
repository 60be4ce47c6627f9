//! The keeper's records in the audit log: commands, limits, deaths. What cannot be recorded must not happen, so callers
//! refuse on error.

use std::path::Path;

use caisson_audit::{Chain, Redaction};
use serde_json::{Map, Value};

use crate::fault::{At, Outcome};

pub use caisson_audit::now_ms;

pub struct Audit {
    chain: Chain,
    redaction: Redaction,
    sandbox: String,
    written: u64,
    budget: u64,
    /// Number of commands that were refused because they could not be recorded.
    refused: u64,
}

impl Audit {
    pub fn open(path: &str, sandbox: &str, budget: u64) -> Outcome<Audit> {
        let chain = Chain::open(Path::new(path)).at("audit", path)?;
        let redaction = Redaction::beside(Path::new(path));
        Ok(Audit { chain, redaction, sandbox: sandbox.to_string(), written: 0, budget, refused: 0 })
    }

    /// True once the sandbox has used up the log space that its own actions may fill.
    pub fn spent(&self) -> bool {
        self.written >= self.budget
    }

    /// Counts a refused command. The first refusal is reported at once, the total at the end.
    pub fn refuse(&mut self) {
        self.refused += 1;
        if self.refused == 1 {
            self.say_refused(
                "it has used up what it may have recorded, or nothing can be: no further command is executed",
            );
        }
    }

    pub fn count_refused(&mut self) {
        if self.refused > 0 {
            self.say_refused(&format!(
                "commands that were not executed, because they could not be recorded: {}",
                self.refused
            ));
        }
    }

    fn say_refused(&mut self, detail: &str) {
        let fields = [("reason", "audit".into()), ("detail", detail.into()), ("ends", false.into())];
        if let Err(error) = self.record("limit", fields) {
            eprintln!("caisson-keeper: audit: {error}");
        }
    }

    /// Removes the secrets from a command line. `known` are values of its variables. `cut` means that the line
    /// continues beyond what was read.
    pub fn redacted(&mut self, words: &[String], known: &[String], cut: bool) -> std::io::Result<Vec<String>> {
        self.redaction.refresh()?;
        Ok(self.redaction.words(words, known, cut))
    }

    pub fn record(
        &mut self,
        kind: &str,
        fields: impl IntoIterator<Item = (&'static str, Value)>,
    ) -> std::io::Result<()> {
        let mut record = Map::new();
        record.insert("kind".into(), kind.into());
        record.insert("sandbox".into(), self.sandbox.clone().into());
        record.extend(fields.into_iter().map(|(name, value)| (name.to_string(), value)));
        let line = serde_json::to_string(&record)?;
        self.written += line.len() as u64;
        self.chain.append(&line).map(|_| ())
    }
}
