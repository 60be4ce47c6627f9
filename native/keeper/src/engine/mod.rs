//! Walls that are a program: the engine `runsc` (gVisor). It runs where a container's agent would run, in the sandbox's
//! own namespaces, ids and cgroups and confined by the same last walls, so that whoever breaks out of it is still in a
//! container. The agent runs behind it and has one host descriptor: the leash. The host's connections arrive over the
//! leash, so nobody else inside can reach or impersonate them.

pub mod bundle;
mod stage;
pub mod trace;
mod wanted;
mod warm;

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::Duration;

use caisson_zygote::message::{receive, send};
use nix::fcntl::OFlag;
use nix::mount::{MsFlags, mount};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg, setsockopt, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};
use nix::unistd::pipe2;

use crate::agent;
use crate::caps;
use crate::cgroup::Spare;
use crate::fault::{At, Code, Fault, Outcome};
use crate::gate;
use crate::inside::{Inside, loopback_up};
use crate::machine;
use crate::plan::{Network, Plan};
use crate::program::Program;
use crate::say::Said;
use crate::tree::Tree;
use crate::weakened::{Step, is_without};

use stage::attach;

pub use stage::{finish, flags_of_root, stage};
pub use wanted::{Engine, Platform, refuse};
pub use warm::{Warm, save, serve, sleep, snapshot};

const STEP: &str = "engine";
/// A healthy machine needs a quarter of a second from here to the agent's first message.
const PATIENCE: Duration = Duration::from_secs(30);
/// An emulated kernel takes two seconds to boot, and many more on a busy machine.
const BOOT_PATIENCE: Duration = Duration::from_secs(85);

/// How long to wait for the engine's last messages after it has ended.
const LAST_WORDS_MS: i64 = 50;

/// The number of host processes and threads that `inside` processes need. The engine has some of its own. Where its
/// platform traces, each process inside has a host thread for each engine thread that ever ran it, and these are kept
/// for the next process: a busy shell with a dozen processes had two hundred.
const fn host_pids(inside: u64) -> u64 {
    inside.saturating_mul(4).saturating_add(192)
}

/// Paths in the engine's own root, which nothing inside ever sees.
pub const ROOT: &str = "rootfs";
const BUNDLE: &str = "bundle";
const PROGRAM: &str = "runsc";
const STATE: &str = "state";

/// Capabilities that the engine needs to build its own, narrower walls. They apply to the sandbox's user namespace
/// only, and it drops nearly all of them before anything runs inside.
const CAPABILITIES: [&str; 15] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_ADMIN",
    "SYS_RESOURCE",
    "MKNOD",
];

impl Inside<'_> {
    /// As `steps`, but runs the engine instead of the agent.
    pub fn engine_steps(&self, engine: &Engine) -> Outcome<std::convert::Infallible> {
        self.wait_for_ids()?;
        self.take_ids()?;
        nix::unistd::sethostname(&self.plan.host_name).at("hostname", &self.plan.host_name)?;
        loopback_up()?;
        let gated = matches!(self.plan.network, Network::Gate { .. });
        let doors = if gated { gate::net::prepare(gate::net::Source::Here)? } else { Vec::new() };
        self.move_in()?;
        own_root()?;
        own_proc()?;
        self.pivot()?;
        self.rlimits()?;
        // With a single id the engine maps root's id, for which the kernel requires this capability too
        // (user_namespaces(7)).
        let mapping = self.single_id.then_some("SETFCAP");
        caps::give_up(caps::set_of(CAPABILITIES.into_iter().chain(mapping))?, true)?;
        let program = self.engine_program(engine, gated)?;
        let traced = engine.is_traced(self.plan).then(|| trace::listener(trace::SOCKET)).transpose()?;
        let kit: Vec<_> = traced.iter().chain(&doors).map(AsRawFd::as_raw_fd).collect();
        send(self.leash.as_fd(), &Said::kit(false, false).bytes(), &kit).at("leash", "kit")?;
        program.exec()
    }

    fn engine_program(&self, engine: &Engine, gated: bool) -> Outcome<Program> {
        let null: OwnedFd =
            std::fs::File::options().read(true).write(true).open("/dev/null").at(STEP, "/dev/null")?.into();
        let copy = |fd: &OwnedFd| fd.try_clone().at(STEP, "dup");
        let words = self.log.as_ref().unwrap_or(&null);
        let inherited = vec![copy(&self.leash)?, copy(&null)?, copy(words)?];
        if is_without(Step::Engine) {
            return stage::agent_instead(inherited);
        }
        let platform = match engine.platform {
            Platform::Systrap => "systrap",
            Platform::Ptrace => "ptrace",
            Platform::Kvm => "kvm",
            Platform::Tcg => return Err(Fault::new(Code::PlanInvalid, STEP, "runsc emulates no processor")),
        };
        let argv = [
            format!("/{PROGRAM}"),
            format!("--root=/{STATE}"),
            format!("--platform={platform}"),
            // Without a gate the engine uses its own network stack with only `lo`, so it cannot reach the host's at
            // all.
            format!("--network={}", if gated { "host" } else { "none" }),
            // The keeper's cgroups already limit it.
            "--ignore-cgroups".into(),
        ];
        // There is only one id, so the engine's own processes cannot use another.
        let rootless = self.single_id.then(|| "--rootless".to_string());
        let traced = engine.is_traced(self.plan).then(|| format!("--pod-init-config=/{BUNDLE}/{}", trace::CONFIG));
        let rest = [format!("--bundle=/{BUNDLE}"), self.plan.id.clone()];
        let argv: Vec<String> =
            argv.into_iter().chain(rootless).chain(traced).chain(warm::verb(engine)).chain(rest).collect();
        let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
        Program::new(&argv, std::iter::empty(), inherited)
    }
}

