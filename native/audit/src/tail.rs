//! What stands behind the end that is known: records of a writer that was killed before it said where the chain ends, half a line of one that was killed
//! while it wrote, or what no writer has written.

use std::fs::File;
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::FileExt;

use serde_json::Value;

use crate::head::{self, Head};

/// Far more than one log is let grow to.
const MAX_BYTES: u64 = 1 << 30;

pub struct Tail {
    /// After the last whole record that continues the chain. Its size is that of all that was read.
    pub head: Head,
    /// Half a line at the very end.
    pub torn: Option<Vec<u8>>,
    /// Whole lines that are no records of this chain.
    pub strange: u64,
}

/// Reads from where `head` ends to `size`.
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

/// Of a log whose end nobody knows: what its last whole line says of itself.
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

/// Of a line that continues what has this hash.
fn number(line: &[u8], hash: &str) -> Option<u64> {
    let value: Value = serde_json::from_slice(line).ok()?;
    (value["prev"] == hash).then(|| value["seq"].as_u64())?
}

fn seq(line: &[u8]) -> Option<u64> {
    serde_json::from_slice::<Value>(line).ok()?["seq"].as_u64()
}
