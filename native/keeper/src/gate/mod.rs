//! The gate: a separate process, forked by the keeper, that holds every way out of one sandbox. All outgoing traffic
//! lands here (net.rs, rules.rs). The host decides (link.rs), the gate carries out the decision, and without a decision
//! it refuses. Its only right is to open connections.

mod addresses;
mod asking;
mod bounds;
#[cfg(test)]
mod chance;
mod confine;
mod connection;
mod datagram;
mod dialling;
mod dns;
mod doors;
mod introduction;
mod link;
mod names;
pub mod net;
mod netlink;
mod notes;
mod proxy;
mod questions;
mod rules;
mod serve;
mod splice;
mod table;
pub mod tap;
mod target;
mod time;
pub mod trial;
mod words;

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use nix::sys::socket::UnixAddr;
use nix::unistd::{ForkResult, fork};

use crate::descriptors::keep_only;
use crate::fault::{At, Code, Fault, Outcome};
use crate::plan::{Network, Plan};
use serve::Serve;

const STEP: &str = "gate";
/// Sockets per connection; below, what the gate itself needs.
const DESCRIPTORS_EACH: u64 = 2;
const DESCRIPTORS_BESIDE: u64 = 256;

/// What the first process opened inside, in the order of net.rs.
pub struct Listeners {
    notes: OwnedFd,
    http: OwnedFd,
    socks5: OwnedFd,
    streams: Vec<OwnedFd>,
    datagrams: Vec<OwnedFd>,
}

impl Listeners {
    fn from(fds: Vec<OwnedFd>) -> Option<Listeners> {
        let mut fds = fds.into_iter();
        let (notes, http, socks5) = (fds.next()?, fds.next()?, fds.next()?);
        let (mut streams, mut datagrams) = (Vec::new(), Vec::new());
        while let (Some(stream), Some(datagram)) = (fds.next(), fds.next()) {
            streams.push(stream);
            datagrams.push(datagram);
        }
        (!streams.is_empty()).then_some(Listeners { notes, http, socks5, streams, datagrams })
    }

    fn all(&self) -> impl Iterator<Item = &OwnedFd> {
        [&self.notes, &self.http, &self.socks5].into_iter().chain(&self.streams).chain(&self.datagrams)
    }
}

/// A running gate. It ends with the keeper, or when this value is dropped.
pub struct Gate {
    process: i32,
    /// Readable once it has ended.
    ended: OwnedFd,
    orders: OwnedFd,
}

impl Gate {
    /// Starts a gate if the plan has one. Call it while the keeper has a single thread.
    pub fn start(plan: &Plan, listeners: Vec<OwnedFd>) -> Outcome<Option<Gate>> {
        let Network::Gate { airlock, inspect, max_connections, .. } = &plan.network else { return Ok(None) };
        // Checked here, while an error can still fail the launch.
        for path in [airlock, inspect] {
            UnixAddr::new(path.as_str()).coded(Code::PlanInvalid, STEP, path)?;
        }
        let descriptors = u64::from(*max_connections) * DESCRIPTORS_EACH + DESCRIPTORS_BESIDE;
        refuse_too_many(descriptors)?;
        let listeners = Listeners::from(listeners)
            .ok_or_else(|| Fault::new(Code::LaunchFailed, STEP, "the listeners did not come out"))?;
        let keeper = nix::unistd::getpid();
        let flags = nix::fcntl::OFlag::O_CLOEXEC | nix::fcntl::OFlag::O_NONBLOCK;
        let (heard, orders) = nix::unistd::pipe2(flags).at(STEP, "pipe")?;
        // SAFETY: one thread; the child uses what it copied and ends without returning.
        match unsafe { fork() }.at(STEP, "fork")? {
            ForkResult::Child => {
                drop(orders);
                let ended = run(plan, listeners, heard, keeper, descriptors);
                if let Err(fault) = &ended {
                    eprintln!("caisson-keeper: {fault}");
                }
                // SAFETY: ends this process without the keeper's exit handlers.
                unsafe { libc::_exit(i32::from(ended.is_err())) }
            }
            ForkResult::Parent { child } => {
                let process = child.as_raw();
                // SAFETY: our own child, not waited for yet, so the number cannot have been reused.
                let ended = unsafe { libc::syscall(libc::SYS_pidfd_open, process, 0) } as RawFd;
                let error = std::io::Error::last_os_error();
                if ended < 0 {
                    end(process);
                    return Err(error).at(STEP, "pidfd_open");
                }
                // SAFETY: just opened, owned by nobody else.
                Ok(Some(Gate { process, ended: unsafe { OwnedFd::from_raw_fd(ended) }, orders }))
            }
        }
    }

    pub fn ended(&self) -> RawFd {
        self.ended.as_raw_fd()
    }

    /// Tells the gate that the sandbox is frozen or thawed. Frozen time does not count as idle.
    pub fn hold(&self, still: bool) {
        // A gate that has gone needs no orders.
        let _ = nix::unistd::write(&self.orders, &[u8::from(still)]);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        end(self.process);
    }
}

fn end(process: i32) {
    // SAFETY: our own child, not waited for before.
    unsafe {
        libc::kill(process, libc::SIGKILL);
        libc::waitpid(process, std::ptr::null_mut(), 0);
    }
}

fn run(plan: &Plan, listeners: Listeners, orders: OwnedFd, keeper: nix::unistd::Pid, descriptors: u64) -> Outcome<()> {
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).at(STEP, "parent death signal")?;
    if nix::unistd::getppid() != keeper {
        return Err(Fault::new(Code::LaunchFailed, STEP, "the keeper ended"));
    }
    nix::sys::prctl::set_name(c"caisson-gate").at(STEP, "name")?;
    keep_only(STEP, listeners.all().chain([&orders]))?;
    allow_descriptors(descriptors)?;
    let serve = Serve::new(plan, listeners, orders)?;
    confine::confine()?;
    serve.run()
}

fn refuse_too_many(descriptors: u64) -> Outcome<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).at(STEP, "open files")?;
    if hard >= descriptors {
        return Ok(());
    }
    let message = format!("network.maxConnections needs {descriptors} open files, and {hard} are allowed");
    let hint =
        "Raise the hard limit of open files (`ulimit -Hn`) of whoever runs Caisson, or ask for fewer connections.";
    Err(Fault::new(Code::LimitUnavailable, STEP, message).hint(hint))
}

fn allow_descriptors(wanted: u64) -> Outcome<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).at(STEP, "open files")?;
    if soft >= wanted { Ok(()) } else { setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).at(STEP, "open files") }
}
