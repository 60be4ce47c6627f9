//! The zygote: a warm interpreter that forks itself straight into sandboxes.
//!
//! The interpreter loads this library, imports what the template wants, and calls `caisson_zygote_serve`. From then on
//! the interpreter itself does not run: requests are handled here, and the call returns only in forked children. A
//! requested child is in the sandbox's pid namespace and cgroups by then. The interpreter does its own work after a
//! fork, which takes as long as building the wall, and calls `caisson_zygote_enter`. That call returns in the sandbox's
//! namespaces, without privileges, behind the sandbox's own seccomp filter. Until then the child runs only the
//! template's code.
//!
//! The zygote has capabilities over its own user namespace, and so over those of the sandboxes, which are created below
//! it, but none over the host. It shares the host's pid namespace, because a process can only be forked into a pid
//! namespace below its own, and because the sandboxes' processes must outlive the zygote.

pub mod dance;
pub mod enter;
pub mod message;
pub mod request;
pub mod serve;
pub mod spare;

mod arenas;
mod fresh;
mod huge;
mod moving;

use std::sync::Mutex;

/// A forked child that has not entered yet.
static FORK: Mutex<Option<serve::Fork>> = Mutex::new(None);

const WANTED: libc::c_int = 0;
const SPARE: libc::c_int = 1;

/// Serves requests on `listener` (SOCK_SEQPACKET, listening) until none came for `idle_ms`. `user_namespace` is handed
/// to keepers.
///
/// Returns in each forked child, which must enter next. Never returns in the parent, which exits here. 0: the child was
/// requested; 1: it is a spare, and has time. -1: invalid arguments.
///
/// # Safety
/// The process must have one thread, and the descriptors must be as described.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caisson_zygote_serve(
    listener: libc::c_int,
    user_namespace: libc::c_int,
    idle_ms: libc::c_int,
) -> libc::c_int {
    if listener < 0 || user_namespace < 0 || idle_ms <= 0 {
        return -1;
    }
    huge::gather();
    let fork = serve::serve(listener, user_namespace, idle_ms, spare::Spares::new(), dance::copy);
    fresh::fill();
    let kind = if matches!(fork, serve::Fork::Spare(_)) { SPARE } else { WANTED };
    FORK.lock().map_or(-1, |mut held| {
        *held = Some(fork);
        kind
    })
}

/// In a forked child: a spare waits until it is requested, every child waits until its wall stands, then it enters. A
/// step that fails ends the process. -1: called without a fork.
///
/// # Safety
/// The process must have one thread; every descriptor but the first four is closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caisson_zygote_enter() -> libc::c_int {
    match FORK.lock().ok().and_then(|mut held| held.take()) {
        Some(serve::Fork::Wanted(entrance)) => entrance.enter(),
        Some(serve::Fork::Spare(waiting)) => waiting.wait().enter(),
        None => return -1,
    }
    0
}
