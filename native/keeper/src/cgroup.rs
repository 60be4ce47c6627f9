//! Memory, process and CPU limits and the freezer behind one small interface, whatever the machine has: version 1 (a
//! folder per controller), version 2 (one folder), or both. Sources:
//! Documentation/admin-guide/cgroup-v1/{memory,pids}.rst and cgroup-v2.rst.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::alarm::Alarm;
use crate::fault::{At, Code, Fault, Outcome};
use crate::freezer::Freezer;
use crate::hierarchy::{Version, locate, locate_unified, make, mend};
use crate::plan::{Kind, Limits, OnWall};
use crate::swap;

const STEP: &str = "cgroup";
const CPU_PERIOD_US: u64 = 100_000;
const SOCKETS: &str = "memory.kmem.tcp.limit_in_bytes";

struct Controller {
    name: &'static str,
    version: Version,
    dir: PathBuf,
}

pub struct Cgroup {
    /// One entry per controller; under version 2 they share the folder.
    controllers: Vec<Controller>,
    dirs: Vec<(PathBuf, Version)>,
    /// Or the reason why there is none.
    freezer: Result<Freezer, String>,
    /// Where version 1 counts CPU time. That is a separate controller, and no limit depends on it.
    accounting: Option<PathBuf>,
}

pub fn field(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.trim().parse().ok())
}

/// What the wall itself needs, on top of the limits of what runs behind it.
#[derive(Clone, Copy, Default)]
pub struct Spare {
    pub pids: u64,
    pub bytes: u64,
    /// Apply the CPU limit only once the wall stands, because the cost of starting the wall is ours.
    pub cpu_later: bool,
}

#[derive(Default)]
pub struct Usage {
    pub peak_memory_bytes: Option<u64>,
    /// Page cache, which the kernel reclaims under memory pressure.
    pub cache_bytes: Option<u64>,
    pub cpu_us: Option<u64>,
}

