//! What the first process of a sandbox does between clone and exec, inside all of its new namespaces: it sets up the
//! last walls from the inside, in order. After exec it is the agent (PID 1), or a zygote's interpreter.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use caisson_zygote::message::{receive, send};
use libc::sock_filter;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::boot_id;
use crate::caps;
use crate::descriptors::keep_only;
use crate::fault::{At, Fault, Outcome};
use crate::gate;
use crate::landlock;
use crate::machine::Ends;
use crate::plan::{Kind, Network, Plan, Root};
use crate::program::Program;
use crate::say::Said;
use crate::tally;
use crate::tree::{NODEV, NOEXEC, NOSUID, RDONLY, Tree};
use crate::weakened::{Step, is_without};

/// Parts of /proc that describe or control the machine rather than the sandbox.
const MASKED_FILES: [&str; 11] = [
    "kcore",
    "keys",
    "key-users",
    "kmsg",
    "kallsyms",
    "sched_debug",
    "sysrq-trigger",
    "timer_list",
    "config.gz",
    "modules",
    // Its counters reveal when the machine's keyboard, disk or network card is busy.
    "interrupts",
];
const MASKED_FOLDERS: [&str; 6] = ["acpi", "asound", "scsi", "fs", "irq", "bus"];
const READ_ONLY: [&str; 1] = ["sys"];

pub struct Inside<'a> {
    pub plan: &'a Plan,
    /// To the keeper; the agent inherits it.
    pub leash: OwnedFd,
    /// From the mason.
    pub stands: OwnedFd,
    /// The socket that the program listens on.
    pub listener: OwnedFd,
    pub filter: &'a [sock_filter],
    pub notify: bool,
    pub single_id: bool,
    /// The pilot's ends to a twin that is forked elsewhere.
    pub twin: Option<Ends>,
    /// Standard error of a zygote's interpreter, or of the engine.
    pub log: Option<OwnedFd>,
}

