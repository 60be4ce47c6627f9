//! QEMU's command line names its sandbox, for whoever lists the host's processes. A twin inherits its mother's, and
//! replaces the name by its own.

use std::ffi::{CStr, c_char, c_int};
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering::SeqCst};

static PLACE: AtomicPtr<c_char> = AtomicPtr::new(std::ptr::null_mut());
static LENGTH: AtomicUsize = AtomicUsize::new(0);

/// Finds the name in the arguments.
///
/// # Safety
/// These are the program's arguments, as it received them.
pub unsafe fn find(count: c_int, arguments: *const *mut c_char) {
    for index in 1..count.max(1) as usize {
        // SAFETY: within the arguments; each ends with NUL.
        unsafe {
            if CStr::from_ptr(*arguments.add(index - 1)) == c"-name" && index < count as usize {
                let place = *arguments.add(index);
                LENGTH.store(CStr::from_ptr(place).count_bytes(), SeqCst);
                PLACE.store(place, SeqCst);
            }
        }
    }
}

/// Writes the sandbox's name, which is its host name, cut to the available space.
pub fn take_own() {
    let (place, length) = (PLACE.load(SeqCst), LENGTH.load(SeqCst));
    let mut name = [0u8; 65];
    if place.is_null() || length >= name.len() {
        return;
    }
    // SAFETY: the buffer has the given size, and the argument has at least this length.
    unsafe {
        if libc::gethostname(name.as_mut_ptr().cast(), name.len()) == 0 {
            place.cast::<u8>().copy_from_nonoverlapping(name.as_ptr(), length);
        }
    }
}
