//! What an engine reports about the code behind it while the sandbox runs.

use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, poll};

use super::Watch;
use crate::control::Reason;
use crate::engine::trace::Heard;

/// A dying engine first closes its descriptors and exits a moment later.
const LAST_MOMENT_MS: u16 = 5000;

impl Watch {
    pub fn hear_engine(&mut self) {
        let Some(trace) = &mut self.sandbox.trace else { return };
        match trace.hear(&mut self.sandbox.audit) {
            Ok(Heard::More | Heard::Nothing) => {}
            Ok(Heard::Over) => {
                self.sandbox.trace = None;
                let mut ends = [PollFd::new(self.first.as_fd(), PollFlags::POLLIN)];
                let ended = poll(&mut ends, LAST_MOMENT_MS).is_ok_and(|count| count > 0);
                let detail = if ended { "the agent ended" } else { "its engine does not say any more what runs" };
                self.finish(Reason::Crash, detail);
            }
            Err(why) => {
                self.sandbox.trace = None;
                self.finish(Reason::Kill, format!("its commands cannot be recorded any more: {why}"));
            }
        }
    }
}
