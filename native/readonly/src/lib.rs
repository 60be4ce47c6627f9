//! Works around a limitation of QEMU before 8.2, which cannot be told to map a machine's memory file privately and
//! never write to it. It opens such a file for writing, which must not be possible for a file that many machines are
//! restored from. The dynamic loader loads this library before the C library, and it opens that one path read-only,
//! which is enough for a private mapping. It is no security boundary: the file is on a read-only mount, and without the
//! library restoring simply fails.
#![cfg_attr(not(test), no_std)]

use core::ffi::{CStr, c_char, c_int, c_long, c_uint};

/// native/keeper/src/machine/stage.rs
const MEMORY: &CStr = c"/memory";
/// linux/fcntl.h
const O_ACCMODE: c_int = 3;
const O_RDWR: c_int = 2;
const AT_FDCWD: c_int = -100;
#[cfg(target_arch = "x86_64")]
const OPENAT: c_long = 257;
#[cfg(not(target_arch = "x86_64"))]
const OPENAT: c_long = 56;

unsafe extern "C" {
    fn syscall(number: c_long, ...) -> c_long;
}

/// As open(2).
///
/// # Safety
/// As for the C library's own: `path` ends with NUL. `mode` is read only where the flags create a file.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn open64(path: *const c_char, flags: c_int, mode: c_uint) -> c_int {
    // SAFETY: promised by the caller; it ends with NUL.
    let is_memory = unsafe { CStr::from_ptr(path) } == MEMORY;
    let flags = if is_memory && flags & O_ACCMODE == O_RDWR { flags & !O_ACCMODE } else { flags };
    // SAFETY: the caller's arguments, passed on; `syscall` sets errno as the C library's function does.
    unsafe { syscall(OPENAT, AT_FDCWD, path, flags, mode) as c_int }
}

/// What a fortified build (_FORTIFY_SOURCE) calls instead of open64 without a mode.
///
/// # Safety
/// As for `open64`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __open64_2(path: *const c_char, flags: c_int) -> c_int {
    // SAFETY: the caller's arguments, passed on.
    unsafe { open64(path, flags, 0) }
}

/// Nothing here can panic, but the language requires a handler.
#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
