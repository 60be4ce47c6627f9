//! Remove: deletes a whole tree by descriptors, so that a link put in the way is removed and never followed.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat, renameat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::change::{Purpose, temporary_beside};
use crate::refusal::{OrRefuse, Outcome, Refusal};

/// The most directories open at once. Deeper ones are first moved to the top, so that a tree of any depth needs no
/// more.
const MAX_DEPTH: usize = 48;
/// Names read at once.
const BATCH: usize = 512;

const DIRECTORY: OFlag =
    OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC).union(OFlag::O_NONBLOCK);

/// Held by whoever waits for the removal; dropping it cancels the removal.
#[derive(Default)]
pub struct GivenUp(Seen);
pub type Seen = Arc<AtomicBool>;

impl GivenUp {
    pub fn seen(&self) -> Seen {
        self.0.clone()
    }
}

impl Drop for GivenUp {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Level {
    directory: OwnedFd,
    name: CString,
    batch: Vec<CString>,
}

/// A missing path counts as removed. A directory that is a mount point is refused before anything in it is touched.
pub fn tree(path: &str, given_up: &Seen) -> Outcome<()> {
    let doing = || path;
    match unlinkat(AT_FDCWD, path, UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(()),
        Err(Errno::EISDIR) => {}
        Err(errno) => return Err(Refusal::os(path, errno)),
    }
    match unlinkat(AT_FDCWD, path, UnlinkatFlags::RemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => return Ok(()),
        Err(Errno::ENOTEMPTY | Errno::EEXIST) => {}
        Err(errno) => return Err(Refusal::os(path, errno)),
    }
    let top = openat(AT_FDCWD, path, DIRECTORY, Mode::empty()).or_refuse(doing)?;
    let name = CString::new(path).map_err(|_| Refusal::invalid("a NUL in a path"))?;
    let mut levels = vec![Level { directory: top, name, batch: Vec::new() }];
    while let Some(level) = levels.last_mut() {
        if given_up.load(Ordering::Relaxed) {
            return Err(Refusal::cancelled());
        }
        let Some(name) = level.batch.pop() else {
            level.batch = names(&level.directory).or_refuse(doing)?;
            if level.batch.is_empty() {
                leave(&mut levels).or_refuse(doing)?;
            }
            continue;
        };
        match unlinkat(&level.directory, name.as_c_str(), UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => continue,
            Err(Errno::EISDIR) => {}
            Err(errno) => return Err(Refusal::os(inside(path, &name), errno)),
        }
        let entered = if levels.len() < MAX_DEPTH { enter(&mut levels, &name) } else { hoist(&levels, &name)? };
        entered.or_refuse(|| inside(path, &name))?;
    }
    Ok(())
}

fn inside(path: &str, name: &CStr) -> String {
    format!("{} in {path}", name.to_string_lossy())
}

fn names(directory: &OwnedFd) -> nix::Result<Vec<CString>> {
    let mut reader = Dir::openat(directory, ".", DIRECTORY, Mode::empty())?;
    let entries = reader
        .iter()
        .filter(|entry| !entry.as_ref().is_ok_and(|entry| matches!(entry.file_name().to_bytes(), b"." | b"..")));
    entries.take(BATCH).map(|entry| Ok(entry?.file_name().to_owned())).collect()
}

fn enter(levels: &mut Vec<Level>, name: &CStr) -> nix::Result<()> {
    let above = levels[levels.len() - 1].directory.as_fd();
    match openat(above, name, DIRECTORY, Mode::empty()) {
        Ok(directory) => {
            levels.push(Level { directory, name: name.to_owned(), batch: Vec::new() });
            Ok(())
        }
        // Gone, or no longer a directory: the next batch shows what it is now.
        Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => Ok(()),
        Err(errno) => Err(errno),
    }
}

fn hoist(levels: &[Level], name: &CStr) -> Outcome<nix::Result<()>> {
    let aside = temporary_beside(Path::new("/x"), Purpose::Move)?;
    let aside = aside.file_name().unwrap_or_default();
    Ok(match renameat(&levels[levels.len() - 1].directory, name, &levels[0].directory, aside) {
        Err(Errno::ENOENT) => Ok(()),
        result => result,
    })
}

/// Removes the last level, which is empty.
fn leave(levels: &mut Vec<Level>) -> nix::Result<()> {
    let Some(level) = levels.pop() else { return Ok(()) };
    let above: BorrowedFd<'_> = levels.last().map_or(AT_FDCWD, |above| above.directory.as_fd());
    match unlinkat(above, level.name.as_c_str(), UnlinkatFlags::RemoveDir) {
        Ok(()) | Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(()),
        // Something was added meanwhile.
        Err(Errno::ENOTEMPTY | Errno::EEXIST) => {
            levels.push(level);
            Ok(())
        }
        Err(errno) => Err(errno),
    }
}
