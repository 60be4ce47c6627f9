//! Fills places that would be the same in all forks with kernel randomness in each: the states of the interpreter's
//! random generators. Reseeding through the interpreter would touch hundreds of pages.

use std::sync::Mutex;

const MOST: usize = 8;

static PLACES: Mutex<Vec<(usize, usize)>> = Mutex::new(Vec::new());

/// Registers a place that each fork fills with randomness from now on. -1: no more places can be registered.
///
/// # Safety
/// The place must be the interpreter's to write, all of it and as long as it serves, and any content must be valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caisson_zygote_fill(address: *mut libc::c_void, length: libc::size_t) -> libc::c_int {
    match PLACES.lock() {
        Ok(mut places) if places.len() < MOST && !address.is_null() => {
            places.push((address as usize, length));
            0
        }
        _ => -1,
    }
}

/// Runs in a fork, which cannot go on without randomness.
pub fn fill() {
    let Ok(places) = PLACES.lock() else { stop() };
    for &(address, length) in places.iter() {
        let mut done = 0;
        while done < length {
            // SAFETY: within a place that the interpreter registered (caisson_zygote_fill).
            match unsafe { libc::getrandom((address + done) as *mut libc::c_void, length - done, 0) } {
                more if more > 0 => done += more as usize,
                _ if std::io::Error::last_os_error().kind() == std::io::ErrorKind::Interrupted => {}
                _ => stop(),
            }
        }
    }
}

fn stop() -> ! {
    eprintln!("caisson zygote child: randomness: {}", std::io::Error::last_os_error());
    // SAFETY: ends this process without running the interpreter's exit handlers.
    unsafe { libc::_exit(126) }
}
