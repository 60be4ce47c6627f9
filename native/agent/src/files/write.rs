//! WriteFile: writes to a temporary file beside the target, and renames it into place once everything has arrived.

use std::collections::HashMap;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use caisson_wire::{Done, WriteFile, opened};
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::sys::statfs::{PROC_SUPER_MAGIC, SYSFS_MAGIC, fstatfs};
use nix::unistd::{AccessFlags, faccessat};

use super::{attributes, change, open_regular, regular};
use crate::identity::Identity;
use crate::inbound::Lane;
use crate::refusal::{OrRefuse, Outcome, Refusal};
use crate::stream::Stream;

/// The kernel's own limit.
const MAX_LINKS: usize = 40;
const NEW_FILE_MODE: u32 = 0o644;

pub async fn run(stream: &Stream, identity: &Identity, path: String, request: WriteFile) -> Outcome<()> {
    attributes::checked(&request.attributes)?;
    if request.mode > 0o7777 {
        return Err(Refusal::invalid(format_args!("{:o} is not a mode", request.mode)));
    }
    let (identity, draft) = begin(identity, path, request).await?;
    let result = tokio::select! {
        biased;
        result = fill(stream, &identity, &draft) => result,
        () = stream.cancelled() => Err(Refusal::cancelled()),
    };
    // Either way this completes before the Close is sent.
    identity
        .run(move || match result {
            Ok(()) => draft.finish(),
            Err(refusal) => {
                draft.discard();
                Err(refusal)
            }
        })
        .await
}

/// Also returns the identity used from here to the end.
async fn begin(identity: &Identity, path: String, request: WriteFile) -> Outcome<(Identity, Draft)> {
    let (uid, gid) = (identity.account.uid, identity.account.gid);
    let (again, whole) = (request.clone(), path.clone());
    let refusal = match identity.run(move || Draft::open(Path::new(&path), request, uid, None)).await {
        Ok(draft) => return Ok((identity.clone(), draft)),
        Err(refusal) if again.lift && refusal.is_denied() => refusal,
        Err(refusal) => return Err(refusal),
    };
    let Some(root) = identity.lifted() else { return Err(refusal) };
    let draft = root.run(move || Draft::open(Path::new(&whole), again, 0, Some((uid, gid)))).await?;
    Ok((root, draft))
}

async fn fill(stream: &Stream, identity: &Identity, draft: &Draft) -> Outcome<()> {
    stream.opened(opened::Result::Done(Done {})).await?;
    while stream.wait(Lane::Main).await {
        let (file, chunks) = (draft.file.clone(), stream.take(Lane::Main));
        identity
            .run(move || chunks.iter().try_for_each(|chunk| (&*file).write_all(chunk)).or_refuse(|| "write"))
            .await?;
        stream.return_credit().await?;
    }
    Ok(())
}

struct Draft {
    file: Arc<File>,
    target: PathBuf,
    /// None: written in place.
    temporary: Option<PathBuf>,
    /// The user it is written for.
    uid: u32,
    mode: Option<u32>,
    attributes: HashMap<String, String>,
    /// The owner of the file that will be replaced.
    owner: Option<(u32, u32)>,
    heir: change::Heir,
}

