//! What QEMU gives a machine as its processor's chance (RDRAND). The library that it asks keeps a state and draws from that: twins would draw the same numbers, one after the other. Here
//! each draw is the kernel's.

use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use crate::Behind;

static DRAWN: AtomicU64 = AtomicU64::new(0);

type Draw = unsafe extern "C" fn(*mut c_void, usize, *mut c_void) -> c_int;
static QEMUS: Behind = Behind::new(c"qemu_guest_getrandom");

/// Whether QEMU draws from here. Another that was built with something else has no twins.
pub fn is_kernels() -> bool {
    let (before, mut bytes) = (DRAWN.load(SeqCst), [0u8; 8]);
    // SAFETY: QEMU's own function, where it has it; the place is ours, and nobody wants to know what went wrong.
    let drawn = unsafe {
        let draw = QEMUS.find::<Draw>();
        draw.is_some_and(|draw| draw(bytes.as_mut_ptr().cast(), bytes.len(), std::ptr::null_mut()) == 0)
    };
    drawn && DRAWN.load(SeqCst) > before
}

/// False: the kernel gives none.
///
/// # Safety
/// There is as much room.
pub unsafe fn draw(place: *mut c_void, length: usize) -> bool {
    let mut done = 0;
    while done < length {
        // SAFETY: within what the caller has.
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
