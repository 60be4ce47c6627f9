//! Walls that are a machine, with a kernel of its own for those inside: QEMU, or Firecracker. It runs where the agent of a container would run, in the
//! sandbox's own namespaces, ids and control groups, with no capability, no file to write to but the machine's disk, and a filter of system calls; so
//! whoever gets out of the machine is in a container, and in a narrow one. Beside it runs the pilot, which carries the leash over the one stream there is.

mod arguments;
mod describe;
mod devices;
mod executed;
mod firecracker;
mod helm;
mod monitor;
mod qemu;
mod qmp;
mod recall;
mod saving;
mod settling;
mod stage;
mod ticks;

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use caisson_relay::{Relay, Side};
use caisson_zygote::message::send;
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::{ForkResult, fork};
use serde::Deserialize;

use crate::caps;
use crate::engine::{Engine, own_root};
use crate::fault::{At, Code, Fault, Outcome};
use crate::gate;
use crate::inside::{Inside, give_up, install, loopback_up};
use crate::plan::{Disk, Network, Plan};
use crate::program::Program;
use crate::say::Said;
use crate::weakened::{Step, is_without};

use monitor::{Parts, prepare};

pub use describe::{describe, now_ns};
pub use executed::Pace;
pub use monitor::Vmm;
pub use saving::{save, sleep, snapshot};
pub use settling::{SETTLING, Settling, go_on, not_settled};
pub use stage::{memory_before, saved_disk, stage};

const STEP: &str = "machine";

/// Threads of QEMU, one for each processor and one for each piece of disk work under way.
pub const SPARE_PIDS: u64 = 128;
/// QEMU itself, beside the machine's memory: its code, its devices, and what it has translated.
const OWN_BYTES: u64 = (arguments::TRANSLATED_MIB + 160) << 20;

const LEAST_FILE_BYTES: u64 = 16 << 20;

/// What it is made of.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Machine {
    /// Plans of before there was a choice say nothing.
    #[serde(default)]
    pub vmm: Vmm,
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

    /// Whether its program opens the disk by itself, instead of using what it is handed.
    pub fn opens_disk(&self) -> bool {
        self.vmm == Vmm::Firecracker
    }
}

impl Inside<'_> {
    /// As `steps`, up to the pilot instead of the agent.
    pub fn machine_steps(&self, engine: &Engine, machine: &Machine) -> Outcome<std::convert::Infallible> {
        self.wait_for_ids()?;
        self.take_ids()?;
        nix::unistd::sethostname(&self.plan.host_name).at("hostname", &self.plan.host_name)?;
        loopback_up()?;
        let doors = if is_gated(self.plan) { gate::net::prepare(machine.vmm.source())? } else { Vec::new() };
        let disk = self.move_in()?.ok_or_else(no_disk)?;
        own_root()?;
        self.pivot()?;
        self.rlimits()?;
        bound_files(self.plan)?;
        give_up(0, true)?;
        let (keepers, helm) = helm::pair()?;
        let (program, monitor) = prepare(&Parts { plan: self.plan, engine, machine, log: self.log.as_ref() }, disk)?;
        let leash = self.leash.try_clone().at(STEP, "dup")?;
        install(self.filter, false)?;
        if !is_without(Step::Capabilities) {
            caps::set(0)?;
        }
        if is_without(Step::Engine) {
            let kit: Vec<_> = std::iter::once(&keepers).chain(&doors).map(AsRawFd::as_raw_fd).collect();
            send(self.leash.as_fd(), &Said::kit(false, false).bytes(), &kit).at("leash", "kit")?;
            return self.agent_instead(helm);
        }
        // SAFETY: one thread; the child uses what it copied, and becomes another program or ends.
        let child = match unsafe { fork() }.at(STEP, "fork")? {
            ForkResult::Parent { child } => child,
            ForkResult::Child => {
                let _failed = program.exec();
                // The pilot sees the end of whatever leads to it.
                // SAFETY: ends this process without the keeper's exit handlers.
                unsafe { libc::_exit(125) }
            }
        };
        drop(program);
        let kit: Vec<_> = std::iter::once(&keepers).chain(&doors).map(AsRawFd::as_raw_fd).collect();
        send(self.leash.as_fd(), &Said::kit(false, false).bytes(), &kit).at("leash", "kit")?;
        drop((doors, keepers));
        let begun = monitor.begin(child)?;
        let mut relay = Relay::new(Side::Host, leash, begun.stream).at(STEP, "relay")?;
        if begun.was_restored {
            relay.begin_anew();
        }
        let captain = begun.captain;
        std::thread::Builder::new().spawn(move || helm::steer(&helm, captain)).at(STEP, "a thread")?;
        let ended = relay.run();
        if let Err(error) = &ended {
            let broken =
                Fault::new(Code::LaunchFailed, STEP, format!("the conversation with its agent broke off: {error}"));
            // Nobody but a keeper that is greeting hears more in it than an end.
            let _ = send(self.leash.as_fd(), &Said::from(&broken).bytes(), &[]);
        }
        // SAFETY: as above. The first process takes all others of its namespace with it.
        unsafe { libc::_exit(i32::from(ended.is_err())) }
    }
}

impl Inside<'_> {
    /// For a wall whose machine is left out. It holds on to the helm: to the keeper, one that is let go of is the end.
    fn agent_instead(&self, helm: OwnedFd) -> Outcome<std::convert::Infallible> {
        let null: OwnedFd =
            std::fs::File::options().read(true).write(true).open("/dev/null").at(STEP, "/dev/null")?.into();
        let copy = |fd: &OwnedFd| fd.try_clone().at(STEP, "dup");
        let inherited = vec![copy(&self.leash)?, copy(&null)?, null, helm];
        Program::new(&[stage::AGENT, "leash"], std::iter::empty(), inherited)?.exec()
    }
}

/// Whether it has a way out.
fn is_gated(plan: &Plan) -> bool {
    matches!(plan.network, Network::Gate { .. })
}

/// What runs the machine holds the file of its disk: whoever has taken it over could fill the host's disk with it. Saved devices are a file, too, of a
/// megabyte or two.
fn bound_files(plan: &Plan) -> Outcome<()> {
    let Disk::Image { bytes, .. } = plan.disk else { return Err(no_disk()) };
    let most = bytes.max(LEAST_FILE_BYTES);
    setrlimit(Resource::RLIMIT_FSIZE, most, most).at(STEP, "file size")
}

fn no_disk() -> Fault {
    Fault::new(Code::LaunchFailed, STEP, "there is no disk")
}
