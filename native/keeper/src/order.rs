//! The order in which a sandbox is set up: a table of contents. Each line is a step with its own error; none may fail
//! silently.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use caisson_zygote::message::receive;
use libc::sock_filter;
use serde_json::json;

use crate::agent;
use crate::audit::Audit;
use crate::cgroup::Cgroup;
use crate::clock::Laps;
use crate::disk::{self, Mounted};
use crate::engine::trace::Trace;
use crate::engine::{self, Warm};
use crate::execs;
use crate::fault::{At, Code, Fault, Outcome};
use crate::freezer::Freezer;
use crate::gate::Gate;
use crate::idmap::{Ending, IdMap, Unmapped};
use crate::ids::Range;
use crate::landlock;
use crate::machine;
use crate::nursery::{Child, Namespaces, Nursery, Wanted, open_namespace};
use crate::plan::{Kind, Plan};
use crate::say::Said;
use crate::seccomp::{self, Shape};
use crate::site::Ground;
use crate::spare_disk::Like;
use crate::stock::Beforehand;

/// The maximum for the whole setup; a healthy machine needs milliseconds.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Everything that a sandbox consists of, from its first piece on. The end takes it apart, complete or not.
pub struct Sandbox {
    pub plan: Plan,
    pub audit: Audit,
    pub steps: Vec<(&'static str, u64)>,
    pub range: Option<Range>,
    /// What was prepared before the plan came, until it is used.
    pub beforehand: Beforehand,
    pub map: Option<IdMap>,
    pub cgroup: Option<Cgroup>,
    pub mounted: Option<Mounted>,
    /// The loop device of the disk.
    pub device: Option<String>,
    /// Where an image that was taken belongs, until the sandbox stands.
    pub taken: Option<PathBuf>,
    /// The first process in host numbering: our child.
    pub first: Option<i32>,
    pub leash: Option<OwnedFd>,
    pub namespaces: Option<Namespaces>,
    /// Its mount namespace, once the first process has one of its own.
    pub mounts: Option<File>,
    pub filter: Vec<sock_filter>,
    pub ruleset: Option<OwnedFd>,
    pub listeners: Vec<OwnedFd>,
    pub control: Option<UnixListener>,
    pub forked: Vec<u32>,
    pub single_id: bool,
    pub gate: Option<Gate>,
    /// A machine only: where its pilot takes orders.
    pub helm: Option<OwnedFd>,
    /// A restored machine only: its memory before.
    pub before: Option<File>,
    /// A forked machine only: until it has moved in.
    pub twin: Option<machine::Twin>,
    /// Only where the wall is a program.
    pub engine: Option<engine::Held>,
    /// The socket for the engine's reports, until the engine has connected.
    pub trace_door: Option<OwnedFd>,
    pub trace: Option<Trace>,
}

impl Sandbox {
    pub fn new(plan: Plan, beforehand: Beforehand) -> Outcome<Sandbox> {
        let audit = Audit::open(&plan.audit.log, &plan.id, plan.audit.max_bytes)?;
        // SAFETY: geteuid cannot fail.
        let single_id = unsafe { libc::geteuid() } != 0;
        Ok(Sandbox {
            plan,
            audit,
            single_id,
            steps: Vec::new(),
            range: None,
            beforehand,
            map: None,
            cgroup: None,
            mounted: None,
            device: None,
            taken: None,
            first: None,
            leash: None,
            namespaces: None,
            mounts: None,
            filter: Vec::new(),
            ruleset: None,
            listeners: Vec::new(),
            control: None,
            forked: Vec::new(),
            gate: None,
            helm: None,
            before: None,
            twin: None,
            engine: None,
            trace_door: None,
            trace: None,
        })
    }

