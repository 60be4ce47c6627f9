//! For Node, inside, in a process that goes on from the memory of another: has OpenSSL ask the kernel for chance anew. `node:crypto` has no call for that, and OpenSSL does it by itself only in a
//! process of another id. What each thread draws from follows at its next draw: it sees that what it is fed by has been fed.
//!
//! To load it is to call it, each time; what it exports is whether OpenSSL has chance.
#![cfg_attr(not(test), no_std)]

use core::ffi::{c_int, c_void};
use core::ptr::null_mut;

type Env = *mut c_void;
type Value = *mut c_void;

// Node brings all of them: OpenSSL's with those of its own, or by the library that it is linked with.
unsafe extern "C" {
    fn RAND_poll() -> c_int;
    fn RAND_status() -> c_int;
    fn napi_get_boolean(env: Env, value: bool, made: *mut Value) -> c_int;
}

/// # Safety
/// Called by Node when it loads the library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn napi_register_module_v1(env: Env, _exports: Value) -> Value {
    let mut answer = null_mut();
    // SAFETY: within Node's call, with what it gave; OpenSSL does its own locking.
    unsafe {
        // That it polled is all that the first one answers, whatever it got.
        let has = RAND_poll() == 1 && RAND_status() == 1;
        napi_get_boolean(env, has, &raw mut answer);
    }
    answer
}

/// Nothing here can panic; the language wants to be told what would happen.
#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
