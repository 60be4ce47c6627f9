//! Where something new of the root is made, and as whom.
//!
//! A folder of the host that the sandbox sees may be written to by somebody inside another one at this moment. So nothing is made or attached by its whole
//! path, on which a link may have come to lie since it was looked at: the folder is held, without following links, and a link in its place is refused.

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

/// A place to make something at.
pub enum Ground {
    /// In memory, and ours until it is given to somebody; or in a folder of the host.
    Ours(PathBuf),
    /// On the sandbox's disk, where ids are the sandbox's own.
    Stored(PathBuf),
    /// In the overlay, where nobody but ids of the sandbox can make anything.
    Overlay(PathBuf),
}

impl Stage<'_> {
    /// Where something new at this place of the root is made. Below a folder of the sandbox's disk that is on the disk itself: through the mount, this
    /// process has no id.
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

    /// Makes something there that belongs to `owner`; None: to nobody in particular.
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

    /// What lies there now. Of a path in the root no part may be a link.
    pub fn held(&self, path: &Path) -> Outcome<OwnedFd> {
        match path.strip_prefix(&self.root).map(Path::to_str) {
            Ok(Some("")) => hold(path),
            Ok(Some(rest)) => Tree::from(hold(&self.root)?).below(rest).at(STEP, path.display()),
            _ => hold(path),
        }
    }
}
