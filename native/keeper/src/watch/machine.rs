//! What a machine reports about itself over its leash.

use std::os::fd::AsRawFd;

use super::{IDLE, Watch};
use crate::agent;
use crate::control::Reason;
use crate::say::Said;

impl Watch {
    /// The leash to poll for a machine's reports, unless it has sent too many.
    pub fn machine_leash(&self) -> i32 {
        if self.pace.rests_until().is_some() {
            return -1;
        }
        self.sandbox.leash.as_ref().filter(|_| self.sandbox.plan.machine.is_some()).map_or(-1, AsRawFd::as_raw_fd)
    }

    /// The sender may be hostile, but can end no sandbox but its own.
    pub fn hear_machine(&mut self) {
        let Some(leash) = &self.sandbox.leash else { return };
        self.pace.count();
        match agent::hear(leash) {
            Ok(Said::Exec(exec)) => {
                if let Err(fault) = self.sandbox.record_told(&exec) {
                    self.finish(Reason::Crash, fault.to_string());
                }
            }
            Ok(Said::Limit(what)) if what == "memory" => self.limit("memory", true),
            Ok(Said::Limit(what)) if what == "pids" => self.limit("pids", true),
            Ok(Said::Written(whole)) => {
                if let Some(settling) = &self.settling {
                    settling.answered(whole);
                }
            }
            // A mother ends by itself.
            _ if self.sandbox.plan.is_mother() => {
                self.finish(Reason::Exit, IDLE);
            }
            _ => {
                self.finish(Reason::Crash, "the machine ended, or said something else than agreed");
            }
        }
    }
}
