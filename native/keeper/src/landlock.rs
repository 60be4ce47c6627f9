//! A second lock on the file system: writing is possible beneath the writable folders only, and the mount table cannot be changed any more, even by
//! a process that had got back the capability for it. Where the kernel has no Landlock the first lock (read-only mounts) stands alone;
//! `caisson doctor` says so.

use std::os::fd::OwnedFd;

use landlock::{ABI, AccessFs, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr};

use crate::fault::{At, Outcome};

const STEP: &str = "landlock";

/// Made after the root is in place. None: this kernel has no Landlock.
pub fn ruleset<'a>(writable: impl Iterator<Item = &'a str>) -> Outcome<Option<OwnedFd>> {
    let writing = AccessFs::from_write(ABI::V3) & !AccessFs::MakeBlock & !AccessFs::MakeChar;
    let handled = AccessFs::from_write(ABI::V3);
    let mut rules = Ruleset::default().handle_access(handled).at(STEP, "access")?.create().at(STEP, "create")?;
    // mq_open(3) does not go through /dev, but through a mount of the kernel's own that has the same root as this one.
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

/// Whether this kernel has it.
pub fn is_here() -> bool {
    const VERSION: u32 = 1; // LANDLOCK_CREATE_RULESET_VERSION
    // SAFETY: with this flag there are no pointers.
    unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0, VERSION) > 0 }
}
