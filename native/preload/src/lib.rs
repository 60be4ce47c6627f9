//! Mends, inside, one call that gVisor of 2022 refuses. `ls` and `stat` of coreutils, and GLib, ask statx(2) not to mount what is to be mounted on
//! demand (AT_NO_AUTOMOUNT). That gVisor knows no such file systems, and answers "Invalid argument" instead of leaving out what it has not. The
//! dynamic loader puts this library before the C library (/etc/ld.so.preload); a program that is linked statically, or with another C library,
//! or that calls the kernel by itself, is not reached. It is no wall: nothing is kept from anybody by it.
#![cfg_attr(not(test), no_std)]

use core::ffi::{c_char, c_int, c_long, c_uint, c_void};

/// linux/fcntl.h
const AT_NO_AUTOMOUNT: c_int = 0x800;
#[cfg(target_arch = "x86_64")]
const STATX: c_long = 332;
#[cfg(not(target_arch = "x86_64"))]
const STATX: c_long = 291;

unsafe extern "C" {
    fn syscall(number: c_long, ...) -> c_long;
}

/// As statx(2), without the flag.
///
/// # Safety
/// As for the C library's own: `path` ends with NUL, `buffer` has room for a `struct statx`. The kernel checks both.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn statx(
    dir: c_int,
    path: *const c_char,
    flags: c_int,
    mask: c_uint,
    buffer: *mut c_void,
) -> c_int {
    // SAFETY: the caller's arguments, passed on; `syscall` sets errno as the C library's function does.
    unsafe { syscall(STATX, dir, path, flags & !AT_NO_AUTOMOUNT, mask, buffer) as c_int }
}

/// Nothing here can panic; the language wants to be told what would happen.
#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
