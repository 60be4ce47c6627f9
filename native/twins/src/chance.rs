//! The randomness that QEMU gives a machine as RDRAND. The library that QEMU uses draws it from internal state, so that
//! twins would draw the same sequence. Here each draw comes from the kernel.

use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use crate::Behind;

static DRAWN: AtomicU64 = AtomicU64::new(0);

type Draw = unsafe extern "C" fn(*mut c_void, usize, *mut c_void) -> c_int;
static QEMUS: Behind = Behind::new(c"qemu_guest_getrandom");

/// Whether QEMU draws from here. A QEMU built with another library can have no twins.
pub fn is_kernels() -> bool {
    let (before, mut bytes) = (DRAWN.load(SeqCst), [0u8; 8]);
    // SAFETY: QEMU's own function, if it has it; the buffer is ours, and the error is ignored.
    let drawn = unsafe {
        let draw = QEMUS.find::<Draw>();
        draw.is_some_and(|draw| draw(bytes.as_mut_ptr().cast(), bytes.len(), std::ptr::null_mut()) == 0)
    };
    drawn && DRAWN.load(SeqCst) > before
}

/// False: the kernel provides none.
///
/// # Safety
/// `place` has `length` bytes.
pub unsafe fn draw(place: *mut c_void, length: usize) -> bool {
    let mut done = 0;
    while done < length {
        // SAFETY: within the caller's buffer.
        let got = unsafe { libc::getrandom(place.byte_add(done), length - done, 0) };
        match usize::try_from(got) {
            Ok(got) => done += got,
            Err(_) if std::io::Error::last_os_error().kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return false,
        }
    }
    DRAWN.fetch_add(1, SeqCst);
    true
}
