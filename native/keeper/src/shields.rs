//! Exceptions within a host folder: places that must not be changed, because the host acts on them, and places that
//! must not be seen.
//!
//! Somebody in another sandbox may be working in the same folder at this moment. So nothing is looked up by its full
//! path. Each place is opened below the mounted folder without following links, held, and compared with what the plan
//! saw there; the mount then goes on top of what is held. A mount point cannot be renamed or removed by those who see
//! the mount (rename(2), EBUSY), which is why the folders on the way are `pinned`. Mounts from out here are locked for
//! everyone inside (mount_namespaces(7)). Proven by spec/escape/project-*.spec.ts.

use std::fs::{self, DirBuilder, Metadata, OpenOptions};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use crate::fault::{At, Code, Fault, Outcome};
use crate::plan::{Bind, Owner, Shield, ShieldKind};
use crate::root::Stage;
use crate::tree::{NODEV, NOSUID, RDONLY, Tree, inode, metadata};

const STEP: &str = "shields";

/// `top` is already attached.
pub fn raise(stage: &Stage<'_>, bind: &Bind, top: &Tree) -> Outcome<()> {
    let covers = stage.disk.with_file_name("covers");
    for shield in &bind.shields {
        let name = format!("{}/{}", bind.source, shield.path);
        let place = top.below(&shield.path).map_err(|_| changed(&name))?;
        same(&metadata(&place).at(STEP, &name)?, &shield.inode, &name)?;
        let tree = match shield.kind {
            ShieldKind::Pinned | ShieldKind::Fixed => Tree::at(&place).at(STEP, &name)?,
            ShieldKind::Covered => cover(stage, shield, &covers, &place)?,
        };
        if shield.kind != ShieldKind::Pinned {
            tree.set(RDONLY | NOSUID | NODEV).at(STEP, &name)?;
        }
        tree.cover(&place).at(STEP, &name)?;
    }
    Ok(())
}

pub fn same(found: &Metadata, expected: &str, name: &str) -> Outcome<()> {
    if inode(found) == expected { Ok(()) } else { Err(changed(name)) }
}

fn changed(name: &str) -> Fault {
    let message = format!("{name} was replaced, renamed or removed while the sandbox was being made");
    Fault::new(Code::MountUnreadable, STEP, message).hint("Try again when nobody else works in that folder.")
}

/// An empty or given replacement of the same kind.
fn cover(stage: &Stage<'_>, shield: &Shield, covers: &Path, place: &OwnedFd) -> Outcome<Tree> {
    if fs::symlink_metadata(covers).is_err() {
        DirBuilder::new().mode(0o755).create(covers).at(STEP, covers.display())?;
    }
    let number = fs::read_dir(covers).at(STEP, covers.display())?.count();
    let path = covers.join(number.to_string());
    if metadata(place).at(STEP, path.display())?.is_dir() {
        DirBuilder::new().mode(0o755).create(&path).at(STEP, path.display())?;
    } else {
        let mut open = OpenOptions::new();
        let mut file = open.write(true).create_new(true).mode(0o444).open(&path).at(STEP, path.display())?;
        file.write_all(shield.content.as_bytes()).at(STEP, path.display())?;
    }
    stage.own(&path, Owner::User)?;
    Tree::open(&path).at(STEP, path.display())
}
