//! Where the chain ends: beside the log, and written after each record. It spares a writer to read what others wrote, and it tells when the log has been
//! cut, or has grown by other hands.

use std::fs::File;
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::FileExt;

use sha2::{Digest, Sha256};

/// Of a record that has none before it.
pub const NOTHING: &str = "0000000000000000000000000000000000000000000000000000000000000000";
const LENGTH: usize = 192;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Head {
    /// Number of the record to come.
    pub next: u64,
    /// Of the last line, without its newline.
    pub hash: String,
    /// Bytes of the log.
    pub size: u64,
    /// The file that it is.
    pub inode: u64,
    /// When the last was recorded.
    pub at_ms: u64,
}

impl Head {
    /// Of a log that nobody has written to.
    pub fn none() -> Head {
        Head { next: 0, hash: NOTHING.to_string(), size: 0, inode: 0, at_ms: 0 }
    }

    /// None: there is none yet. What cannot be read as one is an error: it is not taken for a new log.
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

    /// In one write, always of the same length.
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
