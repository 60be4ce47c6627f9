//! The root of the program that runs the machine: the host's programs and libraries, which a container sees as well,
//! and the machine's parts. All of it is read-only.

use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};

use super::{Machine, STEP, Vmm, devices, is_gated, twin};
use crate::engine::{Engine, Platform, Warm};
use crate::fault::{At, Code, Outcome};
use crate::gate::tap;
use crate::plan::Plan;
use crate::tree::{self, NODEV, NOEXEC, NOSUID, RDONLY, Tree};
use crate::weakened::{Step, is_without};

/// Paths in that root.
pub const KERNEL: &str = "/kernel";
pub const INITRD: &str = "/initrd";
pub const USR: &str = "/usr.erofs";
pub const SHOWN: &str = "/shown.erofs";
/// For a machine that others are restored from, or that is itself restored.
pub const MEMORY: &str = "/memory";
pub const STATE: &str = "/state";
pub const READER: &str = "/reader.so";
pub const TWINS: &str = "/twins.so";
/// For Firecracker: the program, and the folder of its sockets.
pub const PROGRAM: &str = "/firecracker";
pub const API: &str = "/run/api";
pub const VSOCK: &str = "/run/vsock";
const RUN: &str = "run";
/// For builds that test the wall without its machine.
pub const AGENT: &str = "/agent";

/// Files of a saved state.
pub const MEMORY_FILE: &str = "memory";
pub const STATE_FILE: &str = "state";
pub const DISK_FILE: &str = "disk.img";

/// Where a dynamic linker looks.
const LIBRARIES: [&str; 4] = ["lib", "lib32", "lib64", "libx32"];

/// Runs in the builder's mount namespace. Returns the path of that root.
pub fn stage(
    plan: &Plan,
    (machine, engine): (&Machine, &Engine),
    beside: &Path,
    owner: (u32, u32),
) -> Outcome<PathBuf> {
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
        show(Path::new(source), &place, name, RDONLY | NOEXEC)?;
    }
    if let Some(warm) = &engine.warm {
        show_state(machine, warm, &place, owner)?;
    }
    if machine.vmm == Vmm::Firecracker {
        show(Path::new(&engine.program), &place, PROGRAM, RDONLY)?;
        make_run(&place.join(RUN), owner)?;
    }
    show_devices(plan, (machine, engine), &place.join("dev"), owner)?;
    if is_without(Step::Engine) {
        show(Path::new(&plan.agent), &place, AGENT, RDONLY)?;
    }
    if !is_without(Step::UnwritableRoot) {
        tree::set(&place, RDONLY).at(STEP, "read-only root")?;
    }
    Ok(place)
}

fn make_run(run: &Path, owner: (u32, u32)) -> Outcome<()> {
    DirBuilder::new().mode(0o700).create(run).at(STEP, run.display())?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let options = format!("size=64k,nr_inodes=16,mode=700,uid={},gid={}", owner.0, owner.1);
    mount(Some("caisson"), run, Some("tmpfs"), flags, Some(options.as_str())).at(STEP, "tmpfs for its sockets")
}

fn show_devices(plan: &Plan, (machine, engine): (&Machine, &Engine), dev: &Path, owner: (u32, u32)) -> Outcome<()> {
    let own = engine.platform == Platform::Kvm;
    if own {
        let linked = machine.vmm == Vmm::Firecracker && is_gated(plan);
        devices::make(dev, if linked { &[devices::KVM, tap::TUN] } else { &[devices::KVM] }, owner)?;
    }
    let null = dev.join("null");
    File::create_new(&null).at(STEP, null.display())?;
    attach(Path::new("/dev/null"), &null, NOSUID | NOEXEC)?;
    if own { devices::seal(dev) } else { Ok(()) }
}

/// The disk image that a restored machine's disk is copied from; it belongs to the same moment as the memory.
pub fn saved_disk(engine: &Engine) -> Option<PathBuf> {
    match &engine.warm {
        Some(Warm::Restore { mother: Some(mother), .. }) => Some(twin::disk_of(Path::new(mother))),
        Some(Warm::Restore { folder, .. }) => Some(Path::new(folder).join(DISK_FILE)),
        _ => None,
    }
}

/// The memory of a restored or woken machine, except where it has changed since. Opened now, because the file of a
/// woken machine is removed later.
pub fn memory_before(engine: &Engine) -> Outcome<Option<File>> {
    let Some(Warm::Restore { folder, .. } | Warm::Wake { folder }) = &engine.warm else { return Ok(None) };
    let memory = Path::new(folder).join(MEMORY_FILE);
    File::open(&memory).at(STEP, memory.display()).map(Some)
}

fn show_state(machine: &Machine, warm: &Warm, place: &Path, owner: (u32, u32)) -> Outcome<()> {
    match warm {
        Warm::Save { folder } => {
            let memory = Path::new(folder).join(MEMORY_FILE);
            let made = File::options().write(true).create_new(true).mode(0o600).open(&memory);
            made.and_then(|file| file.set_len(machine.memory_bytes)).at(STEP, memory.display())?;
            chown(&memory, Some(owner.0), Some(owner.1)).at(STEP, memory.display())?;
            show(&memory, place, MEMORY, NOEXEC)
        }
        Warm::Restore { folder, .. } | Warm::Wake { folder } => {
            if let Some(reader) = &machine.reader {
                show(Path::new(reader), place, READER, RDONLY)?;
            }
            if let Some(twins) = &machine.twins {
                show(Path::new(twins), place, TWINS, RDONLY)?;
            }
            let folder = Path::new(folder);
            show(&folder.join(STATE_FILE), place, STATE, RDONLY | NOEXEC)?;
            show(&folder.join(MEMORY_FILE), place, MEMORY, RDONLY | NOEXEC)
        }
    }
}

fn show(source: &Path, place: &Path, name: &str, flags: u64) -> Outcome<()> {
    let target = place.join(name.trim_start_matches('/'));
    File::create_new(&target).at(STEP, target.display())?;
    attach(source, &target, flags | NOSUID | NODEV)
}

fn attach(source: &Path, target: &Path, flags: u64) -> Outcome<()> {
    let tree = Tree::open(source).coded(Code::WallUnavailable, STEP, source.display())?;
    tree.set(flags).at(STEP, source.display())?;
    tree.attach(target).at(STEP, target.display())
}
