//! What follows the known end of the log: records of a writer that was killed before it updated the head, a partial
//! line of a writer that was killed while writing, or lines that no writer wrote.

use std::fs::File;
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::FileExt;

use serde_json::Value;

use crate::head::{self, Head};

/// Far more than a log may grow to.
const MAX_BYTES: u64 = 1 << 30;

pub struct Tail {
    /// The state after the last whole record that continues the chain; its size covers everything read.
    pub head: Head,
    /// A partial line at the very end.
    pub torn: Option<Vec<u8>>,
    /// Number of whole lines that are not records of this chain.
    pub strange: u64,
}

/// Reads from the end given by `head` up to `size`.
pub fn read(log: &File, head: &Head, size: u64) -> Result<Tail> {
    let length = size - head.size;
    if length > MAX_BYTES {
        return Err(Error::new(ErrorKind::FileTooLarge, "the audit log has grown by other hands"));
    }
    let mut bytes = vec![0u8; length as usize];
    log.read_exact_at(&mut bytes, head.size)?;
    let mut tail = Tail { head: Head { size, ..head.clone() }, torn: None, strange: 0 };
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let Some((b'\n', whole)) = line.split_last() else {
            tail.torn = Some(line.to_vec());
            break;
        };
        match number(whole, &tail.head.hash) {
            Some(seq) if seq == tail.head.next => {
                tail.head.next = seq + 1;
                tail.head.hash = head::hash(whole);
            }
            _ => tail.strange += 1,
        }
    }
    Ok(tail)
}

/// For a log without a known end: takes the number from its last whole line.
pub fn last(log: &File, size: u64) -> Result<Tail> {
    let from = size.saturating_sub(MAX_BYTES);
    let mut bytes = vec![0u8; (size - from) as usize];
    log.read_exact_at(&mut bytes, from)?;
    let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let torn = (end < bytes.len()).then(|| bytes[end..].to_vec());
    let line = bytes[..end].split(|byte| *byte == b'\n').rfind(|line| !line.is_empty()).unwrap_or_default();
    let mut head = Head { size, ..Head::none() };
    if let Some(seq) = seq(line) {
        head.next = seq + 1;
        head.hash = head::hash(line);
    }
    Ok(Tail { head, torn, strange: 0 })
}

/// The number of a line that continues the line with this hash.
fn number(line: &[u8], hash: &str) -> Option<u64> {
    let value: Value = serde_json::from_slice(line).ok()?;
    (value["prev"] == hash).then(|| value["seq"].as_u64())?
}

fn seq(line: &[u8]) -> Option<u64> {
    serde_json::from_slice::<Value>(line).ok()?["seq"].as_u64()
}
