//! Threads for what may block. Tokio has such a pool too, but it panics when no thread can be made, and a fork bomb inside sees to that.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::refusal::{Outcome, Refusal};

/// Under way at once; a piece of a file is one piece of work, so a stalled reader holds none.
const MOST: usize = 4;
/// The first stays once it is there: when the sandbox has all its processes, there might be no other.
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
        // Nobody waits for the answer of an operation that was cut short.
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
                // The others will come to it.
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
