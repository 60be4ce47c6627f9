//! Walls that are a machine with its own kernel: QEMU or Firecracker. It runs where a container's agent would run, in
//! the sandbox's own namespaces, ids and cgroups, with no capability, no writable file but the machine's disk, and a
//! seccomp filter. Whoever breaks out of the machine is therefore still in a container, and a narrow one. Beside it
//! runs the pilot, which relays the leash over the machine's only stream.

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
mod twin;

use std::os::fd::{AsFd, OwnedFd};

use caisson_relay::Relay;
use caisson_zygote::message::send;
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::{ForkResult, fork};
use serde::Deserialize;

use crate::caps;
use crate::engine::{Engine, own_proc, own_root};
use crate::fault::{At, Code, Fault, Outcome};
use crate::gate;
use crate::inside::{Inside, install, loopback_up};
use crate::plan::{Disk, Network, Plan};
use crate::program::Program;
use crate::say::Said;
use crate::weakened::{Step, is_without};

use monitor::{Begun, Kin, Parts, prepare};

pub use describe::{describe, now_ns};
pub use executed::Pace;
pub use monitor::Vmm;
pub use saving::{save, sleep, snapshot};
pub use settling::{SETTLING, Settling, go_on, not_settled};
pub use stage::{memory_before, saved_disk, stage};
pub use twin::{Ends, Twin, serve};

const STEP: &str = "machine";

/// Host threads of QEMU: one per CPU, and one per disk operation in flight.
pub const SPARE_PIDS: u64 = 128;
/// QEMU's own memory, on top of the machine's: its code, its devices, and its translated code.
const OWN_BYTES: u64 = (arguments::TRANSLATED_MIB + 160) << 20;

const LEAST_FILE_BYTES: u64 = 16 << 20;

/// The parts of a machine.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Machine {
    /// Absent in plans from before there was a choice.
    #[serde(default)]
    pub vmm: Vmm,
    pub kernel: String,
    pub initrd: String,
    /// Disk images: /usr, and the template's other files.
    pub usr: String,
    pub shown: String,
    /// For the machine's kernel and everything inside together.
    pub memory_bytes: u64,
    pub cpus: u32,
    /// A library for an older QEMU, which lets it map memory that it may not write; None: QEMU can do so itself.
    pub reader: Option<String>,
    /// A library loaded into a mother's QEMU (native/twins); None: this machine is not a mother.
    #[serde(default)]
    pub twins: Option<String>,
}

impl Machine {
    /// What the host's cgroup allows on top of the sandbox's own limit.
    pub fn spare_bytes(&self, limit: u64) -> u64 {
        self.memory_bytes.saturating_sub(limit) + OWN_BYTES
    }

    /// Whether its program opens the disk itself, rather than using an inherited descriptor.
    pub fn opens_disk(&self) -> bool {
        self.vmm == Vmm::Firecracker
    }
}

