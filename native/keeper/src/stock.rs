//! A stock of waiting keepers. A host that forks a keeper copies its own page tables, which blocks its only thread for
//! milliseconds; this small process keeps keepers waiting instead. Whoever connects to its socket gets one of them, and
//! speaks with it as over the standard streams of a keeper that it started itself.

use std::fs;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;

use nix::fcntl::{FcntlArg, OFlag};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork, pipe2};

use crate::fault::{At, Code, Fault, Outcome};
use crate::idmap::Unmapped;
use crate::spare_disk::{Like, SpareDisk};

const STEP: &str = "stock";
/// For two CPUs: the next one is made while these two work.
const SPARES: usize = 2;
/// After one was taken while others are left, it gets the CPUs to itself until its end begins, at most for this long.
const REST_MS: i32 = 60;

/// What a keeper prepares before it has a plan.
#[derive(Default)]
pub struct Beforehand {
    pub unmapped: Option<Unmapped>,
    pub disk: Option<SpareDisk>,
    /// To its stock, which learns from it what to prepare next, and when this keeper's end begins.
    stock: Option<File>,
}

impl Beforehand {
    /// Errors are ignored here, and reported where the missing piece is needed.
    pub fn begin() -> Beforehand {
        // SAFETY: geteuid cannot fail.
        let unmapped = if unsafe { libc::geteuid() } == 0 { Unmapped::begin().ok() } else { None };
        Beforehand { unmapped, ..Beforehand::default() }
    }

    /// Tells the stock what was wanted. Returns the prepared disk if it fits.
    pub fn fitting(&mut self, like: Option<&Like>) -> Option<SpareDisk> {
        if let (Some(stock), Some(like)) = (&mut self.stock, like) {
            let told = serde_json::to_vec(like).map(|told| stock.write_all(&told));
            // Fails if the stock has ended, which does not matter.
            drop(told);
        }
        self.disk.take().filter(|disk| disk.is_like(like))
    }

    /// The end has begun, so there is time to prepare the next one.
    pub fn over(&mut self) {
        self.stock = None;
    }
}

/// A waiting keeper, and the pipe for its messages once it is taken.
struct Spare {
    pid: Pid,
    news: OwnedFd,
    /// What its disk is like, because the wish may have changed since.
    like: Option<Like>,
}

/// Prints a line once it listens, and ends with its standard input. Returns only in a keeper that was taken.
pub fn hold(path: &str) -> Outcome<Beforehand> {
    let listener = UnixListener::bind(path).at(STEP, path)?;
    // SAFETY: nobody waits for keepers, so the kernel reaps them.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
    println!();
    // SAFETY: getpid cannot fail.
    let stock = unsafe { libc::getpid() };
    let (mut spares, mut taken): (Vec<Spare>, Vec<OwnedFd>) = (Vec::new(), Vec::new());
    let mut like: Option<Like> = None;
    let mut rested = true;
    loop {
        while spares.len() < SPARES && (rested || spares.is_empty()) {
            learn(&mut like, std::mem::take(&mut taken))?;
            let (news, keep) = pipe2(OFlag::O_CLOEXEC).at(STEP, "pipe")?;
            // SAFETY: this process has one thread.
            match unsafe { fork() }.at(STEP, "fork")? {
                ForkResult::Child => {
                    drop((spares, news));
                    return wait(&listener, stock, keep, like);
                }
                ForkResult::Parent { child } => spares.push(Spare { pid: child, news, like: like.clone() }),
            }
        }
        let wait_for = |fd: i32, events| libc::pollfd { fd, events, revents: 0 };
        let mut polls: Vec<_> = spares.iter().map(|spare| wait_for(spare.news.as_raw_fd(), libc::POLLIN)).collect();
        // Their messages can wait, but their hang-up cannot.
        polls.extend(taken.iter().map(|news| wait_for(news.as_raw_fd(), 0)));
        polls.push(wait_for(0, libc::POLLIN));
        let patience = if spares.len() < SPARES { REST_MS } else { -1 };
        // SAFETY: the array is ours and has the given length.
        let waited = unsafe { libc::poll(polls.as_mut_ptr(), polls.len() as libc::nfds_t, patience) };
        let over = polls.pop().is_some_and(|host| host.revents != 0);
        let ending = polls.split_off(spares.len()).iter().position(|one| one.revents != 0);
        rested = waited == 0 || ending.is_some();
        if let Some(index) = ending {
            learn(&mut like, vec![taken.swap_remove(index)])?;
        }
        for index in (0..spares.len()).rev().filter(|index| polls[*index].revents != 0) {
            if nix::unistd::read(&spares[index].news, &mut [0u8; 1]).at(STEP, "a spare")? == 0 {
                clear(&spares);
                return Err(Fault::new(Code::LaunchFailed, STEP, "a keeper ended while it waited"));
            }
            taken.push(spares.swap_remove(index).news);
        }
        taken.drain(..taken.len().saturating_sub(SPARES));
        if over {
            clear(&spares);
            // Left by keepers that were killed right after they were taken.
            if let Some(like) = &like {
                like.clear_all();
            }
            // Another host of the same folder may have removed it.
            let _gone = fs::remove_file(path);
            std::process::exit(0);
        }
    }
}

