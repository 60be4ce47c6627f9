//! The engine's own root: the engine, its configuration, a work folder, and below it the sandbox's root. It contains
//! nothing else of the host.

use std::fs::{self, DirBuilder, File};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, chown, symlink};
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};

use super::{BUNDLE, Engine, PROGRAM, Platform, ROOT, STATE, STEP, bundle, trace, warm};
use crate::fault::{At, Code, Outcome};
use crate::plan::Plan;
use crate::program::Program;
use crate::root::Stage;
use crate::tree::{NODEV, NOEXEC, NOSUID, RDONLY, Tree};

/// Locked mount flags would prevent the engine from remounting its root (mount_namespaces(7)).
pub fn flags_of_root(engine: Option<&Engine>) -> MsFlags {
    engine.map_or(MsFlags::MS_NOSUID | MsFlags::MS_NODEV, |_| MsFlags::empty())
}

/// For the sandbox's root. An engine provides these itself, and makes its copy read-only.
pub fn finish(stage: &Stage<'_>, root: &Path) -> Outcome<()> {
    ["proc", "dev", "sys"].iter().try_for_each(|name| stage.folder(&root.join(name)))
}

/// Runs in the builder's mount namespace, once the sandbox's root stands at `root`. Returns the path of the engine's
/// root.
pub fn stage(plan: &Plan, engine: &Engine, root: &Path, owner: (u32, u32)) -> Outcome<PathBuf> {
    let place = root.with_file_name("engine");
    DirBuilder::new().mode(0o700).create(&place).at(STEP, place.display())?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    let options = Some("size=8m,nr_inodes=4096,mode=755");
    mount(Some("caisson"), &place, Some("tmpfs"), flags, options).at(STEP, "tmpfs for the engine")?;
    let own = |path: &Path| chown(path, Some(owner.0), Some(owner.1)).at(STEP, path.display());
    own(&place)?;
    for name in [ROOT, BUNDLE, STATE, "proc", "tmp", "dev"] {
        let path = place.join(name);
        DirBuilder::new().mode(0o700).create(&path).at(STEP, path.display())?;
        own(&path)?;
    }
    attach(root, &place.join(ROOT), 0)?;
    let config = place.join(BUNDLE).join("config.json");
    fs::write(&config, bundle::specification(plan).to_string()).at(STEP, config.display())?;
    own(&config)?;
    if engine.is_traced(plan) {
        let config = place.join(BUNDLE).join(trace::CONFIG);
        fs::write(&config, trace::configuration(trace::SOCKET).to_string()).at(STEP, config.display())?;
        own(&config)?;
    }
    let program = place.join(PROGRAM);
    File::create_new(&program).at(STEP, program.display())?;
    attach(Path::new(&engine.program), &program, RDONLY | NOSUID | NODEV)?;
    let devices: &[&str] = if engine.platform == Platform::Kvm { &["null", "kvm"] } else { &["null"] };
    for name in devices {
        let device = place.join("dev").join(name);
        File::create_new(&device).at(STEP, device.display())?;
        attach(&Path::new("/dev").join(name), &device, NOSUID | NOEXEC)?;
    }
    warm::stage(engine, &place, owner)?;
    Ok(place)
}

/// For tests of a wall without its engine: runs the agent in the engine's root, under the names that programs expect
/// there.
pub fn agent_instead(inherited: Vec<OwnedFd>) -> Outcome<Program> {
    fs::remove_dir("/tmp").at(STEP, "/tmp")?;
    for name in ["usr", "bin", "lib", "lib64", "etc", "home", "var", "tmp"] {
        symlink(format!("{ROOT}/{name}"), format!("/{name}")).at(STEP, name)?;
    }
    Program::new(&[&format!("/{ROOT}/caisson/agent"), "leash"], std::iter::empty(), inherited)
}

pub fn attach(source: &Path, target: &Path, flags: u64) -> Outcome<()> {
    let tree = Tree::open(source).coded(Code::WallUnavailable, STEP, source.display())?;
    if flags != 0 {
        tree.set(flags).at(STEP, source.display())?;
    }
    tree.attach(target).at(STEP, target.display())
}
