//! Twins: an emulated machine that stands still forks itself into sandboxes, with its memory and with all that QEMU has translated by then.
//!
//! The dynamic loader puts this library before the C library in one QEMU, the mother. It runs the template's saved state and nobody else's, has been rehearsed, and
//! has been told to stop. From the first connection on its listener its first thread stays here (serve.rs): its other threads are stopped where they wait
//! in the kernel, and never go on (threads.rs). In a twin they are made anew and do, with descriptors of its own in the places of the mother's
//! (descriptors.rs), inside its own sandbox's walls and behind QEMU's own filter of system calls, which the mother keeps for it (filter.rs).
//!
//! Whatever is not as known here (a descriptor, a thread that does something) ends in no twins: machines are restored then.
#![cfg(target_arch = "x86_64")]

mod chance;
mod descriptors;
mod filter;
mod name;
mod serve;
mod threads;

use std::ffi::{CStr, c_char, c_int, c_long, c_uint, c_void};
use std::sync::atomic::{AtomicPtr, Ordering::SeqCst};

use descriptors::Kind;
use threads::Start;

/// A function of the C library, or of another, behind the one here that has its name.
struct Behind(AtomicPtr<c_void>, &'static CStr);

impl Behind {
    const fn new(name: &'static CStr) -> Behind {
        Behind(AtomicPtr::new(std::ptr::null_mut()), name)
    }

    /// # Safety
    /// `F` must be the type of the function of that name.
    unsafe fn find<F: Copy>(&self) -> Option<F> {
        if self.0.load(SeqCst).is_null() {
            // What the program has by that name comes before this library.
            for place in [libc::RTLD_NEXT, libc::RTLD_DEFAULT] {
                // SAFETY: a name that ends with NUL.
                let found = unsafe { libc::dlsym(place, self.1.as_ptr()) };
                let _ = self.0.compare_exchange(std::ptr::null_mut(), found, SeqCst, SeqCst);
            }
        }
        let found = self.0.load(SeqCst);
        // SAFETY: a function of that type, says the caller; a pointer to one is as large as any.
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
    // SAFETY: the caller's arguments, but that the thread begins and ends here.
    unsafe { PTHREAD_CREATE.get::<PthreadCreate>()(thread, attributes, begin, what) }
}

type Ppoll =
    unsafe extern "C" fn(*mut libc::pollfd, libc::nfds_t, *const libc::timespec, *const libc::sigset_t) -> c_int;
static PPOLL: Behind = Behind::new(c"ppoll");

/// What QEMU's first thread waits in. It does not hold QEMU's lock meanwhile.
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
    // SAFETY: the caller's array, as long as it says.
    unsafe { serve::waits(polls, count, |polls, count| ppoll(polls, count, time, mask)) }
}

/// QEMU wants that no fork has the machine's memory; a twin has.
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
    // Of the set the kernel knows eight bytes.
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
    // SAFETY: the caller's place, as large as it says.
    if unsafe { chance::draw(place, length) } { 0 } else { GNUTLS_E_RANDOM_FAILED }
}

/// Of libgcrypt, for a QEMU that is built with that. It cannot fail.
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
    // SAFETY: the dynamic loader hands the program's arguments to whatever it begins with.
    unsafe { name::find(count, arguments) };
    serve::prepare();
}

#[used]
#[unsafe(link_section = ".init_array")]
static LOAD: extern "C" fn(c_int, *const *mut c_char) = load;

/// The number of a system call as `syscall` wants it, and what it said, as the kernel says it.
fn call(result: c_long) -> Option<c_int> {
    (result >= 0).then_some(result as c_int)
}
