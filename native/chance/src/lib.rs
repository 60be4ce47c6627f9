//! A Node addon for a process that continues from the memory of another one: makes OpenSSL reseed from the kernel.
//! `node:crypto` has no call for that, and OpenSSL does so by itself only when the process id changes. Each thread's
//! generator follows at its next draw, because it notices that its parent was reseeded.
//!
//! Loading it is calling it, each time. What it exports is whether OpenSSL is seeded.
#![cfg_attr(not(test), no_std)]

use core::ffi::{c_int, c_void};
use core::ptr::null_mut;

type Env = *mut c_void;
type Value = *mut c_void;

// Node provides all of them; OpenSSL's either by itself or through the library that it is linked with.
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
    // SAFETY: within Node's call, with its own arguments; OpenSSL does its own locking.
    unsafe {
        // RAND_poll only reports that it polled, not what it got.
        let has = RAND_poll() == 1 && RAND_status() == 1;
        napi_get_boolean(env, has, &raw mut answer);
    }
    answer
}

/// Nothing here can panic, but the language requires a handler.
#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
