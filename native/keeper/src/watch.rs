//! The life of a standing sandbox: one loop that waits for its end, its limits, its commands and its host, and carries out the first reason to end it.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::alarm::Alarm;
use crate::audit::now_ms;
use crate::control::{Connection, Heard, Reason, Request, answer, refusal};
use crate::execs;
use crate::fault::{At, Outcome};
use crate::nursery::Nursery;
use crate::order::Sandbox;
use crate::plan::{Kind, Leash, OnHit};

const MAX_CONNECTIONS: usize = 16;
/// How often a limit is asked after that the kernel does not report (see cgroup.rs): seldom enough to cost nothing, and within a second.
const ASK_SILENT: Duration = Duration::from_millis(700);
/// Longest that a fork on request may hold up the loop; never past the deadline.
const FORK_PATIENCE: Duration = Duration::from_secs(10);

pub struct End {
    pub reason: Reason,
    pub detail: String,
}

pub struct Watch {
    sandbox: Sandbox,
    first: OwnedFd,
    signals: OwnedFd,
    alarms: Vec<Alarm>,
    connections: Vec<Connection>,
    deadline: Option<Instant>,
    asked_silent: Instant,
    end: Option<End>,
}

impl Watch {
    pub fn new(sandbox: Sandbox, standard: Connection, signals: OwnedFd) -> Outcome<Watch> {
        let alarms = sandbox.cgroup.as_ref().map_or(Ok(Vec::new()), |cgroup| cgroup.alarms(&sandbox.plan.limits))?;
        let pid = sandbox.first.unwrap_or(0);
        // SAFETY: our own child, not waited for yet: the number is still its.
        let first = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) } as RawFd;
        if first < 0 {
            return Err(std::io::Error::last_os_error()).at("watch", "pidfd_open");
        }
        // SAFETY: just opened, owned by nobody else.
        let first = unsafe { OwnedFd::from_raw_fd(first) };
        let deadline = sandbox.plan.limits.wall_ms.map(after);
        Ok(Watch {
            sandbox,
            first,
            signals,
            alarms,
            connections: vec![standard],
            deadline,
            asked_silent: Instant::now(),
            end: None,
        })
    }

    pub fn broadcast(&mut self, event: &Value) {
        self.connections.retain_mut(|connection| connection.say(event) || connection.is_standard());
    }

    pub fn ready(&mut self) {
        let steps: Vec<Value> = self.sandbox.steps.iter().map(|(name, us)| json!([name, us])).collect();
        let event = json!({
            "event": "ready",
            "agentPid": self.sandbox.first.unwrap_or(0),
            "uidBase": self.sandbox.range.as_ref().map(crate::ids::Range::base),
            "forked": self.sandbox.forked,
            "steps": steps,
        });
        self.broadcast(&event);
    }

    /// Until the end: why, and what is left to take apart.
    pub fn run(mut self) -> (End, Sandbox, Vec<Connection>) {
        let early = self.connections[0].take_lines();
        self.obey(0, early);
        while self.end.is_none() {
            self.turn();
        }
        // A program may have run into a limit, given up and ended before the alarm was heard.
        let mut end = self.end.take().unwrap_or(End { reason: Reason::Crash, detail: String::new() });
        if matches!(end.reason, Reason::Exit | Reason::Kill) && self.sandbox.plan.limits.on_hit == OnHit::End {
            self.ask_alarms(|_| true);
            end = self.end.take().unwrap_or(end);
        }
        (end, self.sandbox, self.connections)
    }

    fn finish(&mut self, reason: Reason, detail: impl Into<String>) {
        self.end.get_or_insert(End { reason, detail: detail.into() });
    }

    fn turn(&mut self) {
        let input = |fd: RawFd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        let control = self.sandbox.control.as_ref().map_or(-1, AsRawFd::as_raw_fd);
        let mut polls = vec![input(self.first.as_raw_fd()), input(self.signals.as_raw_fd()), input(control)];
        let alarms = polls.len();
        polls.extend(self.alarms.iter().map(Alarm::wait_for));
        let listeners = polls.len();
        polls.extend(self.sandbox.listeners.iter().map(|listener| input(listener.as_raw_fd())));
        let connections = polls.len();
        polls.extend(self.connections.iter().map(|connection| input(connection.fd())));

        // SAFETY: the array is ours and as long as said.
        let ready = unsafe { libc::poll(polls.as_mut_ptr(), polls.len() as libc::nfds_t, self.milliseconds_left()) };
        if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            let limit = self.sandbox.plan.limits.wall_ms.unwrap_or(0);
            return self.finish(Reason::Timeout, format!("the time limit of {limit} ms has passed"));
        }
        if self.alarms.iter().any(Alarm::is_silent) && self.asked_silent.elapsed() >= ASK_SILENT {
            self.asked_silent = Instant::now();
            self.ask_alarms(Alarm::is_silent);
        }
        if ready <= 0 {
            return;
        }
        let woke = |index: usize| polls[index].revents != 0;
        // Limits before deaths: an out-of-memory kill of the first process is both.
        for index in 0..self.alarms.len() {
            if woke(alarms + index) && self.alarms[index].rang() {
                self.limit(self.alarms[index].reason);
            }
        }
        if woke(0) {
            let detail = if self.sandbox.plan.kind == Kind::Zygote { "no longer asked for" } else { "the agent ended" };
            let reason = if self.sandbox.plan.kind == Kind::Zygote { Reason::Exit } else { Reason::Crash };
            return self.finish(reason, detail);
        }
        if woke(1) {
            return self.finish(Reason::Kill, "the keeper was told to end by signal");
        }
        for index in (0..self.sandbox.listeners.len()).rev() {
            if woke(listeners + index) {
                self.command(index);
            }
        }
        for index in (0..self.connections.len()).rev() {
            if woke(connections + index) {
                self.listen_to(index);
            }
        }
        if woke(2) {
            self.welcome();
        }
    }

    fn milliseconds_left(&self) -> i32 {
        let ask = self.alarms.iter().any(Alarm::is_silent).then(|| self.asked_silent + ASK_SILENT);
        self.deadline.into_iter().chain(ask).min().map_or(-1, |next| {
            let left = next.saturating_duration_since(Instant::now()).as_millis() + 1;
            left.min(i32::MAX as u128) as i32
        })
    }

    fn ask_alarms(&mut self, which: impl Fn(&Alarm) -> bool) {
        for index in 0..self.alarms.len() {
            if which(&self.alarms[index]) && self.alarms[index].rang() {
                self.limit(self.alarms[index].reason);
            }
        }
    }

    fn limit(&mut self, reason: &'static str) {
        let limits = &self.sandbox.plan.limits;
        let (typed, detail) = match reason {
            "memory" => (Reason::Memory, format!("more than {} MiB of memory", limits.memory_bytes.unwrap_or(0) >> 20)),
            _ => (Reason::Pids, format!("more than {} processes", limits.pids.unwrap_or(0))),
        };
        let ends = limits.on_hit == OnHit::End;
        let fields = [("reason", reason.into()), ("detail", detail.as_str().into()), ("ends", ends.into())];
        let recorded = self.sandbox.audit.record("limit", fields);
        self.broadcast(&json!({ "event": "limit", "reason": reason, "detail": detail }));
        if ends || recorded.is_err() {
            self.finish(typed, detail);
        }
    }

    fn command(&mut self, index: usize) {
        let alive = execs::answer_one(&self.sandbox.listeners[index], &mut self.sandbox.audit);
        if !alive {
            self.sandbox.listeners.swap_remove(index);
        }
    }

    fn welcome(&mut self) {
        let Some(Ok((stream, _))) = self.sandbox.control.as_ref().map(std::os::unix::net::UnixListener::accept) else {
            return;
        };
        if self.connections.len() < MAX_CONNECTIONS {
            self.connections.extend(Connection::socket(stream));
        }
    }

    fn listen_to(&mut self, index: usize) {
        match self.connections[index].hear() {
            Heard::Requests(requests) => self.obey(index, requests),
            Heard::Over => {
                let standard = self.connections[index].stop_hearing();
                if !standard {
                    self.connections.remove(index);
                }
                if standard && self.sandbox.plan.leash == Leash::Host {
                    self.finish(Reason::Abandoned, "the process that held the sandbox ended");
                }
            }
        }
    }

    fn obey(&mut self, index: usize, requests: Vec<Result<Request, String>>) {
        for request in requests {
            let said = match request {
                Ok(Request::Kill { seq, reason, detail }) => {
                    self.finish(reason, detail);
                    answer(seq, json!({}))
                }
                Ok(Request::Deadline { seq, wall_ms }) => {
                    self.deadline = wall_ms.map(after);
                    self.sandbox.plan.limits.wall_ms = wall_ms;
                    answer(seq, json!({}))
                }
                Ok(Request::Stats { seq }) => {
                    // Whoever asks may count on having heard of every limit that was hit before.
                    self.ask_alarms(|_| true);
                    answer(seq, self.stats())
                }
                Ok(Request::Fork { seq, socket, count }) => match self.fork(&socket, count) {
                    Ok(pids) => answer(seq, json!({ "pids": pids })),
                    Err(fault) => refusal(seq, &fault.to_string()),
                },
                Err(error) => refusal(-1, &error),
            };
            if let Some(connection) = self.connections.get_mut(index) {
                connection.say(&said);
            }
        }
    }

    fn stats(&self) -> Value {
        let usage = self.sandbox.cgroup.as_ref().map(crate::cgroup::Cgroup::usage).unwrap_or_default();
        json!({ "peakMemoryBytes": usage.peak_memory_bytes, "cpuUs": usage.cpu_us, "nowMs": now_ms() })
    }

    fn fork(&mut self, socket: &str, count: u32) -> Outcome<Vec<u32>> {
        let left = self.deadline.map_or(FORK_PATIENCE, |deadline| deadline.saturating_duration_since(Instant::now()));
        let patience = left.min(FORK_PATIENCE).max(Duration::from_millis(1));
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

fn after(ms: u64) -> Instant {
    Instant::now() + Duration::from_millis(ms)
}
