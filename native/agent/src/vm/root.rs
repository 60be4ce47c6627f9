//! The root for the code inside: read-only images, and over them the folders of the machine's own disk.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};

use super::channel::Channel;
use super::machine::{Machine, SmallFile, Writable};
use super::nodes::{attach, folder, mount_inside};
use super::{Outcome, nodes};

/// Where it is assembled.
const ROOT: &str = "/root";
pub const DISK: &str = "/disk";
pub const FILES: &str = "/files";
/// One of those files: the kernel's boot id, which would otherwise be the same in every machine restored from the same
/// image.
pub const BOOT: (&str, &str) = ("boot", "proc/sys/kernel/random/boot_id");
/// Parts of the initrd (host/walls/microvm/initrd.ts) that are shown inside.
const SHOWN: [(&str, &str); 2] = [("/init", "caisson/agent"), ("/runtimes", "caisson/runtimes")];

/// Disks by their serial, as the keeper names them (native/keeper/src/machine/arguments.rs).
const IMAGES: [(&str, &str); 2] = [("shown", ""), ("usr", "usr")];
const OWN: &str = "own";
/// Where disks cannot be named, they are identified by their order (native/keeper/src/machine/firecracker/requests.rs),
/// and by the fact that only the last one is writable.
const IN_ORDER: [(&str, &str, &str); 3] = [("shown", "vda", "1"), ("usr", "vdb", "1"), (OWN, "vdc", "0")];

pub fn prepare(machine: &Machine) -> Outcome<()> {
    let root = Path::new(ROOT);
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    for (name, below) in IMAGES {
        let place = root.join(below);
        if below.is_empty() {
            folder(&place)?;
        }
        device(name).and_then(|device| attach_device(&device, &place, "erofs", flags | MsFlags::MS_RDONLY, None))?;
    }
    folder(Path::new(DISK))?;
    let options = Some("errors=remount-ro,noinit_itable");
    attach_device(&device(OWN)?, Path::new(DISK), "ext4", flags | MsFlags::MS_NOATIME, options)?;
    for (number, writable) in machine.writable.iter().enumerate() {
        show_folder(&Path::new(DISK).join(format!("w{number}")), writable, root)?;
    }
    folder(Path::new(FILES))?;
    attach("tmpfs", Path::new(FILES), nodes::strict(), Some("size=1m,mode=755"))?;
    for (number, file) in machine.files.iter().enumerate() {
        show_file(&Path::new(FILES).join(number.to_string()), file, root)?;
    }
    for (source, target) in SHOWN {
        bind(Path::new(source), &root.join(target), true)?;
    }
    mount_inside(root, machine.memory_bytes)?;
    let (name, shown) = BOOT;
    let boot = SmallFile {
        path: shown.into(),
        content: format!("{}\n", machine.boot_id.as_deref().unwrap_or_default()),
        mode: 0o444,
    };
    show_file(&Path::new(FILES).join(name), &boot, root)
}

pub fn enter() -> Outcome<()> {
    // There is no old root to unmount: it is the kernel's initial one, and stays under the new one, out of reach
    // (ramfs-rootfs-initramfs.rst).
    let moved = nix::unistd::chdir(ROOT)
        .and_then(|()| mount(Some("."), "/", None::<&str>, MsFlags::MS_MOVE, None::<&str>))
        .and_then(|()| nix::unistd::chroot("."))
        .and_then(|()| nix::unistd::chdir("/"));
    moved.map_err(|error| format!("the root: {error}"))
}

