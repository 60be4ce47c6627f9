//! Saves the memory of a stopped machine by reading it in the QEMU process. Each page is read once, from there or from
//! the file that the machine was restored from, and is hashed while it is written.

use std::fs::{self, File};
use std::io::Error;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use super::STEP;
use crate::fault::{At, Code, Fault, Outcome};
use crate::sums::{PAGE, Sum, is_empty};

/// For some hundreds of MiB on a disk that may be busy.
const PATIENCE: Duration = Duration::from_secs(90);
const PIECE: u64 = 1 << 20;
/// Buffers on their way to the hash.
const PIECES: usize = 8;
/// How much is written before writeback is started.
const AHEAD: u64 = 16 << 20;

// Documentation/admin-guide/mm/pagemap.rst: bits of an entry; one entry per page.
const ENTRY: usize = 8;
const PRESENT_OR_SWAPPED: u64 = 3 << 62;
const OF_A_FILE: u64 = 1 << 61;

/// Writes `bytes` from that address of QEMU, the pilot's only child, as a sparse file. `before`: the file of which the
/// machine has private, changed pages. Returns the hash if `wanted`; such a file is about to be synced.
pub fn recall(
    pilot: i32,
    (address, bytes): (u64, u64),
    before: Option<&File>,
    to: &File,
    wanted: bool,
) -> Outcome<Option<String>> {
    let folder = qemu_of(pilot)?;
    let open = |name| File::open(folder.join(name)).at(STEP, name);
    let memory = Memory { memory: open("mem")?, pages: open("pagemap")?, address, before };
    to.set_len(bytes).at(STEP, "its memory")?;
    let (full, filled) = channel::<(u64, Vec<u8>)>();
    let (empty, emptied) = channel();
    for _ in 0..PIECES {
        let _ = empty.send(vec![0; PIECE as usize]);
    }
    std::thread::scope(|scope| {
        let give_back = empty.clone();
        let summing = wanted.then(|| {
            scope.spawn(move || {
                let mut sum = Sum::of(bytes);
                for (offset, piece) in filled {
                    sum.add(offset, &piece);
                    let _ = give_back.send(piece);
                }
                sum.said()
            })
        });
        let (until, mut written) = (Instant::now() + PATIENCE, 0);
        for offset in (0..bytes).step_by(PIECE as usize) {
            if Instant::now() > until {
                return Err(failed("its memory was not written in time"));
            }
            let mut piece = emptied.recv().at(STEP, "its sum")?;
            piece.resize(PIECE.min(bytes - offset) as usize, 0);
            if memory.fill(offset, &mut piece)? {
                written += write_pages(to, offset, &piece)?;
            }
            if wanted && written >= AHEAD {
                begin_writing(to)?;
                written = 0;
            }
            let _ = if wanted { full.send((offset, piece)).is_ok() } else { empty.send(piece).is_ok() };
        }
        drop(full);
        summing.map(|sum| sum.join().map_err(|_| failed("the sum broke off"))).transpose()
    })
}

struct Memory<'a> {
    memory: File,
    pages: File,
    address: u64,
    before: Option<&'a File>,
}

impl Memory<'_> {
    /// False: all of it is zero.
    fn fill(&self, offset: u64, piece: &mut [u8]) -> Outcome<bool> {
        let from = self.address.checked_add(offset).filter(|from| from % PAGE as u64 == 0);
        let from = from.ok_or_else(|| failed("where it says that its memory is, there can be none"))?;
        let mut entries = vec![0; piece.len() / PAGE * ENTRY];
        self.pages.read_exact_at(&mut entries, from / PAGE as u64 * ENTRY as u64).at(STEP, "its pages")?;
        let own: Vec<bool> = entries.as_chunks().0.iter().map(|entry| is_own(u64::from_ne_bytes(*entry))).collect();
        let known = self.before.filter(|before| has_data(before, offset, piece.len()));
        match known {
            Some(before) => before.read_exact_at(piece, offset).at(STEP, "what its memory was")?,
            None => piece.fill(0),
        }
        for run in runs(&own) {
            let place = from + run.start as u64;
            self.memory.read_exact_at(&mut piece[run], place).at(STEP, "its memory")?;
        }
        Ok(known.is_some() || own.contains(&true))
    }
}

/// True for a page that the machine has written to or created. A page that it only read is the file's.
fn is_own(entry: u64) -> bool {
    entry & PRESENT_OR_SWAPPED != 0 && entry & OF_A_FILE == 0
}

fn has_data(file: &File, offset: u64, length: usize) -> bool {
    // SAFETY: lseek on a descriptor we own; nobody relies on its position.
    let data = unsafe { libc::lseek(file.as_raw_fd(), offset as libc::off_t, libc::SEEK_DATA) };
    data >= 0 && (data as u64) < offset + length as u64
}

/// Writes the pages that are not all zero, and returns their size in bytes.
fn write_pages(to: &File, offset: u64, piece: &[u8]) -> Outcome<u64> {
    let full: Vec<bool> = piece.chunks(PAGE).map(|page| !is_empty(page)).collect();
    let mut written = 0;
    for run in runs(&full) {
        written += run.len() as u64;
        to.write_all_at(&piece[run.clone()], offset + run.start as u64).at(STEP, "writing its memory")?;
    }
    Ok(written)
}

/// The ranges of consecutive set pages, in bytes.
fn runs(pages: &[bool]) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    pages.chunk_by(|one, other| one == other).filter_map(move |run| {
        let start = at;
        at += run.len() * PAGE;
        run[0].then_some(start..at)
    })
}

/// Starts writeback without waiting for it.
fn begin_writing(to: &File) -> Outcome<()> {
    // SAFETY: no pointers.
    let begun = unsafe { libc::sync_file_range(to.as_raw_fd(), 0, 0, libc::SYNC_FILE_RANGE_WRITE) };
    if begun == 0 { Ok(()) } else { Err(Error::last_os_error()).at(STEP, "writing its memory") }
}

fn qemu_of(pilot: i32) -> Outcome<PathBuf> {
    let list = format!("/proc/{pilot}/task/{pilot}/children");
    let children = fs::read_to_string(&list).at(STEP, &list)?;
    let mut children = children.split_whitespace();
    match (children.next(), children.next()) {
        (Some(qemu), None) => Ok(["/proc", qemu].iter().collect()),
        _ => Err(failed("there is no machine to be read")),
    }
}

fn failed(why: &str) -> Fault {
    Fault::new(Code::LaunchFailed, STEP, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_that_are_alike_are_read_together() {
        let found: Vec<_> = runs(&[false, true, true, false, true]).collect();
        assert_eq!(found, [PAGE..3 * PAGE, 4 * PAGE..5 * PAGE]);
    }

    #[test]
    fn what_was_only_read_is_not_its_own() {
        assert!(is_own(1 << 63) && is_own(1 << 62));
        assert!(!is_own(0) && !is_own(1 << 63 | 1 << 61));
    }
}
