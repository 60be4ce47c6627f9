//! The processes that the host can see: those started on its request, and those forked into the sandbox and adopted by
//! the agent.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use caisson_wire::ProcessInfo;
use caisson_wire::data::Channel;
use nix::errno::Errno;
use tokio::sync::Notify;

use crate::agent::Agent;
use crate::leash::Config;
use crate::metrics;
use crate::port::{Slot, waiting};
use crate::reap::{Status, Strangers};

/// How many ended processes keep their last output in their pipes until somebody hears of their end. Descriptors are
/// scarce.
const UNHEARD: usize = 64;
/// How many older ones keep only their exit status. The oldest is forgotten first.
const UNCLAIMED: usize = 1024;

/// Our ends of a process's pipes; a slot that is empty from the start does not exist for it.
#[derive(Default)]
pub struct Ports {
    pub stdin: Slot,
    pub stdout: Slot,
    pub stderr: Slot,
    /// The terminal's master side; then the three above are empty.
    pub pty: Slot,
    pub has_terminal: bool,
    pub control: Slot,
}

impl Ports {
    /// The outputs of the process, and their channels.
    pub fn outputs(&self) -> [(&Slot, Channel); 3] {
        let first = if self.has_terminal { (&self.pty, Channel::Pty) } else { (&self.stdout, Channel::Stdout) };
        [first, (&self.stderr, Channel::Stderr), (&self.control, Channel::Control)]
    }

    fn close(&self) {
        for slot in [&self.stdin, &self.stdout, &self.stderr, &self.pty, &self.control] {
            slot.close();
        }
    }
}

/// Control bytes already read, and the output that must be forwarded before them: the ordering rule of
/// host/runtimes/runtime.ts.
#[derive(Default)]
pub struct Held {
    pub bytes: Vec<u8>,
    pub ended: bool,
    /// Bytes of stdout and stderr (or the terminal) that were in the pipes when `bytes` had been read.
    pub owed: [usize; 2],
}

pub struct End {
    /// None: unknown.
    pub status: Option<Status>,
    pub disk_full: bool,
    pub at: tokio::time::Instant,
    /// Bytes in the pipes when the process ended. They count as its last output, whoever else writes there.
    pub owed: Cell<[usize; 3]>,
}

pub struct Process {
    pub pid: i32,
    pub info: ProcessInfo,
    pub ports: Ports,
    pub held: RefCell<Held>,
    end: RefCell<Option<Rc<End>>>,
    /// Which attachment receives the output; each new one takes over from the previous.
    turn: Cell<u64>,
    attached: Cell<bool>,
    changed: Notify,
}

impl Process {
    pub fn new(pid: i32, info: ProcessInfo, ports: Ports) -> Rc<Process> {
        Rc::new(Process {
            pid,
            info,
            ports,
            held: RefCell::default(),
            end: RefCell::default(),
            turn: Cell::new(0),
            attached: Cell::new(false),
            changed: Notify::new(),
        })
    }

    pub fn end(&self, status: Option<Status>, config: &Config) {
        let failed = status.is_none_or(|status| status.code != 0 || status.signal != 0);
        let disk_full = failed && metrics::disk_full(&config.writable);
        let owed = Cell::new(waiting(self.ports.outputs().map(|(slot, _)| slot)));
        self.end.replace(Some(Rc::new(End { status, disk_full, at: tokio::time::Instant::now(), owed })));
        self.changed.notify_waiters();
    }

    pub fn ended(&self) -> Option<Rc<End>> {
        self.end.borrow().clone()
    }

    pub async fn wait_end(&self) {
        loop {
            let changed = self.changed.notified();
            if self.end.borrow().is_some() {
                return;
            }
            changed.await;
        }
    }

    pub fn attach(self: &Rc<Self>) -> Attachment {
        let turn = self.turn.get() + 1;
        self.turn.set(turn);
        self.attached.set(true);
        self.changed.notify_waiters();
        Attachment { process: self.clone(), turn }
    }

