//! After a restore: takes on a host name of its own, then drops the extra rights, so that it has no more than an agent
//! that was started normally.

/// Needed only to set the name, and to give up these two again (native/keeper/src/engine/warm.rs).
const NAMING: [u32; 2] = [CAP_SETPCAP, CAP_SYS_ADMIN];
/// linux/capability.h
const CAP_SETPCAP: u32 = 8;
const CAP_SYS_ADMIN: u32 = 21;
const VERSION_3: u32 = 0x2008_0522;

pub fn rename(host_name: &str) -> Result<(), String> {
    nix::unistd::sethostname(host_name).map_err(|error| format!("host name: {error}"))?;
    NAMING.iter().rev().try_for_each(|number| give_up(*number))
}

/// For everything that is started from here on, and for this thread. The process's other threads only run file
/// operations, and are started from this one.
fn give_up(number: u32) -> Result<(), String> {
    let failed = |what: &str| format!("{what} of capability {number}: {}", std::io::Error::last_os_error());
    // SAFETY: numbers only.
    if unsafe { libc::prctl(libc::PR_CAPBSET_DROP, number, 0, 0, 0) } != 0 {
        return Err(failed("bounding set"));
    }
    let head = [VERSION_3, 0];
    let mut data = [0u32; 6];
    // SAFETY: the two structures are those of capget(2) and capset(2), and outlive the calls.
    unsafe {
        if libc::syscall(libc::SYS_capget, head.as_ptr(), data.as_mut_ptr()) != 0 {
            return Err(failed("reading"));
        }
        // Effective, permitted and inheritable: the lower halves come first and contain both bits.
        data[..3].iter_mut().for_each(|set| *set &= !(1 << number));
        if libc::syscall(libc::SYS_capset, head.as_ptr(), data.as_ptr()) != 0 {
            return Err(failed("setting"));
        }
    }
    Ok(())
}
