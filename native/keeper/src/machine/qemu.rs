//! QEMU. The agent's stream and the control channel are sockets that it inherits.

use std::fs::File;
use std::os::fd::OwnedFd;

use nix::unistd::Pid;

use super::monitor::{Begun, Captain, Monitor, Parts};
use super::qmp::Qmp;
use super::twin::{self, Ends};
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
        let (Ends { stream, control }, theirs) = twin::ends()?;
        let mut inherited = parts.streams()?;
        // In the order of arguments.rs.
        inherited.extend([theirs.stream, disk, theirs.control]);
        let is_restored = engine.warm.as_ref().is_some_and(Warm::takes_state);
        if is_restored {
            inherited.push(File::open(stage::STATE).at(STEP, stage::STATE)?.into());
        }
        let reader = machine.reader.as_ref().filter(|_| is_restored);
        let mut libraries: Vec<&str> = reader.map(|_| stage::READER).into_iter().collect();
        let mut env = Vec::new();
        if let (Some(kin), Some(serve)) = (&parts.kin, &parts.plan.serve) {
            // In the order of native/twins.
            for fd in [&kin.listener, &kin.user_namespace] {
                inherited.push(fd.try_clone().at(STEP, "dup")?);
            }
            libraries.push(stage::TWINS);
            env.push(format!("CAISSON_TWINS_IDLE_MS={}", serve.idle_ms));
        }
        if !libraries.is_empty() {
            env.push(format!("LD_PRELOAD={}", libraries.join(":")));
        }
        let argv = arguments::of(parts.plan, engine, machine)?;
        let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
        let program = Program::new(&argv, env.into_iter(), inherited)?;
        Ok((program, Box::new(Qemu { stream, control, is_restored })))
    }
}

/// The twin is on its way, and resumes where its mother was stopped once it has arrived.
pub fn begin_twin(ends: &Ends) -> Outcome<Begun> {
    let copy = |fd: &OwnedFd| fd.try_clone().at(STEP, "dup");
    let mut qmp = Qmp::with(copy(&ends.control)?)?;
    qmp.go_on()?;
    Ok(Begun { stream: copy(&ends.stream)?, was_restored: true, captain: Box::new(qmp) })
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

    fn stop(&mut self) -> Outcome<()> {
        Qmp::stop(self)
    }
}