    pub fn raise(&mut self) -> Outcome<()> {
        let mut clock = Laps::begin();
        let socket = if self.plan.kind == Kind::Zygote { self.listen_for_forks()? } else { self.listen_for_host()? };
        self.step(&mut clock, "sockets");
        // The host can use the time now for its first messages, and has none later. An engine, and what it restores,
        // can only be spoken to once they run.
        if self.plan.kind == Kind::Sandbox && self.plan.engine.is_none() {
            println!("{}", json!({ "event": "listening" }));
        }
        self.cgroup =
            Some(Cgroup::create(&self.plan.id, &self.plan.limits, self.plan.kind, engine::spare(&self.plan))?);
        self.step(&mut clock, "cgroup");
        self.taken = disk::take(&self.plan.disk, Path::new(&self.plan.dir))?;
        if let (Some(_), Some(engine)) = (&self.plan.machine, &self.plan.engine) {
            self.before = machine::memory_before(engine)?;
        }
        let spare = self.beforehand.fitting(Like::of(&self.plan).as_ref());
        let ground = Ground::break_up(&self.plan, self.cgroup.as_ref(), spare)?;
        let helper = self.take_ids()?;
        self.filter = seccomp::program(Shape {
            notify_exec: self.plan.asks_before_exec(),
            allow_user_namespaces: self.plan.seccomp.allow_user_namespaces,
            zygote: self.plan.kind == Kind::Zygote,
        })?;
        let nursery = match &self.plan.zygote {
            Some(zygote) => Some(Nursery::connect(&zygote.socket, PATIENCE)?),
            None => self.mother()?,
        };
        self.step(&mut clock, "zygote");
        let site = self.begin_building(ground, socket, nursery.as_ref())?;
        let children = match self.watch_building(&site, nursery.as_ref(), &mut clock) {
            Ok(children) => children,
            Err(fault) => {
                site.clear();
                return Err(fault);
            }
        };
        self.step(&mut clock, "root and namespaces");
        self.map = None;
        if self.plan.kind == Kind::Zygote && self.plan.machine.is_none() {
            self.wait_for_zygote()?;
            self.step(&mut clock, "interpreter");
            return site.leave();
        }
        let disk = self.receive_kit()?;
        if let Some(mother) = nursery.as_ref().filter(|_| self.twin.is_some()) {
            self.let_twin_in(mother, disk)?;
        }
        self.step(&mut clock, "inner walls");
        self.greet_agent()?;
        if let Some(cgroup) = self.cgroup.as_ref().filter(|_| engine::spare(&self.plan).cpu_later) {
            cgroup.limit_cpu(&self.plan.limits)?;
        }
        self.step(&mut clock, "agent");
        for child in children {
            nursery.as_ref().map_or(Ok(()), Nursery::answer)?;
            let pid = self.adopt(child, PATIENCE)?;
            self.forked.push(pid);
        }
        self.step(&mut clock, "forks adopted");
        self.taken = None;
        // Nothing so far had to wait for this process.
        helper.map_or(Ok(()), Ending::wait)?;
        site.leave()
    }

    /// Takes a range of host ids for this sandbox, and the mapping of its disk to it. A zygote has neither, nor does
    /// anything without root.
    fn take_ids(&mut self) -> Outcome<Option<Ending>> {
        if self.single_id || self.plan.kind == Kind::Zygote {
            self.beforehand.unmapped.take().map_or(Ok(()), Unmapped::give_up)?;
            return Ok(None);
        }
        let range = Range::take()?;
        let unmapped = self.beforehand.unmapped.take().map_or_else(Unmapped::begin, Ok)?;
        let (map, ending) = unmapped.map_range(range.base())?;
        (self.range, self.map) = (Some(range), Some(map));
        Ok(Some(ending))
    }

    pub fn step(&mut self, clock: &mut Laps, name: &'static str) {
        self.steps.push((name, clock.lap()));
    }

    /// The freezer, or the reason why there is none.
    pub fn freezer(&self) -> Outcome<&Freezer> {
        let missing = || Fault::new(Code::LimitUnavailable, "freezer", "the sandbox has no control group");
        self.cgroup.as_ref().ok_or_else(missing)?.freezer()
    }

    fn listen_for_host(&mut self) -> Outcome<OwnedFd> {
        let dir = Path::new(&self.plan.dir);
        let listen = |name: &str| {
            let path = dir.join(name);
            UnixListener::bind(&path).at("sockets", path.display())
        };
        self.control = Some(listen("keeper.sock")?);
        let agent = listen("agent.sock")?;
        self.engine = self.plan.engine.as_ref().map(|_| engine::Held::new(&agent)).transpose()?;
        Ok(agent.into())
    }

