//! Works around one call that gVisor of 2022 refuses. `ls` and `stat` of coreutils, and GLib, ask statx(2) not to
//! trigger automounts (AT_NO_AUTOMOUNT). That gVisor has no automounts, but answers "Invalid argument" instead of
//! ignoring the flag. The dynamic loader loads this library before the C library (/etc/ld.so.preload). It does not
//! reach programs that are linked statically or with another C library, or that call the kernel directly. It is no
//! security boundary.
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

/// Nothing here can panic, but the language requires a handler.
#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
