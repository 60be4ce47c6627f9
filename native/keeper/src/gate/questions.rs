//! Open questions by number, each until its timeout.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How long the host may take. After that the answer is no.
pub const PATIENCE: Duration = Duration::from_secs(5);
pub const MOST: usize = 256;

pub struct Questions<T> {
    open: HashMap<u64, (Instant, T)>,
}

impl<T> Default for Questions<T> {
    fn default() -> Self {
        Questions { open: HashMap::new() }
    }
}

impl<T> Questions<T> {
    pub fn len(&self) -> usize {
        self.open.len()
    }

    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    pub fn is_full(&self) -> bool {
        self.open.len() >= MOST
    }

    pub fn add(&mut self, number: u64, question: T) {
        self.open.insert(number, (Instant::now() + PATIENCE, question));
    }

    pub fn take(&mut self, number: u64) -> Option<T> {
        self.open.remove(&number).map(|(_, question)| question)
    }

    pub fn take_late(&mut self, now: Instant) -> Vec<T> {
        self.open.extract_if(|_, (end, _)| *end <= now).map(|(_, (_, question))| question).collect()
    }

    pub fn take_all(&mut self) -> Vec<T> {
        self.open.drain().map(|(_, (_, question))| question).collect()
    }
}
