//! Tests whether a version of gVisor reports everything that must be recorded. host/walls/gvisor/trial.ts calls it, and
//! starts that version beside it.

use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::{Value, json};

use super::{Heard, STEP, Trace, configuration, listener};
use crate::engine::PATIENCE;
use crate::fault::{At, Code, Fault, Outcome};

/// Listens at `path`, then prints the engine's configuration. After the engine has ended, returns what it reported.
pub fn watch(path: &str) -> Outcome<Value> {
    let door = listener(path)?;
    println!("{}", configuration(path));
    // Until the engine connects, the end of standard input tells that the caller has gone; nothing else is read there.
    let asker = std::io::stdin().as_fd().try_clone_to_owned().at(STEP, "standard input")?;
    let missing = || Fault::new(Code::WallUnavailable, STEP, "it has not connected");
    let mut trace = Trace::begin(&door, &asker)?.ok_or_else(missing)?;
    let (mut told, mut unread) = (0u32, 0u32);
    let mut count = |command: super::Command<'_>| {
        *if command.words.is_some() { &mut told } else { &mut unread } += 1;
        Ok(())
    };
    let patience = PollTimeout::try_from(PATIENCE).at(STEP, "poll")?;
    loop {
        let heard = trace.each(&mut count).map_err(|why| Fault::new(Code::WallUnavailable, STEP, why))?;
        if matches!(heard, Heard::Over) {
            return Ok(json!({ "told": told, "unread": unread }));
        }
        let mut ends = [PollFd::new(trace.socket.as_fd(), PollFlags::POLLIN)];
        if matches!(heard, Heard::Nothing) && poll(&mut ends, patience).at(STEP, "poll")? == 0 {
            return Err(Fault::new(Code::WallUnavailable, STEP, "it says nothing, and does not end"));
        }
    }
}
