//! Appends records, and rotates to a new file when one is full.

use std::fs::{self, File, OpenOptions};
use std::io::{Error, ErrorKind, Result, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::head::{self, Head};
use crate::lock;
use crate::moment::{now_ms, timestamp};
use crate::tail;

/// A clock set back by more than this is recorded; less is normal clock adjustment.
const BACK_MS: u64 = 1000;
/// How long it may take to notice that a log was moved away by hand.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The position of a record.
#[derive(Debug)]
pub struct Place {
    pub seq: u64,
    /// The hash of its line, without the newline.
    pub hash: String,
}

/// Whether the head is updated after a record: not for one in a file that is not the log yet.
#[derive(PartialEq, Eq)]
enum Tell {
    Head,
    Nobody,
}

pub struct Chain {
    path: PathBuf,
    log: File,
    head: File,
    /// When it was last checked that `path` still refers to this log.
    looked: Option<Instant>,
}

impl Chain {
    /// `path` is the file that grows. Full ones lie beside it, named after the number of their last record.
    pub fn open(path: &Path) -> Result<Chain> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        Ok(Chain {
            path: path.to_path_buf(),
            log: open_log(path)?,
            head: options.open(path.with_extension("head"))?,
            looked: None,
        })
    }

    /// `fields` is a JSON object in one line. On success the record is in the log. On error it is not, and the caller
    /// must not do what it describes.
    pub fn append(&mut self, fields: &str) -> Result<Place> {
        let fields = checked(fields)?;
        let _held = lock::lock(self.head.as_raw_fd())?;
        let head = self.caught_up()?;
        self.record(head, fields)
    }

    /// The last record of the chain. None: nothing has been recorded.
    pub fn end(&mut self) -> Result<Option<Place>> {
        let _held = lock::lock(self.head.as_raw_fd())?;
        let head = self.caught_up()?;
        Ok(head.next.checked_sub(1).map(|seq| Place { seq, hash: head.hash }))
    }

    /// Starts a new file once this one has `bytes`; `fields` is the new file's first record. Returns the name of the
    /// full file; None: rotation was not needed.
    pub fn rotate(&mut self, bytes: u64, fields: &str) -> Result<Option<String>> {
        let fields = checked(fields)?;
        let _held = lock::lock(self.head.as_raw_fd())?;
        let head = self.caught_up()?;
        if head.size < bytes || head.next == 0 {
            return Ok(None);
        }
        let stem = self.path.file_stem().and_then(|stem| stem.to_str()).unwrap_or("audit");
        let full = self.path.with_file_name(format!("{stem}-{:012}.jsonl", head.next - 1));
        let fresh = self.path.with_extension("new");
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // The log exists at every moment: first the full file gets a second name, then the fresh one replaces the first
        // name.
        self.log = open_log(&fresh)?;
        let head = self.put(Head { size: 0, inode: self.log.metadata()?.ino(), ..head }, fields, Tell::Nobody)?;
        name_too(&self.path, &full)?;
        fs::rename(&fresh, &self.path)?;
        head.write(&self.head)?;
        Ok(full.file_name().map(|name| name.to_string_lossy().into_owned()))
    }

    /// The end of the chain, after repairing and recording whatever an earlier writer left behind.
    fn caught_up(&mut self) -> Result<Head> {
        let mut status = self.log.metadata()?;
        let known = Head::read(&self.head);
        // Usually no other writer was active, and the path need not be checked.
        if let Ok(Some(head)) = &known
            && head.inode == status.ino()
            && head.size == status.len()
            && self.looked.is_some_and(|looked| looked.elapsed() < LOOK_AGAIN)
        {
            return Ok(head.clone());
        }
        self.looked = Some(Instant::now());
        if fs::metadata(&self.path).ok().map(|named| named.ino()) != Some(status.ino()) {
            self.log = open_log(&self.path)?;
            status = self.log.metadata()?;
        }
        let (size, inode) = (status.len(), status.ino());
        let (known, damage) = match known {
            Ok(known) => (known, None),
            Err(error) if error.kind() == ErrorKind::InvalidData => (None, Some(error.to_string())),
            Err(error) => return Err(error),
        };
        let Some(head) = known else { return self.without_head(size, inode, damage) };
        if head.inode == inode && head.size == size {
            return Ok(head);
        }
        if head.inode == inode && head.size > size {
            let told = json!({ "what": "the log has been cut", "bytes": head.size, "left": size });
            let ends = size == 0 || self.ends_a_line(size)?;
            let head = Head { size, ..head };
            let head = if ends { head } else { self.end_line(head)? };
            return self.broken(head, &told);
        }
        // After the known end, or in the file that another writer has rotated to.
        let base = if head.inode == inode { head.size } else { 0 };
        self.heal(&Head { size: base, inode, ..head }, size)
    }

    fn heal(&mut self, known: &Head, size: u64) -> Result<Head> {
        let tail = tail::read(&self.log, known, size)?;
        let strange = tail.strange;
        let mut head = self.mend(tail)?;
        if strange > 0 {
            head = self.broken(head, &json!({ "what": "there were lines that no writer wrote", "lines": strange }))?;
        } else if known.size == 0 && head.next == known.next && known.next > 0 {
            head = self.broken(head, &json!({ "what": "the log was another file" }))?;
        }
        head.write(&self.head)?;
        Ok(head)
    }

    fn without_head(&mut self, size: u64, inode: u64, damage: Option<String>) -> Result<Head> {
        let fresh = Head { inode, ..Head::none() };
        if damage.is_none() {
            let tail = tail::read(&self.log, &fresh, size)?;
            // New, or containing only the first record of a writer that was killed right after it.
            if size == 0 || tail.strange == 0 && tail.head.next <= 1 {
                return self.mend(tail);
            }
        }
        let mut tail = tail::last(&self.log, size)?;
        tail.head.inode = inode;
        let is_older = tail.head.next == 0 && damage.is_none();
        let head = self.mend(tail)?;
        if is_older {
            // Written by a version without a chain.
            return self.put(
                head,
                &json!({ "kind": "unchained", "sandbox": "", "bytes": size }).to_string(),
                Tell::Head,
            );
        }
        let what = damage.unwrap_or_else(|| "the head of the audit log was missing".to_string());
        self.broken(head, &json!({ "what": what }))
    }

    /// A partial line stays as it is, gets a newline, and is followed by a record about it.
    fn mend(&mut self, tail: tail::Tail) -> Result<Head> {
        let Some(torn) = tail.torn else { return Ok(tail.head) };
        let head = self.end_line(tail.head)?;
        let fields = json!({ "kind": "torn", "sandbox": "", "bytes": torn.len(), "hash": head::hash(&torn) });
        self.put(head, &fields.to_string(), Tell::Head)
    }

    fn broken(&mut self, head: Head, told: &serde_json::Value) -> Result<Head> {
        let mut fields = json!({ "kind": "broken", "sandbox": "" });
        if let (Some(fields), Some(told)) = (fields.as_object_mut(), told.as_object()) {
            fields.extend(told.clone());
        }
        self.put(head, &fields.to_string(), Tell::Head)
    }

    fn ends_a_line(&self, size: u64) -> Result<bool> {
        let mut last = [0u8; 1];
        self.log.read_exact_at(&mut last, size - 1)?;
        Ok(last == *b"\n")
    }

    fn end_line(&mut self, head: Head) -> Result<Head> {
        self.log.write_all(b"\n")?;
        Ok(Head { size: head.size + 1, ..head })
    }

    fn record(&mut self, head: Head, fields: &str) -> Result<Place> {
        let now = now_ms();
        let head = if head.at_ms > now + BACK_MS {
            let told = json!({ "kind": "clock", "sandbox": "", "was": timestamp(head.at_ms), "is": timestamp(now) });
            self.put(head, &told.to_string(), Tell::Head)?
        } else {
            head
        };
        let head = self.put(head, fields, Tell::Head)?;
        Ok(Place { seq: head.next - 1, hash: head.hash })
    }

    /// If a record cannot be written completely, nothing of it remains.
    fn put(&mut self, head: Head, fields: &str, tell: Tell) -> Result<Head> {
        let at_ms = now_ms();
        let (next, prev, ts) = (head.next, &head.hash, timestamp(at_ms));
        let line = format!("{{\"seq\":{next},\"prev\":\"{prev}\",\"ts\":\"{ts}\",{}\n", &fields[1..]);
        let bytes = line.as_bytes();
        let written = self.log.write(bytes)?;
        let size = head.size + written as u64;
        let hash = head::hash(&bytes[..bytes.len() - 1]);
        let after = Head { next: next + 1, hash, size, inode: head.inode, at_ms };
        let whole = if written == bytes.len() {
            if tell == Tell::Head { after.write(&self.head) } else { Ok(()) }
        } else {
            Err(Error::new(ErrorKind::StorageFull, format!("only {written} of {} bytes were written", bytes.len())))
        };
        if let Err(error) = whole {
            self.log.set_len(head.size)?;
            return Err(error);
        }
        Ok(after)
    }
}

/// A writer that was killed half-way may have created the link already.
fn name_too(log: &Path, full: &Path) -> Result<()> {
    match fs::hard_link(log, full) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            if fs::metadata(log)?.ino() == fs::metadata(full)?.ino() { Ok(()) } else { Err(error) }
        }
        other => other,
    }
}

fn open_log(path: &Path) -> Result<File> {
    OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)
}

fn checked(fields: &str) -> Result<&str> {
    let fields = fields.trim_end_matches('\n');
    if fields.starts_with("{\"") && fields.ends_with('}') && !fields.contains('\n') {
        Ok(fields)
    } else {
        Err(Error::new(ErrorKind::InvalidInput, "a record is a JSON object of one line"))
    }
}
