//! Where a new file or mount point of the root is created, and with which ids.
//!
//! A host folder that the sandbox sees may at this moment be written to from inside another sandbox. So nothing is
//! created or attached by its full path, where a link may have appeared since the check. Instead the folder is opened
//! without following links and held, and a link in its place is refused.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use crate::disk::hold;
use crate::fault::{At, Outcome};
use crate::overlay;
use crate::plan::Owner;
use crate::root::{OURS, Stage};
use crate::tree::Tree;

const STEP: &str = "root";

/// A place to create something at.
pub enum Ground {
    /// In memory, and ours until it is given to an owner; or in a folder of the host.
    Ours(PathBuf),
    /// On the sandbox's disk, where ids are stored as the sandbox numbers them.
    Stored(PathBuf),
    /// In the overlay, where only ids of the sandbox can create anything.
    Overlay(PathBuf),
}

impl Stage<'_> {
    /// Where something new at this path of the root is created. Below a folder of the sandbox's disk, it is created on
    /// the disk directly: this process's ids are not mapped in the mount.
    pub fn ground(&self, path: &Path) -> Ground {
        let below = |folder: &Path| path.strip_prefix(folder).ok().filter(|rest| *rest != Path::new(""));
        let folders = self.plan.writable.iter().enumerate().filter(|_| self.stored.is_some());
        for (number, writable) in folders {
            if let Some(rest) = below(&self.root.join(writable.target.trim_start_matches('/'))) {
                return Ground::Stored(self.disk.join(format!("w{number}")).join(rest));
            }
        }
        let is_ours = !self.is_overlay() || OURS.iter().any(|name| below(&self.root.join(name)).is_some());
        if is_ours { Ground::Ours(path.to_path_buf()) } else { Ground::Overlay(path.to_path_buf()) }
    }

    /// Creates something there that belongs to `owner`; None leaves the default owner.
    pub fn make<T>(
        &self,
        ground: &Ground,
        owner: Option<Owner>,
        how: impl FnOnce(&Path) -> io::Result<T>,
    ) -> Outcome<T> {
        match ground {
            Ground::Ours(path) => {
                let (parent, name) = (path.parent().unwrap_or(path), path.file_name().unwrap_or_default());
                let parent = self.held(parent)?;
                let place = Path::new("/proc/self/fd").join(parent.as_raw_fd().to_string()).join(name);
                let made = how(&place).at(STEP, path.display())?;
                owner.map_or(Ok(()), |owner| self.own(&place, owner)).map(|()| made)
            }
            Ground::Stored(path) => {
                let made = how(path).at(STEP, path.display())?;
                owner.map_or(Ok(()), |owner| self.own_stored(path, owner)).map(|()| made)
            }
            Ground::Overlay(path) => overlay::with_ids(self.owners.root, || how(path)).at(STEP, path.display()),
        }
    }

    /// Opens what is there now. No part of the path within the root may be a link.
    pub fn held(&self, path: &Path) -> Outcome<OwnedFd> {
        match path.strip_prefix(&self.root).map(Path::to_str) {
            Ok(Some("")) => hold(path),
            Ok(Some(rest)) => Tree::from(hold(&self.root)?).below(rest).at(STEP, path.display()),
            _ => hold(path),
        }
    }
}
