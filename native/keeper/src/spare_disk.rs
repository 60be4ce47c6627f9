//! A disk that was made before anybody asked for it, like the one that was asked for last: the copy, the loop device and the file system of a disk take
//! as long as the rest of the root. It lies beside the image that it is a copy of, until it moves to the sandbox that it fits.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use crate::disk::{self, Loop};
use crate::fault::{At, Outcome};
use crate::plan::{Disk, Kind, Plan};

const STEP: &str = "disk";
const PREFIX: &str = "spare-";
/// How images are named that hold a file system and nothing else (host/sandbox/plan.ts). What somebody kept is no model for others.
const BLANK: &str = "ext4-";

/// What such a disk is to be like. Goes through a pipe at once: a path is at most PIPE_BUF.
#[derive(Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Like {
    image: PathBuf,
    bytes: u64,
}

pub struct SpareDisk {
    like: Like,
    place: PathBuf,
    device: String,
    system: OwnedFd,
}

impl Like {
    /// None: this plan's disk is none that another could have, too.
    pub fn of(plan: &Plan) -> Option<Like> {
        match &plan.disk {
            Disk::Image { image, take: false, bytes, .. } if plan.kind == Kind::Sandbox && plan.machine.is_none() => {
                let like = Like { image: image.into(), bytes: *bytes };
                like.image.file_name()?.to_str()?.starts_with(BLANK).then_some(like)
            }
            _ => None,
        }
    }

    fn folder(&self) -> &Path {
        self.image.parent().unwrap_or(Path::new("/"))
    }

    fn place_of(&self, pid: u32) -> PathBuf {
        self.folder().join(format!("{PREFIX}{pid}.img"))
    }

    /// Removes what the process with this number left, if anything.
    pub fn clear(&self, pid: u32) {
        let _none_there = fs::remove_file(self.place_of(pid));
    }

    /// Removes what processes left that were killed.
    pub fn clear_all(&self) {
        let names = fs::read_dir(self.folder()).into_iter().flatten().flatten().map(|entry| entry.file_name());
        for name in names {
            let pid = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.strip_suffix(".img")?.parse().ok());
            // One that has ended has no program any more, though nobody may have waited for it yet.
            if let Some(pid) = pid.filter(|pid: &u32| fs::read_link(format!("/proc/{pid}/exe")).is_err()) {
                self.clear(pid);
            }
        }
    }
}

impl SpareDisk {
    pub fn make(like: Like) -> Outcome<SpareDisk> {
        let place = like.place_of(std::process::id());
        let made = disk::copy(&like.image, like.bytes, &place)
            .and_then(|file| Loop::attach(&file, &like.image))
            .and_then(|of| Ok((of.device.clone(), of.system()?)));
        match made {
            Ok((device, system)) => Ok(SpareDisk { like, place, device, system }),
            Err(fault) => {
                let _gone_anyway = fs::remove_file(&place);
                Err(fault)
            }
        }
    }

    pub fn is_like(&self, like: Option<&Like>) -> bool {
        Some(&self.like) == like
    }

    /// Moves it into the state folder of its sandbox. What it is attached to, and the file system.
    pub fn move_to(mut self, dir: &Path) -> Outcome<(String, OwnedFd)> {
        fs::rename(&self.place, disk::image_in(dir)).at(STEP, self.place.display())?;
        self.place = PathBuf::new();
        let system = self.system.try_clone().at(STEP, "dup")?;
        Ok((std::mem::take(&mut self.device), system))
    }
}

impl Drop for SpareDisk {
    fn drop(&mut self) {
        let _moved = fs::remove_file(&self.place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_dead_left_is_removed_and_what_the_living_have_is_not() {
        let folder = std::env::temp_dir().join(format!("spares-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        // Above the largest number that Linux gives (proc(5), pid_max).
        let names = ["spare-4194305.img", &format!("spare-{}.img", std::process::id()), "spare-x.img", "ext4-1-1.img"];
        for name in names {
            fs::write(folder.join(name), "").unwrap();
        }
        Like { image: folder.join("ext4-1-1.img"), bytes: 0 }.clear_all();
        assert_eq!(names.map(|name| folder.join(name).exists()), [false, true, true, true]);
        fs::remove_dir_all(&folder).unwrap();
    }
}