/// Learns what the latest keeper was wanted for. Does not wait for keepers that have not read their plan yet.
fn learn(like: &mut Option<Like>, taken: Vec<OwnedFd>) -> Outcome<()> {
    for news in taken {
        nix::fcntl::fcntl(&news, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).at(STEP, "a spare")?;
        let mut told = [0u8; libc::PIPE_BUF];
        let length = File::from(news).read(&mut told).unwrap_or(0);
        let Ok(wanted) = serde_json::from_slice::<Like>(&told[..length]) else { continue };
        if like.as_ref() != Some(&wanted) {
            wanted.clear_all();
            *like = Some(wanted);
        }
    }
    Ok(())
}

/// Kills spare keepers. Once they have exited, the kernel has released their disks.
fn clear(spares: &[Spare]) {
    for Spare { pid, like, .. } in spares {
        let _ended_already = kill(*pid, Signal::SIGKILL);
        // Returns no status (SIGCHLD is ignored), but waits for the exit.
        let _status = waitpid(*pid, None);
        if let Some(like) = like {
            like.clear(pid.as_raw() as u32);
        }
    }
}

/// Runs in a spare, which dies with the stock until it is taken.
fn wait(listener: &UnixListener, stock: i32, keep: OwnedFd, like: Option<Like>) -> Outcome<Beforehand> {
    // SAFETY: plain calls on our own process.
    unsafe {
        libc::signal(libc::SIGCHLD, libc::SIG_DFL);
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0);
        if libc::getppid() != stock {
            libc::_exit(0);
        }
    }
    let mut beforehand = Beforehand::begin();
    let mut waiting = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
    // A caller who is already waiting would wait longer for a spare disk than for its own, which is made in parallel.
    let nobody = poll(&mut waiting, PollTimeout::ZERO).at(STEP, "poll")? == 0;
    beforehand.disk = like.filter(|_| nobody).and_then(|like| SpareDisk::make(like).ok());
    let (connection, _) = listener.accept().at(STEP, "accept")?;
    // SAFETY: as above.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, 0, 0, 0, 0) };
    nix::unistd::write(&keep, b"t").at(STEP, "taken")?;
    beforehand.stock = Some(keep.into());
    // The caller must know whom to kill if it gives up.
    let taken = format!("{{\"event\":\"taken\",\"pid\":{}}}\n", std::process::id());
    nix::unistd::write(&connection, taken.as_bytes()).at(STEP, "taken")?;
    for standard in [0, 1] {
        // SAFETY: this process's own descriptors, which nothing has used yet.
        if unsafe { libc::dup2(connection.as_raw_fd(), standard) } < 0 {
            return Err(std::io::Error::last_os_error()).at(STEP, "dup2");
        }
    }
    Ok(beforehand)
}
