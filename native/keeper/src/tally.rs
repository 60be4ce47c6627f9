//! What the kernel counts by user, and what it has once for the whole machine. It counts for whoever made a user namespace, too, whatever is counted in it, and so
//! on up to the host's (kernel/ucount.c): inotify instances, queued signals and timers. With one maker for all, one sandbox uses up what the others and the
//! host's root have. So each namespace is made by an id that is nobody else's. Proven by spec/escape/shared-tables.spec.ts.

use std::fs;
use std::path::Path;

use crate::fault::{At, Outcome};
use crate::overlay::secure_bits;

const STEP: &str = "tally";
/// Terminals of one sandbox; the kernel has some 3,000 for all namespaces together (kernel.pty.max, less what it keeps for the host).
pub const TERMINALS: u32 = 64;
/// Counted for all sandboxes below one zygote together, up to what the machine gives one user: none may have more than half of that, nor more than these.
const BELOW: [(&str, &str, u64); 2] = [
    ("sys/user/max_inotify_instances", "sys/fs/inotify/max_user_instances", 128),
    ("sys/user/max_inotify_watches", "sys/fs/inotify/max_user_watches", 65_536),
];
/// The kernel gives a user some ten times as many, by the machine's memory.
const SIGNALS: u64 = 8192;
const COUNTED: [libc::__rlimit_resource_t; 3] = [libc::RLIMIT_SIGPENDING, libc::RLIMIT_MSGQUEUE, libc::RLIMIT_MEMLOCK];

/// From now on the host's root makes namespaces as this id, with all its rights.
pub fn make_as(id: u32) -> Outcome<()> {
    secure_bits(libc::SECBIT_NO_SETUID_FIXUP).at(STEP, "securebits")?;
    let same = u32::MAX;
    nix::unistd::setresgid(same.into(), id.into(), same.into()).at(STEP, "its maker's group")?;
    nix::unistd::setresuid(same.into(), id.into(), same.into()).at(STEP, "its maker")
}

/// While it is held, a user namespace that is made bounds nothing of what those below it take together: each of them has a bound of its own. Where root may
/// not raise its limits (no CAP_SYS_RESOURCE), they share what one user has.
pub struct Unbounded([libc::rlimit; 3]);

impl Unbounded {
    pub fn begin() -> Unbounded {
        let none = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
        let mut before = Unbounded([none; 3]);
        for (resource, limit) in COUNTED.into_iter().zip(&mut before.0) {
            // SAFETY: both structures outlive the calls.
            unsafe {
                libc::getrlimit(resource, limit);
                libc::setrlimit(resource, &raw const none);
            }
        }
        before
    }
}

impl Drop for Unbounded {
    fn drop(&mut self) {
        for (resource, limit) in COUNTED.into_iter().zip(&self.0) {
            // SAFETY: the structure outlives the call, which cannot fail: it lowers.
            unsafe { libc::setrlimit(resource, limit) };
        }
    }
}

/// Queued signals, timers among them, of a sandbox whose namespace is made from now on: of all its users together.
pub fn bound_signals() -> Outcome<()> {
    // SAFETY: all-zero is a valid rlimit; the structure outlives the calls.
    let mut limit: libc::rlimit = unsafe { std::mem::zeroed() };
    // SAFETY: as above.
    unsafe { libc::getrlimit(libc::RLIMIT_SIGPENDING, &raw mut limit) };
    let most = limit.rlim_max.min(SIGNALS);
    limit = libc::rlimit { rlim_cur: most, rlim_max: most };
    // SAFETY: as above.
    if unsafe { libc::setrlimit(libc::RLIMIT_SIGPENDING, &raw const limit) } == 0 {
        return Ok(());
    }
    Err(std::io::Error::last_os_error()).at(STEP, "queued signals")
}

/// In the sandbox's user namespace, with its /proc there, while that can still be written to.
pub fn bound(proc: &Path) -> Outcome<()> {
    for (own, machine, most) in BELOW {
        // A kernel without inotify has neither.
        let Ok(all) = fs::read_to_string(proc.join(machine)) else { continue };
        let most = all.trim().parse().map_or(most, |all: u64| most.min(all / 2));
        fs::write(proc.join(own), most.to_string()).at(STEP, own)?;
    }
    Ok(())
}
