//! Machines that are forked: one that stands still, the mother, is asked for a twin of its QEMU, which goes on in a sandbox of its own (native/twins). What a pilot starts
//! elsewhere comes to it from there; it is behind the same walls by then, set in the same order.

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

/// Of her state folder: where a mother listens.
const SOCKET: &str = "twins.sock";
/// She answers, and a twin goes in, in milliseconds, for no more than a few at once (host/sandbox/admission.ts). One that stands still is done without: to be
/// restored takes a second.
const MOTHERS_PATIENCE: Duration = Duration::from_secs(10);

/// What her twins' disks are copied from: it goes with her memory, and she writes no more.
pub fn disk_of(mother: &Path) -> PathBuf {
    image_in(mother)
}

/// One side of what there is between a pilot and QEMU.
pub struct Ends {
    pub stream: OwnedFd,
    pub control: OwnedFd,
}

/// The pilot's, and QEMU's.
pub fn ends() -> Outcome<(Ends, Ends)> {
    let ((stream, streams), (control, controls)) = (pair()?, pair()?);
    Ok((Ends { stream, control }, Ends { stream: streams, control: controls }))
}

fn pair() -> Outcome<(OwnedFd, OwnedFd)> {
    socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC).at(STEP, "socketpair")
}

/// A twin that is on its way.
pub struct Twin {
    ends: Ends,
    log: OwnedFd,
    gate: Option<Gate>,
}

impl Plan {
    /// Of a machine that others are forked from.
    pub fn is_mother(&self) -> bool {
        self.kind == Kind::Zygote && self.machine.is_some()
    }

    /// The state folder of the one that this machine is to be forked from.
    pub fn mother(&self) -> Option<&Path> {
        match self.engine.as_ref().and_then(|engine| engine.warm.as_ref()) {
            Some(Warm::Restore { mother: Some(dir), .. }) => Some(Path::new(dir)),
            _ => None,
        }
    }
}

impl Sandbox {
    /// Before anything is built: for the pilot.
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

    /// Who is asked for it.
    pub fn mother(&self) -> Outcome<Option<Nursery>> {
        self.plan.mother().map(|dir| Nursery::connect(dir.join(SOCKET), MOTHERS_PATIENCE)).transpose()
    }

    /// As soon as there are namespaces for it.
    pub fn ask_for_twin(&mut self, mother: &Nursery) -> Outcome<()> {
        let Some(Twin { ends, log, .. }) = &self.twin else { return Ok(()) };
        let gate = mother.bear(&self.wanted()?, [&ends.stream, log, &ends.control], bytes_of_files(&self.plan)?)?;
        if let Some(twin) = &mut self.twin {
            twin.gate = Some(gate);
        }
        Ok(())
    }

    /// The wall stands: it goes in, with its disk.
    pub fn let_twin_in(&mut self, mother: &Nursery, disk: Option<OwnedFd>) -> Outcome<()> {
        let Some(Twin { gate: Some(gate), .. }) = self.twin.take() else { return Err(missing()) };
        let (Some(mounts), Some(disk)) = (&self.mounts, disk) else { return Err(missing()) };
        mother.answer()?;
        let inside = gate.pass(mounts, Some(&disk), MOTHERS_PATIENCE);
        inside.map(|_| ()).map_err(|fault| with_words(self, fault))
    }
}

/// It stands still from now on, and answers whoever wants a twin.
pub fn serve(sandbox: &Sandbox) -> Outcome<()> {
    helm::stop(super::saving::helm_of(sandbox)?)?;
    let socket = sandbox.plan.serve.as_ref().map_or("", |serve| serve.socket.as_str());
    Nursery::connect(socket, PATIENCE).map(|_| ()).map_err(|fault| with_words(sandbox, fault))
}

/// QEMU's own, or those of a twin of it, say why.
fn with_words(sandbox: &Sandbox, fault: Fault) -> Fault {
    match &sandbox.engine {
        Some(engine) => engine.with_words(fault),
        None => fault,
    }
}

/// Of the one whose descriptor it is; to be told to the keeper.
pub fn numbers(first: &OwnedFd, more: Option<&OwnedFd>, rest: &[OwnedFd]) -> Vec<i32> {
    std::iter::once(first).chain(more).chain(rest).map(AsRawFd::as_raw_fd).collect()
}

fn missing() -> Fault {
    Fault::new(Code::LaunchFailed, "zygote", "what a twin needs is not there")
}
