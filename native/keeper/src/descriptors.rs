//! What a process keeps open that was forked from the keeper and does not become another program: such a process listens to those inside, or runs what does.

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use crate::fault::{At, Outcome};

/// Closes all but these, and standard error. Whatever else this process has open may not be used again, nor dropped.
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
