//! The /dev of a sandbox: links, and a few devices that are safe for everybody.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::fault::{At, Outcome};
use crate::root::Stage;
use crate::tree::{NOEXEC, NOSUID, Tree};

const STEP: &str = "root";
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

pub fn raise(stage: &Stage) -> Outcome<()> {
    let dev = stage.root.join("dev");
    stage.folder(&dev)?;
    for name in DEVICES {
        let (source, target) = (Path::new("/dev").join(name), dev.join(name));
        fs::File::create_new(&target).at(STEP, target.display())?;
        let tree = Tree::open(&source).at(STEP, source.display())?;
        tree.set(NOSUID | NOEXEC).at(STEP, source.display())?;
        tree.attach(&target).at(STEP, target.display())?;
    }
    let links = [("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0"), ("stdout", "/proc/self/fd/1")];
    for (name, to) in links.into_iter().chain([("stderr", "/proc/self/fd/2"), ("ptmx", "pts/ptmx")]) {
        symlink(to, dev.join(name)).at(STEP, name)?;
    }
    for folder in ["pts", "shm", "mqueue"] {
        stage.folder(&dev.join(folder))?;
    }
    Ok(())
}
