//! The agent as the first program of a virtual machine: it makes out of a bare kernel what a keeper makes of namespaces elsewhere, by what the keeper
//! says, and is an agent from then on. Whatever goes wrong here ends the machine, with its reason on the console.

mod bounds;
mod machine;
mod network;
mod nodes;
pub mod proxy;
mod renewal;
mod root;
mod steward;

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use caisson_relay::{Relay, Side};
use nix::fcntl::{OFlag, open};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::sys::stat::Mode;

pub use machine::Machine;
pub use steward::{Order, tell};

/// The first port that is no console (drivers/char/virtio_console.c).
const PORT: &str = "/dev/vport0p1";
const MODULES: &str = "/modules";
/// Per process, as the kernel allows at most.
const OPEN_FILES: u64 = 1_048_576;

type Outcome<T> = Result<T, String>;

static WAY_OUT: AtomicBool = AtomicBool::new(false);

/// Of a machine with a network.
pub fn has_way_out() -> bool {
    WAY_OUT.load(Ordering::Relaxed)
}

/// The leash, and how to go on when its first message has come.
pub fn begin() -> Outcome<OwnedFd> {
    nodes::mount_kernel()?;
    load_modules()?;
    let port = port()?;
    let pair = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC);
    let (leash, theirs) = pair.map_err(|error| format!("leash: {error}"))?;
    let relay = Relay::new(Side::Guest, theirs, port).map_err(|error| format!("relay: {error}"))?;
    let run = move || {
        let ended = relay.run();
        eprintln!("caisson-agent: the machine ends: {ended:?}");
        // The end of the first process is the end of the machine.
        std::process::exit(0);
    };
    std::thread::Builder::new().name("relay".into()).spawn(run).map_err(|error| format!("relay: {error}"))?;
    Ok(leash)
}

/// Everything that the keeper says of this machine.
pub fn set_up(machine: &Machine, leash: &OwnedFd) -> Outcome<()> {
    renewal::renew(machine)?;
    for (resource, most) in [(Resource::RLIMIT_NOFILE, OPEN_FILES), (Resource::RLIMIT_NPROC, u64::MAX)] {
        setrlimit(resource, most, most).map_err(|error| format!("limits: {error}"))?;
    }
    // A core is nobody's to read.
    setrlimit(Resource::RLIMIT_CORE, 0, 0).map_err(|error| format!("limits: {error}"))?;
    network::raise(machine)?;
    WAY_OUT.store(machine.network, Ordering::Relaxed);
    bounds::hold(machine, leash)?;
    root::prepare(machine)?;
    // While the disk has a name: under the new root it has none.
    steward::start(leash)?;
    root::enter()?;
    root::give_up_rights(&machine.capabilities)
}

fn load_modules() -> Outcome<()> {
    let order = std::fs::read_to_string(format!("{MODULES}/order")).map_err(|error| format!("modules: {error}"))?;
    for name in order.lines() {
        let path = format!("{MODULES}/{name}");
        let file = std::fs::File::open(&path).map_err(|error| format!("{path}: {error}"))?;
        // SAFETY: an open descriptor, and a text that ends with a NUL.
        if unsafe { libc::syscall(libc::SYS_finit_module, file.as_raw_fd(), c"".as_ptr(), 0) } != 0 {
            return Err(format!("{path}: {}", std::io::Error::last_os_error()));
        }
    }
    Ok(())
}

/// Open, and with somebody at its other end.
fn port() -> Outcome<OwnedFd> {
    let flags = OFlag::O_RDWR | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    // The device comes when its driver has heard of it; nothing else is to be done until then.
    for _ in 0..30_000 {
        if let Ok(port) = open(PORT, flags, Mode::empty()) {
            let mut poll = libc::pollfd { fd: port.as_fd().as_raw_fd(), events: libc::POLLOUT, revents: 0 };
            // SAFETY: one structure of ours.
            let ready = unsafe { libc::poll(&raw mut poll, 1, 0) };
            if ready == 1 && poll.revents & libc::POLLHUP == 0 {
                return Ok(port);
            }
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Err(format!("{PORT}: nobody is at the other end"))
}
