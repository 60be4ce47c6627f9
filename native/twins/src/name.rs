//! Whose machine a QEMU runs is told by its command line, for whoever looks at the host's processes. A twin has its mother's: there it says its own name.

use std::ffi::{CStr, c_char, c_int};
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering::SeqCst};

static PLACE: AtomicPtr<c_char> = AtomicPtr::new(std::ptr::null_mut());
static LENGTH: AtomicUsize = AtomicUsize::new(0);

/// Finds where it is said.
///
/// # Safety
/// The arguments of the program, as they were given to it.
pub unsafe fn find(count: c_int, arguments: *const *mut c_char) {
    for index in 1..count.max(1) as usize {
        // SAFETY: within them; each ends with NUL.
        unsafe {
            if CStr::from_ptr(*arguments.add(index - 1)) == c"-name" && index < count as usize {
                let place = *arguments.add(index);
                LENGTH.store(CStr::from_ptr(place).count_bytes(), SeqCst);
                PLACE.store(place, SeqCst);
            }
        }
    }
}

/// Of the sandbox: the host name of its namespace. Cut to what there is room for.
pub fn take_own() {
    let (place, length) = (PLACE.load(SeqCst), LENGTH.load(SeqCst));
    let mut name = [0u8; 65];
    if place.is_null() || length >= name.len() {
        return;
    }
    // SAFETY: as much room as is said, and of the program's own arguments as much as there was.
    unsafe {
        if libc::gethostname(name.as_mut_ptr().cast(), name.len()) == 0 {
            place.cast::<u8>().copy_from_nonoverlapping(name.as_ptr(), length);
        }
    }
}
