//! A disk prepared in advance, like the one that was last asked for: copying, attaching and mounting a disk takes as
//! long as the rest of the root. It lies beside the image that it is a copy of, until it moves to a sandbox that it
//! fits.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use crate::disk::{self, Loop};
use crate::fault::{At, Outcome};
use crate::plan::{Disk, Kind, Plan};

const STEP: &str = "disk";
const PREFIX: &str = "spare-";
/// The name prefix of images that contain an empty file system (host/sandbox/plan.ts). A disk that somebody kept is
/// never copied in advance.
const BLANK: &str = "ext4-";

/// Describes such a disk. It fits into one atomic pipe write: a path is at most PIPE_BUF.
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
    /// None: no other sandbox could have a disk like this plan's.
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

    /// Removes what killed processes left.
    pub fn clear_all(&self) {
        let names = fs::read_dir(self.folder()).into_iter().flatten().flatten().map(|entry| entry.file_name());
        for name in names {
            let pid = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.strip_suffix(".img")?.parse().ok());
            // An ended process has no /proc/PID/exe, even if nobody has reaped it yet.
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

    /// Moves it into the state folder of its sandbox. Returns its loop device and its file system.
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
        // Above the largest process number of Linux (proc(5), pid_max).
        let names = ["spare-4194305.img", &format!("spare-{}.img", std::process::id()), "spare-x.img", "ext4-1-1.img"];
        for name in names {
            fs::write(folder.join(name), "").unwrap();
        }
        Like { image: folder.join("ext4-1-1.img"), bytes: 0 }.clear_all();
        assert_eq!(names.map(|name| folder.join(name).exists()), [false, true, true, true]);
        fs::remove_dir_all(&folder).unwrap();
    }
}
