//! PID 1 inherits every orphan, so this reaps every child that ends, whoever started it.

use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::rc::Rc;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::agent::Agent;
use crate::port::{Port, port};

/// Exit statuses of unknown processes; a later adoption may ask for one.
const REMEMBERED: usize = 64;
/// Yields to other tasks after this many, even in a storm of orphans.
const AT_ONCE: usize = 128;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    pub code: i32,
    pub signal: i32,
}

impl Status {
    fn of(raw: i32) -> Status {
        if libc::WIFSIGNALED(raw) {
            Status { code: 0, signal: libc::WTERMSIG(raw) }
        } else {
            Status { code: libc::WEXITSTATUS(raw), signal: 0 }
        }
    }
}

#[derive(Default)]
pub struct Strangers(VecDeque<(i32, Status)>);

impl Strangers {
    fn remember(&mut self, pid: i32, status: Status) {
        if self.0.len() == REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back((pid, status));
    }

    /// The latest exit status of a process with this number.
    pub fn recall(&mut self, pid: i32) -> Option<Status> {
        let found = self.0.iter().rfind(|(other, _)| *other == pid).map(|(_, status)| *status);
        self.0.retain(|(other, _)| *other != pid);
        found
    }
}

/// Call it before any thread exists, so that all threads inherit it.
pub fn block_signals() -> nix::Result<()> {
    SigSet::from(Signal::SIGCHLD).thread_block()
}

/// The descriptor that reports ended children.
pub fn signals() -> std::io::Result<(SignalFd, Port)> {
    let descriptor =
        SignalFd::with_flags(&SigSet::from(Signal::SIGCHLD), SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
    let watched = port(descriptor.as_fd().try_clone_to_owned()?)?;
    Ok((descriptor, watched))
}

pub async fn reap(agent: Rc<Agent>, (signals, watched): (SignalFd, Port)) {
    loop {
        // Before the first wait, because a child may have ended before the descriptor existed.
        while reap_some(&agent) {
            tokio::task::yield_now().await;
        }
        let Ok(mut ready) = watched.readable().await else { return };
        while let Ok(Some(_)) = signals.read_signal() {}
        ready.clear_ready();
    }
}

/// True: there may be more.
fn reap_some(agent: &Agent) -> bool {
    for _ in 0..AT_ONCE {
        let mut raw = 0;
        // SAFETY: waitpid writes one int, to ours.
        match unsafe { libc::waitpid(-1, &raw mut raw, libc::WNOHANG) } {
            0 => return false,
            -1 if Errno::last() == Errno::EINTR => {}
            -1 => return false,
            pid => ended(agent, pid, Status::of(raw)),
        }
    }
    true
}

fn ended(agent: &Agent, pid: i32, status: Status) {
    let mut table = agent.processes.borrow_mut();
    match table.live(pid) {
        Some(process) => {
            process.end(Some(status), &agent.config);
            table.keep_bounded();
        }
        None => table.strangers.remember(pid, status),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_are_few_and_the_latest_counts() {
        let mut strangers = Strangers::default();
        for pid in 0..1000 {
            strangers.remember(pid, Status { code: pid, signal: 0 });
        }
        assert_eq!(strangers.0.len(), REMEMBERED);
        assert_eq!(strangers.recall(1), None);
        strangers.remember(999, Status { code: 7, signal: 0 });
        assert_eq!(strangers.recall(999), Some(Status { code: 7, signal: 0 }));
        assert_eq!(strangers.recall(999), None);
    }
}
