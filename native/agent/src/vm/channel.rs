//! How a machine's agent reaches the keeper's pilot: by a serial port (QEMU) or by vsock (Firecracker). Either gives
//! one stream, and the choice also tells what else differs in the machine.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use nix::fcntl::{OFlag, open};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, VsockAddr, connect, socket};
use nix::sys::stat::Mode;

use super::Outcome;

/// The first port that is not a console (drivers/char/virtio_console.c).
const PORT: &str = "/dev/vport0p1";
/// The host's port, the same as in the keeper (native/keeper/src/machine/firecracker/channel.rs).
const VSOCK_PORT: u32 = 1024;
const MODULES: &str = "/modules";
const VSOCK_MODULES: &str = "/vsock";
/// A device appears once its driver has found it; nothing else can be done until then.
const LOOKS: u32 = 30_000;
const LOOK: Duration = Duration::from_millis(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    Port,
    Vsock,
}

impl Channel {
    /// Chosen by the word after `vm` on the kernel command line.
    pub fn of(word: Option<&str>) -> Outcome<Channel> {
        match word {
            None => Ok(Channel::Port),
            Some("vsock") => Ok(Channel::Vsock),
            Some(other) => Err(format!("{other:?} is no channel")),
        }
    }

    /// Folders of modules, in dependency order.
    pub fn modules(self) -> &'static [&'static str] {
        match self {
            Channel::Port => &[MODULES],
            Channel::Vsock => &[MODULES, VSOCK_MODULES],
        }
    }

    /// Returns it open and connected.
    pub fn open(self) -> Outcome<OwnedFd> {
        let mut last = String::new();
        for _ in 0..LOOKS {
            match self.try_open() {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
            std::thread::sleep(LOOK);
        }
        Err(last)
    }

    fn try_open(self) -> Outcome<OwnedFd> {
        match self {
            Channel::Port => port(),
            Channel::Vsock => vsock(libc::VMADDR_CID_HOST, VSOCK_PORT),
        }
    }
}

fn port() -> Outcome<OwnedFd> {
    let nobody = || format!("{PORT}: nobody is at the other end");
    let flags = OFlag::O_RDWR | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let port = open(PORT, flags, Mode::empty()).map_err(|_| nobody())?;
    let mut poll = libc::pollfd { fd: port.as_fd().as_raw_fd(), events: libc::POLLOUT, revents: 0 };
    // SAFETY: one structure of ours.
    let ready = unsafe { libc::poll(&raw mut poll, 1, 0) };
    if ready == 1 && poll.revents & libc::POLLHUP == 0 { Ok(port) } else { Err(nobody()) }
}

fn vsock(context: u32, port: u32) -> Outcome<OwnedFd> {
    let wrong = |error| format!("vsock {context}:{port}: {error}");
    let stream = socket(AddressFamily::Vsock, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).map_err(wrong)?;
    connect(stream.as_raw_fd(), &VsockAddr::new(context, port)).map_err(wrong)?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use std::os::fd::FromRawFd;

    use nix::sys::socket::{Backlog, accept, bind, getsockname, listen};

    use super::*;

    #[test]
    fn a_word_names_a_channel_and_another_is_refused() {
        assert_eq!(Channel::of(None), Ok(Channel::Port));
        assert_eq!(Channel::of(Some("vsock")), Ok(Channel::Vsock));
        assert!(Channel::of(Some("serial")).is_err());
    }

    /// Uses the kernel's own vsock loopback, if there is one. The connection to the host is the same call with another
    /// number.
    #[test]
    fn what_is_said_by_vsock_is_heard() {
        let anywhere = VsockAddr::new(libc::VMADDR_CID_LOCAL, libc::VMADDR_PORT_ANY);
        let made = socket(AddressFamily::Vsock, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)
            .and_then(|listener| bind(listener.as_raw_fd(), &anywhere).map(|()| listener));
        let Ok(listener) = made else {
            return eprintln!("skipped: this kernel has no loopback of vsock (vsock_loopback)");
        };
        listen(&listener, Backlog::new(1).expect("a number")).expect("listens");
        let port = getsockname::<VsockAddr>(listener.as_raw_fd()).expect("a name").port();
        let stream = vsock(libc::VMADDR_CID_LOCAL, port).expect("somebody listens");
        let other = accept(listener.as_raw_fd()).expect("somebody");
        // SAFETY: just created, owned by nobody else.
        let other = unsafe { OwnedFd::from_raw_fd(other) };
        nix::unistd::write(&stream, b"hello").expect("said");
        let mut heard = [0; 5];
        assert_eq!(nix::unistd::read(&other, &mut heard), Ok(5));
        assert_eq!(&heard, b"hello");
    }

    #[test]
    fn nobody_at_the_other_end_is_said() {
        let error = vsock(libc::VMADDR_CID_LOCAL, 1).expect_err("nobody listens there");
        assert!(error.starts_with("vsock 1:1: "), "{error}");
    }
}
