//! A range of 65,536 host user ids per sandbox, so that two sandboxes never share an owner on the host.
//!
//! The ranges lie above those that systemd-nspawn and useradd hand out and below 2^31. A keeper takes a range by an
//! exclusive lock on the range's file under /run/caisson/ids. The kernel drops the lock when the keeper dies, however
//! it dies.

use std::fs::{self, File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::fault::{At, Fault, Outcome};
use crate::weakened::{Step, is_without};

const STEP: &str = "ids";
const FIRST_UID: u32 = 1_900_000_000;
pub const RANGE: u32 = 65_536;
/// Range 0 is reserved for zygotes; sandboxes use 1 to RANGES-1.
const RANGES: u32 = 3_776;
const LOCKS: &str = "/run/caisson/ids";

/// The zygotes' user namespace maps every range, so that each sandbox's namespace below it can have one.
pub const NURSERY_FIRST: u32 = FIRST_UID;
pub const NURSERY_COUNT: u32 = RANGES * RANGE;

pub struct Range {
    pub number: u32,
    path: PathBuf,
    _lock: File,
}

impl Range {
    /// First host uid of the range.
    pub fn base(&self) -> u32 {
        if is_without(Step::OwnIds) {
            return 0;
        }
        FIRST_UID + self.number * RANGE
    }

    /// Takes a free range. Starts at a random place, so that a range is not reused at once.
    pub fn take() -> Outcome<Range> {
        fs::create_dir_all(LOCKS).at(STEP, LOCKS)?;
        let mut random = [0u8; 4];
        // SAFETY: the buffer is ours and has the given length.
        unsafe { libc::getrandom(random.as_mut_ptr().cast(), random.len(), 0) };
        let start = u32::from_ne_bytes(random);
        for step in 0..RANGES - 1 {
            let number = 1 + start.wrapping_add(step) % (RANGES - 1);
            if let Some(range) = Range::try_take(number)? {
                return Ok(range);
            }
        }
        Err(Fault::new(
            crate::fault::Code::LaunchFailed,
            STEP,
            format!("all {} ranges of user ids are in use", RANGES - 1),
        ))
    }

    fn try_take(number: u32) -> Outcome<Option<Range>> {
        let path = Path::new(LOCKS).join(number.to_string());
        let mut options = OpenOptions::new();
        let lock = options.create(true).truncate(false).write(true).mode(0o600).open(&path).at(STEP, path.display())?;
        // SAFETY: flock on a descriptor we own.
        if unsafe { libc::flock(lock.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } != 0 {
            return Ok(None);
        }
        // The keeper that held the file may have unlinked it between open and lock; the lock would then guard nothing.
        let same = fs::metadata(&path).is_ok_and(|now| lock.metadata().is_ok_and(|held| held.ino() == now.ino()));
        Ok(same.then_some(Range { number, path, _lock: lock }))
    }
}

impl Drop for Range {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            eprintln!("caisson-keeper: {}: {error}", self.path.display());
        }
    }
}
