//! Whether a version of gVisor tells all that is to be known of what runs: asked by host/walls/gvisor/trial.ts, which starts it beside this.

use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::{Value, json};

use super::{Heard, STEP, Trace, configuration, listener};
use crate::engine::PATIENCE;
use crate::fault::{At, Code, Fault, Outcome};

/// Listens at `path`, says so and what the engine is to be told, and, when the engine has ended, what it has told.
pub fn watch(path: &str) -> Outcome<Value> {
    let door = listener(path)?;
    println!("{}", configuration(path));
    // Its end, until there is an engine, is that of whoever waits for it: there is nothing to read but the end.
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
