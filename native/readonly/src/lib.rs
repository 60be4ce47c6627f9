//! Mends, for QEMU before 8.2, one thing that it cannot say: that a file with a machine's memory is to be mapped by itself, and never written. It opens
//! such a file for writing, which a file that many machines are restored from must not be. This library, which the dynamic loader puts before the C
//! library, opens that one path for reading; a private mapping needs no more. It is no wall: the file lies on a read-only mount, and without the
//! library nothing is restored.
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
/// As for the C library's own: `path` ends with NUL. `mode` is looked at only where the flags make a file.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn open64(path: *const c_char, flags: c_int, mode: c_uint) -> c_int {
    // SAFETY: the caller's; it ends with NUL.
    let is_memory = unsafe { CStr::from_ptr(path) } == MEMORY;
    let flags = if is_memory && flags & O_ACCMODE == O_RDWR { flags & !O_ACCMODE } else { flags };
    // SAFETY: the caller's arguments, passed on; `syscall` sets errno as the C library's function does.
    unsafe { syscall(OPENAT, AT_FDCWD, path, flags, mode) as c_int }
}

/// What a compiler that looks for mistakes makes of a call without a mode.
///
/// # Safety
/// As for `open64`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __open64_2(path: *const c_char, flags: c_int) -> c_int {
    // SAFETY: the caller's arguments, passed on.
    unsafe { open64(path, flags, 0) }
}

/// Nothing here can panic; the language wants to be told what would happen.
#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
