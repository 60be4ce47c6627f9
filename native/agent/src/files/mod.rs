//! The sandbox's files, for the host. Every function here that accesses a file runs on a file thread, with the ids of
//! the user it acts for.

pub mod attributes;
pub mod change;
pub mod entry;
pub mod list;
pub mod paths;
pub mod read;
pub mod remove;
pub mod watch;
pub mod write;

use std::fs::{File, Metadata, OpenOptions};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use crate::refusal::{OrRefuse, Outcome, Refusal};

/// Opens only regular files. Opens never block, so that a pipe, a device or a lease (fcntl(2)) cannot hold up the
/// thread.
pub fn open_regular(path: &Path, options: &mut OpenOptions) -> Outcome<(File, Metadata)> {
    let shown = path.display();
    // Checked before opening, because the other end of a pipe notices an open; and again after, because it may have
    // been replaced in between.
    if let Ok(facts) = std::fs::metadata(path) {
        regular(path, &facts)?;
    }
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC;
    let file = options.custom_flags(flags).open(path).or_refuse(|| shown)?;
    let facts = file.metadata().or_refuse(|| path.display())?;
    regular(path, &facts)?;
    Ok((file, facts))
}

pub fn regular(path: &Path, facts: &Metadata) -> Outcome<()> {
    let kind = facts.file_type();
    let shown = path.display();
    if kind.is_dir() {
        return Err(Refusal::is_directory(format_args!("{shown}: is a directory")));
    }
    let what = match () {
        () if kind.is_fifo() => "a pipe",
        () if kind.is_socket() => "a socket",
        () if kind.is_file() => return Ok(()),
        () => "a device",
    };
    Err(Refusal::special_file(format_args!("{shown}: is {what}")))
}
