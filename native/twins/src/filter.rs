//! QEMU's own filter of system calls forbids to fork, and to become somebody else: a mother would be none behind it. It is kept as QEMU has made it, and set in each twin.

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

/// As seccomp_load(3): 0, or an error's number below it.
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
    // One filter is known of; a second would be lost.
    if read.is_ok() && !bytes.is_empty() && KEPT.set(bytes).is_ok() { 0 } else { -libc::EINVAL }
}

pub fn is_kept() -> bool {
    KEPT.get().is_some()
}

/// In a twin, last of all. False: it is not set.
pub fn set() -> bool {
    let Some(bytes) = KEPT.get() else { return false };
    let length = bytes.len() / size_of::<sock_filter>();
    let mut filter = vec![sock_filter { code: 0, jt: 0, jf: 0, k: 0 }; length];
    // SAFETY: as many bytes as both have; every pattern is an instruction, and the kernel checks each.
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
