//! Between keeper and pilot: what is to be done with the machine as a whole. The keeper opens the file, the pilot speaks with what runs the machine.

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

/// Longer than the pilot waits for QEMU.
const PATIENCE_SECONDS: i64 = 150;
/// After its stream has come to an end.
const LAST_PATIENCE_SECONDS: i64 = 35;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
enum Order {
    /// With the file.
    Save { shared: bool },
    /// After that.
    GoOn {},
}

/// The keeper's end, and the pilot's.
pub fn pair() -> Outcome<(OwnedFd, OwnedFd)> {
    socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).at(STEP, "socketpair")
}

/// The keeper's side. The machine stands still afterwards, or goes on if it could not be saved. `shared`: without its memory.
pub fn save(helm: &OwnedFd, state: &File, shared: bool) -> Outcome<()> {
    order(helm, &Order::Save { shared }, &[state.as_raw_fd()])?;
    answer(helm, PATIENCE_SECONDS)
}

/// As `save`, with its memory in the stream, which ends when all of it has been written, or nothing more will be. Then: `poured`.
pub fn pour(helm: &OwnedFd, stream: OwnedFd) -> Outcome<()> {
    order(helm, &Order::Save { shared: false }, &[stream.as_raw_fd()])
}

pub fn poured(helm: &OwnedFd) -> Outcome<()> {
    answer(helm, LAST_PATIENCE_SECONDS)
}

pub fn go_on(helm: &OwnedFd) -> Outcome<()> {
    order(helm, &Order::GoOn {}, &[])?;
    answer(helm, LAST_PATIENCE_SECONDS)
}

fn order(helm: &OwnedFd, order: &Order, fds: &[i32]) -> Outcome<()> {
    let order = serde_json::to_vec(order).at(STEP, "order")?;
    send(helm.as_fd(), &order, fds).at(STEP, "helm")
}

fn answer(helm: &OwnedFd, patience_seconds: i64) -> Outcome<()> {
    setsockopt(helm, sockopt::ReceiveTimeout, &TimeVal::new(patience_seconds, 0)).at(STEP, "helm")?;
    let mut buffer = [0u8; 8192];
    let (length, _) = receive(helm.as_fd(), &mut buffer).at(STEP, "helm")?;
    match Said::read(&buffer[..length], STEP)? {
        Said::Ready(true) => Ok(()),
        _ => Err(Fault::new(Code::LaunchFailed, STEP, "the pilot said something else than agreed")),
    }
}

/// The pilot's side: a thread, until the keeper is gone.
pub fn steer(helm: &OwnedFd, mut captain: Box<dyn Captain>) {
    let mut buffer = [0u8; 8192];
    while let Ok((length, mut files)) = receive(helm.as_fd(), &mut buffer) {
        let done = match (serde_json::from_slice(&buffer[..length]), files.pop()) {
            (Ok(Order::Save { shared }), Some(file)) => captain.save(&file, shared),
            (Ok(Order::GoOn {}), None) => captain.go_on(),
            _ if length == 0 => return,
            _ => Err(Fault::new(Code::LaunchFailed, STEP, "an order that is none")),
        };
        let said = done.map_or_else(|fault| Said::from(&fault), |()| Said::Ready(true));
        if send(helm.as_fd(), &said.bytes(), &[]).is_err() {
            return;
        }
    }
}
