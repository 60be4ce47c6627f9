//! Limits on kernel objects that are counted per user or per machine. For inotify instances, queued signals and timers,
//! the kernel also charges the creator of the user namespace, and so on up to the host's (kernel/ucount.c). If all
//! namespaces had the same creator, one sandbox could use up what the others and the host's root have. So each
//! namespace is created by an id of its own. Proven by spec/escape/shared-tables.spec.ts.

use std::fs;
use std::path::Path;

use crate::fault::{At, Outcome};
use crate::overlay::secure_bits;

const STEP: &str = "tally";
/// Terminals per sandbox. The kernel has some 3,000 for all namespaces together (kernel.pty.max, less its reserve for
/// the host).
pub const TERMINALS: u32 = 64;
/// Counted for all sandboxes below one zygote together, up to the machine's limit per user. A sandbox gets at most half
/// of that, and never more than these values.
const BELOW: [(&str, &str, u64); 2] = [
    ("sys/user/max_inotify_instances", "sys/fs/inotify/max_user_instances", 128),
    ("sys/user/max_inotify_watches", "sys/fs/inotify/max_user_watches", 65_536),
];
/// The kernel's own limit per user depends on the machine's memory, and is some ten times as high.
const SIGNALS: u64 = 8192;
const COUNTED: [libc::__rlimit_resource_t; 3] = [libc::RLIMIT_SIGPENDING, libc::RLIMIT_MSGQUEUE, libc::RLIMIT_MEMLOCK];

/// From now on the host's root creates namespaces as this id, but keeps all its rights.
pub fn make_as(id: u32) -> Outcome<()> {
    secure_bits(libc::SECBIT_NO_SETUID_FIXUP).at(STEP, "securebits")?;
    let same = u32::MAX;
    nix::unistd::setresgid(same.into(), id.into(), same.into()).at(STEP, "its maker's group")?;
    nix::unistd::setresuid(same.into(), id.into(), same.into()).at(STEP, "its maker")
}

/// While this is held, a new user namespace sets no limit on the total of the namespaces below it; each of those has
/// its own limit. Where root may not raise its limits (no CAP_SYS_RESOURCE), they share one user's limits.
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
            // SAFETY: the structure outlives the call, which cannot fail, because it lowers the limit.
            unsafe { libc::setrlimit(resource, limit) };
        }
    }
}

/// Limits queued signals, including timers, for all users together of a sandbox whose namespace is created from now on.
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

/// Runs in the sandbox's user namespace, while its /proc can still be written to.
pub fn bound(proc: &Path) -> Outcome<()> {
    for (own, machine, most) in BELOW {
        // A kernel without inotify has neither file.
        let Ok(all) = fs::read_to_string(proc.join(machine)) else { continue };
        let most = all.trim().parse().map_or(most, |all: u64| most.min(all / 2));
        fs::write(proc.join(own), most.to_string()).at(STEP, own)?;
    }
    Ok(())
}