impl Inside<'_> {
    /// Does not return: either exec succeeds, or the failure is reported and the process exits.
    pub fn run(self) -> ! {
        // Closes inherited descriptors such as the audit log, the host's connection and its /proc. A pilot does not
        // exec, so it and whoever broke out into it would have them as long as the machine runs.
        let twin = self.twin.iter().flat_map(|ends| [&ends.stream, &ends.control]);
        let kept = [&self.leash, &self.stands, &self.listener].into_iter().chain(&self.log).chain(twin);
        let kept = keep_only("descriptors", kept);
        let leash = self.leash.try_clone();
        let fault = match kept.and_then(|()| self.steps()) {
            Ok(never) => match never {},
            Err(fault) => fault,
        };
        let said = leash.and_then(|leash| send(leash.as_fd(), &Said::from(&fault).bytes(), &[]));
        // SAFETY: ends this process without the keeper's exit handlers.
        unsafe { libc::_exit(if said.is_ok() { 125 } else { 124 }) }
    }

    fn steps(self) -> Outcome<std::convert::Infallible> {
        match (&self.plan.engine, &self.plan.machine) {
            (Some(engine), Some(machine)) => return self.machine_steps(engine, machine),
            (Some(engine), None) => return self.engine_steps(engine),
            (None, _) => {}
        }
        let sandbox = self.plan.kind == Kind::Sandbox;
        self.wait_for_ids()?;
        self.take_ids()?;
        let user_namespace = std::fs::File::open("/proc/self/ns/user").at("namespaces", "/proc/self/ns/user")?;
        nix::unistd::sethostname(&self.plan.host_name).at("hostname", &self.plan.host_name)?;
        loopback_up()?;
        let doors = if matches!(self.plan.network, Network::Gate { .. }) {
            gate::net::prepare(gate::net::Source::Here)?
        } else {
            Vec::new()
        };
        self.move_in()?;
        self.mounts(sandbox)?;
        self.pivot()?;
        self.rlimits()?;
        let ruleset = if sandbox && !is_without(Step::Landlock) { self.landlock()? } else { None };
        let capabilities = if sandbox {
            caps::set_of(self.plan.capabilities.iter().map(String::as_str))?
        } else {
            caps::set_of(caps::ZYGOTE)?
        };
        caps::give_up(capabilities, self.plan.no_new_privileges)?;
        if let Some(ruleset) = &ruleset {
            landlock::restrict(ruleset)?;
        }
        let program = self.program(user_namespace.into())?;
        let filter = install(self.filter, self.notify)?;
        if self.single_id && sandbox {
            caps::set(0)?;
        }
        let kit: Vec<_> = filter.iter().chain(ruleset.as_ref()).chain(&doors).map(AsRawFd::as_raw_fd).collect();
        send(self.leash.as_fd(), &Said::kit(filter.is_some(), ruleset.is_some()).bytes(), &kit).at("leash", "kit")?;
        program.exec()
    }

    pub fn wait_for_ids(&self) -> Outcome<()> {
        let (length, _) = receive(self.leash.as_fd(), &mut [0u8; 8]).at("ids", "waiting for the keeper")?;
        if length == 1 {
            Ok(())
        } else {
            Err(Fault::new(crate::fault::Code::LaunchFailed, "ids", "the keeper broke off"))
        }
    }

    pub fn take_ids(&self) -> Outcome<()> {
        let (uid, gid) = if self.single_id && self.plan.kind == Kind::Sandbox && self.plan.engine.is_none() {
            (self.plan.user.uid, self.plan.user.gid)
        } else {
            (0, 0)
        };
        // SAFETY: plain calls on our own process.
        unsafe {
            if !self.single_id && libc::setgroups(0, std::ptr::null()) != 0
                || libc::setresgid(gid, gid, gid) != 0
                || libc::setresuid(uid, uid, uid) != 0
            {
                return Err(std::io::Error::last_os_error()).at("ids", "taking the ids of the namespace");
            }
            // Changing ids cleared these two. This process must die with the keeper.
            libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0);
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0);
            libc::setsid();
            libc::umask(0o022);
            // The keeper's signal settings must not reach the program.
            libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        }
        nix::sys::signal::SigSet::empty().thread_set_mask().at("ids", "signal mask")
    }

    /// Waits until the root is assembled, and takes it into a new mount namespace: from here on, mounts that the host
    /// made read-only are locked. Returns a machine's disk, if one came along.
    pub fn move_in(&self) -> Outcome<Option<OwnedFd>> {
        let step = "root";
        let (length, mut fds) = receive(self.stands.as_fd(), &mut [0u8; 8]).at(step, "waiting for it")?;
        let Some(root) = fds.first().filter(|_| length == 1) else {
            return Err(Fault::new(crate::fault::Code::LaunchFailed, step, "it did not come to stand"));
        };
        nix::unistd::fchdir(root).at(step, "the way in")?;
        let own = nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS);
        own.coded(crate::fault::Code::WallUnavailable, step, "a mount namespace")?;
        Ok(fds.pop().filter(|_| !fds.is_empty()))
    }

    /// The working directory is the assembled root. It becomes a mount of this namespace, so that it can become the
    /// root.
    fn mounts(&self, sandbox: bool) -> Outcome<()> {
        let (step, none, here) = ("mounts", None::<&str>, Path::new("."));
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).at(step, "private mounts")?;
        let tree = Tree::open(here).at(step, "a copy of the root")?;
        tree.attach(here).and_then(|()| tree.enter()).at(step, "root onto itself")?;
        let strict = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        // No smaller size than the memory limit: that one should end the program, not an error that looks like a full
        // disk.
        let shm = self.plan.limits.memory_bytes.unwrap_or(1 << 30);
        let shm = format!("size={shm},nr_inodes=16384,mode=1777");
        mount(Some("shm"), "dev/shm", Some("tmpfs"), strict, Some(shm.as_str())).at(step, "/dev/shm")?;
        if !sandbox {
            return Ok(());
        }
        let pts = format!("newinstance,ptmxmode=0666,mode=0620,max={}", tally::TERMINALS);
        let no_exec = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
        mount(Some("devpts"), "dev/pts", Some("devpts"), no_exec, Some(pts.as_str())).at(step, "/dev/pts")?;
        mount(Some("mqueue"), "dev/mqueue", Some("mqueue"), strict, none).at(step, "/dev/mqueue")?;
        // The kernel allows this only while the host's own /proc is visible, so it precedes the pivot.
        mount(Some("proc"), "proc", Some("proc"), strict, none).at(step, "/proc")?;
        let proc = Path::new("proc");
        if !self.single_id {
            tally::bound(proc)?;
        }
        let masked = !is_without(Step::Masks);
        for name in MASKED_FILES.into_iter().filter(|_| masked) {
            let target = proc.join(name);
            if target.exists() {
                mount(Some("dev/null"), &target, none, MsFlags::MS_BIND, none).at(step, name)?;
            }
        }
        for name in MASKED_FOLDERS.into_iter().filter(|_| masked) {
            let target = proc.join(name);
            if target.exists() {
                let options = Some("size=4k,nr_inodes=1,mode=555");
                mount(Some("caisson"), &target, Some("tmpfs"), strict | MsFlags::MS_RDONLY, options).at(step, name)?;
            }
        }
        for name in READ_ONLY.into_iter().filter(|_| !is_without(Step::ReadOnlySwitches)) {
            let target = proc.join(name);
            let tree = Tree::open(&target).at(step, name)?;
            tree.set(RDONLY | NOSUID | NODEV | NOEXEC).and_then(|()| tree.attach(&target)).at(step, name)?;
        }
        let tree = Tree::open(Path::new(boot_id::PLACE)).at(step, boot_id::PLACE)?;
        let target = proc.join("sys/kernel/random/boot_id");
        tree.set(RDONLY | NOSUID | NODEV | NOEXEC).and_then(|()| tree.attach(&target)).at(step, boot_id::PLACE)
    }

    /// For a moment the old root is stacked under the new one, then it is unmounted (pivot_root(2), "pivot_root(".",
    /// ".")").
    pub fn pivot(&self) -> Outcome<()> {
        let step = "pivot";
        nix::unistd::pivot_root(".", ".").at(step, "pivot_root")?;
        if is_without(Step::HostFiles) {
            return nix::unistd::chdir("/").at(step, "/");
        }
        umount2(".", MntFlags::MNT_DETACH).at(step, "the host's root")?;
        nix::unistd::chdir("/").at(step, "/")
    }

    pub fn rlimits(&self) -> Outcome<()> {
        // A core limit of 1 prevents the kernel from starting a core_pattern pipe on the host (core(5)).
        let most = if is_without(Step::CoreLimit) { libc::RLIM_INFINITY } else { 1 };
        let limit = libc::rlimit { rlim_cur: 1, rlim_max: most };
        // SAFETY: the structure outlives the call.
        if unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const limit) } != 0 {
            return Err(std::io::Error::last_os_error()).at("rlimits", "core");
        }
        Ok(())
    }

    fn landlock(&self) -> Outcome<Option<OwnedFd>> {
        let folders = self.plan.writable.iter().map(|writable| writable.target.as_str());
        let mounts =
            self.plan.binds.iter().filter(|bind| bind.mode == crate::plan::Mode::Rw).map(|bind| bind.target.as_str());
        let whole = matches!(self.plan.root, Root::Overlay { .. }).then_some("/");
        landlock::ruleset(folders.chain(mounts).chain(whole))
    }

    fn program(&self, user_namespace: OwnedFd) -> Outcome<Program> {
        let step = "exec";
        // The sandbox's own /dev/null, because the pivot is done.
        let null: OwnedFd =
            std::fs::File::options().read(true).write(true).open("/dev/null").at(step, "/dev/null")?.into();
        let copy = |fd: &OwnedFd| fd.try_clone().at(step, "dup");
        let listener = copy(&self.listener)?;
        let Some(serve) = &self.plan.serve else {
            let inherited = vec![copy(&null)?, copy(&null)?, null, listener, copy(&self.leash)?];
            return Program::new(&["/caisson/agent"], std::iter::empty(), inherited);
        };
        let log = self.log.as_ref().unwrap_or(&null);
        let inherited = vec![copy(&null)?, copy(log)?, copy(log)?, listener, user_namespace];
        let env = serve.env.iter().map(|(name, value)| format!("{name}={value}"));
        let idle = format!("CAISSON_ZYGOTE_IDLE_MS={}", serve.idle_ms);
        let argv: Vec<&str> = serve.argv.iter().map(String::as_str).collect();
        Program::new(&argv, env.chain([idle]), inherited)
    }
}

pub fn install(filter: &[sock_filter], notify: bool) -> Outcome<Option<OwnedFd>> {
    if notify {
        return caisson_execs::listen(filter, false).at("seccomp", "install").map(Some);
    }
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
    // SAFETY: the program outlives the call.
    let result = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program) };
    if result < 0 { Err(std::io::Error::last_os_error()).at("seccomp", "install") } else { Ok(None) }
}

pub fn loopback_up() -> Outcome<()> {
    if is_without(Step::Network) {
        return Ok(());
    }
    let socket = nix::sys::socket::socket(
        nix::sys::socket::AddressFamily::Inet,
        nix::sys::socket::SockType::Datagram,
        nix::sys::socket::SockFlag::SOCK_CLOEXEC,
        None,
    )
    .at("loopback", "socket")?;
    // SAFETY: all-zero is a valid ifreq.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as libc::c_char;
    request.ifr_name[1] = b'o' as libc::c_char;
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: the structure outlives the call (netdevice(7)).
    if unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw const request) } != 0 {
        return Err(std::io::Error::last_os_error()).at("loopback", "lo");
    }
    Ok(())
}
