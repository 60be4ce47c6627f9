//! A thread pool for blocking work. Tokio's own pool panics when no thread can be created, and a fork bomb inside can
//! cause that.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::refusal::{Outcome, Refusal};

/// Jobs at once. One chunk of a file is one job, so a stalled reader occupies no thread.
const MOST: usize = 4;
/// The first thread never ends: once the sandbox has reached its process limit, no other could be created.
const LEAST: usize = 1;
const IDLE: Duration = Duration::from_secs(2);
const STACK: usize = 512 * 1024;

type Work = Box<dyn FnOnce() + Send>;

#[derive(Clone, Default)]
pub struct Threads(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    arrived: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Work>,
    threads: usize,
    idle: usize,
}

impl Threads {
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> Outcome<T> + Send + 'static) -> Outcome<T> {
        let (answer, result) = oneshot::channel();
        // Sending fails if the operation was cancelled, because nobody waits for the answer.
        self.put(Box::new(move || drop(answer.send(work()))))?;
        result.await.unwrap_or_else(|_| Err(Refusal::failed("the operation broke")))
    }

    fn put(&self, work: Work) -> Outcome<()> {
        let mut state = self.0.lock();
        if state.idle <= state.waiting.len() && state.threads < MOST {
            let shared = self.0.clone();
            match std::thread::Builder::new().stack_size(STACK).spawn(move || shared.serve()) {
                Ok(_) => state.threads += 1,
                Err(error) if state.threads == 0 => return Err(Refusal::io("no thread can be made", &error)),
                // The existing threads will do it.
                Err(_) => {}
            }
        }
        state.waiting.push_back(work);
        drop(state);
        self.0.arrived.notify_one();
        Ok(())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn serve(&self) {
        let mut state = self.lock();
        loop {
            if let Some(work) = state.waiting.pop_front() {
                drop(state);
                work();
                state = self.lock();
                continue;
            }
            state.idle += 1;
            let (woken, waited) =
                self.arrived.wait_timeout(state, IDLE).unwrap_or_else(std::sync::PoisonError::into_inner);
            state = woken;
            state.idle -= 1;
            if waited.timed_out() && state.waiting.is_empty() && state.threads > LEAST {
                state.threads -= 1;
                return;
            }
        }
    }
}
