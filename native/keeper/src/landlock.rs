//! A second layer of file system protection: only the writable folders can be written to, and the mount table can no
//! longer be changed, even by a process that had regained the capability for it. On a kernel without Landlock the first
//! layer (read-only mounts) stands alone; `caisson doctor` says so.

use std::os::fd::OwnedFd;

use landlock::{ABI, AccessFs, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr};

use crate::fault::{At, Outcome};

const STEP: &str = "landlock";

/// Call it after the root is in place. None: this kernel has no Landlock.
pub fn ruleset<'a>(writable: impl Iterator<Item = &'a str>) -> Outcome<Option<OwnedFd>> {
    let writing = AccessFs::from_write(ABI::V3) & !AccessFs::MakeBlock & !AccessFs::MakeChar;
    let handled = AccessFs::from_write(ABI::V3);
    let mut rules = Ruleset::default().handle_access(handled).at(STEP, "access")?.create().at(STEP, "create")?;
    // mq_open(3) bypasses /dev: it uses a kernel-internal mount with the same root as this one.
    for path in writable.chain(["/dev", "/dev/mqueue", "/proc"]) {
        let open = PathFd::new(path).at(STEP, path)?;
        rules = rules.add_rule(PathBeneath::new(open, writing)).at(STEP, path)?;
    }
    Ok(rules.into())
}

pub fn restrict(ruleset: &OwnedFd) -> Outcome<()> {
    use std::os::fd::AsRawFd;
    // SAFETY: a ruleset descriptor, no flags.
    if unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0) } != 0 {
        return Err(std::io::Error::last_os_error()).at(STEP, "restrict");
    }
    Ok(())
}

/// Whether this kernel has Landlock.
pub fn is_here() -> bool {
    const VERSION: u32 = 1; // LANDLOCK_CREATE_RULESET_VERSION
    // SAFETY: with this flag there are no pointers.
    unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0, VERSION) > 0 }
}
