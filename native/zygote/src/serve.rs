//! The parent's loop: hello, request, fork, answer. It never waits for one client while another has a request.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use crate::dance::{Forked, Third, fork_into};
use crate::enter::Entrance;
use crate::message::{MAX_MESSAGE, receive, send};
use crate::request::{Answer, Request, bytes_of};
use crate::spare::{PAUSE, Spares, Waiting};

const MAX_CLIENTS: usize = 512;

/// The two kinds of forks.
pub enum Fork {
    /// Requested: it is already in the pid namespace and cgroups of its sandbox.
    Wanted(Entrance),
    /// Not requested yet.
    Spare(Waiting),
}

/// Returns in forked children only.
pub fn serve(listener: RawFd, user_namespace: RawFd, idle_ms: libc::c_int, mut spares: Spares, third: Third) -> Fork {
    let mut clients: Vec<OwnedFd> = Vec::new();
    let mut buffer = vec![0u8; MAX_MESSAGE];
    let idle = Duration::from_millis(idle_ms as u64);
    let mut last_heard = Instant::now();
    loop {
        let room = clients.len() < MAX_CLIENTS;
        let mut polls: Vec<libc::pollfd> = clients.iter().map(|client| wait_for(client.as_raw_fd())).collect();
        polls.push(wait_for(spares.line()));
        polls.push(wait_for(if room { listener } else { -1 }));
        let patience_ms = spares.due_ms().map_or(idle_ms, |due_ms| due_ms.min(idle_ms));
        // SAFETY: the array is ours and has the given length.
        let ready = unsafe { libc::poll(polls.as_mut_ptr(), polls.len() as libc::nfds_t, patience_ms) };
        if ready == 0 && clients.is_empty() && last_heard.elapsed() >= idle {
            // SAFETY: ends this process; there is nothing to flush, because the interpreter has printed nothing since
            // it began to serve.
            unsafe { libc::_exit(0) };
        }
        if ready == 0
            && let Some(waiting) = spares.grow()
        {
            // The fork has already closed all of these.
            std::mem::forget((clients, spares));
            return Fork::Spare(waiting);
        }
        if ready <= 0 {
            continue;
        }
        let listening = polls.pop().is_some_and(|poll| poll.revents != 0);
        if polls.pop().is_some_and(|poll| poll.revents != 0) {
            spares.heard();
        }
        for index in (0..polls.len()).rev() {
            if polls[index].revents == 0 {
                continue;
            }
            last_heard = Instant::now();
            spares.put_off(PAUSE);
            match answer(clients[index].as_fd(), &mut buffer, &mut spares, third) {
                Turn::Child(entrance) => {
                    // Entering closes every descriptor by range.
                    std::mem::forget((clients, spares));
                    return Fork::Wanted(entrance);
                }
                Turn::Stay => {}
                Turn::Over => drop(clients.swap_remove(index)),
            }
        }
        if listening {
            last_heard = Instant::now();
            // SAFETY: accept on a listening socket; the result is ours.
            let client =
                unsafe { libc::accept4(listener, std::ptr::null_mut(), std::ptr::null_mut(), libc::SOCK_CLOEXEC) };
            if client >= 0 {
                // SAFETY: just accepted, owned by nobody else.
                let client = unsafe { OwnedFd::from_raw_fd(client) };
                if send(client.as_fd(), &[1], &[user_namespace]).is_ok() {
                    clients.push(client);
                }
            }
        }
    }
}

fn wait_for(fd: RawFd) -> libc::pollfd {
    libc::pollfd { fd, events: libc::POLLIN, revents: 0 }
}

enum Turn {
    Child(Entrance),
    Stay,
    Over,
}

fn answer(client: BorrowedFd<'_>, buffer: &mut [u8], spares: &mut Spares, third: Third) -> Turn {
    let Ok((length, fds)) = receive(client, buffer) else { return Turn::Over };
    let message = &buffer[..length];
    let Some(request) = Request::of(message, fds) else { return Turn::Over };
    let answer = match spares.take(message, &request.fds) {
        Some(answer) => answer,
        None => match fork_into(&request.fds, third) {
            // Any later failure ends the child, and the keeper sees the gate close.
            Forked::Child => return Turn::Child(Entrance(request)),
            Forked::Parent => Answer { errno: 0, step: 0 },
            Forked::Failed { step, errno } => Answer { errno, step },
        },
    };
    spares.put_off(PAUSE);
    if send(client, bytes_of(&[answer]), &[]).is_ok() { Turn::Stay } else { Turn::Over }
}
