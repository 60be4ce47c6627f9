//! Freezes and thaws all processes of a sandbox. Version 1 holds back even SIGKILL until the thaw
//! (cgroup-v1/freezer-subsystem.rst); under version 2 a frozen process dies of it (cgroup-v2.rst, "cgroup.freeze").

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::cgroup::write;
use crate::fault::{At, Code, Fault, Outcome};
use crate::hierarchy::Version;

const STEP: &str = "freezer";
/// A process freezes when its system call ends or can be interrupted; one that waits for a disk does neither. A healthy
/// machine needs 0.4 ms.
const PATIENCE: Duration = Duration::from_secs(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(5);
/// Attempts between thaws; some 50 ms.
const RETHAW: u32 = 16;

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

    /// The control file, and the values that freeze and thaw.
    fn switch(&self) -> (&'static str, &'static str, &'static str) {
        match self.version {
            Version::One => ("freezer.state", "FROZEN", "THAWED"),
            Version::Two => ("cgroup.freeze", "1", "0"),
        }
    }

    /// Returns once no process of the group runs any more. On failure, or when `stop` is set, all of them are thawed.
    pub fn freeze(&self, stop: &AtomicBool) -> Outcome<()> {
        let (file, frozen, _) = self.switch();
        let still = write(&self.dir, file, frozen).and_then(|()| self.wait(stop));
        if still.is_err() {
            self.thaw()?;
        }
        still
    }

    /// Under version 1, a fork at the wrong moment can leave the group in FREEZING for ever. Writing FROZEN again
    /// helps; if it does not, a short thaw does.
    fn wait(&self, stop: &AtomicBool) -> Outcome<()> {
        let until = Instant::now() + PATIENCE;
        let mut pause = Duration::from_micros(50);
        for attempt in 1.. {
            if self.is_frozen()? {
                return Ok(());
            }
            if stop.load(Ordering::Relaxed) || Instant::now() > until {
                break;
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
            if self.version == Version::One && attempt % RETHAW == 0 {
                self.thaw()?;
                std::thread::sleep(LONGEST_PAUSE);
            }
            if self.version == Version::One {
                write(&self.dir, self.switch().0, self.switch().1)?;
            }
        }
        let message = format!("its processes did not stand still within {} s", PATIENCE.as_secs());
        Err(Fault::new(Code::LaunchFailed, STEP, message))
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

    /// Runs before the end. Frozen processes must be able to die, and must not run first, so the signal is sent before
    /// the thaw.
    pub fn let_die(&self) {
        let state = fs::read_to_string(self.dir.join("freezer.state")).unwrap_or_default();
        if self.version == Version::Two || state == "THAWED\n" {
            return;
        }
        let procs = fs::read_to_string(self.dir.join("cgroup.procs")).unwrap_or_default();
        for pid in procs.lines().filter_map(|line| line.parse::<i32>().ok()).filter(|pid| *pid > 1) {
            // SAFETY: no pointers. Every number in this list is a process of the sandbox: no other process can enter
            // the group.
            unsafe { libc::kill(pid, libc::SIGKILL) };
        }
        if let Err(fault) = self.thaw() {
            eprintln!("caisson-keeper: {fault}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hierarchy::{locate, locate_unified};
    use std::process::{Child, Command};

    /// Groups of this test with processes that fork all the time, for each cgroup version that is available here.
    fn groups(name: &str) -> Vec<(Freezer, Child)> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let places = [locate(&mounts, "freezer"), locate_unified(&mounts)];
        let made = places.into_iter().flatten().filter_map(|(version, parent)| {
            let dir = parent.join(format!("freezer{name}{}", std::process::id()));
            fs::create_dir_all(&dir).ok()?;
            let freezer = Freezer::new(version, &dir).ok()?;
            let child = Command::new("sh").args(["-c", "while :; do /bin/true; done"]).spawn().unwrap();
            fs::write(dir.join("cgroup.procs"), child.id().to_string()).unwrap();
            Some((freezer, child))
        });
        made.collect()
    }

    fn ran(child: &Child) -> String {
        fs::read_to_string(format!("/proc/{}/schedstat", child.id())).unwrap()
    }

    /// Total CPU time (proc(5), schedstat).
    fn nanoseconds(ran: &str) -> u64 {
        ran.split(' ').next().unwrap().parse().unwrap()
    }

    #[test]
    fn what_is_frozen_does_not_run_goes_on_and_can_die() {
        for (freezer, mut child) in groups("a") {
            for _ in 0..20 {
                freezer.freeze(&AtomicBool::new(false)).unwrap();
                let before = ran(&child);
                std::thread::sleep(Duration::from_millis(10));
                // The kernel may wake it for some microseconds to handle a child's exit, without running any of its
                // instructions.
                let used = nanoseconds(&ran(&child)) - nanoseconds(&before);
                assert!(used < 100_000, "it ran for {used} ns");
                let before = ran(&child);
                freezer.thaw().unwrap();
                while ran(&child) == before {
                    std::thread::yield_now();
                }
            }
            freezer.freeze(&AtomicBool::new(false)).unwrap();
            freezer.let_die();
            child.kill().unwrap();
            child.wait().unwrap();
            // Under version 2, the child that it had just started is frozen too, and dies of SIGKILL as well.
            let pids = fs::read_to_string(freezer.dir.join("cgroup.procs")).unwrap();
            for pid in pids.lines().filter_map(|line| line.parse::<i32>().ok()) {
                // SAFETY: no pointers; a process of this test's group.
                unsafe { libc::kill(pid, libc::SIGKILL) };
            }
            while fs::remove_dir(&freezer.dir).is_err() {
                std::thread::sleep(Duration::from_millis(1));
            }
            let _shared = fs::remove_dir(freezer.dir.parent().unwrap());
        }
    }

    #[test]
    fn a_freeze_that_is_given_up_leaves_nothing_frozen() {
        for (freezer, mut child) in groups("b") {
            let given_up = freezer.freeze(&AtomicBool::new(true));
            let before = ran(&child);
            if given_up.is_ok() {
                freezer.thaw().unwrap();
            }
            while ran(&child) == before {
                std::thread::yield_now();
            }
            child.kill().unwrap();
            child.wait().unwrap();
            while fs::remove_dir(&freezer.dir).is_err() {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
}
