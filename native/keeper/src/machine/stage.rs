//! QEMU's own root: the host's programs and libraries, which a container is shown as well, the machine's parts, and nothing else. All of it read-only.

use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};

use super::{Machine, STEP};
use crate::engine::{Engine, Platform};
use crate::fault::{At, Code, Outcome};
use crate::tree::{self, NODEV, NOEXEC, NOSUID, RDONLY, Tree};

/// Paths of that root.
pub const KERNEL: &str = "/kernel";
pub const INITRD: &str = "/initrd";
pub const USR: &str = "/usr.erofs";
pub const SHOWN: &str = "/shown.erofs";

/// Where a dynamic linker looks.
const LIBRARIES: [&str; 4] = ["lib", "lib32", "lib64", "libx32"];

/// In the builder's mount namespace; where it lies.
pub fn stage(machine: &Machine, engine: &Engine, beside: &Path) -> Outcome<PathBuf> {
    let place = beside.with_file_name("engine");
    DirBuilder::new().mode(0o755).create(&place).at(STEP, place.display())?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("caisson"), &place, Some("tmpfs"), flags, Some("size=1m,nr_inodes=64,mode=755"))
        .at(STEP, "tmpfs for the machine")?;
    for name in ["usr", "proc", "dev"] {
        let folder = place.join(name);
        DirBuilder::new().mode(0o755).create(&folder).at(STEP, folder.display())?;
    }
    attach(Path::new("/usr"), &place.join("usr"), RDONLY | NOSUID | NODEV)?;
    for name in LIBRARIES {
        let source = Path::new("/").join(name);
        let Ok(found) = fs::symlink_metadata(&source) else { continue };
        if found.is_symlink() {
            let to = fs::read_link(&source).at(STEP, source.display())?;
            symlink(to, place.join(name)).at(STEP, name)?;
        } else {
            let folder = place.join(name);
            DirBuilder::new().mode(0o755).create(&folder).at(STEP, folder.display())?;
            attach(&source, &folder, RDONLY | NOSUID | NODEV)?;
        }
    }
    let parts = [(&machine.kernel, KERNEL), (&machine.initrd, INITRD), (&machine.usr, USR), (&machine.shown, SHOWN)];
    for (source, name) in parts {
        let target = place.join(name.trim_start_matches('/'));
        File::create_new(&target).at(STEP, target.display())?;
        attach(Path::new(source), &target, RDONLY | NOSUID | NODEV | NOEXEC)?;
    }
    let devices: &[&str] = if engine.platform == Platform::Kvm { &["null", "kvm"] } else { &["null"] };
    for name in devices {
        let device = place.join("dev").join(name);
        File::create_new(&device).at(STEP, device.display())?;
        attach(&Path::new("/dev").join(name), &device, NOSUID | NOEXEC)?;
    }
    tree::set(&place, RDONLY).at(STEP, "read-only root")?;
    Ok(place)
}

fn attach(source: &Path, target: &Path, flags: u64) -> Outcome<()> {
    let tree = Tree::open(source).coded(Code::WallUnavailable, STEP, source.display())?;
    tree.set(flags).at(STEP, source.display())?;
    tree.attach(target).at(STEP, target.display())
}