    /// Signals its process group if it leads one, so that a shell's children receive the signal too.
    pub fn signal(&self, number: i32) {
        if self.end.borrow().is_some() {
            return;
        }
        // SAFETY: takes numbers only. The pid is ours until it is reaped, and reaping sets `end`.
        unsafe {
            let group = libc::getpgid(self.pid) == self.pid;
            libc::kill(if group { -self.pid } else { self.pid }, number);
        }
    }
}

/// The right to a process's output, until dropped or taken over.
pub struct Attachment {
    pub process: Rc<Process>,
    turn: u64,
}

impl Attachment {
    pub async fn taken_over(&self) {
        loop {
            let changed = self.process.changed.notified();
            if self.process.turn.get() != self.turn {
                return;
            }
            changed.await;
        }
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        if self.process.turn.get() == self.turn {
            self.process.attached.set(false);
        }
    }
}

#[derive(Default)]
pub struct Table {
    all: HashMap<i32, Rc<Process>>,
    pub strangers: Strangers,
}

impl Table {
    pub fn add(&mut self, process: Rc<Process>) {
        self.all.insert(process.pid, process);
    }

    pub fn get(&self, pid: i32) -> Option<Rc<Process>> {
        self.all.get(&pid).cloned()
    }

    pub fn live(&self, pid: i32) -> Option<Rc<Process>> {
        self.get(pid).filter(|process| process.end.borrow().is_none())
    }

    /// Does nothing if the number now belongs to another process.
    pub fn remove(&mut self, process: &Rc<Process>) {
        if self.all.get(&process.pid).is_some_and(|other| Rc::ptr_eq(other, process)) {
            self.all.remove(&process.pid);
        }
    }

    pub fn infos(&self) -> Vec<ProcessInfo> {
        let live = self.all.values().filter(|process| process.end.borrow().is_none());
        let mut infos: Vec<_> = live.map(|process| process.info.clone()).collect();
        infos.sort_by_key(|info| info.pid);
        infos
    }

    pub fn keep_bounded(&mut self) {
        let unclaimed = self.all.values().filter(|process| !process.attached.get());
        let mut ends: Vec<_> = unclaimed.filter_map(|process| Some((process.ended()?.at, process.clone()))).collect();
        if ends.len() <= UNHEARD {
            return;
        }
        ends.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        for (newer, (_, process)) in ends.iter().enumerate().skip(UNHEARD) {
            process.ports.close();
            if newer >= UNCLAIMED {
                self.remove(process);
            }
        }
    }
}

/// Adopts a process that the zygote forked into our pid namespace.
pub fn adopt(agent: &Rc<Agent>, pid: i32, stdout: OwnedFd, stderr: OwnedFd, control: OwnedFd) -> std::io::Result<()> {
    let ports = Ports {
        stdout: Slot::new(stdout)?,
        stderr: Slot::new(stderr)?,
        control: Slot::new(control)?,
        ..Ports::default()
    };
    let mut table = agent.processes.borrow_mut();
    if pid <= 1 || table.live(pid).is_some() {
        return Err(std::io::Error::other("the agent has this process, or is it"));
    }
    // SAFETY: signal 0 only checks whether the process exists; an unreaped one counts.
    let alive = unsafe { libc::kill(pid, 0) } == 0 || Errno::last() == Errno::EPERM;
    let command = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let info = ProcessInfo {
        pid: pid as u32,
        command: command.trim_end().to_owned(),
        cwd: agent.config.user.home.clone(),
        user: agent.config.user.name.clone(),
        ..ProcessInfo::default()
    };
    let process = Process::new(pid, info, ports);
    let status = table.strangers.recall(pid);
    if !alive {
        process.end(status, &agent.config);
    }
    table.add(process);
    table.keep_bounded();
    Ok(())
}
