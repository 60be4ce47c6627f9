//! Walls that are a machine: QEMU, with a kernel of its own for those inside. It runs where the agent of a container would run, in the sandbox's own
//! namespaces, ids and control groups, with no capability, no file to write to but the machine's disk, and a filter of system calls; so whoever gets
//! out of the machine is in a container, and in a narrow one. Beside it runs the pilot, which carries the leash over the one stream there is.

mod arguments;
mod describe;
mod helm;
mod qmp;
mod recall;
mod saving;
mod settling;
mod stage;
mod ticks;

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use caisson_relay::{Relay, Side};
use caisson_zygote::message::send;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::unistd::{ForkResult, fork};
use serde::Deserialize;

use crate::caps;
use crate::engine::{Engine, Warm, own_root};
use crate::fault::{At, Code, Fault, Outcome};
use crate::gate;
use crate::inside::{Inside, install, loopback_up};
use crate::plan::Network;
use crate::program::Program;
use crate::say::Said;

use qmp::Qmp;

pub use describe::{describe, now_ns};
pub use saving::{save, sleep, snapshot};
pub use settling::{SETTLING, Settling, go_on, not_settled};
pub use stage::{memory_before, saved_disk, stage};

const STEP: &str = "machine";

/// Threads of QEMU, one for each processor and one for each piece of disk work under way.
pub const SPARE_PIDS: u64 = 128;
/// QEMU itself, beside the machine's memory: its code, its devices, and what it has translated.
const OWN_BYTES: u64 = (arguments::TRANSLATED_MIB + 160) << 20;

/// What it is made of.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Machine {
    pub kernel: String,
    pub initrd: String,
    /// Images: /usr, and what the template shows besides.
    pub usr: String,
    pub shown: String,
    /// Of its kernel and those inside together.
    pub memory_bytes: u64,
    pub cpus: u32,
    /// Library that an older QEMU needs to map memory that it may not write; None: it can by itself.
    pub reader: Option<String>,
}

impl Machine {
    /// What the host's control groups allow beyond the sandbox's own limit.
    pub fn spare_bytes(&self, limit: u64) -> u64 {
        self.memory_bytes.saturating_sub(limit) + OWN_BYTES
    }
}

impl Inside<'_> {
    /// As `steps`, up to the pilot instead of the agent.
    pub fn machine_steps(&self, engine: &Engine, machine: &Machine) -> Outcome<std::convert::Infallible> {
        self.wait_for_ids()?;
        self.take_ids()?;
        nix::unistd::sethostname(&self.plan.host_name).at("hostname", &self.plan.host_name)?;
        loopback_up()?;
        let gated = matches!(self.plan.network, Network::Gate { .. });
        let doors = if gated { gate::net::prepare()? } else { Vec::new() };
        let disk = self.move_in()?;
        own_root()?;
        self.pivot()?;
        self.rlimits()?;
        caps::bound(0)?;
        nix::sys::prctl::set_no_new_privs().at("no_new_privs", "prctl")?;
        let pair = socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC);
        let (stream, theirs) = pair.at(STEP, "socketpair")?;
        let control = socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC);
        let (control, qemus) = control.at(STEP, "socketpair")?;
        let (keepers, helm) = helm::pair()?;
        let program = self.qemu(engine, machine, vec![theirs, disk.ok_or_else(no_disk)?, qemus])?;
        let leash = self.leash.try_clone().at(STEP, "dup")?;
        install(self.filter, false)?;
        caps::set(0)?;
        // SAFETY: one thread; the child uses what it copied, and becomes another program or ends.
        if let ForkResult::Child = unsafe { fork() }.at(STEP, "fork")? {
            drop(stream);
            let _failed = program.exec();
            // The pilot sees the end of the stream.
            // SAFETY: ends this process without the keeper's exit handlers.
            unsafe { libc::_exit(125) }
        }
        drop(program);
        let kit: Vec<_> = std::iter::once(&keepers).chain(&doors).map(AsRawFd::as_raw_fd).collect();
        send(self.leash.as_fd(), &Said::kit(false, false).bytes(), &kit).at("leash", "kit")?;
        drop((doors, keepers));
        let mut qmp = Qmp::greet(control)?;
        let mut relay = Relay::new(Side::Host, leash, stream).at(STEP, "relay")?;
        if engine.warm.as_ref().is_some_and(Warm::takes_state) {
            qmp.restore(arguments::STATE)?;
            relay.begin_anew();
        }
        std::thread::Builder::new().spawn(move || helm::steer(&helm, qmp)).at(STEP, "a thread")?;
        let ended = relay.run();
        // SAFETY: as above. The first process takes all others of its namespace with it.
        unsafe { libc::_exit(i32::from(ended.is_err())) }
    }

    /// `ends`: as arguments.rs numbers them.
    fn qemu(&self, engine: &Engine, machine: &Machine, ends: Vec<OwnedFd>) -> Outcome<Program> {
        let null: OwnedFd =
            std::fs::File::options().read(true).write(true).open("/dev/null").at(STEP, "/dev/null")?.into();
        let words = self.log.as_ref().unwrap_or(&null);
        let copy = |fd: &OwnedFd| fd.try_clone().at(STEP, "dup");
        let mut inherited = vec![copy(&null)?, copy(words)?, copy(words)?];
        inherited.extend(ends);
        let mut env = None;
        if engine.warm.as_ref().is_some_and(Warm::takes_state) {
            inherited.push(std::fs::File::open(stage::STATE).at(STEP, stage::STATE)?.into());
            env = machine.reader.as_ref().map(|_| format!("LD_PRELOAD={}", stage::READER));
        }
        let argv = arguments::of(self.plan, engine, machine)?;
        let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
        Program::new(&argv, env.into_iter(), inherited)
    }
}

fn no_disk() -> Fault {
    Fault::new(Code::LaunchFailed, STEP, "there is no disk")
}
