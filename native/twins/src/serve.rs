//! The mother: from the first connection on, QEMU's first thread serves here, and returns only in twins.

use std::ffi::c_int;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::ptr::write_volatile;
use std::sync::Mutex;
use std::sync::atomic::{AtomicPtr, Ordering::SeqCst};

use caisson_zygote::dance::Dance;
use caisson_zygote::enter::{self, Entrance};
use caisson_zygote::request::{FD_CONTROL, FD_STDERR, FD_STDOUT};
use caisson_zygote::serve::{Fork, serve};
use caisson_zygote::spare::Spares;

use crate::descriptors::{self, Identity, Own, Table};
use crate::threads::{self, Thread};
use crate::{chance, filter, name};

/// native/keeper/src/machine/qemu.rs
const LISTENER: RawFd = 7;
const USER_NAMESPACE: RawFd = 8;
const IDLE: &str = "CAISSON_TWINS_IDLE_MS";
/// QEMU waits for two dozen.
const MOST: usize = 128;

struct Mother {
    disk: Identity,
    idle_ms: c_int,
}

/// Where the C library keeps the first thread's id.
static FIRST: AtomicPtr<c_int> = AtomicPtr::new(std::ptr::null_mut());
static MOTHER: Mutex<Option<Mother>> = Mutex::new(None);

/// Called before QEMU starts.
pub fn prepare() {
    let idle_ms = std::env::var(IDLE).ok().and_then(|text| text.parse().ok());
    if let (Some(idle_ms), Some(disk), Ok(mut mother)) = (idle_ms, Identity::of(descriptors::DISK), MOTHER.lock()) {
        *mother = Some(Mother { disk, idle_ms });
        threads::listen();
    }
}

/// The wait of one of QEMU's threads. The mother's first thread also waits here for requests for twins.
///
/// # Safety
/// As ppoll(2).
pub unsafe fn waits(
    polls: *mut libc::pollfd,
    count: libc::nfds_t,
    wait: impl Fn(*mut libc::pollfd, libc::nfds_t) -> c_int,
) -> c_int {
    let serves = MOTHER.lock().is_ok_and(|mother| mother.is_some());
    if !serves || !is_first() || count as usize >= MOST {
        return wait(polls, count);
    }
    let mut more = [libc::pollfd { fd: LISTENER, events: libc::POLLIN, revents: 0 }; MOST];
    // SAFETY: the caller's array has the given length, and ours has room for one more.
    let ready = unsafe {
        more.as_mut_ptr().copy_from_nonoverlapping(polls, count as usize);
        let ready = wait(more.as_mut_ptr(), count + 1);
        polls.copy_from_nonoverlapping(more.as_ptr(), count as usize);
        ready
    };
    if ready <= 0 || more[count as usize].revents == 0 {
        return ready;
    }
    // Either this is a twin now, or there are none: in both cases QEMU's own descriptors had no event.
    bear();
    (ready - 1).max(0)
}

fn is_first() -> bool {
    // SAFETY: neither can fail.
    unsafe { libc::syscall(libc::SYS_gettid) as c_int == libc::getpid() }
}

/// Returns in a twin. In the mother it returns only if twins are impossible: it has then reported why, and closed the
/// listener.
fn bear() {
    let Some(mother) = MOTHER.lock().ok().and_then(|mut mother| mother.take()) else { return };
    let (first, table) = match prepared(&mother) {
        Ok(prepared) => prepared,
        Err(why) => {
            eprintln!("caisson twins: {why}");
            // SAFETY: ours, and no longer used.
            unsafe { libc::close(LISTENER) };
            return;
        }
    };
    FIRST.store(first.id, SeqCst);
    // Only this thread runs; the others are stopped.
    let fork = serve(LISTENER, USER_NAMESPACE, mother.idle_ms, Spares::none(), copy);
    if let Fork::Wanted(entrance) = fork {
        be_twin(entrance, &first, &table);
    }
}

fn prepared(mother: &Mother) -> Result<(Thread, Table), String> {
    let first = Thread::of_this().ok_or("the kernel does not say what it knows of a thread")?;
    if !filter::is_kept() {
        return Err("QEMU has made no filter of system calls".into());
    }
    if !chance::is_kernels() {
        return Err("QEMU's chance is not the kernel's".into());
    }
    if !threads::stop_all() {
        return Err("its threads do not stand still".into());
    }
    let table = Table::read(mother.disk, &[LISTENER, USER_NAMESPACE]);
    table.map(|table| (first, table)).map_err(|fd| format!("descriptor {fd} is not known"))
}

/// A step that fails ends the process, so that no twin can be incomplete.
fn be_twin(entrance: Entrance, first: &Thread, table: &Table) {
    first.tell_kernel();
    // From here on, errors go to the log that the keeper reads.
    // SAFETY: touches only this process's table.
    unsafe { libc::dup2(entrance.0.fds[FD_STDERR].as_raw_fd(), libc::STDERR_FILENO) };
    let (request, disk) = entrance.pass();
    let Some(disk) = disk else { enter::stop("no disk") };
    let header = request.header;
    let mut fds: Vec<Option<OwnedFd>> = request.fds.into_iter().map(Some).collect();
    let mut take = |index: usize| fds[index].take().unwrap_or_else(|| enter::stop("no descriptor"));
    let own = Own { stream: take(FD_STDOUT), log: take(FD_STDERR), control: take(FD_CONTROL), disk };
    if !table.renew(&own) {
        enter::stop("descriptors");
    }
    // These numbers are closed or reused by now.
    std::mem::forget((own, fds));
    name::take_own();
    enter::limits(&header);
    if !filter::set() {
        enter::stop("QEMU's filter");
    }
    if !threads::revive_all() {
        enter::stop("threads");
    }
}

/// As fork(2), but bypassing the C library, which would treat the other threads as ended and reuse their stacks.
///
/// # Safety
/// As `dance::copy`.
unsafe fn copy(dance: *mut Dance) -> libc::pid_t {
    let flags = libc::SIGCHLD | libc::CLONE_CHILD_SETTID | libc::CLONE_CHILD_CLEARTID;
    // SAFETY: like fork: no new stack, no shared memory. In the child, the frame that `back` refers to still exists.
    unsafe {
        let third = libc::syscall(libc::SYS_clone, flags, 0, 0, FIRST.load(SeqCst), 0) as libc::pid_t;
        if third == 0 {
            write_volatile(&raw mut (*dance).in_child, true);
            libc::setcontext(&raw const (*dance).back);
            libc::_exit(127)
        }
        third
    }
}
