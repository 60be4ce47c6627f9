//! Twins: a stopped emulated machine forks itself into sandboxes, with its memory and with all code that QEMU has
//! translated by then.
//!
//! The dynamic loader loads this library before the C library into one QEMU, the mother. The mother runs only the
//! template's saved state, has been rehearsed, and has been told to stop. From the first connection to its listener on,
//! its first thread stays here (serve.rs), and its other threads are stopped where they wait in the kernel, for good
//! (threads.rs). In a twin these threads are recreated and continue, with the twin's own descriptors in place of the
//! mother's (descriptors.rs), inside the walls of its own sandbox and behind QEMU's own seccomp filter, which the
//! mother keeps for it (filter.rs). What QEMU knows of a machine's pages is kept while it waits (tables.rs).
//!
//! Anything unexpected (an unknown descriptor, a busy thread) means that there are no twins; machines are then
//! restored.
#![cfg(target_arch = "x86_64")]

mod chance;
mod descriptors;
mod filter;
mod name;
mod serve;
mod tables;
mod threads;

use std::ffi::{CStr, c_char, c_int, c_long, c_uint, c_void};
use std::sync::atomic::{AtomicPtr, Ordering::SeqCst};

use descriptors::Kind;
use threads::Start;

/// The function of the C library, or of another library, that a function of the same name here replaces.
struct Behind(AtomicPtr<c_void>, &'static CStr);

impl Behind {
    const fn new(name: &'static CStr) -> Behind {
        Behind(AtomicPtr::new(std::ptr::null_mut()), name)
    }

    /// # Safety
    /// `F` must be the type of the function of that name.
    unsafe fn find<F: Copy>(&self) -> Option<F> {
        if self.0.load(SeqCst).is_null() {
            // RTLD_NEXT skips the program itself, whose own functions come before this library; hence RTLD_DEFAULT.
            for place in [libc::RTLD_NEXT, libc::RTLD_DEFAULT] {
                // SAFETY: a NUL-terminated name.
                let found = unsafe { libc::dlsym(place, self.1.as_ptr()) };
                let _ = self.0.compare_exchange(std::ptr::null_mut(), found, SeqCst, SeqCst);
            }
        }
        let found = self.0.load(SeqCst);
        // SAFETY: the caller promises the type; all function pointers have the same size.
        (!found.is_null()).then(|| unsafe { std::mem::transmute_copy(&found) })
    }

    /// # Safety
    /// As above.
    unsafe fn get<F: Copy>(&self) -> F {
        // SAFETY: as above.
        unsafe { self.find() }.unwrap_or_else(|| panic!("{:?} is nowhere", self.1))
    }
}

type PthreadCreate =
    unsafe extern "C" fn(*mut libc::pthread_t, *const libc::pthread_attr_t, Start, *mut c_void) -> c_int;
static PTHREAD_CREATE: Behind = Behind::new(c"pthread_create");

/// # Safety
/// As pthread_create(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pthread_create(
    thread: *mut libc::pthread_t,
    attributes: *const libc::pthread_attr_t,
    start: Start,
    argument: *mut c_void,
) -> c_int {
    let (begin, what) = threads::known(start, argument);
    // SAFETY: the caller's arguments, except that the thread starts and ends here.
    unsafe { PTHREAD_CREATE.get::<PthreadCreate>()(thread, attributes, begin, what) }
}

type Ppoll =
    unsafe extern "C" fn(*mut libc::pollfd, libc::nfds_t, *const libc::timespec, *const libc::sigset_t) -> c_int;
static PPOLL: Behind = Behind::new(c"ppoll");

/// Where QEMU's first thread waits. It does not hold QEMU's lock meanwhile.
///
/// # Safety
/// As ppoll(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ppoll(
    polls: *mut libc::pollfd,
    count: libc::nfds_t,
    time: *const libc::timespec,
    mask: *const libc::sigset_t,
) -> c_int {
    // SAFETY: a function of that type.
    let ppoll = unsafe { PPOLL.get::<Ppoll>() };
    // SAFETY: the caller's array, with the length given.
    unsafe { serve::waits(polls, count, |polls, count| ppoll(polls, count, time, mask)) }
}

/// QEMU asks that forks do not inherit the machine's memory, but a twin needs it.
///
/// # Safety
/// As madvise(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn madvise(place: *mut c_void, length: usize, advice: c_int) -> c_int {
    if advice == libc::MADV_DONTFORK {
        return 0;
    }
    // SAFETY: the caller's arguments, passed on; `syscall` sets errno as the C library's function does.
    unsafe { libc::syscall(libc::SYS_madvise, place, length, advice) as c_int }
}

/// # Safety
/// As eventfd(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn eventfd(count: c_uint, flags: c_int) -> c_int {
    // SAFETY: no pointers.
    descriptors::note(unsafe { libc::syscall(libc::SYS_eventfd2, count, flags) }, Kind::Event)
}

/// # Safety
/// As epoll_create1(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epoll_create1(flags: c_int) -> c_int {
    // SAFETY: no pointers.
    descriptors::note(unsafe { libc::syscall(libc::SYS_epoll_create1, flags) }, Kind::Epoll)
}

/// # Safety
/// As signalfd(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn signalfd(fd: c_int, mask: *const libc::sigset_t, flags: c_int) -> c_int {
    // The kernel reads eight bytes of the set.
    // SAFETY: the caller's set.
    let (made, set) = unsafe { (libc::syscall(libc::SYS_signalfd4, fd, mask, 8, flags), *mask.cast::<u64>()) };
    descriptors::note(made, Kind::Signals(set))
}

/// # Safety
/// As seccomp_load(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn seccomp_load(context: *mut c_void) -> c_int {
    filter::keep(context)
}

/// # Safety
/// As gnutls_rnd(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gnutls_rnd(_level: c_int, place: *mut c_void, length: usize) -> c_int {
    const GNUTLS_E_RANDOM_FAILED: c_int = -206;
    // SAFETY: the caller's buffer, with the length given.
    if unsafe { chance::draw(place, length) } { 0 } else { GNUTLS_E_RANDOM_FAILED }
}

/// The same for libgcrypt, if QEMU is built with it. It cannot report failure.
///
/// # Safety
/// As gcry_randomize.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gcry_randomize(place: *mut c_void, length: usize, _level: c_int) {
    // SAFETY: as above.
    if !unsafe { chance::draw(place, length) } {
        std::process::abort();
    }
}

extern "C" fn load(count: c_int, arguments: *const *mut c_char) {
    // SAFETY: the dynamic loader passes the program's arguments to initialisers.
    unsafe { name::find(count, arguments) };
    serve::prepare();
    tables::prepare();
}

#[used]
#[unsafe(link_section = ".init_array")]
static LOAD: extern "C" fn(c_int, *const *mut c_char) = load;

/// The successful result of a system call; None on an error.
fn call(result: c_long) -> Option<c_int> {
    (result >= 0).then_some(result as c_int)
}