impl Cgroup {
    /// Creates the group and sets every limit that is not null. A limit that cannot be set is LIMIT_UNAVAILABLE, with
    /// its name.
    pub fn create(id: &str, limits: &Limits, kind: Kind, spare: Spare) -> Outcome<Cgroup> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").at(STEP, "/proc/self/mountinfo")?;
        let mut group = Cgroup {
            controllers: Vec::new(),
            dirs: Vec::new(),
            freezer: Err("a zygote is not frozen".to_string()),
            accounting: None,
        };
        let wanted = [
            ("memory", limits.memory_bytes.is_some()),
            ("pids", limits.pids.is_some()),
            ("cpu", limits.cpu_milli.is_some()),
        ];
        let mut refused: Option<Fault> = None;
        let mut missing = Vec::new();
        for (name, required) in wanted {
            let joined = locate(&mounts, name).and_then(|(version, parent)| group.join(name, version, &parent, id));
            if let (Err(fault), true) = (joined, required) {
                missing.push(name);
                refused.get_or_insert_with(|| {
                    Fault::new(Code::LimitUnavailable, STEP, format!("{name}: {}", fault.message))
                });
            }
        }
        if let Some(fault) = refused {
            group.remove();
            return Err(fault.hint(mend(&missing)));
        }
        if kind == Kind::Sandbox {
            let counted = locate(&mounts, "cpuacct").and_then(|(version, parent)| group.folder(version, &parent, id));
            group.accounting = counted.ok();
            group.freezer = group.find_freezer(&mounts, id).map_err(|fault| fault.message);
        }
        let freezes = || if limits.on_wall == OnWall::Freeze { group.freezer().map(|_| ()) } else { Ok(()) };
        let set = group.set(limits, spare).and_then(|()| freezes());
        if set.is_err() {
            group.remove();
        }
        set.map(|()| group)
    }

    /// Version 2 can freeze any group that has a folder there. On a machine with version 1 controllers, version 1's
    /// freezer is preferred: joining it costs 0.05 ms, joining a second, version 2, hierarchy up to 10 ms.
    fn find_freezer(&mut self, mounts: &str, id: &str) -> Outcome<Freezer> {
        if let Some((dir, version)) = self.dirs.iter().find(|(_, version)| *version == Version::Two) {
            return Freezer::new(*version, dir);
        }
        let (version, parent) = locate(mounts, "freezer").or_else(|_| locate_unified(mounts))?;
        let dir = self.folder(version, &parent, id)?;
        Freezer::new(version, &dir)
    }

    /// The freezer; LIMIT_UNAVAILABLE where the machine has none.
    pub fn freezer(&self) -> Outcome<&Freezer> {
        self.freezer.as_ref().map_err(|why| {
            Fault::new(Code::LimitUnavailable, STEP, format!("freezer: {why}")).hint(
                "Run as root, or delegate a cgroup of version 2 to this user: `systemd-run --user --scope -p Delegate=yes`.",
            )
        })
    }

    /// As Freezer::let_die, whether or not anything is frozen.
    pub fn let_die(&self) {
        if let Ok(freezer) = &self.freezer {
            freezer.let_die();
        }
    }

    fn join(&mut self, name: &'static str, version: Version, parent: &Path, id: &str) -> Outcome<()> {
        let dir = self.folder(version, parent, id)?;
        self.controllers.push(Controller { name, version, dir });
        Ok(())
    }

    fn folder(&mut self, version: Version, parent: &Path, id: &str) -> Outcome<PathBuf> {
        let dir = parent.join(id);
        if !self.dirs.iter().any(|(known, _)| *known == dir) {
            make(parent, &dir, version)?;
            self.dirs.push((dir.clone(), version));
        }
        Ok(dir)
    }

    fn set(&self, limits: &Limits, spare: Spare) -> Outcome<()> {
        for Controller { name, version, dir } in &self.controllers {
            match (*name, version) {
                ("memory", version) => {
                    if let Some(bytes) = limits.memory_bytes.map(|bytes| bytes + spare.bytes) {
                        let file = if *version == Version::One { "memory.limit_in_bytes" } else { "memory.max" };
                        write(dir, file, bytes)?;
                        // Version 2 counts TCP's own memory as the group's. Version 1 does so only where that memory
                        // has a limit of its own.
                        if *version == Version::One && dir.join(SOCKETS).exists() {
                            write(dir, SOCKETS, bytes)?;
                        }
                        swap::bound(dir, *version, bytes, Path::new(swap::SWAPS))?;
                    }
                }
                ("pids", _) => {
                    if let Some(count) = limits.pids {
                        write(dir, "pids.max", count + spare.pids)?;
                    }
                }
                (_, version) => {
                    let Some(milli) = limits.cpu_milli.filter(|_| !spare.cpu_later) else { continue };
                    limit_cpu(dir, *version, milli)?;
                }
            }
        }
        Ok(())
    }

    /// Applies the CPU limit that `cpu_later` postponed.
    pub fn limit_cpu(&self, limits: &Limits) -> Outcome<()> {
        let Some(milli) = limits.cpu_milli else { return Ok(()) };
        self.controllers
            .iter()
            .filter(|controller| controller.name == "cpu")
            .try_for_each(|Controller { version, dir, .. }| limit_cpu(dir, *version, milli))
    }

    /// Opens the group's membership files ("doors"). A process that writes "0" to each of them moves itself in, with
    /// the rights of this process, and its children are born there.
    ///
    /// Moving a single thread by itself (`tasks`, version 1) takes no lock. Moving another or a whole process waits for
    /// an RCU grace period on all CPUs, measured at 12 ms.
    pub fn doors(&self) -> Outcome<Vec<OwnedFd>> {
        let mut doors: Vec<OwnedFd> = Vec::new();
        for (dir, version) in &self.dirs {
            let path = dir.join(if *version == Version::One { "tasks" } else { "cgroup.procs" });
            doors.push(OpenOptions::new().write(true).open(&path).map(OwnedFd::from).at(STEP, path.display())?);
        }
        Ok(doors)
    }

    pub fn alarms(&self, limits: &Limits) -> Outcome<Vec<Alarm>> {
        let mut alarms = Vec::new();
        for Controller { name, version, dir } in &self.controllers {
            match (*name, version) {
                ("memory", Version::One) if limits.memory_bytes.is_some() => alarms.push(Alarm::out_of_memory(dir)?),
                ("memory", Version::Two) if limits.memory_bytes.is_some() => alarms.push(Alarm::memory_events(dir)?),
                ("pids", _) if limits.pids.is_some() => alarms.push(Alarm::pids_events(dir, *version == Version::One)?),
                _ => {}
            }
        }
        Ok(alarms)
    }

    pub fn usage(&self) -> Usage {
        let number = |dir: &Path, file: &str| fs::read_to_string(dir.join(file)).ok()?.trim().parse().ok();
        let mut usage = Usage::default();
        for Controller { name, version, dir } in &self.controllers {
            match (*name, version) {
                ("memory", version) => {
                    let (peak, cache) = match version {
                        Version::One => ("memory.max_usage_in_bytes", "cache "),
                        Version::Two => ("memory.peak", "file "),
                    };
                    usage.peak_memory_bytes = number(dir, peak);
                    let text = fs::read_to_string(dir.join("memory.stat")).unwrap_or_default();
                    usage.cache_bytes = field(&text, cache);
                }
                ("cpu", Version::Two) => {
                    let text = fs::read_to_string(dir.join("cpu.stat")).unwrap_or_default();
                    usage.cpu_us = field(&text, "usage_usec ");
                }
                _ => {}
            }
        }
        if let Some(dir) = &self.accounting {
            usage.cpu_us = number(dir, "cpuacct.usage").map(|nanoseconds: u64| nanoseconds / 1000);
        }
        usage
    }

    /// Removes the group once its processes are gone. The kernel may still be tearing down the last ones, so this
    /// retries for a while.
    pub fn remove(&self) -> bool {
        let mut clean = true;
        for (dir, _) in &self.dirs {
            let gone = (0..200).any(|attempt| {
                if attempt > 0 {
                    std::thread::sleep(Duration::from_millis(10));
                }
                fs::remove_dir(dir).map_or_else(|error| error.kind() == ErrorKind::NotFound, |()| true)
            });
            clean &= gone;
            if let Some(parent) = dir.parent().filter(|parent| parent.ends_with("caisson")) {
                // The shared parent is Caisson's too. Removal succeeds with the last sandbox and fails (ENOTEMPTY)
                // until then.
                clean &= fs::remove_dir(parent).is_ok() || parent.exists() || gone;
            }
        }
        clean
    }
}

fn limit_cpu(dir: &Path, version: Version, milli: u64) -> Outcome<()> {
    let quota = (CPU_PERIOD_US * milli / 1000).max(1000);
    match version {
        Version::One => {
            write(dir, "cpu.cfs_period_us", CPU_PERIOD_US)?;
            write(dir, "cpu.cfs_quota_us", quota)
        }
        Version::Two => write(dir, "cpu.max", format!("{quota} {CPU_PERIOD_US}")),
    }
}

pub fn write(dir: &Path, file: &str, value: impl ToString) -> Outcome<()> {
    let path = dir.join(file);
    let mut open = OpenOptions::new().write(true).open(&path).coded(Code::LimitUnavailable, STEP, path.display())?;
    open.write_all(value.to_string().as_bytes()).coded(Code::LimitUnavailable, STEP, path.display())
}
