//! The helm: the socket over which the keeper gives the pilot orders about the machine as a whole. The keeper has the
//! files; the pilot speaks with the program that runs the machine.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use caisson_zygote::message::{receive, send};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, setsockopt, socketpair, sockopt};
use nix::sys::time::TimeVal;
use serde::{Deserialize, Serialize};

use super::STEP;
use super::monitor::Captain;
use crate::fault::{At, Code, Fault, Outcome};
use crate::say::Said;

/// Longer than the pilot waits for all of QEMU's answers to one order.
const PATIENCE_SECONDS: i64 = 125;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
enum Order {
    /// Stop; comes with the file that the device state is written to.
    Stand {},
    /// Resume after that.
    GoOn {},
    /// Stop for good: others are forked from it.
    Stop {},
}

/// The keeper's end, and the pilot's.
pub fn pair() -> Outcome<(OwnedFd, OwnedFd)> {
    socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).at(STEP, "socketpair")
}

/// The keeper's side. Stops the machine and writes its device state, but not its memory, to that file. Returns the
/// address at which its memory begins. On failure the machine resumes.
pub fn stand(helm: &OwnedFd, devices: &File) -> Outcome<u64> {
    order(helm, &Order::Stand {}, &[devices.as_raw_fd()])?;
    match answer(helm)? {
        Said::Memory { address } => Ok(address),
        _ => Err(not_agreed()),
    }
}

pub fn go_on(helm: &OwnedFd) -> Outcome<()> {
    obeyed(helm, &Order::GoOn {})
}

pub fn stop(helm: &OwnedFd) -> Outcome<()> {
    obeyed(helm, &Order::Stop {})
}

fn obeyed(helm: &OwnedFd, what: &Order) -> Outcome<()> {
    order(helm, what, &[])?;
    match answer(helm)? {
        Said::Ready(true) => Ok(()),
        _ => Err(not_agreed()),
    }
}

fn order(helm: &OwnedFd, order: &Order, fds: &[i32]) -> Outcome<()> {
    let order = serde_json::to_vec(order).at(STEP, "order")?;
    send(helm.as_fd(), &order, fds).at(STEP, "helm")
}

fn answer(helm: &OwnedFd) -> Outcome<Said> {
    setsockopt(helm, sockopt::ReceiveTimeout, &TimeVal::new(PATIENCE_SECONDS, 0)).at(STEP, "helm")?;
    let mut buffer = [0u8; 8192];
    let (length, _) = receive(helm.as_fd(), &mut buffer).at(STEP, "helm")?;
    Said::read(&buffer[..length], STEP)
}

fn not_agreed() -> Fault {
    Fault::new(Code::LaunchFailed, STEP, "the pilot said something else than agreed")
}

/// The pilot's side: a thread that runs until the keeper has gone.
pub fn steer(helm: &OwnedFd, mut captain: Box<dyn Captain>) {
    let mut buffer = [0u8; 8192];
    while let Ok((length, mut files)) = receive(helm.as_fd(), &mut buffer) {
        let done = match (serde_json::from_slice(&buffer[..length]), files.pop()) {
            (Ok(Order::Stand {}), Some(devices)) => captain.stand(&devices).map(|address| Said::Memory { address }),
            (Ok(Order::GoOn {}), None) => captain.go_on().map(|()| Said::Ready(true)),
            (Ok(Order::Stop {}), None) => captain.stop().map(|()| Said::Ready(true)),
            _ if length == 0 => return,
            _ => Err(Fault::new(Code::LaunchFailed, STEP, "an order that is none")),
        };
        let said = done.unwrap_or_else(|fault| Said::from(&fault));
        if send(helm.as_fd(), &said.bytes(), &[]).is_err() {
            return;
        }
    }
}
