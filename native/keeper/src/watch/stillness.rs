//! Freezing, thawing, and copies of the disk: one at a time, in the order of the requests, while the loop goes on.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::Watch;
use crate::control::{Reason, Request, answer, refusal};
use crate::disk::image_in;
use crate::fault::{Code, Fault, Outcome};
use crate::machine::{SETTLING, Settling, go_on, not_settled};
use crate::plan::Disk;
use crate::say::Said;
use crate::still::{Wanted, Work};

/// Whom to tell when it is done; None if the time limit asked for it.
pub struct UnderWay {
    pub work: Work,
    asker: Option<(u64, i64)>,
    copies: bool,
}

impl Watch {
    pub fn is_still(&self) -> bool {
        self.frozen || self.under_way.is_some()
    }

    pub fn freeze(&mut self, asker: Option<(u64, i64)>) -> Option<Value> {
        if self.frozen {
            return asker.map(|(_, seq)| answer(seq, json!({})));
        }
        self.begin(asker, None)
    }

    pub fn thaw(&mut self, seq: i64, wall_ms: Option<u64>) -> Value {
        let thawed = if self.frozen { self.sandbox.freezer().and_then(crate::freezer::Freezer::thaw) } else { Ok(()) };
        if let Err(fault) = thawed {
            return refusal(seq, &fault);
        }
        if self.frozen {
            self.let_machine_go_on();
        }
        self.frozen = false;
        self.hold_gate();
        self.clock.go_on();
        self.set_wall(wall_ms);
        answer(seq, json!({}))
    }

    /// The leash, if this is a machine.
    fn machine(&self) -> Option<&OwnedFd> {
        self.sandbox.leash.as_ref().filter(|_| self.sandbox.plan.machine.is_some())
    }

    pub fn let_machine_go_on(&mut self) {
        self.settling = None;
        if let Some(Err(fault)) = self.machine().map(go_on) {
            self.finish(Reason::Crash, format!("it could not go on: {fault}"));
        }
    }

    /// Runs before the disk of a running machine is taken. The loop blocks, because there is nothing else left to do
    /// for it.
    pub fn settle_for_good(&mut self) -> Outcome<()> {
        let Some(leash) = self.machine().filter(|_| !self.is_still()) else { return Ok(()) };
        Settling::ask(leash)?;
        match self.sandbox.hear_within(SETTLING)? {
            Said::Written(true) => Ok(()),
            _ => Err(not_settled()),
        }
    }

    fn hold_gate(&self) {
        if let Some(gate) = &self.sandbox.gate {
            gate.hold(self.frozen);
        }
    }

    pub fn copy_disk(&mut self, asker: (u64, i64), to: &str) -> Option<Value> {
        let (_, seq) = asker;
        if !matches!(self.sandbox.plan.disk, Disk::Image { .. }) {
            return Some(refusal(seq, &no_disk()));
        }
        if Path::new(to).symlink_metadata().is_ok() {
            let fault = Fault::new(Code::LaunchFailed, "disk", format!("{to} is there already"));
            return Some(refusal(seq, &fault));
        }
        self.begin(Some(asker), Some(to.into()))
    }

    fn begin(&mut self, asker: Option<(u64, i64)>, copy_to: Option<PathBuf>) -> Option<Value> {
        let copies = copy_to.is_some();
        match self.wanted(copy_to).and_then(Work::begin) {
            Ok(work) => {
                self.clock.stop();
                self.under_way = Some(UnderWay { work, asker, copies });
                None
            }
            Err(fault) => self.not_still(asker, &fault),
        }
    }

