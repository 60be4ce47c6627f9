//! The part of Node-API that is used here (node_api.h). Its names and types have not changed since Node 10, and Node
//! itself provides it.

use std::ffi::{CStr, c_char, c_void};
use std::ptr::{null, null_mut};

pub type Env = *mut c_void;
pub type Value = *mut c_void;
type Info = *mut c_void;
pub type Callback = unsafe extern "C" fn(Env, Info) -> Value;
type Finalize = unsafe extern "C" fn(Env, *mut c_void, *mut c_void);

unsafe extern "C" {
    fn napi_create_function(
        env: Env,
        name: *const c_char,
        length: usize,
        callback: Callback,
        data: *mut c_void,
        made: *mut Value,
    ) -> i32;
    fn napi_set_named_property(env: Env, object: Value, name: *const c_char, value: Value) -> i32;
    fn napi_get_cb_info(
        env: Env,
        info: Info,
        count: *mut usize,
        arguments: *mut Value,
        this: *mut Value,
        data: *mut *mut c_void,
    ) -> i32;
    fn napi_get_value_string_utf8(env: Env, value: Value, buffer: *mut c_char, size: usize, length: *mut usize) -> i32;
    fn napi_create_string_utf8(env: Env, text: *const c_char, length: usize, made: *mut Value) -> i32;
    fn napi_get_value_double(env: Env, value: Value, number: *mut f64) -> i32;
    fn napi_throw_error(env: Env, code: *const c_char, message: *const c_char) -> i32;
    fn napi_create_external(
        env: Env,
        data: *mut c_void,
        finalize: Finalize,
        hint: *mut c_void,
        made: *mut Value,
    ) -> i32;
    fn napi_get_value_external(env: Env, value: Value, data: *mut *mut c_void) -> i32;
}

/// Node refused the call: it has a pending exception, or the arguments had other types.
pub struct Refused;

fn held(status: i32) -> Result<(), Refused> {
    if status == 0 { Ok(()) } else { Err(Refused) }
}

/// # Safety
/// Within a call from Node, with its own arguments.
pub unsafe fn export(env: Env, exports: Value, name: &CStr, callback: Callback) -> Result<(), Refused> {
    let mut made = null_mut();
    // SAFETY: as promised by the caller; the name outlives the calls.
    unsafe {
        held(napi_create_function(env, name.as_ptr(), name.count_bytes(), callback, null_mut(), &raw mut made))?;
        held(napi_set_named_property(env, exports, name.as_ptr(), made))
    }
}

/// # Safety
/// Within a call from Node, with its own arguments.
pub unsafe fn arguments<const COUNT: usize>(env: Env, info: Info) -> Result<[Value; COUNT], Refused> {
    let (mut count, mut arguments) = (COUNT, [null_mut(); COUNT]);
    // SAFETY: as promised by the caller; the array has the length that is said.
    held(unsafe { napi_get_cb_info(env, info, &raw mut count, arguments.as_mut_ptr(), null_mut(), null_mut()) })?;
    if count == COUNT { Ok(arguments) } else { Err(Refused) }
}

/// # Safety
/// Within a call from Node, with its own arguments.
pub unsafe fn text(env: Env, value: Value) -> Result<String, Refused> {
    let mut length = 0;
    // SAFETY: as promised by the caller; the first call asks for the length alone, the buffer of the second holds it and a NUL.
    let bytes = unsafe {
        held(napi_get_value_string_utf8(env, value, null_mut(), 0, &raw mut length))?;
        let mut bytes = vec![0u8; length + 1];
        held(napi_get_value_string_utf8(env, value, bytes.as_mut_ptr().cast(), bytes.len(), &raw mut length))?;
        bytes.truncate(length);
        bytes
    };
    String::from_utf8(bytes).map_err(|_| Refused)
}

/// # Safety
/// Within a call from Node, with its own arguments.
pub unsafe fn number(env: Env, value: Value) -> Result<f64, Refused> {
    let mut number = 0.0;
    // SAFETY: as promised by the caller.
    held(unsafe { napi_get_value_double(env, value, &raw mut number) })?;
    Ok(number)
}

/// # Safety
/// Within a call from Node, with its own arguments.
pub unsafe fn string(env: Env, text: &str) -> Value {
    let mut made = null_mut();
    // SAFETY: as promised by the caller. On failure it stays null, which Node takes for undefined.
    unsafe { napi_create_string_utf8(env, text.as_ptr().cast(), text.len(), &raw mut made) };
    made
}

/// # Safety
/// Within a call from Node, with its own arguments.
pub unsafe fn throw(env: Env, message: &str) -> Value {
    let message: Vec<u8> = message.bytes().filter(|byte| *byte != 0).chain([0]).collect();
    // SAFETY: as promised by the caller; the text ends with NUL.
    unsafe { napi_throw_error(env, null(), message.as_ptr().cast()) };
    null_mut()
}

/// Wraps a value of ours, which Node keeps until it is garbage-collected.
///
/// # Safety
/// Within a call from Node, with its own arguments.
pub unsafe fn wrap<T>(env: Env, thing: T) -> Value {
    let mut made = null_mut();
    let data = Box::into_raw(Box::new(thing)).cast();
    // SAFETY: as promised by the caller; what is wrapped is what `let_go` frees.
    unsafe { napi_create_external(env, data, let_go::<T>, null_mut(), &raw mut made) };
    made
}

unsafe extern "C" fn let_go<T>(_env: Env, data: *mut c_void, _hint: *mut c_void) {
    // SAFETY: made by `wrap` of the same kind; Node calls once.
    drop(unsafe { Box::from_raw(data.cast::<T>()) });
}

/// # Safety
/// Within a call from Node, with its own arguments; `value` came from `wrap` of the same kind.
pub unsafe fn unwrapped<'call, T>(env: Env, value: Value) -> Result<&'call mut T, Refused> {
    let mut data = null_mut();
    // SAFETY: as promised by the caller. JavaScript has one thread, so nobody else accesses it during the call.
    unsafe {
        held(napi_get_value_external(env, value, &raw mut data))?;
        data.cast::<T>().as_mut().ok_or(Refused)
    }
}
