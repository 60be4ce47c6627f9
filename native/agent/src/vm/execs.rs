//! Holds back every exec inside until the keeper has confirmed that it is recorded: a machine has its own kernel, which
//! tells nobody outside. A thread that kept its rights reads each pending exec and reports it on the leash; the answers
//! come with the keeper's orders.

use std::collections::BTreeSet;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

use caisson_execs::{Asked, answer, filter, listen, next, read};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, send};

use super::Outcome;

/// Reported but not yet answered; further ones wait in the kernel.
const MOST_TOLD: usize = 32;

static RECORDER: OnceLock<Recorder> = OnceLock::new();

struct Recorder {
    listener: OwnedFd,
    state: Mutex<State>,
    bell: Condvar,
}

struct State {
    /// Whether the keeper wants reports.
    records: bool,
    /// The machine is about to be saved, and may be restored as another. No report to the old keeper may be open then.
    held: bool,
    told: BTreeSet<u64>,
}

/// Covers everything that this thread starts from now on. Call it before rights are given up: the recorder's thread
/// needs them to read other processes' memory.
pub fn start(leash: &OwnedFd, records: bool) -> Outcome<()> {
    let listener = listen(&filter::execs(), true).map_err(|error| format!("commands: {error}"))?;
    let state = Mutex::new(State { records, held: false, told: BTreeSet::new() });
    let leash = leash.try_clone().map_err(|error| format!("leash: {error}"))?;
    let recorder = RECORDER.get_or_init(|| Recorder { listener, state, bell: Condvar::new() });
    let serve = move || {
        let why = recorder.serve(&leash);
        eprintln!("caisson-agent: commands are not recorded any more: {why}");
        // Nothing may run unrecorded.
        std::process::exit(1);
    };
    std::thread::Builder::new().name("execs".into()).spawn(serve).map_err(|error| format!("commands: {error}"))?;
    Ok(())
}

/// The keeper's answer to a report.
pub fn recorded(id: u64, allowed: bool) {
    let Some(recorder) = RECORDER.get() else { return };
    if recorder.lock().told.remove(&id) {
        answer(&recorder.listener, id, allowed);
        recorder.bell.notify_all();
    }
}

/// From now on nothing is reported, and pending execs wait.
pub fn hold() {
    if let Some(recorder) = RECORDER.get() {
        recorder.lock().held = true;
    }
}

/// True once all reports are answered; always true outside a machine.
pub fn is_settled() -> bool {
    RECORDER.get().is_none_or(|recorder| recorder.lock().told.is_empty())
}

pub fn go_on() {
    if let Some(recorder) = RECORDER.get() {
        recorder.lock().held = false;
        recorder.bell.notify_all();
    }
}

/// The machine was restored as another one, with another keeper.
pub fn renew(records: bool) {
    let Some(recorder) = RECORDER.get() else { return };
    let mut state = recorder.lock();
    state.records = records;
    // There should be none; if there are, this keeper would never answer them.
    for id in std::mem::take(&mut state.told) {
        answer(&recorder.listener, id, false);
    }
}

impl Recorder {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns why it cannot go on.
    fn serve(&self, leash: &OwnedFd) -> std::io::Error {
        loop {
            let told = match self.take() {
                Ok(Some(asked)) => self.tell(&asked, leash),
                Ok(None) => Ok(()),
                Err(error) => Err(error),
            };
            if let Err(error) = told {
                return error;
            }
        }
    }

    /// Takes the next exec to report.
    fn take(&self) -> std::io::Result<Option<Asked>> {
        wait_for(&self.listener, libc::POLLIN)?;
        let mut state = self.lock();
        while state.held || state.told.len() >= MOST_TOLD {
            state = self.bell.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        // Under the lock, so that `hold` cannot miss an exec that is just being taken. It does not block: a process
        // asks, or has died.
        let Some(asked) = next(&self.listener)? else { return Ok(None) };
        if state.records {
            state.told.insert(asked.id);
            return Ok(Some(asked));
        }
        answer(&self.listener, asked.id, true);
        Ok(None)
    }

    fn tell(&self, asked: &Asked, leash: &OwnedFd) -> std::io::Result<()> {
        let Ok(exec) = read(asked, &self.listener) else {
            self.lock().told.remove(&asked.id);
            self.bell.notify_all();
            return Ok(());
        };
        let told = exec.tell();
        loop {
            match send(leash.as_raw_fd(), &told, MsgFlags::MSG_NOSIGNAL) {
                Ok(_) => return Ok(()),
                // This descriptor shares its file description with the one for orders, which is non-blocking.
                Err(Errno::EAGAIN) => wait_for(leash, libc::POLLOUT)?,
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn wait_for(descriptor: &OwnedFd, events: libc::c_short) -> std::io::Result<()> {
    let mut poll = libc::pollfd { fd: descriptor.as_raw_fd(), events, revents: 0 };
    loop {
        // SAFETY: one structure of ours.
        match unsafe { libc::poll(&raw mut poll, 1, -1) } {
            // The peer is gone, for a unix socket (unix(7)) and a seccomp listener alike.
            1 if poll.revents & events == 0 => return Err(std::io::ErrorKind::BrokenPipe.into()),
            // Returning here would make the caller receive, which would block while it holds the state.
            -1 if Errno::last() == Errno::EINTR => {}
            -1 => return Err(std::io::Error::last_os_error()),
            _ => return Ok(()),
        }
    }
}
