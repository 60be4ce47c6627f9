//! Tests whether this machine can run a gate, by setting one up in namespaces of this process: outgoing traffic must be
//! caught, and refused packets must be logged.

use std::io::ErrorKind;
use std::net::{TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};

use super::{Listeners, STEP, net, notes};
use crate::fault::{At, Code, Fault, Outcome};
use crate::inside::loopback_up;

const PATIENCE: Duration = Duration::from_secs(2);
/// A documentation address (RFC 5737): it belongs to nobody, should a packet leave after all.
const ANYBODY: &str = "203.0.113.7:9";

/// Call it while this process has one thread. Nothing of the test outlives the process.
pub fn gate() -> Outcome<()> {
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET).coded(
        Code::WallUnavailable,
        STEP,
        "user and network namespaces",
    )?;
    loopback_up()?;
    let listeners = Listeners::from(net::prepare(net::Source::Here)?)
        .ok_or_else(|| Fault::new(Code::WallUnavailable, STEP, "the listeners could not be opened"))?;
    let address = ANYBODY.parse().at(STEP, ANYBODY)?;
    let connected = TcpStream::connect_timeout(&address, PATIENCE);
    connected.coded(Code::WallUnavailable, STEP, "a connection on its way out was not caught (nft_tproxy)")?;
    arrived(&listeners.streams[0], "a connection on its way out was not caught (nft_tproxy)")?;
    let sent = UdpSocket::bind("0.0.0.0:0").and_then(|socket| socket.send_to(b"x", address));
    if sent.as_ref().err().map(std::io::Error::kind) != Some(ErrorKind::PermissionDenied) {
        return Err(Fault::new(
            Code::WallUnavailable,
            STEP,
            format!("a datagram was not refused (nft_reject): {sent:?}"),
        ));
    }
    arrived(&listeners.notes, "what is refused is not noted (nft_log, nfnetlink_log)")?;
    let mut noted = 0;
    notes::hear(&listeners.notes, |_| noted += 1);
    if noted > 0 {
        Ok(())
    } else {
        Err(Fault::new(Code::WallUnavailable, STEP, "notes cannot be read (nfnetlink_log)"))
    }
}

fn arrived(fd: &OwnedFd, what: &'static str) -> Outcome<()> {
    let mut fds = [PollFd::new(fd.as_fd(), PollFlags::POLLIN)];
    let timeout = PollTimeout::try_from(PATIENCE).unwrap_or(PollTimeout::ZERO);
    match poll(&mut fds, timeout).coded(Code::WallUnavailable, STEP, what)? {
        0 => Err(Fault::new(Code::WallUnavailable, STEP, what)),
        _ => Ok(()),
    }
}
