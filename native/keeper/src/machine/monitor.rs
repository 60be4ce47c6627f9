//! The programs that run machines (VMMs), as the pilot uses them. One is prepared with the rights of the first process,
//! started without any, and spoken with until the stream to the machine's agent exists. Another VMM needs a file beside
//! these and a line in `prepare`.

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
    /// QEMU's user-mode network sends from an ordinary process; Firecracker has only a link.
    pub fn source(self) -> Source {
        match self {
            Vmm::Qemu => Source::Here,
            Vmm::Firecracker => Source::Link,
        }
    }
}

/// The parts of a machine, as the first process sees them.
pub struct Parts<'a> {
    pub plan: &'a Plan,
    pub engine: &'a Engine,
    pub machine: &'a Machine,
    /// Where its standard output and error go.
    pub log: Option<&'a OwnedFd>,
    /// Only for a mother.
    pub kin: Option<Kin>,
}

/// Where a mother is asked for twins, and the user namespace below which the twins' are created.
pub struct Kin {
    pub listener: OwnedFd,
    pub user_namespace: OwnedFd,
}

impl Parts<'_> {
    /// Its standard streams; standard input is empty.
    pub fn streams(&self) -> Outcome<Vec<OwnedFd>> {
        let null: OwnedFd = File::options().read(true).write(true).open("/dev/null").at(STEP, "/dev/null")?.into();
        let words = self.log.unwrap_or(&null);
        let copy = |fd: &OwnedFd| fd.try_clone().at(STEP, "dup");
        Ok(vec![copy(&null)?, copy(words)?, copy(words)?])
    }
}

pub trait Monitor {
    /// Called once its process runs.
    fn begin(self: Box<Self>, process: Pid) -> Outcome<Begun>;
}

/// A running machine.
pub struct Begun {
    /// To the machine's agent.
    pub stream: OwnedFd,
    /// It was restored, so its agent spoke with somebody else before.
    pub was_restored: bool,
    pub captain: Box<dyn Captain>,
}

/// Carries out orders about the machine as a whole, for as long as it runs.
pub trait Captain: Send {
    /// Stops it, and writes its device state, but not its memory, to that file. Returns the address at which its memory
    /// begins. On failure the machine resumes.
    fn stand(&mut self, devices: &OwnedFd) -> Outcome<u64>;
    fn go_on(&mut self) -> Outcome<()>;
    /// Stops it for good.
    fn stop(&mut self) -> Outcome<()>;
}

/// `disk`: the machine's own, open for reading and writing.
pub fn prepare(parts: &Parts, disk: OwnedFd) -> Outcome<(Program, Box<dyn Monitor>)> {
    match parts.machine.vmm {
        Vmm::Qemu => Qemu::prepare(parts, disk),
        Vmm::Firecracker => firecracker::prepare(parts, disk),
    }
}