    pub fn ask_for_forks(&self, nursery: &Nursery) -> Outcome<Vec<Child>> {
        let count = self.plan.zygote.as_ref().map_or(0, |zygote| zygote.forks);
        (0..count).map(|_| self.fork_from(nursery)).collect()
    }

    pub fn fork_from(&self, nursery: &Nursery) -> Outcome<Child> {
        nursery.fork(&self.wanted()?)
    }

    pub fn wanted(&self) -> Outcome<Wanted<'_>> {
        let missing = || Fault::new(Code::LaunchFailed, "zygote", "the sandbox has no namespaces");
        let user = &self.plan.user;
        Ok(Wanted {
            plan: &self.plan,
            namespaces: self.namespaces.as_ref().ok_or_else(missing)?,
            doors: self.cgroup.as_ref().map_or(Ok(Vec::new()), Cgroup::doors)?,
            filter: &self.filter,
            // Known before the first process has created it: it always does, where the kernel has Landlock.
            landlock: landlock::is_here(),
            single_id: self.single_id,
            owner: self.range.as_ref().map(|range| (range.base() + user.uid, range.base() + user.gid)),
        })
    }

    /// Lets a forked process in, and hands its ends to the agent. Returns its number inside.
    pub fn adopt(&mut self, child: Child, patience: Duration) -> Outcome<u32> {
        let missing = || Fault::new(Code::LaunchFailed, "zygote", "the sandbox has no mounts");
        let entered = child.enter(self.mounts.as_ref().ok_or_else(missing)?, self.ruleset.as_ref(), patience)?;
        self.listeners.extend(entered.listener);
        if let Some(leash) = &self.leash {
            agent::adopt(leash, entered.pid, &entered.ends, patience)?;
        }
        Ok(entered.pid)
    }

    /// Returns the disk of a machine if a twin is to have it.
    fn receive_kit(&mut self) -> Outcome<Option<OwnedFd>> {
        let leash = self.leash.as_ref().ok_or_else(|| Fault::new(Code::LaunchFailed, "inner walls", "no leash"))?;
        agent::bound(leash, PATIENCE)?;
        let mut buffer = [0u8; 8192];
        let (length, fds) = receive(leash.as_fd(), &mut buffer).at("inner walls", "leash")?;
        let Said::Kit { notify, landlock } = Said::read(&buffer[..length], "inner walls")? else {
            return Err(Fault::new(Code::LaunchFailed, "inner walls", "said something else than agreed"));
        };
        let mut fds = fds.into_iter();
        self.listeners.extend(if notify { fds.next() } else { None });
        self.ruleset = if landlock { fds.next() } else { None };
        self.helm = if self.plan.machine.is_some() { fds.next() } else { None };
        let disk = if self.twin.is_some() { fds.next() } else { None };
        self.mounts = self.first.map(|pid| open_namespace(pid, "mnt")).transpose()?;
        let traced = self.plan.engine.as_ref().is_some_and(|engine| engine.is_traced(&self.plan));
        self.trace_door = if traced { fds.next() } else { None };
        self.gate = if self.plan.is_mother() { None } else { Gate::start(&self.plan, fds.collect())? };
        Ok(disk)
    }

    fn greet_agent(&mut self) -> Outcome<()> {
        // The agent's own exec is the first to be answered.
        if let Some(listener) = self.listeners.first() {
            execs::answer_one(listener, &mut self.audit);
        }
        let leash = self.leash.as_ref().ok_or_else(|| Fault::new(Code::LaunchFailed, "agent", "no leash"))?;
        if let Some(door) = self.trace_door.take() {
            self.trace = Trace::begin(&door, leash)?;
        }
        engine::greet(self.engine.as_ref(), leash, &self.plan, self.single_id)?;
        self.trace.as_mut().map_or(Ok(()), |trace| trace.prove(&mut self.audit))?;
        if let Some(Warm::Restore { pid, .. }) = self.plan.engine.as_ref().and_then(|engine| engine.warm.as_ref()) {
            self.forked.extend(*pid);
        }
        Ok(())
    }
}
