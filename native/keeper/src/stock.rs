//! Keepers in stock. A host that forks a keeper copies its own page tables for it, which takes milliseconds of the one thread that it has; this small
//! process has keepers waiting instead. Whoever connects to its socket speaks with one of them, as over the standard streams of one that it started.

use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;

use nix::unistd::{ForkResult, fork, pipe};

use crate::fault::{At, Code, Fault, Outcome};
use crate::idmap::Unmapped;

const STEP: &str = "stock";
/// Two processors' worth: the next is made while these are at work.
const SPARES: usize = 2;
/// After one was taken and others are left: the processors are that one's.
const REST_MS: i32 = 25;

/// Says a line on standard output once it listens, and ends with its standard input. Returns only in a keeper that has been taken.
pub fn hold(path: &str) -> Outcome<Option<Unmapped>> {
    let listener = UnixListener::bind(path).at(STEP, path)?;
    // SAFETY: keepers are not waited for; the kernel clears them away.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
    println!();
    // SAFETY: getpid cannot fail.
    let stock = unsafe { libc::getpid() };
    let mut spares: Vec<OwnedFd> = Vec::new();
    let mut rested = true;
    loop {
        while spares.len() < SPARES && (rested || spares.is_empty()) {
            let (news, keep) = pipe().at(STEP, "pipe")?;
            // SAFETY: this process has one thread.
            match unsafe { fork() }.at(STEP, "fork")? {
                ForkResult::Child => {
                    drop((spares, news));
                    return wait(&listener, stock, &keep);
                }
                ForkResult::Parent { .. } => spares.push(news),
            }
        }
        let input = |fd: i32| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        let mut polls: Vec<_> = spares.iter().map(|spare| input(spare.as_raw_fd())).collect();
        polls.push(input(0));
        let patience = if spares.len() < SPARES { REST_MS } else { -1 };
        // SAFETY: the array is ours and as long as said.
        rested = unsafe { libc::poll(polls.as_mut_ptr(), polls.len() as libc::nfds_t, patience) } == 0;
        if polls.pop().is_some_and(|host| host.revents != 0) {
            fs::remove_file(path).at(STEP, path)?;
            std::process::exit(0);
        }
        for index in (0..spares.len()).rev().filter(|index| polls[*index].revents != 0) {
            let taken = nix::unistd::read(spares.swap_remove(index), &mut [0u8; 1]).at(STEP, "a spare")?;
            if taken == 0 {
                return Err(Fault::new(Code::LaunchFailed, STEP, "a keeper ended while it waited"));
            }
        }
    }
}

/// In a spare, which ends with the stock until it has been taken.
fn wait(listener: &UnixListener, stock: i32, keep: &OwnedFd) -> Outcome<Option<Unmapped>> {
    // SAFETY: plain calls on our own process.
    unsafe {
        libc::signal(libc::SIGCHLD, libc::SIG_DFL);
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0);
        if libc::getppid() != stock {
            libc::_exit(0);
        }
    }
    let unmapped = crate::begin_unmapped();
    let (connection, _) = listener.accept().at(STEP, "accept")?;
    // SAFETY: as above.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, 0, 0, 0, 0) };
    nix::unistd::write(keep, b"t").at(STEP, "taken")?;
    for standard in [0, 1] {
        // SAFETY: this process's own descriptors, which nothing has used yet.
        if unsafe { libc::dup2(connection.as_raw_fd(), standard) } < 0 {
            return Err(std::io::Error::last_os_error()).at(STEP, "dup2");
        }
    }
    Ok(unmapped)
}
