//! The gate's timers. It wakes only while something has a deadline or the host is missing; a gate without connections
//! sleeps.

use std::time::{Duration, Instant};

use nix::sys::epoll::EpollTimeout;

use super::connection::{Connection, State, Why};
use super::serve::Serve;
use super::table::Token;

/// How often deadlines are checked while something has one.
const SWEEP: Duration = Duration::from_millis(250);
const SLOW_SWEEP: Duration = Duration::from_secs(5);
/// The bounds of the interval at which the host receives byte counts; within them, an eighth of the idle timeout.
const TOLD_AT_MOST: Duration = Duration::from_millis(200);
const TOLD_AT_LEAST: Duration = Duration::from_secs(60);
/// How long throttled connections wait.
const THROTTLE: Duration = Duration::from_millis(10);

impl Serve {
    fn sweep_period(&self) -> Option<Duration> {
        if self.connections.any_with_deadline() || !self.asked_names.is_empty() || !self.asked_more.is_empty() {
            return Some(SWEEP);
        }
        let slow = (self.idle / 4).clamp(SWEEP / 5, SLOW_SWEEP);
        (!self.connections.is_empty()).then_some(slow)
    }

    pub(super) fn timeout(&self) -> EpollTimeout {
        if !self.more.is_empty() {
            return EpollTimeout::ZERO;
        }
        let now = Instant::now();
        let sweep = self.sweep_period().map(|period| self.swept + period);
        let unasked = !self.waiting_names.is_empty() || !self.waiting.is_empty() && !self.asked_connects.is_full();
        let throttled = (unasked || self.link.has_unsent() || !self.throttled.is_empty()).then(|| now + THROTTLE);
        let next = [self.link.retry(), self.refusals.due().filter(|_| self.link.is_up()), sweep, throttled];
        match next.into_iter().flatten().min() {
            None => EpollTimeout::NONE,
            Some(next) => {
                let left = next.saturating_duration_since(now).as_micros().div_ceil(1000);
                EpollTimeout::try_from(left.min(60_000) as u32).unwrap_or(EpollTimeout::ZERO)
            }
        }
    }

    pub(super) fn keep_time(&mut self) {
        let now = Instant::now();
        if self.link.retry().is_some_and(|retry| retry <= now) {
            self.reach_host();
        }
        if self.link.is_up() && self.refusals.due().is_some_and(|due| due <= now) {
            for refused in self.refusals.take() {
                self.link.say(&refused);
            }
        }
        for token in std::mem::take(&mut self.throttled) {
            self.again(token);
        }
        self.link.flush();
        self.ask_waiting();
        if self.sweep_period().is_some_and(|period| self.swept + period <= now) {
            self.swept = now;
            self.sweep(now);
        }
    }

    fn sweep(&mut self, now: Instant) {
        for asker in self.asked_names.take_late(now) {
            self.answer_name(asker, None);
        }
        for token in self.asked_more.take_late(now) {
            self.end(token, Why::Host);
        }
        self.tell_moved(now);
        let (idle, still) = (self.idle, self.still);
        let late = self.connections.tokens(|connection: &Connection| match connection.deadline {
            Some(deadline) => deadline <= now,
            None => !still && now.saturating_duration_since(connection.active) >= idle,
        });
        for token in late {
            self.too_late(token);
        }
    }

    /// Reports byte counts while a connection lasts, so that even a very long one is on record.
    fn tell_moved(&mut self, now: Instant) {
        if now < self.told + (self.idle / 8).clamp(TOLD_AT_MOST, TOLD_AT_LEAST) || !self.link.is_up() {
            return;
        }
        self.told = now;
        for moved in self.connections.all().filter_map(Connection::moved) {
            self.link.say(&moved);
        }
    }

    fn too_late(&mut self, token: Token) {
        let Some(connection) = self.connections.get(token) else { return };
        match connection.state {
            State::Asking(seq) => {
                if let Some(closed) = connection.closed(Why::Failed) {
                    self.link.tell(&closed);
                }
                if let Some(seq) = seq {
                    self.asked_connects.take(seq);
                }
                self.deny(token, "no answer from the airlock in time");
                self.ask_waiting();
            }
            State::Dialing(_) => self.dial_next(token),
            State::Open => self.end(token, Why::Idle),
            // A client that waits for the server to speak first.
            State::Refused(_) => self.end(token, Why::Failed),
            _ => drop(self.connections.remove(token)),
        }
    }
}
