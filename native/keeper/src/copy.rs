//! Copies of disk images. Holes stay holes, and a copy gets its final name only once it is complete.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use nix::unistd::{Whence, lseek};

use crate::fault::{At, Code, Fault, Outcome};

const STEP: &str = "disk";
const PIECE: usize = 64 * 1024;

/// A rename that refuses to replace an existing file.
pub fn rename_new(from: &Path, to: &Path) -> Outcome<()> {
    renameat2(AT_FDCWD, from, AT_FDCWD, to, RenameFlags::RENAME_NOREPLACE).at(STEP, to.display())
}

/// As `sparse_copy`, but under a temporary name until the copy is synced to disk.
pub fn whole_copy(from: &Path, to: &Path, stop: &AtomicBool) -> Outcome<()> {
    let mut partial = to.as_os_str().to_owned();
    partial.push(".partial");
    let partial = Path::new(&partial);
    // Left behind by a keeper that was killed during a copy.
    if partial.exists() {
        fs::remove_file(partial).at(STEP, partial.display())?;
    }
    let copied = sparse_copy(from, partial, stop)
        .and_then(|file| file.sync_all().at(STEP, partial.display()))
        .and_then(|()| rename_new(partial, to));
    if copied.is_err() {
        let _gone_anyway = fs::remove_file(partial);
    }
    copied
}

pub fn sparse_copy(from: &Path, to: &Path, stop: &AtomicBool) -> Outcome<File> {
    let source = File::open(from).at(STEP, from.display())?;
    let length = source.metadata().at(STEP, from.display())?.len();
    let mut options = OpenOptions::new();
    let target = options.read(true).write(true).create_new(true).mode(0o600).open(to).at(STEP, to.display())?;
    target.set_len(length).at(STEP, to.display())?;
    each_piece(&source, from, |offset, bytes| {
        if stop.load(Ordering::Relaxed) {
            return Err(Fault::new(Code::LaunchFailed, STEP, "the copy was given up"));
        }
        target.write_all_at(bytes, offset).at(STEP, to.display())
    })?;
    Ok(target)
}

/// Calls `take` with offset and content of every piece that is not a hole, in order.
pub fn each_piece(source: &File, from: &Path, mut take: impl FnMut(u64, &[u8]) -> Outcome<()>) -> Outcome<()> {
    let mut offset = 0;
    let mut buffer = vec![0u8; PIECE];
    loop {
        let data = match lseek(source, offset, Whence::SeekData) {
            // No data after this offset. Any other error does not mean that there is none.
            Err(nix::Error::ENXIO) => return Ok(()),
            found => found.at(STEP, from.display())?,
        };
        let hole = lseek(source, data, Whence::SeekHole).at(STEP, from.display())?;
        offset = data;
        while offset < hole {
            let length = buffer.len().min((hole - offset) as usize);
            source.read_exact_at(&mut buffer[..length], offset as u64).at(STEP, from.display())?;
            take(offset as u64, &buffer[..length])?;
            offset += length as libc::off_t;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    fn folder(name: &str) -> std::path::PathBuf {
        let dir = std::env::temp_dir().join(format!("caisson-copy-{name}-{}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        dir
    }

    #[test]
    fn a_copy_has_the_data_and_the_holes_and_no_other_name() {
        let dir = folder("whole");
        let (from, to) = (dir.join("from"), dir.join("to"));
        let file = File::create(&from).unwrap();
        file.set_len(8 << 20).unwrap();
        file.write_all_at(b"in the middle", 5 << 20).unwrap();
        whole_copy(&from, &to, &AtomicBool::new(false)).unwrap();
        assert_eq!(fs::read(&from).unwrap(), fs::read(&to).unwrap());
        assert!(fs::metadata(&to).unwrap().blocks() * 512 < 1 << 20);
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 2);
        assert!(whole_copy(&from, &to, &AtomicBool::new(false)).is_err());
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn what_cannot_be_read_to_its_end_is_not_taken_for_read() {
        let (read, write) = nix::unistd::pipe().unwrap();
        nix::unistd::write(write, b"there is something").unwrap();
        assert!(each_piece(&read.into(), Path::new("a pipe"), |_, _| Ok(())).is_err());
    }

    #[test]
    fn one_that_is_given_up_leaves_nothing() {
        let dir = folder("stopped");
        let from = dir.join("from");
        fs::write(&from, vec![7u8; 1 << 20]).unwrap();
        assert!(whole_copy(&from, &dir.join("to"), &AtomicBool::new(true)).is_err());
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
        fs::remove_dir_all(dir).unwrap();
    }
}
