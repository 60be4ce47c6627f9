//! Requests to a keeper, and the answers. The messages are defined in wire/keeper.ts.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::Watch;
use crate::audit::now_ms;
use crate::control::{Reason, Request, answer, refusal};
use crate::engine;
use crate::fault::{Code, Fault, Outcome};
use crate::nursery::Nursery;
use crate::plan::{Kind, Leash, OnWall};

/// The longest time that a fork on request may block the loop; never beyond the deadline.
const FORK_PATIENCE: Duration = Duration::from_secs(10);

impl Watch {
    pub fn obey(&mut self, id: u64, requests: Vec<Result<Request, String>>) {
        for request in requests {
            match request {
                Ok(request) if self.must_wait(&request) => self.waiting.push_back((id, request)),
                Ok(request) => self.carry_out(id, request),
                Err(error) => self.say(id, &refusal(-1, &Fault::new(Code::LaunchFailed, "request", error))),
            }
        }
    }

    pub fn carry_out(&mut self, id: u64, request: Request) {
        let said = match request {
            Request::Kill { seq, reason, detail, keep_disk } => Some(self.kill(seq, reason, detail, keep_disk)),
            Request::Hello { seq } => Some(answer(seq, self.hello())),
            Request::Assign { seq, leash, wall_ms, on_wall } => Some(match self.assign(leash, wall_ms, on_wall) {
                Ok(()) => answer(seq, json!({})),
                Err(fault) => refusal(seq, &fault),
            }),
            Request::Freeze { seq } => self.freeze(Some((id, seq))),
            Request::Thaw { seq, wall_ms } => Some(self.thaw(seq, wall_ms)),
            Request::CopyDisk { seq, to } => self.copy_disk((id, seq), &to),
            Request::Deadline { seq, wall_ms } => {
                self.set_wall(wall_ms);
                Some(answer(seq, json!({})))
            }
            Request::Stats { seq } => {
                // The caller may rely on having been told of every limit hit before.
                self.ask_alarms(|_| true);
                Some(answer(seq, self.stats()))
            }
            Request::Save { seq } => Some(match engine::save(&mut self.sandbox) {
                Ok(()) => answer(seq, json!({})),
                Err(fault) => refusal(seq, &fault),
            }),
            Request::Serve { seq } => Some(match engine::serve(&mut self.sandbox) {
                Ok(()) => answer(seq, json!({})),
                Err(fault) => refusal(seq, &fault),
            }),
            Request::Sleep { seq, folder, keep_disk } => Some(self.sleep(seq, Path::new(&folder), &keep_disk)),
            Request::Snapshot { seq, folder, lasts } => Some(match self.snapshot(Path::new(&folder), lasts) {
                Ok(()) => answer(seq, json!({})),
                Err(fault) => refusal(seq, &fault),
            }),
            Request::Fork { seq, socket, count } => Some(match self.fork(&socket, count) {
                Ok(pids) => answer(seq, json!({ "pids": pids })),
                Err(fault) => refusal(seq, &fault),
            }),
        };
        if let Some(said) = said {
            self.say(id, &said);
        }
    }

    fn kill(&mut self, seq: i64, reason: Reason, detail: String, keep_disk: Option<String>) -> Value {
        if let Some(to) = &keep_disk
            && let Err(fault) = self.refuse_keeping(Path::new(to))
        {
            return refusal(seq, &fault);
        }
        if keep_disk.is_some()
            && let Err(fault) = self.settle_for_good()
        {
            self.let_machine_go_on();
            return refusal(seq, &fault);
        }
        if self.finish(reason, detail) {
            self.keep_disk = keep_disk.map(PathBuf::from);
        }
        answer(seq, json!({}))
    }

    /// If the state cannot be saved, the sandbox continues as before.
    fn sleep(&mut self, seq: i64, folder: &Path, keep_disk: &str) -> Value {
        let asleep = self.refuse_keeping(Path::new(keep_disk)).and_then(|()| {
            if self.is_still() { Err(asleep_already()) } else { engine::sleep(&mut self.sandbox, folder) }
        });
        if let Err(fault) = asleep {
            self.let_machine_execute();
            return refusal(seq, &fault);
        }
        if self.finish(Reason::Pause, "paused") {
            self.keep_disk = Some(keep_disk.into());
        }
        answer(seq, json!({}))
    }

    fn snapshot(&mut self, folder: &Path, lasts: bool) -> Outcome<()> {
        if self.is_still() {
            return Err(asleep_already());
        }
        let taken = engine::snapshot(&mut self.sandbox, folder, lasts);
        if taken.is_err() {
            self.let_machine_execute();
        }
        taken
    }

    /// A machine that was told to settle executes nothing until it is told to go on.
    fn let_machine_execute(&mut self) {
        if !self.is_still() {
            self.let_machine_go_on();
        }
    }

    fn hello(&self) -> Value {
        let left = self.clock.left().map(|left| left.as_millis() as u64);
        json!({ "ready": self.ready, "frozen": self.frozen, "wallLeftMs": left, "pid": std::process::id() })
    }

    fn assign(&mut self, leash: Leash, wall_ms: Option<u64>, on_wall: OnWall) -> Outcome<()> {
        if self.sandbox.plan.kind == Kind::Zygote {
            return Err(Fault::new(Code::LaunchFailed, "assign", "a zygote has no life of its own"));
        }
        if leash == Leash::Host && self.host_is_gone {
            let message = "the process that started it has ended, so nothing can hold it on a leash";
            return Err(Fault::new(Code::LaunchFailed, "assign", message));
        }
        if on_wall == OnWall::Freeze {
            self.sandbox.freezer()?;
        }
        self.sandbox.plan.leash = leash;
        self.sandbox.plan.limits.on_wall = on_wall;
        self.set_wall(wall_ms);
        Ok(())
    }

    pub fn set_wall(&mut self, wall_ms: Option<u64>) {
        self.clock.set(wall_ms);
        self.sandbox.plan.limits.wall_ms = wall_ms;
    }

    fn stats(&self) -> Value {
        let usage = self.sandbox.cgroup.as_ref().map(crate::cgroup::Cgroup::usage).unwrap_or_default();
        let (peak, cache, cpu) = (usage.peak_memory_bytes, usage.cache_bytes, usage.cpu_us);
        json!({ "peakMemoryBytes": peak, "cacheBytes": cache, "cpuUs": cpu, "nowMs": now_ms() })
    }

    fn fork(&mut self, socket: &str, count: u32) -> Outcome<Vec<u32>> {
        if self.is_still() {
            return Err(Fault::new(Code::LaunchFailed, "zygote", "the sandbox is frozen"));
        }
        let patience =
            self.clock.left().map_or(FORK_PATIENCE, |left| left.clamp(Duration::from_millis(1), FORK_PATIENCE));
        let nursery = Nursery::connect(socket, patience)?;
        let mut pids = Vec::new();
        for _ in 0..count {
            let child = self.sandbox.fork_from(&nursery)?;
            nursery.answer()?;
            pids.push(self.sandbox.adopt(child, patience)?);
        }
        Ok(pids)
    }
}

fn asleep_already() -> Fault {
    Fault::new(Code::LaunchFailed, "sleep", "it stands still already")
}
