//! What is executed in a machine: its agent tells, and waits. The host's kernel sees nothing of it, so it is the machine's word, and no more than that.

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

/// Messages of a machine that are heard within a second; what it says beyond waits for the next. Its own control group pays for what it does, not for
/// what the keeper does about it.
const MOST_A_SECOND: u32 = 2000;
const SECOND: Duration = Duration::from_secs(1);

/// How fast a machine is listened to.
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

    /// Until when it is not listened to.
    pub fn rests_until(&self) -> Option<Instant> {
        let end = self.since + SECOND;
        (self.heard >= MOST_A_SECOND && Instant::now() < end).then_some(end)
    }
}

impl Sandbox {
    /// What its agent answers, within so long in all, however much else is said: what is executed meanwhile is recorded, and what is hit is passed over.
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

    /// Records it, if it can, and says so.
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
        // Ahead of the clock, so that the second is not over before it is looked at.
        pace = Pace { since: Instant::now() + SECOND, heard: pace.heard };
        pace.count();
        assert_eq!(pace.rests_until(), Some(pace.since + SECOND));
        pace = Pace { since: Instant::now() - SECOND, heard: MOST_A_SECOND };
        assert_eq!(pace.rests_until(), None);
        pace.count();
        assert_eq!(pace.heard, 1);
    }
}
