//! Which descriptors a process keeps that is forked from the keeper and does not exec. Such a process listens to the
//! code inside, or runs what does.

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use crate::fault::{At, Outcome};

/// Closes everything but these and standard error. No other descriptor of this process may be used or dropped
/// afterwards.
pub fn keep_only<'a>(step: &'static str, kept: impl Iterator<Item = &'a OwnedFd>) -> Outcome<()> {
    let null = File::options().read(true).write(true).open("/dev/null").at(step, "/dev/null")?;
    for standard in 0..2 {
        // SAFETY: standard input and output are the keeper's conversation with its host, not ours.
        if unsafe { libc::dup2(null.as_raw_fd(), standard) } < 0 {
            return Err(std::io::Error::last_os_error()).at(step, "dup2");
        }
    }
    drop(null);
    let mut kept: Vec<RawFd> = kept.map(AsRawFd::as_raw_fd).collect();
    kept.sort_unstable();
    let mut from = 3;
    for fd in kept.into_iter().map(|fd| fd as u32).chain([u32::MAX]) {
        if from < fd {
            // SAFETY: the copies of the keeper's descriptors; nothing of this process uses them again.
            unsafe { libc::close_range(from, fd - 1, 0) };
        }
        from = fd.saturating_add(1);
    }
    Ok(())
}
