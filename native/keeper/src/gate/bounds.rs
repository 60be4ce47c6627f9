//! Rate limits: bytes and questions per second. Also counts refusals, so that they are reported together rather than
//! one by one.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::sys::socket::{setsockopt, sockopt};

use serde_json::{Value, json};

/// A token bucket: how much may pass now. It fills at a constant rate.
pub struct Bucket {
    per_second: Option<u64>,
    capacity: u64,
    level: u64,
    filled: Instant,
}

/// The least burst in bytes, whatever the rate.
const FEWEST_BYTES: u64 = 16 * 1024;
/// A host serves many sandboxes: one that floods it is slowed down, not served at the expense of the others.
const QUESTIONS_PER_SECOND: u64 = 1000;
const QUESTIONS_AT_ONCE: u64 = 2000;

/// This many connections may use as much kernel buffer as the kernel chooses for their speed: megabytes each.
const ROOMY: usize = 32;
/// Buffer size for each later connection, per end and direction (the kernel doubles this for its own bookkeeping). Less
/// than one loopback segment would make the sender stall.
const BUFFER_BYTES: usize = 64 * 1024;

/// Data queued for a peer that does not read is held by the host's kernel, not by the sandbox. With enough connections
/// this would use up all TCP memory of the machine.
pub fn bound_buffers(socket: &impl AsFd, connections: usize) {
    if connections >= ROOMY {
        // The kernel cannot refuse these; if it did, its own limits would still apply.
        let _ = setsockopt(socket, sockopt::RcvBuf, &BUFFER_BYTES)
            .and_then(|()| setsockopt(socket, sockopt::SndBuf, &BUFFER_BYTES));
    }
}

impl Bucket {
    /// The burst is a fifth of a second's worth.
    pub fn of_bytes(per_second: Option<u64>) -> Bucket {
        Bucket::new(per_second, per_second.map_or(u64::MAX, |rate| (rate / 5).max(FEWEST_BYTES)))
    }

    pub fn of_questions() -> Bucket {
        Bucket::new(Some(QUESTIONS_PER_SECOND), QUESTIONS_AT_ONCE)
    }

    fn new(per_second: Option<u64>, capacity: u64) -> Bucket {
        Bucket { per_second, capacity, level: capacity, filled: Instant::now() }
    }

    pub fn level(&mut self, now: Instant) -> u64 {
        let Some(rate) = self.per_second else { return u64::MAX };
        let passed = now.saturating_duration_since(self.filled).as_micros();
        let more = passed * u128::from(rate) / 1_000_000;
        if more > 0 {
            // Do not set `now`: each call would lose the fraction below one byte.
            self.filled += Duration::from_micros((more * 1_000_000 / u128::from(rate)) as u64);
            self.level = self.level.saturating_add(more.min(u128::from(u64::MAX)) as u64).min(self.capacity);
        }
        self.level
    }

    pub fn take(&mut self, bytes: u64) {
        if self.per_second.is_some() {
            self.level = self.level.saturating_sub(bytes);
        }
    }
}

#[derive(Clone, Copy)]
pub enum What {
    Udp,
    Icmp,
    Dns,
    TooMany,
    Proxy,
}

const WORDS: [&str; 5] = ["udp", "icmp", "dns", "too-many", "proxy"];
const MAX_DETAIL: usize = 300;
/// How long refusals are gathered before they are reported.
const PERIOD: Duration = Duration::from_secs(1);

/// Refusals since the last report: the count of each kind, and the latest in words.
#[derive(Default)]
pub struct Refusals {
    counts: [(u64, String); 5],
    due: Option<Instant>,
}

impl Refusals {
    pub fn count(&mut self, what: What, detail: impl Into<String>) {
        let (count, latest) = &mut self.counts[what as usize];
        *count += 1;
        *latest = detail.into().chars().take(MAX_DETAIL).collect();
        self.due.get_or_insert_with(|| Instant::now() + PERIOD);
    }

    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Returns what to report now.
    pub fn take(&mut self) -> Vec<Value> {
        self.due = None;
        let counts = std::mem::take(&mut self.counts);
        let told = WORDS.iter().zip(counts).filter(|(_, (count, _))| *count > 0);
        told.map(|(what, (count, detail))| json!({ "ask": "refused", "what": what, "count": count, "detail": detail }))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_passes_than_the_rate_allows() {
        let mut bucket = Bucket::of_bytes(Some(1_000_000));
        let start = bucket.filled;
        bucket.take(u64::MAX);
        assert_eq!(bucket.level(start), 0);
        let mut passed = 0;
        for step in 1..=3000u64 {
            let level = bucket.level(start + Duration::from_micros(step * 333));
            bucket.take(level);
            passed += level;
        }
        assert!((998_000..=1_000_000).contains(&passed), "{passed}");
        assert_eq!(bucket.level(start + Duration::from_secs(100)), 200_000);
        assert_eq!(Bucket::of_bytes(None).level(start), u64::MAX);
    }

    #[test]
    fn refusals_are_gathered() {
        let mut refusals = Refusals::default();
        refusals.count(What::Udp, "udp to 1.1.1.1:1");
        refusals.count(What::Udp, "é".repeat(400));
        refusals.count(What::TooMany, "");
        let told = refusals.take();
        assert_eq!(told[0], json!({ "ask": "refused", "what": "udp", "count": 2, "detail": "é".repeat(300) }));
        assert_eq!(told[1]["what"], "too-many");
        assert_eq!((told.len(), refusals.take().len()), (2, 0));
    }
}