/// Runs in the engine's own root.
pub fn own_root() -> Outcome<()> {
    let (none, here) = (None::<&str>, Path::new("."));
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).at(STEP, "private mounts")?;
    let tree = Tree::open(here).at(STEP, "a copy of the root")?;
    tree.attach(here).and_then(|()| tree.enter()).at(STEP, "root onto itself")
}

pub fn own_proc() -> Outcome<()> {
    // The engine re-executes itself from here, and builds its roots below.
    let strict = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("proc"), "proc", Some("proc"), strict, None::<&str>).at(STEP, "/proc")
}

/// What the wall itself needs from the host's cgroups.
pub fn spare(plan: &Plan) -> Spare {
    match (&plan.machine, &plan.engine) {
        (Some(machine), _) => {
            let bytes = machine.spare_bytes(plan.limits.memory_bytes.unwrap_or(0));
            Spare { pids: machine::SPARE_PIDS, bytes, cpu_later: true }
        }
        (None, Some(_)) => {
            let inside = plan.limits.pids.unwrap_or(0);
            Spare { pids: host_pids(inside) - inside, cpu_later: true, ..Spare::default() }
        }
        (None, None) => Spare::default(),
    }
}

/// The first exchange with the agent, wherever it runs.
pub fn greet(held: Option<&Held>, leash: &OwnedFd, plan: &Plan, single_id: bool) -> Outcome<()> {
    held.map_or_else(|| agent::greet(leash, plan, single_id), |held| held.greet(leash, plan, single_id))
}

/// The keeper's side of an engine.
pub struct Held {
    /// Where the host connects to speak with the agent.
    pub door: UnixListener,
    /// The engine's log; the write end is kept until the engine is started.
    words: OwnedFd,
    log: Option<OwnedFd>,
}

/// Why the first process ended, if it said so. A peer that exits with unread data leaves an error in front of what it
/// said (unix(7)).
fn last_said(leash: &OwnedFd) -> Option<Fault> {
    setsockopt(leash, sockopt::ReceiveTimeout, &TimeVal::milliseconds(LAST_WORDS_MS)).ok()?;
    (0..2).find_map(|_| {
        let mut buffer = [0u8; 8192];
        let (length, _) = receive(leash.as_fd(), &mut buffer).ok().filter(|(length, _)| *length > 0)?;
        Said::read(&buffer[..length], STEP).err()
    })
}

impl Held {
    pub fn new(door: &UnixListener) -> Outcome<Held> {
        // Neither side blocks on the log: what does not fit is lost.
        let (words, log) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).at(STEP, "pipe")?;
        let door = door.try_clone().at(STEP, "dup")?;
        door.set_nonblocking(true).at(STEP, "its socket")?;
        Ok(Held { door, words, log: Some(log) })
    }

    /// The log's write end, until the engine is started.
    pub fn log(&self) -> Option<&OwnedFd> {
        self.log.as_ref()
    }

    pub fn take_log(&mut self) -> Option<OwnedFd> {
        self.log.take()
    }

    /// As `agent::greet`, with a timeout, and with the engine's last messages where the agent sent none.
    fn greet(&self, leash: &OwnedFd, plan: &Plan, single_id: bool) -> Outcome<()> {
        let warm = plan.engine.as_ref().and_then(|engine| engine.warm.as_ref());
        let restored = warm.is_some_and(Warm::takes_state);
        let boots = plan.machine.is_some() && !restored;
        let patience = if boots { BOOT_PATIENCE } else { PATIENCE };
        setsockopt(leash, sockopt::ReceiveTimeout, &TimeVal::new(patience.as_secs() as i64, 0)).at(STEP, "leash")?;
        if is_without(Step::Engine) {
            return agent::greet(leash, plan, plan.machine.is_some());
        }
        let told = if boots {
            let machine = machine::describe(plan, false)?.to_string();
            send(leash.as_fd(), machine.as_bytes(), &[]).at(STEP, "leash")
        } else {
            Ok(())
        };
        let greeted = told.and_then(|()| match restored {
            true => self.rename(leash, plan, matches!(warm, Some(Warm::Wake { .. }))),
            // A machine has ids of its own.
            false => agent::greet(leash, plan, single_id && plan.machine.is_none()),
        });
        greeted.map_err(|fault| self.with_words(last_said(leash).unwrap_or(fault)))
    }

    pub fn with_words(&self, mut fault: Fault) -> Fault {
        let mut buffer = [0u8; 4096];
        let heard = nix::unistd::read(&self.words, &mut buffer).unwrap_or(0);
        let said = String::from_utf8_lossy(&buffer[..heard]);
        let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
        fault.message = format!("{}: {}", fault.message, last.chars().take(500).collect::<String>());
        fault.step = STEP;
        fault
    }

    /// Hands a connection of the host to the agent. A connection that cannot be handed over at once is closed, because
    /// the keeper must not wait for what is inside.
    pub fn introduce(&self, leash: Option<&OwnedFd>) {
        let (Ok((socket, _)), Some(leash)) = (self.door.accept(), leash) else { return };
        let fds = [socket.as_raw_fd()];
        let parts = [std::io::IoSlice::new(br#"{"connect":{}}"#)];
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        if let Err(error) = sendmsg::<()>(leash.as_raw_fd(), &parts, &[ControlMessage::ScmRights(&fds)], flags, None) {
            eprintln!("caisson-keeper: a connection could not be handed over: {error}");
        }
    }
}
