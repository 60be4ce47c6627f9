//! QEMU remembers where a machine's pages are in a table per CPU. It makes the table larger as needed when the machine
//! has it cleared, and smaller if little was needed for a tenth of a second. A machine that waits for its owner needs
//! little, so the owner's first run would find a small table and look up thousands of pages. So here that tenth of a
//! second is measured in time for which the CPU has worked, and is a second.

use std::arch::naked_asm;
use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::{Behind, threads};

/// How much slower the clock of the tables is than the CPU's own.
const SLOWER: i64 = 10;
/// A machine's real-time clock is read through this function, and the time is left as it is for it.
static REAL: Behind = Behind::new(c"qemu_clock_get_ns");
/// It is shorter than this.
const REAL_BYTES: usize = 512;
/// QEMU's first thread emulates no CPU.
static FIRST: AtomicUsize = AtomicUsize::new(0);

/// Called before QEMU starts, by its first thread.
pub fn prepare() {
    FIRST.store(threads::own(), Relaxed);
}

/// gettimeofday(2), as `cputlb.c` of QEMU calls it. Adds the place that it returns to.
///
/// # Safety
/// As gettimeofday(2).
#[unsafe(naked)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gettimeofday(place: *mut libc::timeval, zone: *mut c_void) -> c_int {
    naked_asm!("mov rdx, [rsp]", "jmp {time}", time = sym time)
}

/// # Safety
/// As gettimeofday(2).
unsafe extern "C" fn time(place: *mut libc::timeval, _zone: *mut c_void, caller: usize) -> c_int {
    let clock = if is_of_table(caller) { libc::CLOCK_THREAD_CPUTIME_ID } else { libc::CLOCK_REALTIME };
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: our own place; then the caller's.
    unsafe {
        let told = libc::clock_gettime(clock, &raw mut now);
        let slower = if clock == libc::CLOCK_REALTIME { 1 } else { SLOWER };
        let us = (now.tv_sec * 1_000_000 + now.tv_nsec / 1000) / slower;
        *place = libc::timeval { tv_sec: us / 1_000_000, tv_usec: us % 1_000_000 };
        told
    }
}

/// Where QEMU has no such function, nothing tells the two apart, and all get the time as it is.
fn is_of_table(caller: usize) -> bool {
    // SAFETY: only its place is of interest.
    let real = unsafe { REAL.find::<usize>() };
    threads::own() != FIRST.load(Relaxed) && real.is_some_and(|real| !(real..real + REAL_BYTES).contains(&caller))
}
