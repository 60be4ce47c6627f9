//! What is executed in a machine: its agent reports each command, and waits for the answer. The host's kernel sees none
//! of it, so a record is only the machine's claim.

use std::time::{Duration, Instant};

use caisson_execs::Exec;
use serde_json::json;

use super::STEP;
use super::settling::tell;
use crate::agent;
use crate::execs;
use crate::fault::{Code, Fault, Outcome};
use crate::order::Sandbox;
use crate::say::Said;

/// Messages read from a machine per second; further ones wait for the next second. The machine's cgroup pays for what
/// it does, but not for the keeper's work on its messages.
const MOST_A_SECOND: u32 = 2000;
const SECOND: Duration = Duration::from_secs(1);

/// Limits how fast a machine's messages are read.
pub struct Pace {
    since: Instant,
    heard: u32,
}

impl Pace {
    pub fn begin() -> Pace {
        Pace { since: Instant::now(), heard: 0 }
    }

    pub fn count(&mut self) {
        if self.since.elapsed() >= SECOND {
            *self = Pace::begin();
        }
        self.heard += 1;
    }

    /// Until when its messages are not read.
    pub fn rests_until(&self) -> Option<Instant> {
        let end = self.since + SECOND;
        (self.heard >= MOST_A_SECOND && Instant::now() < end).then_some(end)
    }
}

impl Sandbox {
    /// Waits at most `patience` for the agent's answer, however many other messages arrive. Commands reported meanwhile
    /// are recorded; limits hit are ignored.
    pub fn hear_within(&mut self, patience: Duration) -> Outcome<Said> {
        let until = Instant::now() + patience;
        loop {
            let leash = self.leash.as_ref().ok_or_else(|| Fault::new(Code::LaunchFailed, STEP, "no leash"))?;
            match agent::hear_until(leash, until)? {
                Said::Exec(exec) => self.record_told(&exec)?,
                Said::Limit(_) => {}
                said => return Ok(said),
            }
        }
    }

    /// Records a command, and tells the agent whether that succeeded.
    pub fn record_told(&mut self, exec: &Exec) -> Outcome<()> {
        let Some(leash) = self.leash.as_ref().filter(|_| self.plan.machine.is_some() && self.plan.audit.commands)
        else {
            return Err(Fault::new(Code::LaunchFailed, STEP, "it tells of an exec that nobody asked for"));
        };
        let allowed = execs::record_told(exec, &mut self.audit);
        tell(leash, "recorded", &json!({ "id": exec.id, "allowed": allowed }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_says_too_much_within_a_second_is_not_listened_to_until_it_is_over() {
        let mut pace = Pace::begin();
        for _ in 1..MOST_A_SECOND {
            pace.count();
        }
        assert_eq!(pace.rests_until(), None);
        // In the future, so that the second is not over before the check.
        pace = Pace { since: Instant::now() + SECOND, heard: pace.heard };
        pace.count();
        assert_eq!(pace.rests_until(), Some(pace.since + SECOND));
        pace = Pace { since: Instant::now() - SECOND, heard: MOST_A_SECOND };
        assert_eq!(pace.rests_until(), None);
        pace.count();
        assert_eq!(pace.heard, 1);
    }
}
