//! The audit log for a host: a Node addon, because Node cannot lock files.
//!
//! `open(path)` returns a log. `append(log, fields)` returns `[seq, hash]` as JSON, `end(log)` the same for the last
//! record, or nothing. `rotate(log, bytes, fields)` returns the name of the full file, or nothing. `close(log)` closes
//! its descriptors. `datagram(path, text)` sends a text to a local socket, for a syslog that listens for datagrams,
//! which Node cannot send either; an empty text only checks whether somebody listens. `redacted(log, asked)` removes
//! secrets: `asked` is `{words, texts, known}` as JSON, and so is the answer. `secret(name)` returns the name if a
//! variable of that name is a secret, or nothing. Each throws with the reason.

mod asked;
mod datagram;
mod node;

use std::path::Path;
use std::ptr::null_mut;

use caisson_audit::{Chain, Redaction, is_secret};
use node::{Env, Value};

type Log = Option<(Chain, Redaction)>;

/// # Safety
/// Called by Node when it loads the library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn napi_register_module_v1(env: Env, exports: Value) -> Value {
    // SAFETY: within Node's call.
    let exported = unsafe {
        node::export(env, exports, c"open", open)
            .and_then(|()| node::export(env, exports, c"append", append))
            .and_then(|()| node::export(env, exports, c"end", end))
            .and_then(|()| node::export(env, exports, c"rotate", rotate))
            .and_then(|()| node::export(env, exports, c"close", close))
            .and_then(|()| node::export(env, exports, c"datagram", datagram))
            .and_then(|()| node::export(env, exports, c"redacted", redacted))
            .and_then(|()| node::export(env, exports, c"secret", secret))
    };
    if exported.is_ok() { exports } else { null_mut() }
}

const OTHER: &str = "other arguments than agreed";
const CLOSED: &str = "the log has been closed";

unsafe extern "C" fn open(env: Env, info: *mut std::ffi::c_void) -> Value {
    // SAFETY: within Node's call, with its own arguments.
    unsafe {
        let path = node::arguments::<1>(env, info).and_then(|[path]| node::text(env, path));
        match path.map(|path| Chain::open(Path::new(&path)).map(|chain| (chain, Redaction::beside(Path::new(&path))))) {
            Ok(Ok(both)) => node::wrap::<Log>(env, Some(both)),
            Ok(Err(error)) => node::throw(env, &error.to_string()),
            Err(_) => node::throw(env, OTHER),
        }
    }
}

unsafe extern "C" fn append(env: Env, info: *mut std::ffi::c_void) -> Value {
    // SAFETY: within Node's call, with its own arguments.
    unsafe {
        let Ok([log, fields]) = node::arguments(env, info) else { return node::throw(env, OTHER) };
        let (Ok(log), Ok(fields)) = (node::unwrapped::<Log>(env, log), node::text(env, fields)) else {
            return node::throw(env, OTHER);
        };
        let Some((chain, _)) = log else { return node::throw(env, CLOSED) };
        match chain.append(&fields) {
            Ok(place) => node::string(env, &format!("[{},\"{}\"]", place.seq, place.hash)),
            Err(error) => node::throw(env, &error.to_string()),
        }
    }
}

unsafe extern "C" fn end(env: Env, info: *mut std::ffi::c_void) -> Value {
    // SAFETY: within Node's call, with its own arguments.
    unsafe {
        let Ok([log]) = node::arguments(env, info) else { return node::throw(env, OTHER) };
        let Ok(log) = node::unwrapped::<Log>(env, log) else { return node::throw(env, OTHER) };
        let Some((chain, _)) = log else { return node::throw(env, CLOSED) };
        match chain.end() {
            Ok(Some(place)) => node::string(env, &format!("[{},\"{}\"]", place.seq, place.hash)),
            Ok(None) => node::string(env, ""),
            Err(error) => node::throw(env, &error.to_string()),
        }
    }
}

unsafe extern "C" fn rotate(env: Env, info: *mut std::ffi::c_void) -> Value {
    // SAFETY: within Node's call, with its own arguments.
    unsafe {
        let Ok([log, bytes, fields]) = node::arguments(env, info) else { return node::throw(env, OTHER) };
        let (Ok(log), Ok(bytes), Ok(fields)) =
            (node::unwrapped::<Log>(env, log), node::number(env, bytes), node::text(env, fields))
        else {
            return node::throw(env, OTHER);
        };
        let Some((chain, _)) = log else { return node::throw(env, CLOSED) };
        match chain.rotate(bytes as u64, &fields) {
            Ok(full) => node::string(env, full.as_deref().unwrap_or("")),
            Err(error) => node::throw(env, &error.to_string()),
        }
    }
}

unsafe extern "C" fn close(env: Env, info: *mut std::ffi::c_void) -> Value {
    // SAFETY: within Node's call, with its own arguments.
    unsafe {
        if let Ok([log]) = node::arguments(env, info)
            && let Ok(log) = node::unwrapped::<Log>(env, log)
        {
            *log = None;
        }
    }
    null_mut()
}

unsafe extern "C" fn datagram(env: Env, info: *mut std::ffi::c_void) -> Value {
    // SAFETY: within Node's call, with its own arguments.
    unsafe {
        let Ok([path, text]) = node::arguments(env, info) else { return node::throw(env, OTHER) };
        let (Ok(path), Ok(text)) = (node::text(env, path), node::text(env, text)) else {
            return node::throw(env, OTHER);
        };
        match datagram::send(Path::new(&path), &text) {
            Ok(()) => null_mut(),
            Err(error) => node::throw(env, &error.to_string()),
        }
    }
}

unsafe extern "C" fn redacted(env: Env, info: *mut std::ffi::c_void) -> Value {
    // SAFETY: within Node's call, with its own arguments.
    unsafe {
        let Ok([log, asked]) = node::arguments(env, info) else { return node::throw(env, OTHER) };
        let (Ok(log), Ok(asked)) = (node::unwrapped::<Log>(env, log), node::text(env, asked)) else {
            return node::throw(env, OTHER);
        };
        let Some((_, redaction)) = log else { return node::throw(env, CLOSED) };
        match asked::redacted(redaction, &asked) {
            Ok(said) => node::string(env, &said),
            Err(error) => node::throw(env, &error.to_string()),
        }
    }
}

unsafe extern "C" fn secret(env: Env, info: *mut std::ffi::c_void) -> Value {
    // SAFETY: within Node's call, with its own arguments.
    unsafe {
        match node::arguments::<1>(env, info).and_then(|[name]| node::text(env, name)) {
            Ok(name) => node::string(env, if is_secret(&name) { &name } else { "" }),
            Err(_) => node::throw(env, OTHER),
        }
    }
}
