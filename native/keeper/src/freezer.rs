//! Holding every process of a sandbox still, and letting them go on. Version 1 keeps even SIGKILL back until then (cgroup-v1/freezer-subsystem.rst);
//! under version 2 a frozen process dies of it (cgroup-v2.rst, "cgroup.freeze").

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::cgroup::write;
use crate::fault::{At, Code, Fault, Outcome};
use crate::hierarchy::Version;

const STEP: &str = "freezer";
/// A process stands still when its system call has ended or can be left; one that waits for a disk does neither. A healthy machine needs 0.4 ms.
const PATIENCE: Duration = Duration::from_secs(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(5);

#[derive(Clone)]
pub struct Freezer {
    version: Version,
    dir: PathBuf,
}

impl Freezer {
    pub fn new(version: Version, dir: &Path) -> Outcome<Freezer> {
        let freezer = Freezer { version, dir: dir.to_path_buf() };
        let file = dir.join(freezer.switch().0);
        if file.exists() {
            return Ok(freezer);
        }
        Err(Fault::new(Code::LimitUnavailable, STEP, format!("{}: no such file", file.display())))
    }

    /// The file, what is written to freeze, and what to go on.
    fn switch(&self) -> (&'static str, &'static str, &'static str) {
        match self.version {
            Version::One => ("freezer.state", "FROZEN", "THAWED"),
            Version::Two => ("cgroup.freeze", "1", "0"),
        }
    }

    /// Returns when no process of the group runs any more. If that cannot be had, or `stop` says so, all of them go on.
    pub fn freeze(&self, stop: &AtomicBool) -> Outcome<()> {
        let (file, frozen, _) = self.switch();
        let still = write(&self.dir, file, frozen).and_then(|()| self.wait(stop));
        if still.is_err() {
            self.thaw()?;
        }
        still
    }

    fn wait(&self, stop: &AtomicBool) -> Outcome<()> {
        let until = Instant::now() + PATIENCE;
        let mut pause = Duration::from_micros(50);
        while !self.is_frozen()? {
            if stop.load(Ordering::Relaxed) || Instant::now() > until {
                let message = format!("its processes did not stand still within {} s", PATIENCE.as_secs());
                return Err(Fault::new(Code::LaunchFailed, STEP, message));
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        Ok(())
    }

    fn is_frozen(&self) -> Outcome<bool> {
        let (file, said) = match self.version {
            Version::One => ("freezer.state", "FROZEN"),
            Version::Two => ("cgroup.events", "frozen 1"),
        };
        let path = self.dir.join(file);
        Ok(fs::read_to_string(&path).at(STEP, path.display())?.lines().any(|line| line == said))
    }

    pub fn thaw(&self) -> Outcome<()> {
        let (file, _, thawed) = self.switch();
        write(&self.dir, file, thawed)
    }

    /// Before the end: what is held back must be able to die, and must not run for a moment before it does. So the signal comes first.
    pub fn let_die(&self) {
        let state = fs::read_to_string(self.dir.join("freezer.state")).unwrap_or_default();
        if self.version == Version::Two || state == "THAWED\n" {
            return;
        }
        let procs = fs::read_to_string(self.dir.join("cgroup.procs")).unwrap_or_default();
        for pid in procs.lines().filter_map(|line| line.parse::<i32>().ok()).filter(|pid| *pid > 1) {
            // SAFETY: no pointers. A number in this list is a process of the sandbox: no other can come there.
            unsafe { libc::kill(pid, libc::SIGKILL) };
        }
        if let Err(fault) = self.thaw() {
            eprintln!("caisson-keeper: {fault}");
        }
    }
}
