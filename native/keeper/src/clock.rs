//! The wall-clock limit of a sandbox. The clock stops while the sandbox is frozen.

use std::time::{Duration, Instant};

#[derive(Clone, Copy)]
pub enum Clock {
    Runs(Option<Instant>),
    Stands(Option<Duration>),
}

impl Clock {
    pub fn new(wall_ms: Option<u64>) -> Clock {
        Clock::Runs(wall_ms.map(|ms| Instant::now() + Duration::from_millis(ms)))
    }

    pub fn stop(&mut self) {
        *self = Clock::Stands(self.left());
    }

    pub fn go_on(&mut self) {
        *self = Clock::Runs(self.left().map(|left| Instant::now() + left));
    }

    /// Sets another limit, counted from now or, when frozen, from the moment of thawing.
    pub fn set(&mut self, wall_ms: Option<u64>) {
        *self = match self {
            Clock::Runs(_) => Clock::new(wall_ms),
            Clock::Stands(_) => Clock::Stands(wall_ms.map(Duration::from_millis)),
        };
    }

    /// When the time will be up, as things are.
    pub fn end(&self) -> Option<Instant> {
        if let Clock::Runs(end) = self { *end } else { None }
    }

    pub fn is_over(&self) -> bool {
        self.end().is_some_and(|end| Instant::now() >= end)
    }

    pub fn left(&self) -> Option<Duration> {
        match self {
            Clock::Runs(end) => end.map(|end| end.saturating_duration_since(Instant::now())),
            Clock::Stands(left) => *left,
        }
    }
}

/// Measures how long each step of a launch took.
pub struct Laps(Instant);

impl Laps {
    pub fn begin() -> Laps {
        Laps(Instant::now())
    }

    /// Microseconds since the previous lap.
    pub fn lap(&mut self) -> u64 {
        let now = Instant::now();
        std::mem::replace(&mut self.0, now).elapsed().as_micros() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_stands_is_never_over_and_goes_on_with_what_was_left() {
        let mut clock = Clock::new(Some(60_000));
        clock.stop();
        let left = clock.left().unwrap();
        assert!(left <= Duration::from_secs(60) && !clock.is_over() && clock.end().is_none());
        clock.stop();
        assert_eq!(clock.left().unwrap(), left);
        clock.go_on();
        assert!(clock.end().unwrap() <= Instant::now() + left);
        clock.set(Some(0));
        assert!(clock.is_over());
        clock.stop();
        assert!(!clock.is_over());
        assert_eq!(clock.left().unwrap(), Duration::ZERO);
        clock.set(Some(5));
        assert_eq!(clock.left().unwrap(), Duration::from_millis(5));
        clock.set(None);
        clock.go_on();
        assert!(clock.end().is_none() && clock.left().is_none());
    }
}
