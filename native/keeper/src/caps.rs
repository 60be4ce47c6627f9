//! Capabilities by name (linux/capability.h). They only ever apply to the sandbox's own user namespace.

use crate::fault::{At, Code, Fault, Outcome};
use crate::weakened::{Step, is_without};

const STEP: &str = "capabilities";

const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// What a zygote needs to enter the namespaces of sandboxes, which lie below its own.
pub const ZYGOTE: [&str; 6] = ["SYS_ADMIN", "SYS_CHROOT", "SETUID", "SETGID", "SETPCAP", "SYS_PTRACE"];

/// For a sandbox that keeps every capability.
pub const ALL: u64 = u64::MAX;

pub fn set_of<'a>(names: impl IntoIterator<Item = &'a str>) -> Outcome<u64> {
    names.into_iter().try_fold(0, |set, name| match NAMES.iter().position(|known| *known == name) {
        Some(number) => Ok(set | 1 << number),
        None => Err(Fault::new(Code::PlanInvalid, STEP, format!("no capability is called {name}"))),
    })
}

/// Drops all other capabilities from the bounding set: no program started from here on can regain them.
pub fn bound(keep: u64) -> Outcome<()> {
    for number in 0..64 {
        if keep >> number & 1 == 1 {
            continue;
        }
        // SAFETY: no pointers.
        if unsafe { libc::prctl(libc::PR_CAPBSET_DROP, number, 0, 0, 0) } != 0 {
            let error = std::io::Error::last_os_error();
            // EINVAL: beyond the last capability that this kernel knows.
            return if error.raw_os_error() == Some(libc::EINVAL) {
                Ok(())
            } else {
                Err(error).at(STEP, "bounding set")
            };
        }
    }
    Ok(())
}

/// Sets the effective and permitted sets to exactly these; nothing is inheritable.
pub fn set(keep: u64) -> Outcome<()> {
    let head: [u32; 2] = [0x2008_0522, 0]; // _LINUX_CAPABILITY_VERSION_3, this process
    let (low, high) = (keep as u32, (keep >> 32) as u32);
    let data = [low, low, 0, high, high, 0];
    // SAFETY: the two structures are those of capset(2) and outlive the call.
    if unsafe { libc::syscall(libc::SYS_capset, head.as_ptr(), data.as_ptr()) } != 0 {
        return Err(std::io::Error::last_os_error()).at(STEP, "capset");
    }
    Ok(())
}

/// Gives up all other capabilities for every program started from here on.
pub fn give_up(all_but: u64, no_new_privileges: bool) -> Outcome<()> {
    bound(if is_without(Step::Capabilities) { ALL } else { all_but })?;
    if no_new_privileges && !is_without(Step::NoNewPrivileges) {
        nix::sys::prctl::set_no_new_privs().at("no_new_privs", "prctl")?;
    }
    Ok(())
}
