//! A machine's kernel writes its disk. Before the disk is taken or copied, the machine is told to write back all cached
//! data.

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::socket::{MsgFlags, send};
use serde_json::{Value, json};

use super::STEP;
use crate::fault::{At, Code, Fault, Outcome};

/// Enough for an emulated machine to write back a gigabyte. One that does not answer is treated as hostile and not
/// waited for.
pub const SETTLING: Duration = Duration::from_secs(20);
/// How quickly a cancelled wait ends.
const SLICE: Duration = Duration::from_millis(50);

/// The machine's answer. One thread reads it from the leash, another waits for it.
#[derive(Clone, Default)]
pub struct Settling(Arc<(Mutex<Option<bool>>, Condvar)>);

impl Settling {
    /// Asks; the answer comes later.
    pub fn ask(leash: &OwnedFd) -> Outcome<Settling> {
        tell(leash, "writeBack", &json!({}))?;
        Ok(Settling::default())
    }

    pub fn answered(&self, whole: bool) {
        let (answer, bell) = &*self.0;
        *answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(whole);
        bell.notify_all();
    }

    pub fn wait(&self, stop: &AtomicBool) -> Outcome<()> {
        let (answer, bell) = &*self.0;
        let until = Instant::now() + SETTLING;
        let mut heard = answer.lock().unwrap_or_else(PoisonError::into_inner);
        while heard.is_none() && !stop.load(Ordering::Relaxed) && Instant::now() < until {
            heard = bell.wait_timeout(heard, SLICE).unwrap_or_else(PoisonError::into_inner).0;
        }
        if *heard == Some(true) { Ok(()) } else { Err(not_settled()) }
    }
}

pub fn not_settled() -> Fault {
    let message = format!("the machine did not write its disk back within {} s", SETTLING.as_secs());
    Fault::new(Code::LaunchFailed, STEP, message)
}

pub fn go_on(leash: &OwnedFd) -> Outcome<()> {
    tell(leash, "goOn", &json!({}))
}

/// Does not block: a leash that is full belongs to a machine that is stuck.
pub fn tell(leash: &OwnedFd, word: &str, more: &Value) -> Outcome<()> {
    let text = json!({ word: more }).to_string();
    send(leash.as_raw_fd(), text.as_bytes(), MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT).at(STEP, word).map(|_| ())
}
