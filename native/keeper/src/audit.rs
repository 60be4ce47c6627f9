//! The keeper's lines in the audit log: commands, limits, deaths. One line, one write, at the end of the file: lines of several keepers never mix
//! (open(2), O_APPEND). What cannot be recorded is not allowed to happen: callers refuse on error.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};

use crate::fault::{At, Outcome};

pub struct Audit {
    file: File,
    sandbox: String,
    written: u64,
    budget: u64,
}

impl Audit {
    pub fn open(path: &str, sandbox: &str, budget: u64) -> Outcome<Audit> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path).at("audit", path)?;
        Ok(Audit { file, sandbox: sandbox.to_string(), written: 0, budget })
    }

    /// True once the sandbox has used up what it may write by acting.
    pub fn spent(&self) -> bool {
        self.written >= self.budget
    }

    pub fn record(
        &mut self,
        kind: &str,
        fields: impl IntoIterator<Item = (&'static str, Value)>,
    ) -> std::io::Result<()> {
        let mut record = Map::new();
        record.insert("ts".into(), timestamp(now_ms()).into());
        record.insert("sandbox".into(), self.sandbox.clone().into());
        record.insert("kind".into(), kind.into());
        record.extend(fields.into_iter().map(|(name, value)| (name.to_string(), value)));
        let mut line = serde_json::to_vec(&record)?;
        line.push(b'\n');
        self.written += line.len() as u64;
        let written = self.file.write(&line)?;
        if written == line.len() { Ok(()) } else { Err(std::io::ErrorKind::WriteZero.into()) }
    }
}

/// Milliseconds since 1970.
pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// RFC 3339 in UTC with milliseconds.
fn timestamp(ms: u64) -> String {
    let seconds = (ms / 1000) as libc::time_t;
    // SAFETY: all-zero is a valid tm; gmtime_r fills it.
    let time = unsafe {
        let mut time: libc::tm = std::mem::zeroed();
        libc::gmtime_r(&raw const seconds, &raw mut time);
        time
    };
    let (year, month) = (time.tm_year + 1900, time.tm_mon + 1);
    let (day, hour, minute, second) = (time.tm_mday, time.tm_hour, time.tm_min, time.tm_sec);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", ms % 1000)
}
