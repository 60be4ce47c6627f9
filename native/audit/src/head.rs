//! The head: where the chain ends. It is kept beside the log, and written after each record. It saves a writer from
//! reading what others wrote, and reveals that the log was cut, or that something else appended to it.

use std::fs::File;
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::FileExt;

use sha2::{Digest, Sha256};

/// The previous hash of the first record.
pub const NOTHING: &str = "0000000000000000000000000000000000000000000000000000000000000000";
const LENGTH: usize = 192;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Head {
    /// Number of the next record.
    pub next: u64,
    /// Hash of the last line, without its newline.
    pub hash: String,
    /// Size of the log in bytes.
    pub size: u64,
    /// Inode of the log file.
    pub inode: u64,
    /// When the last record was written.
    pub at_ms: u64,
}

impl Head {
    /// The head of an empty log.
    pub fn none() -> Head {
        Head { next: 0, hash: NOTHING.to_string(), size: 0, inode: 0, at_ms: 0 }
    }

    /// None: there is no head yet. An unreadable head is an error, and is not taken for a new log.
    pub fn read(file: &File) -> Result<Option<Head>> {
        let mut bytes = [0u8; LENGTH];
        let mut length = 0;
        while length < LENGTH {
            match file.read_at(&mut bytes[length..], length as u64)? {
                0 => break,
                more => length += more,
            }
        }
        if length == 0 {
            return Ok(None);
        }
        let text = std::str::from_utf8(&bytes[..length]).unwrap_or("");
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        let whole = |text: &str| text.parse::<u64>().ok();
        let head = match words[..] {
            ["1", next, hash, size, inode, at_ms] if hash.len() == NOTHING.len() => (|| {
                let hash = hash.to_string();
                Some(Head { next: whole(next)?, hash, size: whole(size)?, inode: whole(inode)?, at_ms: whole(at_ms)? })
            })(),
            _ => None,
        };
        head.map(Some).ok_or_else(|| Error::new(ErrorKind::InvalidData, "the head of the audit log is damaged"))
    }

    /// In a single write of constant length.
    pub fn write(&self, file: &File) -> Result<()> {
        let Head { next, hash, size, inode, at_ms } = self;
        let text = format!("{:<width$}\n", format!("1 {next} {hash} {size} {inode} {at_ms}"), width = LENGTH - 1);
        file.write_all_at(text.as_bytes(), 0)
    }
}

/// Hexadecimal SHA-256.
pub fn hash(bytes: &[u8]) -> String {
    use std::fmt::Write;
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