impl Draft {
    fn open(path: &Path, request: WriteFile, uid: u32, heir: change::Heir) -> Outcome<Draft> {
        let target = follow(path)?;
        change::make_parents(&target, heir)?;
        let existing = match std::fs::symlink_metadata(&target) {
            Ok(facts) => Some(facts),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(Refusal::io(target.display(), &error)),
        };
        if let Some(facts) = &existing {
            regular(&target, facts)?;
            // A rename could replace a file that the user must not write; refuse that.
            faccessat(AT_FDCWD, &target, AccessFlags::W_OK, AtFlags::AT_EACCESS).or_refuse(|| target.display())?;
        }
        let mode = (request.mode != 0).then_some(request.mode);
        let attributes = request.attributes;
        // A rename would change the owner, so write to another user's file in place.
        let foreign = existing.as_ref().is_some_and(|facts| facts.uid() != uid && uid != 0);
        if request.append || foreign {
            let file = Arc::new(open_in_place(&target, mode, !request.append)?);
            return Ok(Draft { file, target, temporary: None, uid, mode, attributes, owner: None, heir });
        }
        let purpose = if existing.is_some() { change::Purpose::Replace } else { change::Purpose::Create };
        let (file, temporary) = open_beside(&target, purpose)?;
        let mode = mode.or(Some(existing.as_ref().map_or(NEW_FILE_MODE, |facts| facts.mode() & 0o7777)));
        // A new file already belongs to the user.
        let owner = existing.filter(|_| !request.own).map(|facts| (facts.uid(), facts.gid()));
        Ok(Draft { file: Arc::new(file), target, temporary: Some(temporary), uid, mode, attributes, owner, heir })
    }

    fn finish(self) -> Outcome<()> {
        let settled = self.settle();
        if settled.is_err() {
            self.discard();
        }
        settled
    }

    fn settle(&self) -> Outcome<()> {
        let doing = || self.target.display();
        if let Some((uid, gid)) = self.owner {
            let kept = fchown(&*self.file, Some(uid), Some(gid));
            // For an ordinary user the owner is the same anyway, and a foreign group cannot be kept.
            if uid != self.uid {
                kept.or_refuse(doing)?;
            }
        }
        if let Some((uid, gid)) = self.heir {
            fchown(&*self.file, Some(uid), Some(gid)).or_refuse(doing)?;
        }
        attributes::set_on(&self.file, &self.attributes)?;
        let own = self.file.metadata().or_refuse(doing)?.uid() == self.uid;
        if let Some(mode) = self.mode.filter(|_| own || self.temporary.is_some()) {
            self.file.set_permissions(Permissions::from_mode(mode)).or_refuse(doing)?;
        }
        match &self.temporary {
            Some(temporary) => std::fs::rename(temporary, &self.target).or_refuse(doing),
            None => Ok(()),
        }
    }

    fn discard(&self) {
        if let Some(temporary) = &self.temporary {
            // Somebody inside may have removed it first.
            let _ = std::fs::remove_file(temporary);
        }
    }
}

fn open_in_place(target: &Path, mode: Option<u32>, truncate: bool) -> Outcome<File> {
    let mut options = OpenOptions::new();
    let (file, _) = open_regular(target, options.append(true).create(true).mode(mode.unwrap_or(NEW_FILE_MODE)))?;
    // Files of procfs and sysfs control the kernel; one of them is the agent's own memory.
    let kind = fstatfs(&file).or_refuse(|| target.display())?.filesystem_type();
    if kind == PROC_SUPER_MAGIC || kind == SYSFS_MAGIC {
        return Err(Refusal::special_file(format_args!("{}: is not a file on a disk", target.display())));
    }
    if truncate {
        file.set_len(0).or_refuse(|| target.display())?;
        attributes::clear(target, &file);
    }
    Ok(file)
}

fn open_beside(target: &Path, purpose: change::Purpose) -> Outcome<(File, PathBuf)> {
    let temporary = change::temporary_beside(target, purpose)?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600).custom_flags(libc::O_CLOEXEC | libc::O_NOFOLLOW);
    let file = options.open(&temporary).or_refuse(|| target.display())?;
    Ok((file, temporary))
}

/// Follows links to their target, even if that does not exist yet.
fn follow(path: &Path) -> Outcome<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        if path.file_name().is_none() {
            return Err(Refusal::is_directory(format_args!("{}: is a directory", path.display())));
        }
        match std::fs::read_link(&path) {
            Ok(target) => path = path.parent().unwrap_or(Path::new("/")).join(target),
            Err(_) => return Ok(path),
        }
    }
    Err(Refusal::invalid(format_args!("{}: too many links", path.display())))
}
