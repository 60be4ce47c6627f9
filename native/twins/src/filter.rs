//! QEMU's own seccomp filter forbids to fork and to change ids, so a mother cannot run behind it. It is captured as
//! QEMU built it, and installed in each twin.

use std::ffi::{c_int, c_void};
use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::{AsRawFd, FromRawFd};
use std::sync::OnceLock;

use libc::sock_filter;

use crate::{Behind, call};

static KEPT: OnceLock<Vec<u8>> = OnceLock::new();
type Export = unsafe extern "C" fn(*const c_void, c_int) -> c_int;
static EXPORT: Behind = Behind::new(c"seccomp_export_bpf");

/// Returns as seccomp_load(3) does: 0, or a negative errno.
pub fn keep(context: *const c_void) -> c_int {
    // SAFETY: a name that ends with NUL; the descriptor is new and ours.
    let file = unsafe {
        let made = libc::syscall(libc::SYS_memfd_create, c"filter".as_ptr(), libc::MFD_CLOEXEC);
        call(made).map(|fd| File::from_raw_fd(fd))
    };
    let Some(mut file) = file else { return -libc::ENOMEM };
    // SAFETY: libseccomp's own function and context.
    if unsafe { EXPORT.get::<Export>()(context, file.as_raw_fd()) } != 0 {
        return -libc::EINVAL;
    }
    let mut bytes = Vec::new();
    let read = file.rewind().and_then(|()| file.read_to_end(&mut bytes));
    // Only one filter is expected; a second one would be lost.
    if read.is_ok() && !bytes.is_empty() && KEPT.set(bytes).is_ok() { 0 } else { -libc::EINVAL }
}

pub fn is_kept() -> bool {
    KEPT.get().is_some()
}

/// Runs in a twin, as the last restriction. False: not installed.
pub fn set() -> bool {
    let Some(bytes) = KEPT.get() else { return false };
    let length = bytes.len() / size_of::<sock_filter>();
    let mut filter = vec![sock_filter { code: 0, jt: 0, jf: 0, k: 0 }; length];
    // SAFETY: both have this many bytes; every bit pattern is an instruction, and the kernel checks each.
    unsafe {
        std::ptr::copy_nonoverlapping(
            bytes.as_ptr(),
            filter.as_mut_ptr().cast::<u8>(),
            length * size_of::<sock_filter>(),
        );
    }
    let program = libc::sock_fprog { len: length as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the program outlives the call.
    unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program) == 0 }
}
