//! The agent: PID 1 behind every wall. The keeper starts it with an empty environment once the wall stands: descriptor
//! 3 listens for the host, descriptor 4 is the leash to the keeper. With the argument `leash`, standard input is the
//! leash and the host's connections come over it; with `vm`, the agent is the first program of a machine and creates
//! the leash itself. The host never trusts its messages, and it validates the host's all the same.

mod agent;
mod child;
mod connection;
mod dial;
mod files;
mod health;
mod hello;
mod identity;
mod inbound;
mod leash;
mod link;
mod metrics;
mod naming;
mod operations;
mod port;
mod process;
mod pump;
mod reap;
mod refusal;
mod start;
mod stream;
mod terminal;
mod threads;
mod users;
mod vm;

use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixListener as StdListener;
use std::process::ExitCode;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::leash::Config;

const LISTENER: i32 = 3;
const LEASH: i32 = 4;

fn main() -> ExitCode {
    let word = std::env::args().nth(1);
    if word.as_deref() == Some("hello") {
        hello::say();
        return ExitCode::SUCCESS;
    }
    match run(word.as_deref().unwrap_or_default()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            // Goes to /dev/null inside a wall and to the console in a machine; visible when started by hand.
            eprintln!("caisson-agent: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(word: &str) -> Result<(), String> {
    let (listener, leash) = match word {
        "leash" => (None, Some(standard_input()?)),
        "vm" => (None, None),
        _ => inherited()?,
    };
    harden()?;
    let (leash, beginning) = match leash {
        Some(leash) => (leash, None),
        None => machine()?,
    };
    let config: Config = leash::read(&leash)?;
    if let Some(most) = config.processes {
        setrlimit(Resource::RLIMIT_NPROC, most, most).map_err(|error| format!("processes: {error}"))?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("runtime: {error}"))?;
    let local = tokio::task::LocalSet::new();
    let ended = local.block_on(&runtime, async {
        if let Some(port) = config.health_port {
            tokio::task::spawn_local(health::serve(port));
        }
        let agent = agent::Agent::new(config);
        let guests = connection::Guests::new(agent.clone());
        let signals = reap::signals()?;
        tokio::task::spawn_local(reap::reap(agent.clone(), signals));
        if let Some(listener) = listener {
            listener.set_nonblocking(true)?;
            let listener = tokio::net::UnixListener::from_std(listener)?;
            tokio::task::spawn_local(connection::accept(guests.clone(), listener));
        }
        if let Some(beginning) = beginning {
            let guests = guests.clone();
            tokio::task::spawn_local(async move {
                let ended = beginning.carry(move |line| guests.serve(link::Link::Line(line))).await;
                eprintln!("caisson-agent: the machine ends: {ended:?}");
                // When the first process exits, the machine ends.
                std::process::exit(0);
            });
        }
        for port in vm::proxy::PORTS.into_iter().filter(|_| vm::has_way_out()) {
            tokio::task::spawn_local(vm::proxy::serve(port));
        }
        leash::hold(agent, guests, leash).await
    });
    // Exit instead of returning, which would wait for file operations in progress.
    match ended {
        Ok(()) => std::process::exit(0),
        Err(error) => Err(format!("leash: {error}")),
    }
}

/// A machine's leash, with the configuration on it, once the machine is set up as the keeper said.
fn machine() -> Result<(OwnedFd, Option<vm::Beginning>), String> {
    let (leash, mut beginning) = vm::begin(std::env::args().nth(2).as_deref())?;
    let mut bring = || beginning.bring_message().map_err(|error| format!("stream: {error}"));
    bring()?;
    vm::set_up(&leash::read(&leash)?, &leash)?;
    bring()?;
    Ok((leash, Some(beginning)))
}

/// Behind an engine there is only one descriptor of the keeper's, and the host's connections come over it.
fn standard_input() -> Result<OwnedFd, String> {
    let leash = std::io::stdin().as_fd().try_clone_to_owned().map_err(|error| format!("leash: {error}"))?;
    let null = std::fs::File::open("/dev/null").map_err(|error| format!("/dev/null: {error}"))?;
    // SAFETY: both are open; nothing has read from standard input yet.
    if unsafe { libc::dup2(null.as_raw_fd(), 0) } != 0 {
        return Err(format!("standard input: {}", std::io::Error::last_os_error()));
    }
    Ok(leash)
}

fn inherited() -> Result<(Option<StdListener>, Option<OwnedFd>), String> {
    for number in [LISTENER, LEASH] {
        // SAFETY: the descriptor is only looked at; when it is not open, fcntl says so.
        let descriptor = unsafe { std::os::fd::BorrowedFd::borrow_raw(number) };
        fcntl(descriptor, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))
            .map_err(|error| format!("descriptor {number}: {error}"))?;
    }
    // SAFETY: both are open (just seen), were given to this program by its parent, and are owned by nothing else in it.
    unsafe { Ok((Some(StdListener::from_raw_fd(LISTENER)), Some(OwnedFd::from_raw_fd(LEASH)))) }
}

fn harden() -> Result<(), String> {
    // Processes inside that share the agent's user must not read its memory or take its descriptors.
    nix::sys::prctl::set_dumpable(false).map_err(|error| format!("dumpable: {error}"))?;
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
    // Each process and each stream needs a few.
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).map_err(|error| format!("open files: {error}"))?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most).map_err(|error| format!("open files: {error}"))?;
    child::forget_ignored_signals();
    reap::block_signals().map_err(|error| format!("signals: {error}"))?;
    // SAFETY: plain allocator settings, made before any thread exists. One arena only, because each short-lived thread
    // could otherwise leave one behind.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_MMAP_THRESHOLD, 1024 * 1024);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 1024 * 1024);
    }
    Ok(())
}
