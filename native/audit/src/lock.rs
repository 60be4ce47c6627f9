//! One writer at a time: flock(2), which the kernel releases when its holder ends.

use std::io::{Error, ErrorKind, Result};
use std::os::fd::RawFd;
use std::time::{Duration, Instant};

/// Writing a record takes microseconds. A longer holder has been stopped; what cannot be recorded then must not happen.
const PATIENCE: Duration = Duration::from_secs(5);
const FIRST_WAIT: Duration = Duration::from_micros(20);
const LONGEST_WAIT: Duration = Duration::from_millis(2);

/// Dropped before the descriptor is closed, because one function's caller owns both.
pub struct Held(RawFd);

pub fn lock(file: RawFd) -> Result<Held> {
    let (begun, mut wait) = (Instant::now(), FIRST_WAIT);
    loop {
        // SAFETY: a descriptor of ours.
        if unsafe { libc::flock(file, libc::LOCK_EX | libc::LOCK_NB) } == 0 {
            return Ok(Held(file));
        }
        let error = Error::last_os_error();
        if !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) {
            return Err(error);
        }
        if begun.elapsed() > PATIENCE {
            let message = format!("somebody has held the audit log for {} s", PATIENCE.as_secs());
            return Err(Error::new(ErrorKind::TimedOut, message));
        }
        std::thread::sleep(wait);
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // SAFETY: a descriptor of ours.
        unsafe { libc::flock(self.0, libc::LOCK_UN) };
    }
}
