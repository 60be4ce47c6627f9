//! Where control groups are mounted, and which place below belongs to this user (proc_pid_mountinfo(5)).

use std::fs;
use std::path::{Path, PathBuf};

use crate::fault::{At, Code, Fault, Outcome};

const STEP: &str = "cgroup";

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Version {
    One,
    Two,
}

/// Where the groups of this user lie for a controller, or for version 1's freezer.
pub fn locate(mounts: &str, controller: &str) -> Outcome<(Version, PathBuf)> {
    // SAFETY: geteuid cannot fail.
    let uid = unsafe { libc::geteuid() };
    for line in mounts.lines() {
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let Some(point) = left.split(' ').nth(4) else { continue };
        let mut right = right.split(' ');
        let (kind, options) = (right.next().unwrap_or(""), right.nth(1).unwrap_or(""));
        if kind == "cgroup" && options.split(',').any(|option| option == controller) {
            let name = if uid == 0 { "caisson".to_string() } else { format!("caisson-{uid}") };
            return Ok((Version::One, Path::new(point).join(name)));
        }
        let offers = |file: PathBuf| {
            fs::read_to_string(file).is_ok_and(|text| text.split_whitespace().any(|one| one == controller))
        };
        if kind == "cgroup2" && offers(Path::new(point).join("cgroup.controllers")) {
            return Ok((Version::Two, if uid == 0 { Path::new(point).join("caisson") } else { delegated(point)? }));
        }
    }
    Err(Fault::new(Code::LimitUnavailable, STEP, "the kernel offers no such controller"))
}

/// Any hierarchy of version 2, whatever controllers it has.
pub fn locate_unified(mounts: &str) -> Outcome<(Version, PathBuf)> {
    // SAFETY: geteuid cannot fail.
    let uid = unsafe { libc::geteuid() };
    let unified =
        mounts.lines().filter_map(|line| line.split_once(" - ")).find(|(_, right)| right.starts_with("cgroup2 "));
    let point = unified.and_then(|(left, _)| left.split(' ').nth(4));
    let point = point.ok_or_else(|| Fault::new(Code::LimitUnavailable, STEP, "the kernel offers none"))?;
    Ok((Version::Two, if uid == 0 { Path::new(point).join("caisson") } else { delegated(point)? }))
}

/// Without root, version 2: beside our own group, if that place was delegated to us (`systemd-run --user --scope`).
fn delegated(point: &str) -> Outcome<PathBuf> {
    let own = fs::read_to_string("/proc/self/cgroup").at(STEP, "/proc/self/cgroup")?;
    let own = own.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or("");
    let parent = Path::new(point).join(own);
    let parent = parent.parent().unwrap_or(Path::new(point));
    Ok(parent.join("caisson"))
}

/// What a person can do who has no control group of this kind.
pub fn mend(controller: &str) -> String {
    // SAFETY: geteuid cannot fail.
    let uid = unsafe { libc::geteuid() };
    let flag = if controller == "cpu" { "cpus" } else { controller };
    format!(
        "Delegate cgroups to this user with `sudo sh -c 'for c in memory pids cpu; do mkdir -p /sys/fs/cgroup/$c/caisson-{uid} && chown -R {uid} /sys/fs/cgroup/$c/caisson-{uid}; done'` (cgroup v1) or start under `systemd-run --user --scope -p Delegate=yes` (v2), run as root, or say plainly that the limit is not wanted: --{flag} none."
    )
}
