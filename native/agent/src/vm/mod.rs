//! The agent as the first program of a virtual machine. By the keeper's instructions it makes of a bare kernel what a
//! keeper makes of namespaces elsewhere, and then is a normal agent. Any failure here ends the machine, with the reason
//! on the console.

mod bounds;
mod channel;
pub mod execs;
mod line;
mod lines;
#[cfg(test)]
mod lines_tests;
mod machine;
mod network;
mod nodes;
pub mod place;
pub mod proxy;
mod renewal;
mod root;
mod steward;

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::resource::{Resource, setrlimit};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

use channel::Channel;

pub use line::Line;
pub use lines::Beginning;
pub use machine::Machine;
pub use steward::{Order, tell};

/// Per process; the kernel's maximum.
const OPEN_FILES: u64 = 1_048_576;

type Outcome<T> = Result<T, String>;

static WAY_OUT: AtomicBool = AtomicBool::new(false);
static CHANNEL: OnceLock<Channel> = OnceLock::new();

/// True in a machine with a network.
pub fn has_way_out() -> bool {
    WAY_OUT.load(Ordering::Relaxed)
}

/// True in a machine, with a network or without.
pub fn is_here() -> bool {
    CHANNEL.get().is_some()
}

/// Before the channel is known, assumes the most common one.
fn channel() -> Channel {
    CHANNEL.get().copied().unwrap_or(Channel::Port)
}

/// Returns the leash, and what carries its messages. `word`: the word after `vm` on the kernel command line.
pub fn begin(word: Option<&str>) -> Outcome<(OwnedFd, Beginning)> {
    let named = Channel::of(word)?;
    let channel = *CHANNEL.get_or_init(|| named);
    nodes::mount_kernel()?;
    place::keep_apart()?;
    channel.modules().iter().try_for_each(|folder| load_modules(folder))?;
    let stream = channel.open()?;
    let pair = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC);
    let (leash, theirs) = pair.map_err(|error| format!("leash: {error}"))?;
    let beginning = Beginning::new(stream, theirs).map_err(|error| format!("stream: {error}"))?;
    Ok((leash, beginning))
}

/// Applies the keeper's description of this machine.
pub fn set_up(machine: &Machine, leash: &OwnedFd) -> Outcome<()> {
    renewal::renew(machine)?;
    for (resource, most) in [(Resource::RLIMIT_NOFILE, OPEN_FILES), (Resource::RLIMIT_NPROC, u64::MAX)] {
        setrlimit(resource, most, most).map_err(|error| format!("limits: {error}"))?;
    }
    // Nobody may read a core file.
    setrlimit(Resource::RLIMIT_CORE, 0, 0).map_err(|error| format!("limits: {error}"))?;
    network::raise(machine)?;
    WAY_OUT.store(machine.network, Ordering::Relaxed);
    bounds::hold(machine, leash)?;
    root::prepare(machine)?;
    // While the disk still has a path: under the new root it has none.
    steward::start(leash)?;
    root::enter()?;
    execs::start(leash, machine.commands)?;
    root::give_up_rights(&machine.capabilities)?;
    place::stay();
    Ok(())
}

fn load_modules(folder: &str) -> Outcome<()> {
    let order = std::fs::read_to_string(format!("{folder}/order")).map_err(|error| format!("modules: {error}"))?;
    for name in order.lines() {
        let path = format!("{folder}/{name}");
        let file = std::fs::File::open(&path).map_err(|error| format!("{path}: {error}"))?;
        // SAFETY: an open descriptor, and a text that ends with a NUL.
        if unsafe { libc::syscall(libc::SYS_finit_module, file.as_raw_fd(), c"".as_ptr(), 0) } != 0 {
            return Err(format!("{path}: {}", std::io::Error::last_os_error()));
        }
    }
    Ok(())
}