impl Inside<'_> {
    /// As `steps`, but runs the pilot instead of the agent.
    pub fn machine_steps(&self, engine: &Engine, machine: &Machine) -> Outcome<std::convert::Infallible> {
        self.wait_for_ids()?;
        self.take_ids()?;
        nix::unistd::sethostname(&self.plan.host_name).at("hostname", &self.plan.host_name)?;
        loopback_up()?;
        let is_mother = self.plan.is_mother();
        // Opened before the pivot. A mother hands its user namespace to keepers that want a twin; the twin's is below.
        let kin = if is_mother { Some(self.kin()?) } else { None };
        let gated = is_gated(self.plan) && !is_mother;
        let doors = if gated { gate::net::prepare(machine.vmm.source())? } else { Vec::new() };
        let disk = self.move_in()?.ok_or_else(no_disk)?;
        own_root()?;
        if !is_mother {
            // A mother has no pid namespace of its own.
            own_proc()?;
        }
        self.pivot()?;
        self.rlimits()?;
        if !is_mother {
            bound_files(self.plan)?;
        }
        caps::give_up(if is_mother { caps::set_of(caps::ZYGOTE)? } else { 0 }, true)?;
        let (keepers, helm) = helm::pair()?;
        if let Some(ends) = &self.twin {
            install(self.filter, false)?;
            caps::set(0)?;
            let kit = twin::numbers(&keepers, Some(&disk), &doors);
            send(self.leash.as_fd(), &Said::kit(false, false).bytes(), &kit).at("leash", "kit")?;
            drop((doors, keepers, disk));
            return self.steer(&helm, qemu::begin_twin(ends)?);
        }
        let parts = Parts { plan: self.plan, engine, machine, log: self.log.as_ref(), kin };
        let (program, monitor) = prepare(&parts, disk)?;
        install(self.filter, false)?;
        if !is_without(Step::Capabilities) && !is_mother {
            caps::set(0)?;
        }
        let kit = twin::numbers(&keepers, None, &doors);
        if is_without(Step::Engine) {
            send(self.leash.as_fd(), &Said::kit(false, false).bytes(), &kit).at("leash", "kit")?;
            return self.agent_instead(helm);
        }
        // SAFETY: one thread; the child uses what it copied, and becomes another program or ends.
        let child = match unsafe { fork() }.at(STEP, "fork")? {
            ForkResult::Parent { child } => child,
            ForkResult::Child => {
                // In a pid namespace it dies with the first process anyway, but a mother has none.
                // SAFETY: a setting of this process.
                unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) };
                let _failed = program.exec();
                // The pilot notices, because the child's ends of all channels close.
                // SAFETY: ends this process without the keeper's exit handlers.
                unsafe { libc::_exit(125) }
            }
        };
        drop((program, parts));
        if is_mother {
            caps::set(0)?;
        }
        send(self.leash.as_fd(), &Said::kit(false, false).bytes(), &kit).at("leash", "kit")?;
        drop((doors, keepers));
        self.steer(&helm, monitor.begin(child)?)
    }

    /// The socket over which a mother is asked, and the user namespace below which the twins' are created.
    fn kin(&self) -> Outcome<Kin> {
        let place = "/proc/self/ns/user";
        let user_namespace = std::fs::File::open(place).at("namespaces", place)?.into();
        Ok(Kin { listener: self.listener.try_clone().at(STEP, "dup")?, user_namespace })
    }

    /// Runs the pilot until the machine ends.
    fn steer(&self, helm: &OwnedFd, begun: Begun) -> Outcome<std::convert::Infallible> {
        let leash = self.leash.try_clone().at(STEP, "dup")?;
        let mut relay = Relay::new(leash, begun.stream).at(STEP, "relay")?;
        if begun.was_restored {
            relay.begin_anew();
        }
        let captain = begun.captain;
        let helm = helm.try_clone().at(STEP, "dup")?;
        std::thread::Builder::new().spawn(move || helm::steer(&helm, captain)).at(STEP, "a thread")?;
        let ended = relay.run();
        if let Err(error) = &ended {
            let broken =
                Fault::new(Code::LaunchFailed, STEP, format!("the conversation with its agent broke off: {error}"));
            // Useful only to a keeper that is still greeting; later it counts as an end.
            let _ = send(self.leash.as_fd(), &Said::from(&broken).bytes(), &[]);
        }
        // SAFETY: as above. The exit of the first process kills all others of its namespace.
        unsafe { libc::_exit(i32::from(ended.is_err())) }
    }
}

impl Inside<'_> {
    /// For builds that test a wall without its machine. Keeps the helm open: closing it would tell the keeper that the
    /// machine has ended.
    fn agent_instead(&self, helm: OwnedFd) -> Outcome<std::convert::Infallible> {
        let null: OwnedFd =
            std::fs::File::options().read(true).write(true).open("/dev/null").at(STEP, "/dev/null")?.into();
        let copy = |fd: &OwnedFd| fd.try_clone().at(STEP, "dup");
        let inherited = vec![copy(&self.leash)?, copy(&null)?, null, helm];
        Program::new(&[stage::AGENT, "leash"], std::iter::empty(), inherited)?.exec()
    }
}

/// Whether it has a network.
fn is_gated(plan: &Plan) -> bool {
    matches!(plan.network, Network::Gate { .. })
}

/// Limits file sizes. The program that runs the machine has the disk file open, so whoever took it over could otherwise
/// fill the host's disk. Saved device state, a file of a megabyte or two, must fit too.
fn bound_files(plan: &Plan) -> Outcome<()> {
    let most = bytes_of_files(plan)?;
    setrlimit(Resource::RLIMIT_FSIZE, most, most).at(STEP, "file size")
}

fn bytes_of_files(plan: &Plan) -> Outcome<u64> {
    let Disk::Image { bytes, .. } = plan.disk else { return Err(no_disk()) };
    Ok(bytes.max(LEAST_FILE_BYTES))
}

fn no_disk() -> Fault {
    Fault::new(Code::LaunchFailed, STEP, "there is no disk")
}
