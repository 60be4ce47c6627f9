//! A running sandbox: one loop waits for its end, limits, commands and hosts, and acts on the first reason to end it.

mod machine;
mod requests;
mod said;
mod stillness;

use std::collections::VecDeque;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::alarm::Alarm;
use crate::clock::Clock;
use crate::control::{Connection, Heard, Reason, Request};
use crate::execs;
use crate::fault::{At, Outcome};
use crate::machine::{Pace, Settling};
use crate::order::Sandbox;
use crate::plan::{Kind, Leash, OnHit, OnWall};
use stillness::UnderWay;

const MAX_CONNECTIONS: usize = 16;
/// The end reason of a zygote.
const IDLE: &str = "no longer asked for";
/// The polling interval for limits that the kernel does not signal (see cgroup.rs): cheap, yet below one second.
const ASK_SILENT: Duration = Duration::from_millis(700);

pub struct End {
    pub reason: Reason,
    pub detail: String,
    /// Where the disk goes.
    pub keep_disk: Option<PathBuf>,
}

pub struct Watch {
    sandbox: Sandbox,
    first: OwnedFd,
    signals: OwnedFd,
    alarms: Vec<Alarm>,
    connections: Vec<Connection>,
    /// The id of the next connection.
    next_id: u64,
    /// The ready event, as sent.
    ready: Value,
    host_is_gone: bool,
    clock: Clock,
    frozen: bool,
    under_way: Option<UnderWay>,
    /// A machine only: it was asked to write its disk back.
    settling: Option<Settling>,
    pace: Pace,
    waiting: VecDeque<(u64, Request)>,
    asked_silent: Instant,
    end: Option<End>,
    keep_disk: Option<PathBuf>,
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
        let clock = Clock::new(sandbox.plan.limits.wall_ms);
        Ok(Watch {
            sandbox,
            first,
            signals,
            alarms,
            connections: vec![standard],
            next_id: 1,
            ready: Value::Null,
            host_is_gone: false,
            clock,
            frozen: false,
            under_way: None,
            settling: None,
            pace: Pace::begin(),
            waiting: VecDeque::new(),
            asked_silent: Instant::now(),
            end: None,
            keep_disk: None,
        })
    }

    pub fn broadcast(&mut self, event: &Value) {
        self.connections.retain_mut(|connection| connection.say(event) || connection.is_standard());
    }

    pub fn ready(&mut self) {
        let steps: Vec<Value> = self.sandbox.steps.iter().map(|(name, us)| json!([name, us])).collect();
        self.ready = json!({
            "event": "ready",
            "agentPid": self.sandbox.first.unwrap_or(0),
            "uidBase": self.sandbox.range.as_ref().map(crate::ids::Range::base),
            "forked": self.sandbox.forked,
            "steps": steps,
        });
        self.broadcast(&self.ready.clone());
    }

    /// Runs until the end. Returns the reason, and what is left to take apart.
    pub fn run(mut self) -> (End, Sandbox, Vec<Connection>) {
        let early = self.connections[0].take_lines();
        self.obey(0, early);
        while self.end.is_none() {
            self.turn();
        }
        // A program may have hit a limit, given up and ended before the alarm was read.
        let mut end = self.end.take().unwrap_or(End { reason: Reason::Crash, detail: String::new(), keep_disk: None });
        let died = self.sandbox.engine.is_some() && end.reason == Reason::Crash;
        if died || matches!(end.reason, Reason::Exit | Reason::Kill) && self.sandbox.plan.limits.on_hit == OnHit::End {
            self.ask_alarms(|_| true);
            end = self.end.take().unwrap_or(end);
        }
        self.leave_still();
        end.keep_disk = self.place_of_disk();
        (end, self.sandbox, self.connections)
    }

    /// False: there was an earlier reason.
    fn finish(&mut self, reason: Reason, detail: impl Into<String>) -> bool {
        let first = self.end.is_none();
        self.end.get_or_insert(End { reason, detail: detail.into(), keep_disk: None });
        first
    }

    fn say(&mut self, id: u64, said: &Value) {
        if let Some(connection) = self.connections.iter_mut().find(|connection| connection.id == id) {
            connection.say(said);
        }
    }

    fn turn(&mut self) {
        let input = |fd: RawFd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        let control = self.sandbox.control.as_ref().map_or(-1, AsRawFd::as_raw_fd);
        let work = self.under_way.as_ref().map_or(-1, |under_way| under_way.work.done());
        let mut polls =
            vec![input(self.first.as_raw_fd()), input(self.signals.as_raw_fd()), input(control), input(work)];
        polls.push(input(self.sandbox.gate.as_ref().map_or(-1, crate::gate::Gate::ended)));
        polls.push(input(self.sandbox.engine.as_ref().map_or(-1, |engine| engine.door.as_raw_fd())));
        polls.push(input(self.machine_leash()));
        polls.push(input(self.sandbox.trace.as_ref().map_or(-1, crate::engine::trace::Trace::fd)));
        let alarms = polls.len();
        polls.extend(self.alarms.iter().map(Alarm::wait_for));
        let listeners = polls.len();
        polls.extend(self.sandbox.listeners.iter().map(|listener| input(listener.as_raw_fd())));
        let connections = polls.len();
        polls.extend(self.connections.iter().map(|connection| input(connection.fd())));

        // SAFETY: the array is ours and has the given length.
        let ready = unsafe { libc::poll(polls.as_mut_ptr(), polls.len() as libc::nfds_t, self.milliseconds_left()) };
        if self.clock.is_over() {
            return self.time_is_up();
        }
        if self.alarms.iter().any(Alarm::is_silent) && self.asked_silent.elapsed() >= ASK_SILENT {
            self.asked_silent = Instant::now();
            self.ask_alarms(Alarm::is_silent);
        }
        if ready <= 0 {
            return;
        }
        let woke = |index: usize| polls[index].revents != 0;
        // Limits before deaths, because an out-of-memory kill of the first process is both.
        for index in 0..self.alarms.len() {
            if woke(alarms + index) && self.alarms[index].rang() {
                self.limit(self.alarms[index].reason, false);
            }
        }
        if woke(0) {
            let detail = if self.sandbox.plan.kind == Kind::Zygote { IDLE } else { "the agent ended" };
            let reason = if self.sandbox.plan.kind == Kind::Zygote { Reason::Exit } else { Reason::Crash };
            self.finish(reason, detail);
            return;
        }
        if woke(1) {
            self.finish(Reason::Kill, "the keeper was told to end by signal");
            return;
        }
        if woke(3) {
            self.conclude();
        }
        if woke(4) {
            self.finish(Reason::Crash, "its gate ended");
            return;
        }
        if woke(5)
            && let Some(engine) = &self.sandbox.engine
        {
            engine.introduce(self.sandbox.leash.as_ref());
        }
        if woke(6) {
            self.hear_machine();
        }
        if woke(7) {
            self.hear_engine();
        }
        for index in (0..self.sandbox.listeners.len()).rev() {
            match polls[listeners + index].revents {
                0 => {}
                asked if asked & libc::POLLIN != 0 => self.command(index),
                // Every process that could ask has ended (as with a fork's last). If kept, poll would never block.
                _ => drop(self.sandbox.listeners.swap_remove(index)),
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
        self.clock.end().into_iter().chain(ask).chain(self.pace.rests_until()).min().map_or(-1, |next| {
            let left = next.saturating_duration_since(Instant::now()).as_millis() + 1;
            left.min(i32::MAX as u128) as i32
        })
    }

    fn time_is_up(&mut self) {
        if self.sandbox.plan.limits.on_wall == OnWall::Freeze {
            self.freeze(None);
            return;
        }
        let limit = self.sandbox.plan.limits.wall_ms.unwrap_or(0);
        self.finish(Reason::Timeout, format!("the time limit of {limit} ms has passed"));
    }

    fn ask_alarms(&mut self, which: impl Fn(&Alarm) -> bool) {
        for index in 0..self.alarms.len() {
            if which(&self.alarms[index]) && self.alarms[index].rang() {
                self.limit(self.alarms[index].reason, false);
            }
        }
    }

    /// `inside`: hit within a machine, whose own kernel carries on.
    fn limit(&mut self, reason: &'static str, inside: bool) {
        let limits = &self.sandbox.plan.limits;
        let (typed, detail) = match reason {
            "memory" => (Reason::Memory, format!("more than {} MiB of memory", limits.memory_bytes.unwrap_or(0) >> 20)),
            _ => (Reason::Pids, format!("more than {} processes", limits.pids.unwrap_or(0))),
        };
        // An engine that was refused memory or a process no longer works as a kernel, whatever `on_hit` says.
        let ends = limits.on_hit == OnHit::End || !inside && self.sandbox.engine.is_some();
        let fields = [("reason", reason.into()), ("detail", detail.as_str().into()), ("ends", ends.into())];
        let recorded = self.sandbox.audit.record("limit", fields);
        self.broadcast(&json!({ "event": "limit", "reason": reason, "detail": detail }));
        // Hitting a limit writes to the log, as executing a command does, and counts towards the same budget.
        if ends || recorded.is_err() || self.sandbox.audit.spent() {
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
            self.connections.extend(Connection::socket(stream, self.next_id));
            self.next_id += 1;
        }
    }

    fn listen_to(&mut self, index: usize) {
        match self.connections[index].hear() {
            Heard::Requests(requests) => self.obey(self.connections[index].id, requests),
            Heard::Over => {
                let standard = self.connections[index].stop_hearing();
                if !standard {
                    self.connections.remove(index);
                }
                self.host_is_gone |= standard;
                if standard && self.sandbox.plan.leash == Leash::Host {
                    self.finish(Reason::Abandoned, "the process that held the sandbox ended");
                }
            }
        }
    }
}
