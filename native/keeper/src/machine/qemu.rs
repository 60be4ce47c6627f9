//! QEMU: its agent's stream and its control are sockets that it inherits.

use std::fs::File;
use std::os::fd::OwnedFd;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::unistd::Pid;

use super::monitor::{Begun, Captain, Monitor, Parts};
use super::qmp::Qmp;
use super::{STEP, arguments, stage};
use crate::engine::Warm;
use crate::fault::{At, Outcome};
use crate::program::Program;

pub struct Qemu {
    stream: OwnedFd,
    control: OwnedFd,
    is_restored: bool,
}

impl Qemu {
    pub fn prepare(parts: &Parts, disk: OwnedFd) -> Outcome<(Program, Box<dyn Monitor>)> {
        let (engine, machine) = (parts.engine, parts.machine);
        let ((stream, streams), (control, controls)) = (pair()?, pair()?);
        let mut inherited = parts.streams()?;
        // As arguments.rs numbers them.
        inherited.extend([streams, disk, controls]);
        let is_restored = engine.warm.as_ref().is_some_and(Warm::takes_state);
        if is_restored {
            inherited.push(File::open(stage::STATE).at(STEP, stage::STATE)?.into());
        }
        let reader = machine.reader.as_ref().filter(|_| is_restored);
        let env = reader.map(|_| format!("LD_PRELOAD={}", stage::READER));
        let argv = arguments::of(parts.plan, engine, machine)?;
        let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
        let program = Program::new(&argv, env.into_iter(), inherited)?;
        Ok((program, Box::new(Qemu { stream, control, is_restored })))
    }
}

fn pair() -> Outcome<(OwnedFd, OwnedFd)> {
    socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC).at(STEP, "socketpair")
}

impl Monitor for Qemu {
    fn begin(self: Box<Self>, _process: Pid) -> Outcome<Begun> {
        let mut qmp = Qmp::greet(self.control)?;
        if self.is_restored {
            qmp.restore(arguments::STATE)?;
        }
        Ok(Begun { stream: self.stream, was_restored: self.is_restored, captain: Box::new(qmp) })
    }
}

impl Captain for Qmp {
    fn stand(&mut self, devices: &OwnedFd) -> Outcome<u64> {
        Qmp::stand(self, devices)
    }

    fn go_on(&mut self) -> Outcome<()> {
        Qmp::go_on(self)
    }
}
