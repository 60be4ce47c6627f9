//! Where cgroups are mounted, which place below belongs to this user (proc_pid_mountinfo(5)), and how a group is
//! created there.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::fault::{At, Code, Fault, Outcome};

const STEP: &str = "cgroup";

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Version {
    One,
    Two,
}

/// Where this user's groups for a controller, or for version 1's freezer, are.
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

/// Any version 2 hierarchy, whatever controllers it has.
pub fn locate_unified(mounts: &str) -> Outcome<(Version, PathBuf)> {
    // SAFETY: geteuid cannot fail.
    let uid = unsafe { libc::geteuid() };
    let unified =
        mounts.lines().filter_map(|line| line.split_once(" - ")).find(|(_, right)| right.starts_with("cgroup2 "));
    let point = unified.and_then(|(left, _)| left.split(' ').nth(4));
    let point = point.ok_or_else(|| Fault::new(Code::LimitUnavailable, STEP, "the kernel offers none"))?;
    Ok((Version::Two, if uid == 0 { Path::new(point).join("caisson") } else { delegated(point)? }))
}

/// Version 2 without root: beside our own group, if that place was delegated to us (`systemd-run --user --scope`).
fn delegated(point: &str) -> Outcome<PathBuf> {
    let own = fs::read_to_string("/proc/self/cgroup").at(STEP, "/proc/self/cgroup")?;
    let own = own.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or("");
    let parent = Path::new(point).join(own);
    let parent = parent.parent().unwrap_or(Path::new(point));
    Ok(parent.join("caisson"))
}

/// Creates a group in the place that all keepers share. The last keeper removes that place, so it may have to be
/// created again.
pub fn make(parent: &Path, dir: &Path, version: Version) -> Outcome<()> {
    let mut last = None;
    for _ in 0..16 {
        match fs::create_dir(parent) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error).at(STEP, parent.display()),
            _ => {}
        }
        match fs::create_dir(dir) {
            Ok(()) => {
                // Whoever created that place may not have delegated the controllers yet, or may have died first.
                if version == Version::Two && !has_controllers(dir) {
                    hand_down(parent);
                }
                return Ok(());
            }
            Err(error) if error.kind() == ErrorKind::NotFound => last = Some(error),
            Err(error) => return Err(error).at(STEP, dir.display()),
        }
    }
    Err(last.unwrap_or_else(|| ErrorKind::NotFound.into())).at(STEP, dir.display())
}

const CONTROLLERS: [&str; 3] = ["memory", "pids", "cpu"];

fn has_controllers(dir: &Path) -> bool {
    let offered = fs::read_to_string(dir.join("cgroup.controllers")).unwrap_or_default();
    CONTROLLERS.iter().all(|controller| offered.split_whitespace().any(|one| one == *controller))
}

/// Version 2 delegates controllers level by level (cgroup-v2.rst). A failure shows later, when a limit is written.
fn hand_down(parent: &Path) {
    for dir in [parent.parent(), Some(parent)].into_iter().flatten() {
        let file = dir.join("cgroup.subtree_control");
        for controller in CONTROLLERS {
            let _ = file.exists() && fs::write(&file, format!("+{controller}")).is_ok();
        }
    }
}

/// A hint for a user without usable cgroups of these kinds. It names them all: lifting one limit would only bring the refusal of the next.
pub fn mend(controllers: &[&str]) -> String {
    // SAFETY: geteuid cannot fail.
    let uid = unsafe { libc::geteuid() };
    let flag = |controller: &&str| format!("--{} none", if *controller == "cpu" { "cpus" } else { controller });
    let flags = controllers.iter().map(flag).collect::<Vec<_>>().join(" ");
    let unwanted = if controllers.len() == 1 { "limit" } else { "limits" };
    format!(
        "Delegate cgroups to this user with `sudo sh -c 'for c in memory pids cpu; do mkdir -p /sys/fs/cgroup/$c/caisson-{uid} && chown -R {uid} /sys/fs/cgroup/$c/caisson-{uid}; done'` (cgroup v1) or start under `systemd-run --user --scope -p Delegate=yes` (v2), run as root, or lift the {unwanted}: {flags}."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with the files of a cgroup that nobody enforces.
    fn place() -> PathBuf {
        let top = std::env::temp_dir().join(format!("caisson-groups-{}", std::process::id()));
        fs::create_dir_all(top.join("caisson")).unwrap();
        fs::write(top.join("cgroup.subtree_control"), "").unwrap();
        fs::write(top.join("caisson/cgroup.subtree_control"), "").unwrap();
        top
    }

    #[test]
    fn a_place_that_another_made_and_handed_nothing_down_to_is_no_hindrance() {
        let top = place();
        let parent = top.join("caisson");
        make(&parent, &parent.join("one"), Version::Two).unwrap();
        let told = [top.join("cgroup.subtree_control"), parent.join("cgroup.subtree_control")].map(fs::read_to_string);
        fs::remove_dir_all(&top).unwrap();
        // Each word is a separate write; a plain file keeps only the last.
        assert_eq!(told.map(Result::unwrap), ["+cpu", "+cpu"]);
    }
}
