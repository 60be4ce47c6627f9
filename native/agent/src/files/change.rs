//! MakeDir and Move.

use std::ffi::{OsStr, OsString};
use std::fs::{DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown, lchown, symlink};
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::{attributes, open_regular, remove};
use crate::identity::Identity;
use crate::refusal::{OrRefuse, Outcome, Refusal};

/// The owner of what root creates for somebody; None: the creator stays the owner.
pub type Heir = Option<(u32, u32)>;

pub async fn make_dir(identity: &Identity, path: String, lift: bool) -> Outcome<()> {
    let again = path.clone();
    let refusal = match identity.run(move || make_one_dir(Path::new(&path), None)).await {
        Err(refusal) if lift && refusal.is_denied() => refusal,
        result => return result,
    };
    let Some(root) = identity.lifted() else { return Err(refusal) };
    let heir = Some((identity.account.uid, identity.account.gid));
    root.run(move || make_one_dir(Path::new(&again), heir)).await
}

fn make_one_dir(path: &Path, heir: Heir) -> Outcome<()> {
    make_parents(path, heir)?;
    std::fs::create_dir(path).and_then(|()| give(path, heir)).or_refuse(|| path.display())
}

pub fn make_parents(path: &Path, heir: Heir) -> Outcome<()> {
    let Some(parent) = path.parent() else { return Ok(()) };
    let is_missing = |path: &&Path| heir.is_some() && std::fs::symlink_metadata(path).is_err();
    let missing: Vec<&Path> = parent.ancestors().take_while(is_missing).collect();
    match std::fs::create_dir_all(parent) {
        // Something other than a directory has that name.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(Refusal::os(parent.display(), Errno::ENOTDIR)),
        result => {
            result.and_then(|()| missing.iter().try_for_each(|made| give(made, heir))).or_refuse(|| parent.display())
        }
    }
}

/// Follows no link: somebody inside may have put one there since.
fn give(path: &Path, heir: Heir) -> std::io::Result<()> {
    heir.map_or(Ok(()), |(uid, gid)| lchown(path, Some(uid), Some(gid)))
}

/// Replaces a file, but never a directory with contents. Between file systems (and between two binds of one, which the
/// kernel treats alike), a copy is renamed into place, then the source is removed.
pub fn rename(from: &str, to: &str) -> Outcome<()> {
    let (from, to) = (Path::new(from), Path::new(to));
    let doing = || format!("{} to {}", from.display(), to.display());
    std::fs::symlink_metadata(from).or_refuse(|| from.display())?;
    make_parents(to, None)?;
    match std::fs::rename(from, to) {
        Err(error) if error.kind() == ErrorKind::CrossesDevices => {}
        result => return result.or_refuse(doing),
    }
    let beside = temporary_beside(to, Purpose::Move)?;
    let copied = copy(from, &beside).and_then(|()| std::fs::rename(&beside, to).or_refuse(doing));
    let leftover = if copied.is_ok() { from } else { &beside };
    let removed = remove::tree(&leftover.to_string_lossy(), &remove::Seen::default());
    copied.and(removed)
}

/// What a temporary file is for. The name encodes it for whoever watches the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A file that did not exist before.
    Create,
    /// New contents of a file.
    Replace,
    /// Something that is being moved here.
    Move,
}

const PURPOSES: [(Purpose, &str); 3] =
    [(Purpose::Create, ".caisson-create-"), (Purpose::Replace, ".caisson-replace-"), (Purpose::Move, ".caisson-move-")];

/// An unused name in the same directory.
pub fn temporary_beside(path: &Path, purpose: Purpose) -> Outcome<PathBuf> {
    let mut bytes = [0u8; 16];
    // SAFETY: pointer and length are those of the buffer.
    let count = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    if count != bytes.len() as isize {
        return Err(Refusal::failed("no randomness"));
    }
    let parent = path.parent().ok_or_else(|| Refusal::is_directory("/: is a directory"))?;
    let prefix = PURPOSES.iter().find(|(known, _)| *known == purpose).map_or("", |(_, prefix)| prefix);
    Ok(parent.join(format!("{prefix}{:032x}", u128::from_ne_bytes(bytes))))
}

/// The purpose of a temporary name.
pub fn purpose_of(name: &OsStr) -> Option<Purpose> {
    PURPOSES.into_iter().find(|(_, prefix)| name.as_bytes().starts_with(prefix.as_bytes())).map(|(purpose, _)| purpose)
}

fn copy(from: &Path, to: &Path) -> Outcome<()> {
    let mut waiting = vec![(from.to_owned(), to.to_owned())];
    let mut directories = Vec::new();
    while let Some((from, to)) = waiting.pop() {
        let facts = std::fs::symlink_metadata(&from).or_refuse(|| from.display())?;
        if facts.is_dir() {
            DirBuilder::new().mode(0o700).create(&to).or_refuse(|| to.display())?;
            for name in names(&from)? {
                waiting.push((from.join(&name), to.join(&name)));
            }
            directories.push((to, from, facts));
        } else if facts.is_symlink() {
            let target = std::fs::read_link(&from).or_refuse(|| from.display())?;
            symlink(target, &to).or_refuse(|| to.display())?;
        } else {
            copy_file(&from, &to)?;
        }
    }
    // From the inside out: creating entries changes a directory's time, and its final mode may forbid it.
    for (to, from, facts) in directories.iter().rev() {
        let directory = File::open(to).or_refuse(|| to.display())?;
        finish(&directory, from, facts)?;
    }
    Ok(())
}

fn names(directory: &Path) -> Outcome<Vec<OsString>> {
    let entries = std::fs::read_dir(directory).or_refuse(|| directory.display())?;
    entries.map(|entry| Ok(entry.or_refuse(|| directory.display())?.file_name())).collect()
}

fn copy_file(from: &Path, to: &Path) -> Outcome<()> {
    let (mut source, facts) = open_regular(from, OpenOptions::new().read(true))?;
    let mut target = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to).or_refuse(|| to.display())?;
    std::io::copy(&mut source, &mut target).or_refuse(|| to.display())?;
    finish(&target, from, &facts)
}

fn finish(target: &File, from: &Path, facts: &Metadata) -> Outcome<()> {
    attributes::set_on(target, &attributes::get(from))?;
    // Only root may change a file's owner; for others the copy belongs to them.
    let mode = match fchown(target, Some(facts.uid()), Some(facts.gid())) {
        Ok(()) => facts.mode() & 0o7777,
        Err(_) => facts.mode() & 0o1777,
    };
    target.set_permissions(Permissions::from_mode(mode)).or_refuse(|| from.display())?;
    match facts.modified() {
        Ok(time) => target.set_modified(time).or_refuse(|| from.display()),
        Err(_) => Ok(()),
    }
}
