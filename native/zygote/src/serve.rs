//! The loop of the parent: hello, request, fork, answer. Nothing here waits for one client while another has something to say.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use crate::dance::{Forked, fork_into};
use crate::enter::Entrance;
use crate::message::{MAX_FDS, MAX_MESSAGE, receive, send};
use crate::request::{Answer, FIXED_FDS, Header, MAGIC, MAX_DOORS, bytes_of, filter, read};

const MAX_CLIENTS: usize = 512;

/// Returns in forked children only.
pub fn serve(listener: RawFd, user_namespace: RawFd, idle_ms: libc::c_int) -> Entrance {
    let mut clients: Vec<OwnedFd> = Vec::new();
    let mut buffer = vec![0u8; MAX_MESSAGE];
    loop {
        let room = clients.len() < MAX_CLIENTS;
        let mut polls: Vec<libc::pollfd> = clients.iter().map(|client| wait_for(client.as_raw_fd())).collect();
        polls.push(wait_for(if room { listener } else { -1 }));
        // SAFETY: the array is ours and as long as said.
        let ready = unsafe { libc::poll(polls.as_mut_ptr(), polls.len() as libc::nfds_t, idle_ms) };
        if ready == 0 && clients.is_empty() {
            // SAFETY: ends this process; there is nothing to flush, the interpreter printed nothing since it began to serve.
            unsafe { libc::_exit(0) };
        }
        if ready < 0 {
            continue;
        }
        let listening = polls.pop().is_some_and(|poll| poll.revents != 0);
        for index in (0..polls.len()).rev() {
            if polls[index].revents == 0 {
                continue;
            }
            match answer(clients[index].as_fd(), &mut buffer) {
                Turn::Child(entrance) => {
                    // Entering closes every descriptor by range.
                    std::mem::forget(clients);
                    return entrance;
                }
                Turn::Stay => {}
                Turn::Over => drop(clients.swap_remove(index)),
            }
        }
        if listening {
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

fn answer(client: BorrowedFd<'_>, buffer: &mut [u8]) -> Turn {
    let Ok((length, fds)) = receive(client, buffer) else { return Turn::Over };
    let bytes = &buffer[..length];
    let Some(header) = read::<Header>(bytes).filter(|header| header.magic == MAGIC) else { return Turn::Over };
    let doors = header.doors as usize;
    let Some(program) = filter(bytes, header.filter_length as usize) else { return Turn::Over };
    if doors > MAX_DOORS || fds.len() != FIXED_FDS + doors || fds.len() > MAX_FDS {
        return Turn::Over;
    }
    let answer = match fork_into(&fds) {
        // Whatever fails from here on ends the child; the keeper sees the gate close.
        Forked::Child => return Turn::Child(Entrance { header, filter: program, fds }),
        Forked::Parent => Answer { errno: 0, step: 0 },
        Forked::Failed { step, errno } => Answer { errno, step },
    };
    if send(client, bytes_of(&[answer]), &[]).is_ok() { Turn::Stay } else { Turn::Over }
}
