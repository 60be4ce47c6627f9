//! Forked machines. A stopped machine, the mother, is asked for a twin: a fork of its QEMU that continues in a sandbox
//! of its own (native/twins). The twin comes to its pilot from elsewhere, but is by then behind the same walls, set up
//! in the same order.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

use super::{STEP, bytes_of_files, helm};
use crate::disk::image_in;
use crate::engine::Warm;
use crate::fault::{At, Code, Fault, Outcome};
use crate::nursery::{Gate, Nursery};
use crate::order::{PATIENCE, Sandbox};
use crate::plan::{Kind, Plan};

/// The mother's socket, in its state folder.
const SOCKET: &str = "twins.sock";
/// A mother answers, and a twin moves in, within milliseconds, for only a few at a time (host/sandbox/admission.ts). A
/// mother that does not answer is not worth waiting for: a restore takes a second.
const MOTHERS_PATIENCE: Duration = Duration::from_secs(10);

/// What the twins' disks are copied from. It matches the mother's memory, because the mother writes no more.
pub fn disk_of(mother: &Path) -> PathBuf {
    image_in(mother)
}

/// One side of the channels between a pilot and QEMU.
pub struct Ends {
    pub stream: OwnedFd,
    pub control: OwnedFd,
}

/// The pilot's side, and QEMU's.
pub fn ends() -> Outcome<(Ends, Ends)> {
    let ((stream, streams), (control, controls)) = (pair()?, pair()?);
    Ok((Ends { stream, control }, Ends { stream: streams, control: controls }))
}

fn pair() -> Outcome<(OwnedFd, OwnedFd)> {
    socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC).at(STEP, "socketpair")
}

/// A twin that has not arrived yet.
pub struct Twin {
    ends: Ends,
    log: OwnedFd,
    gate: Option<Gate>,
}

impl Plan {
    /// Whether other machines are forked from this one.
    pub fn is_mother(&self) -> bool {
        self.kind == Kind::Zygote && self.machine.is_some()
    }

    /// The state folder of the machine that this one is forked from.
    pub fn mother(&self) -> Option<&Path> {
        match self.engine.as_ref().and_then(|engine| engine.warm.as_ref()) {
            Some(Warm::Restore { mother: Some(dir), .. }) => Some(Path::new(dir)),
            _ => None,
        }
    }
}

impl Sandbox {
    /// Prepares the pilot's ends, before anything is built.
    pub fn expect_twin(&mut self) -> Outcome<Option<Ends>> {
        if self.plan.mother().is_none() {
            return Ok(None);
        }
        let log = self.engine.as_ref().and_then(|engine| engine.log());
        let log = log.ok_or_else(missing)?.try_clone().at(STEP, "dup")?;
        let (pilots, ends) = ends()?;
        self.twin = Some(Twin { ends, log, gate: None });
        Ok(Some(pilots))
    }

    /// The connection to the mother, if this machine has one.
    pub fn mother(&self) -> Outcome<Option<Nursery>> {
        self.plan.mother().map(|dir| Nursery::connect(dir.join(SOCKET), MOTHERS_PATIENCE)).transpose()
    }

    /// Asks for the twin as soon as its namespaces exist.
    pub fn ask_for_twin(&mut self, mother: &Nursery) -> Outcome<()> {
        let Some(Twin { ends, log, .. }) = &self.twin else { return Ok(()) };
        let gate = mother.bear(&self.wanted()?, [&ends.stream, log, &ends.control], bytes_of_files(&self.plan)?)?;
        if let Some(twin) = &mut self.twin {
            twin.gate = Some(gate);
        }
        Ok(())
    }

    /// The wall stands, so the twin moves in, with its disk.
    pub fn let_twin_in(&mut self, mother: &Nursery, disk: Option<OwnedFd>) -> Outcome<()> {
        let Some(Twin { gate: Some(gate), .. }) = self.twin.take() else { return Err(missing()) };
        let (Some(mounts), Some(disk)) = (&self.mounts, disk) else { return Err(missing()) };
        mother.answer()?;
        let inside = gate.pass(mounts, Some(&disk), MOTHERS_PATIENCE);
        inside.map(|_| ()).map_err(|fault| with_words(self, fault))
    }
}

/// Stops the machine for good; from now on it answers requests for twins.
pub fn serve(sandbox: &Sandbox) -> Outcome<()> {
    helm::stop(super::saving::helm_of(sandbox)?)?;
    let socket = sandbox.plan.serve.as_ref().map_or("", |serve| serve.socket.as_str());
    Nursery::connect(socket, PATIENCE).map(|_| ()).map_err(|fault| with_words(sandbox, fault))
}

/// Adds what QEMU, or a twin of it, said last.
fn with_words(sandbox: &Sandbox, fault: Fault) -> Fault {
    match &sandbox.engine {
        Some(engine) => engine.with_words(fault),
        None => fault,
    }
}

/// Descriptor numbers, as sent to the keeper.
pub fn numbers(first: &OwnedFd, more: Option<&OwnedFd>, rest: &[OwnedFd]) -> Vec<i32> {
    std::iter::once(first).chain(more).chain(rest).map(AsRawFd::as_raw_fd).collect()
}

fn missing() -> Fault {
    Fault::new(Code::LaunchFailed, "zygote", "what a twin needs is not there")
}
