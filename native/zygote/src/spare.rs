//! A spare: a fork made before anybody asks for it. Most of a fork's work is copying page tables and, later, the pages
//! that every fork changes; a spare does this while nobody waits. That memory is charged to the zygote, so only a few
//! spares may live at once; all other forks are made on request. A spare is made after a moment without requests, so
//! that it does not delay a burst of them.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use crate::enter::Entrance;
use crate::message::{MAX_MESSAGE, receive, send};
use crate::moving::{Thread, move_into};
use crate::request::{Answer, Request, read};

/// Idle time before a spare is made. A fork's first output takes about as long, and should not share its CPU with it.
pub const PAUSE: Duration = Duration::from_millis(12);
/// The pause after a spare that failed to become ready.
const REST: Duration = Duration::from_secs(10);
/// Live forks that were spares. Each has some megabytes charged to the zygote (see planZygote in host/sandbox/plan.ts).
const MOST: usize = 64;
/// In seconds, for the answer of a spare that was ready.
const PATIENCE_S: libc::time_t = 10;
const STEP_SPARE: u32 = 5;
/// The spare's end of the line to the zygote.
const LINE: RawFd = 3;

/// In the fork: what it waits on.
pub struct Waiting(OwnedFd);

/// In the zygote.
pub struct Spares {
    thread: Option<Thread>,
    next: Option<(OwnedFd, libc::pid_t, bool)>,
    living: Vec<OwnedFd>,
    due: Option<Instant>,
}

impl Spares {
    pub(crate) fn new() -> Spares {
        let mut spares = Spares { thread: Thread::of_this(), next: None, living: Vec::new(), due: None };
        spares.put_off(PAUSE);
        spares
    }

    /// For a process whose forks are all made on request.
    pub fn none() -> Spares {
        Spares { thread: None, next: None, living: Vec::new(), due: None }
    }

    /// A request came, so wait before making a spare.
    pub fn put_off(&mut self, pause: Duration) {
        if self.thread.is_some() && self.next.is_none() {
            self.due = Some(Instant::now() + pause);
        }
    }

    /// The next spare's line, for poll.
    pub fn line(&self) -> RawFd {
        self.next.as_ref().map_or(-1, |(line, _, _)| line.as_raw_fd())
    }

    pub fn due_ms(&self) -> Option<libc::c_int> {
        let left = self.due?.saturating_duration_since(Instant::now());
        Some(left.as_millis() as libc::c_int + 1)
    }

    /// The line is readable: the spare is ready, or has ended.
    pub fn heard(&mut self) {
        let Some((line, pid, _)) = self.next.take() else { return };
        match receive(line.as_fd(), &mut [0u8; 8]) {
            Ok((1, _)) => self.next = Some((line, pid, true)),
            _ => {
                drop(line);
                // SAFETY: our child, not reaped yet.
                unsafe { libc::kill(pid, libc::SIGKILL) };
                reap(pid);
                self.put_off(REST);
            }
        }
    }

    /// Makes the next spare when it is due. Returns what it waits on, in the spare only.
    pub fn grow(&mut self) -> Option<Waiting> {
        if self.due.is_none_or(|due| due > Instant::now()) {
            return None;
        }
        self.due = None;
        self.living.retain(|one| !has_ended(one));
        if self.living.len() >= MOST {
            return None;
        }
        let (ours, its) = pair().ok()?;
        // SAFETY: this process has one thread.
        match unsafe { libc::fork() } {
            0 => Some(Waiting::alone_with(its)),
            -1 => {
                self.put_off(REST);
                None
            }
            pid => {
                self.next = Some((ours, pid, false));
                None
            }
        }
    }

    /// Hands a request to the ready spare, if there is one.
    pub fn take(&mut self, message: &[u8], fds: &[OwnedFd]) -> Option<Answer> {
        let (line, pid, _) = self.next.take_if(|(_, _, ready)| *ready)?;
        let fds: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
        let asked = send(line.as_fd(), message, &fds);
        let mut buffer = [0u8; 64];
        let heard = asked.and_then(|()| receive(line.as_fd(), &mut buffer));
        drop(line);
        if heard.is_err() {
            // SAFETY: our child, not reaped yet.
            unsafe { libc::kill(pid, libc::SIGKILL) };
        }
        reap(pid);
        // Not retried, because the spare may already have entered.
        let Ok((length, pidfd)) = heard else { return Some(Answer { errno: libc::EIO, step: STEP_SPARE }) };
        self.living.extend(pidfd);
        Some(read::<Answer>(&buffer[..length]).unwrap_or(Answer { errno: libc::EIO, step: STEP_SPARE }))
    }
}

impl Waiting {
    /// Closes the zygote's other descriptors: whoever waits for the zygote's end must not have to wait for this
    /// process.
    fn alone_with(line: OwnedFd) -> Waiting {
        // SAFETY: touches only this process's table; nothing of what is closed is used again.
        unsafe {
            if libc::dup2(line.as_raw_fd(), LINE) != LINE || libc::close_range(LINE as u32 + 1, u32::MAX, 0) != 0 {
                libc::_exit(126);
            }
            std::mem::forget(line);
            Waiting(OwnedFd::from_raw_fd(LINE))
        }
    }

    /// Reports that it is ready, and returns once it was requested and has moved. Exits with the zygote.
    pub fn wait(self) -> Entrance {
        let line = self.0;
        let mut buffer = vec![0u8; MAX_MESSAGE];
        let request = send(line.as_fd(), &[1], &[]).and_then(|()| receive(line.as_fd(), &mut buffer));
        let request = request.ok().and_then(|(length, fds)| Request::of(&buffer[..length], fds));
        let (Some(request), Some(thread)) = (request, Thread::of_this()) else {
            // SAFETY: ends this process without running the interpreter's exit handlers.
            unsafe { libc::_exit(0) }
        };
        move_into(&request.fds, thread, line.as_fd());
        Entrance(request)
    }
}

fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut fds = [-1; 2];
    let patience = libc::timeval { tv_sec: PATIENCE_S, tv_usec: 0 };
    let size = size_of_val(&patience) as libc::socklen_t;
    // SAFETY: the kernel fills in two descriptors, which are ours; the value outlives the call and has the given size.
    unsafe {
        if libc::socketpair(libc::AF_UNIX, libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC, 0, fds.as_mut_ptr()) != 0 {
            return Err(io::Error::last_os_error());
        }
        let (ours, its) = (OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1]));
        libc::setsockopt(ours.as_raw_fd(), libc::SOL_SOCKET, libc::SO_RCVTIMEO, (&raw const patience).cast(), size);
        Ok((ours, its))
    }
}

fn reap(pid: libc::pid_t) {
    // SAFETY: our child.
    unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
}

fn has_ended(pidfd: &OwnedFd) -> bool {
    let mut poll = libc::pollfd { fd: pidfd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one structure, ours.
    unsafe { libc::poll(&raw mut poll, 1, 0) != 0 }
}