    fn wanted(&mut self, copy_to: Option<PathBuf>) -> Outcome<Wanted> {
        let image = matches!(self.sandbox.plan.disk, Disk::Image { .. });
        let mounted =
            self.sandbox.mounted.as_ref().filter(|_| image).map(crate::disk::Mounted::try_clone).transpose()?;
        let disk = image.then(|| (mounted, image_in(Path::new(&self.sandbox.plan.dir))));
        let freezer = self.sandbox.freezer()?.clone();
        let settling = self.machine().filter(|_| !self.frozen).map(Settling::ask).transpose()?;
        self.settling = settling.clone();
        Ok(Wanted { freezer, settling, disk, copy_to, frozen: self.frozen })
    }

    /// The work is done: tells whoever asked, and starts the next request.
    pub fn conclude(&mut self) {
        let Some(UnderWay { work, asker, copies }) = self.under_way.take() else { return };
        let outcome = work.finish();
        self.frozen |= outcome.is_ok() && !copies;
        if !self.frozen {
            self.let_machine_go_on();
        }
        self.hold_gate();
        if !self.frozen {
            self.clock.go_on();
        }
        let said = match (outcome, asker) {
            (Ok(()), Some((_, seq))) => Some(answer(seq, json!({}))),
            (Ok(()), None) => {
                self.broadcast(&json!({ "event": "frozen" }));
                None
            }
            (Err(fault), asker) => self.not_still(asker, &fault),
        };
        if let (Some(said), Some((id, _))) = (said, asker) {
            self.say(id, &said);
        }
        while let Some((id, request)) = self.waiting.pop_front().filter(|_| self.end.is_none()) {
            self.carry_out(id, request);
            if self.under_way.is_some() {
                return;
            }
        }
    }

    /// If nobody asked, the time limit did, and a sandbox that cannot be frozen is out of time.
    fn not_still(&mut self, asker: Option<(u64, i64)>, fault: &Fault) -> Option<Value> {
        if asker.is_none() {
            self.finish(Reason::Timeout, format!("its time has passed, and it could not be frozen: {fault}"));
        }
        asker.map(|(_, seq)| refusal(seq, fault))
    }

    /// Requests that must not meet work in progress, or a half-frozen sandbox.
    pub fn must_wait(&self, request: &Request) -> bool {
        self.under_way.is_some()
            && matches!(
                request,
                Request::Freeze { .. } | Request::Thaw { .. } | Request::CopyDisk { .. } | Request::Sleep { .. }
            )
    }

    /// The end has come: cancels work in progress, and waits for it.
    pub fn leave_still(&mut self) {
        if let Some(UnderWay { work, .. }) = self.under_way.take() {
            work.give_up();
            if let Some(cgroup) = &self.sandbox.cgroup {
                cgroup.let_die();
            }
            // Otherwise a gigabyte might be written back for nobody.
            if let Some(mounted) = self.sandbox.mounted.as_ref().filter(|_| !self.keeps_disk()) {
                mounted.discard();
            }
            let _nobody_asks = work.finish();
        }
    }

    /// Where the disk goes: to where somebody asked, or back to where it came from.
    pub fn place_of_disk(&mut self) -> Option<std::path::PathBuf> {
        let own = crate::disk::returns_to(&self.sandbox.plan.disk).map(std::path::PathBuf::from);
        if self.keep_disk.is_none() && own.is_some() {
            // A machine that no longer answers leaves what it has written so far.
            let _ = self.settle_for_good();
        }
        self.keep_disk.take().or(own)
    }

    fn keeps_disk(&self) -> bool {
        self.keep_disk.is_some() || crate::disk::returns_to(&self.sandbox.plan.disk).is_some()
    }

    pub fn refuse_keeping(&self, to: &Path) -> Outcome<()> {
        if !matches!(self.sandbox.plan.disk, Disk::Image { .. }) {
            return Err(no_disk());
        }
        crate::disk::refuse_place(Path::new(&self.sandbox.plan.dir), to)
    }
}

fn no_disk() -> Fault {
    let message = "a copy of the disk, or keeping it, needs root on the host: this sandbox's disk is memory";
    Fault::new(Code::LaunchFailed, "disk", message)
}
