//! The programs that run machines, seen from their pilot: one is made ready with the rights of the first process, started without any, and spoken with
//! until the machine's agent has its stream. A further one is a file beside these, and a line in `prepare`.

use std::fs::File;
use std::os::fd::OwnedFd;

use nix::unistd::Pid;
use serde::Deserialize;

use super::qemu::Qemu;
use super::{Machine, STEP, firecracker};
use crate::engine::Engine;
use crate::fault::{At, Outcome};
use crate::gate::net::Source;
use crate::plan::Plan;
use crate::program::Program;

#[derive(Deserialize, Clone, Copy, Default, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Vmm {
    #[default]
    Qemu,
    Firecracker,
}

impl Vmm {
    /// QEMU's user-mode network is a process like any other; Firecracker has nothing but a link.
    pub fn source(self) -> Source {
        match self {
            Vmm::Qemu => Source::Here,
            Vmm::Firecracker => Source::Link,
        }
    }
}

/// What a machine is made of, as the first process sees it.
pub struct Parts<'a> {
    pub plan: &'a Plan,
    pub engine: &'a Engine,
    pub machine: &'a Machine,
    /// Where what it has to complain about goes.
    pub log: Option<&'a OwnedFd>,
    /// Of a mother.
    pub kin: Option<Kin>,
}

/// Where a mother is asked for twins, and the user namespace that they live below.
pub struct Kin {
    pub listener: OwnedFd,
    pub user_namespace: OwnedFd,
}

impl Parts<'_> {
    /// Its standard streams: nothing comes in.
    pub fn streams(&self) -> Outcome<Vec<OwnedFd>> {
        let null: OwnedFd = File::options().read(true).write(true).open("/dev/null").at(STEP, "/dev/null")?.into();
        let words = self.log.unwrap_or(&null);
        let copy = |fd: &OwnedFd| fd.try_clone().at(STEP, "dup");
        Ok(vec![copy(&null)?, copy(words)?, copy(words)?])
    }
}

pub trait Monitor {
    /// Its process runs.
    fn begin(self: Box<Self>, process: Pid) -> Outcome<Begun>;
}

/// A machine that runs.
pub struct Begun {
    /// To the agent in it.
    pub stream: OwnedFd,
    /// From a state: its agent spoke with somebody else before.
    pub was_restored: bool,
    pub captain: Box<dyn Captain>,
}

/// Takes orders about the machine as a whole, for as long as it runs.
pub trait Captain: Send {
    /// Has it stand still, with all that it is but for its memory in that file; where its memory begins. If it could not, it goes on.
    fn stand(&mut self, devices: &OwnedFd) -> Outcome<u64>;
    fn go_on(&mut self) -> Outcome<()>;
    /// It stands still, for good.
    fn stop(&mut self) -> Outcome<()>;
}

/// `disk`: its own, open for reading and writing.
pub fn prepare(parts: &Parts, disk: OwnedFd) -> Outcome<(Program, Box<dyn Monitor>)> {
    match parts.machine.vmm {
        Vmm::Qemu => Qemu::prepare(parts, disk),
        Vmm::Firecracker => firecracker::prepare(parts, disk),
    }
}
