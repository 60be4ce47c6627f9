//! The kernel's file systems, for the agent and for the code inside.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use nix::mount::{MsFlags, mount};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};

use super::Outcome;

/// Names and device numbers (Documentation/admin-guide/devices.txt).
const DEVICES: [(&str, u64, u64); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];
const LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

pub fn strict() -> MsFlags {
    MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC
}

pub fn attach(kind: &str, at: &Path, flags: MsFlags, options: Option<&str>) -> Outcome<()> {
    mount(Some(kind), at, Some(kind), flags, options).map_err(|error| format!("{kind} at {}: {error}", at.display()))
}

pub fn folder(path: &Path) -> Outcome<()> {
    fs::create_dir_all(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// For the agent, before there is a root.
pub fn mount_kernel() -> Outcome<()> {
    for (kind, place) in [("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev")] {
        let place = Path::new(place);
        folder(place)?;
        attach(kind, place, MsFlags::MS_NOSUID, None)?;
    }
    Ok(())
}

/// For the code inside: no device that leads out of its part of the machine.
pub fn mount_inside(root: &Path, shared_bytes: u64) -> Outcome<()> {
    attach("proc", &root.join("proc"), strict(), None)?;
    attach("sysfs", &root.join("sys"), strict() | MsFlags::MS_RDONLY, None)?;
    let dev = root.join("dev");
    attach("tmpfs", &dev, MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC, Some("size=64k,nr_inodes=64,mode=755"))?;
    for (name, major, minor) in DEVICES {
        let mode = Mode::from_bits_truncate(0o666);
        let path = dev.join(name);
        mknod(&path, SFlag::S_IFCHR, mode, makedev(major, minor)).map_err(|error| format!("{name}: {error}"))?;
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o666))
            .map_err(|error| format!("{name}: {error}"))?;
    }
    for (name, to) in LINKS {
        symlink(to, dev.join(name)).map_err(|error| format!("{name}: {error}"))?;
    }
    for name in ["pts", "shm", "mqueue"] {
        folder(&dev.join(name))?;
    }
    let quiet = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
    attach("devpts", &dev.join("pts"), quiet, Some("newinstance,ptmxmode=0666,mode=0620"))?;
    attach("mqueue", &dev.join("mqueue"), strict(), None)?;
    let shared = format!("size={shared_bytes},nr_inodes=16384,mode=1777");
    attach("tmpfs", &dev.join("shm"), strict(), Some(&shared))?;
    let (none, flags) = (None::<&str>, MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY | quiet);
    mount(none, &dev, none, flags, none).map_err(|error| format!("/dev: {error}"))
}
