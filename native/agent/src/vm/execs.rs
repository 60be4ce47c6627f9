//! Whatever is executed inside waits until the keeper has said that it is recorded: a machine's kernel is its own, and tells nobody outside. A thread with
//! rights of its own reads what is asked for, and tells it on the leash; the answers come with the orders.

use std::collections::BTreeSet;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

use caisson_execs::{Asked, answer, filter, listen, next, read};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, send};

use super::Outcome;

/// Told, and not yet answered; the others wait in the kernel.
const MOST_TOLD: usize = 32;

static RECORDER: OnceLock<Recorder> = OnceLock::new();

struct Recorder {
    listener: OwnedFd,
    state: Mutex<State>,
    bell: Condvar,
}

struct State {
    /// Whether anybody wants to know.
    records: bool,
    /// This machine is to stand still, and to go on as another perhaps: nothing may be under way to a keeper that is not that other's.
    held: bool,
    told: BTreeSet<u64>,
}

/// For all that this thread starts from now on. Before rights are given up: the memory of others is read by one of them.
pub fn start(leash: &OwnedFd, records: bool) -> Outcome<()> {
    let listener = listen(&filter::execs(), true).map_err(|error| format!("commands: {error}"))?;
    let state = Mutex::new(State { records, held: false, told: BTreeSet::new() });
    let leash = leash.try_clone().map_err(|error| format!("leash: {error}"))?;
    let recorder = RECORDER.get_or_init(|| Recorder { listener, state, bell: Condvar::new() });
    let serve = move || {
        let why = recorder.serve(&leash);
        eprintln!("caisson-agent: commands are not recorded any more: {why}");
        // Nothing may run that is not recorded.
        std::process::exit(1);
    };
    std::thread::Builder::new().name("execs".into()).spawn(serve).map_err(|error| format!("commands: {error}"))?;
    Ok(())
}

/// What the keeper says of one that it was told of.
pub fn recorded(id: u64, allowed: bool) {
    let Some(recorder) = RECORDER.get() else { return };
    if recorder.lock().told.remove(&id) {
        answer(&recorder.listener, id, allowed);
        recorder.bell.notify_all();
    }
}

/// From now on nothing is told, and what would be executed waits.
pub fn hold() {
    if let Some(recorder) = RECORDER.get() {
        recorder.lock().held = true;
    }
}

/// All that was told has been answered. Not in a machine: nothing ever is.
pub fn is_settled() -> bool {
    RECORDER.get().is_none_or(|recorder| recorder.lock().told.is_empty())
}

pub fn go_on() {
    if let Some(recorder) = RECORDER.get() {
        recorder.lock().held = false;
        recorder.bell.notify_all();
    }
}

/// Of a machine that is another now, with another keeper.
pub fn renew(records: bool) {
    let Some(recorder) = RECORDER.get() else { return };
    let mut state = recorder.lock();
    state.records = records;
    // There are none, or that keeper would never answer.
    for id in std::mem::take(&mut state.told) {
        answer(&recorder.listener, id, false);
    }
}

impl Recorder {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why it cannot go on.
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

    /// The next that is to be told.
    fn take(&self) -> std::io::Result<Option<Asked>> {
        wait_for(&self.listener, libc::POLLIN)?;
        let mut state = self.lock();
        while state.held || state.told.len() >= MOST_TOLD {
            state = self.bell.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        // Within the lock: whoever holds us up must not miss one that is just being taken. It does not block: somebody asks, or has died.
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
                // The descriptor is one with that of the orders, which does not block.
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
            // In unix(7) and seccomp alike: nobody is at the other end.
            1 if poll.revents & events == 0 => return Err(std::io::ErrorKind::BrokenPipe.into()),
            // Whoever is told to go on would receive, and wait there with the state held.
            -1 if Errno::last() == Errno::EINTR => {}
            -1 => return Err(std::io::Error::last_os_error()),
            _ => return Ok(()),
        }
    }
}
