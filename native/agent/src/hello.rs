//! What an engine is tried with (host/walls/gvisor/trial.ts): that it runs a program at all, and what it refuses that everyday programs ask for.

use std::mem::MaybeUninit;

pub fn say() {
    println!("hello from inside");
    if refuses_no_automount() {
        println!("statx refuses AT_NO_AUTOMOUNT");
    }
}

fn refuses_no_automount() -> bool {
    let mut found = MaybeUninit::<libc::statx>::uninit();
    let flags = libc::AT_NO_AUTOMOUNT;
    // SAFETY: the path ends with NUL, and the structure outlives the call.
    let result = unsafe { libc::statx(libc::AT_FDCWD, c"/".as_ptr(), flags, libc::STATX_TYPE, found.as_mut_ptr()) };
    result != 0
}
