//! Devices that a machine's program opens by itself. The host's own nodes belong to others, often only to root. So the
//! program gets nodes of its own, owned by its ids, in a memory file system.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, chown};
use std::path::Path;

use nix::mount::{MsFlags, mount};
use nix::sys::stat::{Mode, SFlag, mknod};

use super::STEP;
use crate::fault::{At, Code, Outcome};
use crate::tree::{self, NOEXEC, NOSUID, RDONLY};

pub const KVM: &str = "/dev/kvm";

/// Runs in the mason, as root of the host. `place`: the future `/dev` of the machine's program.
pub fn make(place: &Path, names: &[&str], owner: (u32, u32)) -> Outcome<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
    mount(Some("caisson"), place, Some("tmpfs"), flags, Some("size=64k,nr_inodes=16,mode=755"))
        .at(STEP, "tmpfs for devices")?;
    for name in names {
        let number = fs::metadata(name).coded(Code::WallUnavailable, STEP, *name)?.rdev();
        let node = place.join(name.trim_start_matches("/dev/"));
        if let Some(folder) = node.parent().filter(|folder| *folder != place) {
            DirBuilder::new().mode(0o755).create(folder).at(STEP, folder.display())?;
        }
        mknod(&node, SFlag::S_IFCHR, Mode::S_IRUSR | Mode::S_IWUSR, number).coded(
            Code::WallUnavailable,
            STEP,
            *name,
        )?;
        chown(&node, Some(owner.0), Some(owner.1)).at(STEP, *name)?;
    }
    Ok(())
}

/// Call it once all nodes are there.
pub fn seal(place: &Path) -> Outcome<()> {
    tree::set(place, RDONLY | NOSUID | NOEXEC).at(STEP, "read-only devices")
}
