//! The digger: prepares the disk while the keeper and the builder do the rest. It tells the keeper which loop device it
//! took, hands the disk to the mason, and exits.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use caisson_zygote::message::{receive, send};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork};

use crate::disk;
use crate::fault::{At, Code, Fault, Outcome};
use crate::machine;
use crate::plan::{Disk, Plan};
use crate::say::Said;
use crate::spare_disk::SpareDisk;

const STEP: &str = "disk";

/// A digger at work. It is waited for whichever way the launch goes.
pub struct Digger {
    /// None: the disk was prepared beforehand.
    pid: Option<Pid>,
    pit: Option<OwnedFd>,
}

impl Digger {
    /// None where there is no disk to prepare: memory is mounted instantly. `report` leads to the keeper; `doors` are
    /// those of the sandbox's cgroup.
    pub fn begin(
        plan: &Plan,
        spare: Option<SpareDisk>,
        report: &OwnedFd,
        doors: &[OwnedFd],
    ) -> Outcome<Option<Digger>> {
        if matches!(plan.disk, Disk::Tmpfs { .. }) {
            return Ok(None);
        }
        let (pit, diggers) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
            .at(STEP, "socketpair")?;
        // A spare disk that has been removed meanwhile is no loss.
        if let Some((device, system)) = spare.and_then(|spare| spare.move_to(Path::new(&plan.dir)).ok()) {
            send(report.as_fd(), &Said::Attached { device: Some(device) }.bytes(), &[]).at(STEP, "report")?;
            send(diggers.as_fd(), &[1], &[system.as_raw_fd()]).at(STEP, "the mason")?;
            return Ok(Some(Digger { pid: None, pit: Some(pit) }));
        }
        // SAFETY: one thread; the child uses what it copied and ends without returning.
        match unsafe { fork() }.at(STEP, "fork")? {
            ForkResult::Child => {
                drop(pit);
                let fault = dig(plan, report, doors, &diggers).err();
                let told = fault.is_none_or(|fault| send(report.as_fd(), &Said::from(&fault).bytes(), &[]).is_ok());
                // SAFETY: ends the digger without the keeper's exit handlers.
                unsafe { libc::_exit(i32::from(!told)) }
            }
            ForkResult::Parent { child } => Ok(Some(Digger { pid: Some(child), pit: Some(pit) })),
        }
    }

    /// The descriptor over which the mason receives the disk.
    pub fn pit(&mut self) -> Option<OwnedFd> {
        self.pit.take()
    }
}

impl Drop for Digger {
    fn drop(&mut self) {
        // Nobody waits for the disk any more; closing this lets the digger exit early.
        self.pit = None;
        let _ended = self.pid.map(|pid| waitpid(pid, None));
    }
}

fn dig(plan: &Plan, report: &OwnedFd, doors: &[OwnedFd], pit: &OwnedFd) -> Outcome<()> {
    // The disk's cost is charged to the sandbox.
    doors.iter().try_for_each(|door| nix::unistd::write(door, b"0").map(|_| ()).at(STEP, "joining the cgroup"))?;
    let saved = plan.engine.as_ref().filter(|_| plan.machine.is_some()).and_then(machine::saved_disk);
    let prepared = disk::prepare(&plan.disk, saved.as_deref(), Path::new(&plan.dir), plan.machine.is_some())?;
    let Some(prepared) = prepared else {
        return Ok(());
    };
    send(report.as_fd(), &Said::Attached { device: prepared.device() }.bytes(), &[]).at(STEP, "report")?;
    let ready = prepared.ready()?;
    send(pit.as_fd(), &[1], &[ready.as_raw_fd()]).at(STEP, "the mason")
}

/// Runs in the mason: waits for the digger's disk.
pub fn fetch(pit: &OwnedFd) -> Outcome<OwnedFd> {
    let (length, mut fds) = receive(pit.as_fd(), &mut [0u8; 8]).at(STEP, "waiting for it")?;
    fds.pop().filter(|_| length == 1).ok_or_else(|| Fault::new(Code::LaunchFailed, STEP, "it did not come"))
}
