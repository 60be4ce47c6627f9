//! Firecracker (docs/decisions/0040-firecracker.md). The pilot configures it over a socket with the requests of its
//! published API, the last of which starts the machine. The machine's agent connects to the pilot by vsock. Network
//! traffic leaves by a link, whose other end is in the sandbox's network namespace.

mod api;
mod channel;
mod requests;

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use nix::unistd::Pid;

use super::monitor::{Begun, Captain, Monitor, Parts};
use super::{STEP, is_gated, stage};
use crate::fault::{Code, Fault, Outcome};
use crate::gate::tap;
use crate::program::Program;

use api::Api;
use channel::Door;
use requests::Request;

/// From its start to its agent's first step; a healthy machine needs a second. Shorter than the keeper's patience with
/// the agent, so that the caller gets this pilot's error message.
const PATIENCE: Duration = Duration::from_secs(60);

struct Firecracker {
    door: Door,
    requests: Vec<Request>,
}

pub fn prepare(parts: &Parts, disk: OwnedFd) -> Outcome<(Program, Box<dyn Monitor>)> {
    if is_gated(parts.plan) {
        tap::raise()?;
    }
    // Before anybody can connect.
    let door = Door::open()?;
    let mut inherited = parts.streams()?;
    // As requests.rs numbers it.
    inherited.push(disk);
    // Its own seccomp filters are on by default.
    let argv = [stage::PROGRAM, "--api-sock", stage::API, "--id", &parts.plan.id];
    let program = Program::new(&argv, std::iter::empty(), inherited)?;
    let requests = requests::of(parts.machine, is_gated(parts.plan));
    Ok((program, Box::new(Firecracker { door, requests })))
}

impl Monitor for Firecracker {
    fn begin(self: Box<Self>, process: Pid) -> Outcome<Begun> {
        let until = Instant::now() + PATIENCE;
        let mut api = Api::reach(stage::API.as_ref(), process, until)?;
        for Request { path, body } in &self.requests {
            api.put(path, body, until)?;
        }
        let stream = self.door.welcome(&api, until)?;
        Ok(Begun { stream, was_restored: false, captain: Box::new(api) })
    }
}

/// Firecracker serves one connection at a time, so holding this one keeps everyone else out.
impl Captain for Api {
    fn stand(&mut self, _devices: &OwnedFd) -> Outcome<u64> {
        Err(refusal())
    }

    fn go_on(&mut self) -> Outcome<()> {
        Err(refusal())
    }

    fn stop(&mut self) -> Outcome<()> {
        Err(refusal())
    }
}

fn refusal() -> Fault {
    Fault::new(Code::LaunchFailed, STEP, "the state of a machine is neither saved nor taken on by Firecracker here")
        .hint("Pause it without its memory, or let QEMU run machines (CAISSON_MACHINES=qemu).")
}