/// Leaves this thread, and whatever it starts, only the capabilities of root inside.
pub fn give_up_rights(keep: &[u8]) -> Outcome<()> {
    let set = keep.iter().filter(|number| **number < 64).fold(0u64, |set, number| set | 1 << number);
    for number in 0..64 {
        // SAFETY: no pointers. EINVAL: past the last capability of this kernel.
        let dropped = set >> number & 1 == 1 || unsafe { libc::prctl(libc::PR_CAPBSET_DROP, number, 0, 0, 0) } == 0;
        if !dropped && nix::errno::Errno::last() != nix::errno::Errno::EINVAL {
            return Err(format!("capability {number}: {}", std::io::Error::last_os_error()));
        }
    }
    let head: [u32; 2] = [0x2008_0522, 0]; // _LINUX_CAPABILITY_VERSION_3, this thread
    let (low, high) = (set as u32, (set >> 32) as u32);
    let data = [low, low, 0, high, high, 0];
    // SAFETY: the two structures are those of capset(2) and outlive the call.
    if unsafe { libc::syscall(libc::SYS_capset, head.as_ptr(), data.as_ptr()) } != 0 {
        return Err(format!("capabilities: {}", std::io::Error::last_os_error()));
    }
    nix::sys::prctl::set_no_new_privs().map_err(|error| format!("no_new_privs: {error}"))
}

fn device(name: &str) -> Outcome<PathBuf> {
    if super::channel() == Channel::Port { by_serial(name) } else { by_order(name) }
}

fn by_order(name: &str) -> Outcome<PathBuf> {
    let found = IN_ORDER.iter().find(|(known, _, _)| *known == name);
    let (_, disk, read_only) = found.ok_or_else(|| format!("there is no disk {name}"))?;
    let path = format!("/sys/block/{disk}/ro");
    let told = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    if told.trim_end() == *read_only {
        return Ok(Path::new("/dev").join(disk));
    }
    Err(format!("{disk} is not the disk {name}: its ro is {}", told.trim_end()))
}

fn by_serial(name: &str) -> Outcome<PathBuf> {
    let found = fs::read_dir("/sys/block").map_err(|error| format!("/sys/block: {error}"))?;
    for entry in found.flatten() {
        if fs::read_to_string(entry.path().join("serial")).is_ok_and(|serial| serial.trim_end() == name) {
            return Ok(Path::new("/dev").join(entry.file_name()));
        }
    }
    Err(format!("there is no disk {name}"))
}

fn attach_device(device: &Path, at: &Path, kind: &str, flags: MsFlags, options: Option<&str>) -> Outcome<()> {
    mount(Some(device), at, Some(kind), flags, options).map_err(|error| format!("{kind} at {}: {error}", at.display()))
}

/// A kept disk has its folders already, and its user may have changed their modes, or replaced them by links.
fn show_folder(source: &Path, writable: &Writable, root: &Path) -> Outcome<()> {
    let made = || -> std::io::Result<()> {
        if fs::symlink_metadata(source).is_ok_and(|found| found.is_dir()) {
            return Ok(());
        }
        fs::DirBuilder::new().mode(0o700).create(source)?;
        fs::set_permissions(source, fs::Permissions::from_mode(writable.mode))?;
        chown(source, Some(writable.uid), Some(writable.gid))
    };
    made().map_err(|error| format!("{}: {error}", writable.target))?;
    bind(source, &root.join(writable.target.trim_start_matches('/')), false)
}

fn show_file(source: &Path, file: &SmallFile, root: &Path) -> Outcome<()> {
    let written = fs::OpenOptions::new().write(true).create_new(true).mode(file.mode).open(source);
    let written = written.and_then(|mut open| open.write_all(file.content.as_bytes()));
    written.map_err(|error| format!("{}: {error}", file.path))?;
    bind(source, &root.join(file.path.trim_start_matches('/')), true)
}

fn bind(source: &Path, target: &Path, read_only: bool) -> Outcome<()> {
    let none = None::<&str>;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    let again = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | flags;
    let bound = mount(Some(source), target, none, MsFlags::MS_BIND, none)
        .and_then(|()| mount(none, target, none, if read_only { again | MsFlags::MS_RDONLY } else { again }, none));
    bound.map_err(|error| format!("{} at {}: {error}", source.display(), target.display()))
}
