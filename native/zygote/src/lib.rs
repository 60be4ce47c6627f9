//! The zygote: a warmed interpreter that forks itself straight into sandboxes.
//!
//! The interpreter loads this library, imports what the template wants, and calls `caisson_zygote_serve`. From then on the interpreter itself does not
//! run: requests are taken here, and the call returns only in forked children. Those that were asked for are in the sandbox's pid namespace and cgroups by then; the
//! interpreter does what it has to after a fork, which takes as long as the wall's building does, and calls `caisson_zygote_enter`: that returns
//! in the sandbox's namespaces, without privileges, behind the sandbox's own system-call filter. Until then it runs the template's code and
//! nobody else's.
//!
//! It has capabilities over its own user namespace, and so over those of the sandboxes, which are made below it; and none over the host.
//! It shares the host's pid namespace, because a process can only be forked into a pid namespace below one's own, and because its end must not
//! be theirs.

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

/// Of a child that has not entered yet.
static FORK: Mutex<Option<serve::Fork>> = Mutex::new(None);

const WANTED: libc::c_int = 0;
const SPARE: libc::c_int = 1;

/// Serves requests on `listener` (SOCK_SEQPACKET, listening) until there was none for `idle_ms`; `user_namespace` is handed to keepers.
///
/// Returns in each forked child, which must enter next, and not in the parent, which ends with the process. 0: the child was asked for; 1: it was not yet,
/// and has time. -1: not called as agreed.
///
/// # Safety
/// The process must have one thread, and the descriptors must be what they are said to be.
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

/// In a forked child: waits until it is asked for, if it was not, and until its wall stands, and goes in. A step that fails is its end.
/// -1: not called as agreed.
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
