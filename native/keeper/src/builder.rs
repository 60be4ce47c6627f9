//! The builder: a short-lived process between the keeper and the sandbox. It creates the sandbox's first process in new
//! namespaces, maps its ids, and exits. Meanwhile a mason (mason.rs) assembles the root in the builder's mount
//! namespace. Mounts made there survive only in the sandbox's own mount namespace.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use caisson_zygote::message::send;
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::stat::Mode;
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, fork};

use crate::fault::{At, Code, Outcome};
use crate::ids::{NURSERY_COUNT, NURSERY_FIRST, RANGE};
use crate::inside::Inside;
use crate::mason::Mason;
use crate::plan::{Kind, Plan};
use crate::say::Said;
use crate::tally::{self, Unbounded};
use crate::weakened::{Step, is_without};

const STEP: &str = "builder";

pub struct Builder<'a> {
    pub plan: &'a Plan,
    /// Number and first host id of the sandbox's range; None without root.
    pub range: Option<(u32, u32)>,
    /// The zygote's user namespace, which becomes the parent of the sandbox's.
    pub nursery: Option<OwnedFd>,
    pub doors: Vec<OwnedFd>,
    pub mason: Mason<'a>,
    /// To the keeper.
    pub report: OwnedFd,
    pub inside: Inside<'a>,
    /// The keeper's end of the leash, used to announce that the ids are mapped and then closed in this process.
    pub leash: OwnedFd,
}

impl Builder<'_> {
    /// Runs in the forked builder; does not return.
    pub fn run(self) -> ! {
        let report = self.report.try_clone();
        let fault = self.steps().err();
        let told = fault.is_none_or(|fault| {
            report.and_then(|report| send(report.as_fd(), &Said::from(&fault).bytes(), &[])).is_ok()
        });
        // SAFETY: ends the builder without the keeper's exit handlers.
        unsafe { libc::_exit(i32::from(!told)) }
    }

    fn steps(self) -> Outcome<()> {
        self.join_cgroup()?;
        // SAFETY: cannot fail. Folders of the new root get exactly their mode, whatever umask the host was started
        // with.
        unsafe { libc::umask(0o022) };
        let rootless = self.range.is_none() && self.inside.single_id;
        // Held open, because /proc is about to become the sandbox's.
        let proc = open_folder("/proc")?;
        if rootless {
            self.enter_own_user_namespace(&proc)?;
        }
        unshare(CloneFlags::CLONE_NEWNS).coded(Code::WallUnavailable, STEP, "a mount namespace")?;
        // SAFETY: one thread; the child uses what it copied and ends without returning.
        let mason = match unsafe { fork() }.at(STEP, "a mason")? {
            ForkResult::Child => self.mason.run(),
            ForkResult::Parent { child } => child,
        };
        let made = self.make_first(&proc, rootless);
        // So whoever waits for this process waits for both.
        waitpid(mason, None).at(STEP, "the mason's end")?;
        made
    }

    fn make_first(self, proc: &OwnedFd, rootless: bool) -> Outcome<()> {
        // The first process must hold the only copy of its end, so that it notices when the mason dies.
        drop(self.mason);
        if let Some(nursery) = self.nursery.as_ref().filter(|_| !rootless) {
            setns(nursery, CloneFlags::CLONE_NEWUSER).at(STEP, "the zygote's user namespace")?;
            // The creator of a user namespace needs a mapped id in its parent, and the host's root has none there
            // (user_namespaces(7)).
            let id = self.range.map_or(0, |(number, _)| number * RANGE);
            nix::unistd::setresgid(id.into(), id.into(), id.into()).at(STEP, "its first group there")?;
            nix::unistd::setresuid(id.into(), id.into(), id.into()).at(STEP, "its first user there")?;
        } else if !rootless {
            tally::make_as(self.range.map_or(NURSERY_FIRST, |(_, base)| base))?;
        }
        // Changing credentials made this process and its child non-dumpable, which hides their /proc files.
        nix::sys::prctl::set_dumpable(true).at(STEP, "dumpable")?;
        let first = {
            let _held = (self.plan.kind == Kind::Zygote).then(Unbounded::begin);
            if self.plan.kind == Kind::Sandbox {
                tally::bound_signals()?;
            }
            clone_first(self.plan.kind)?
        };
        if first == 0 {
            drop((self.report, self.leash));
            self.inside.run();
        }
        give_ids(self.plan, self.range, proc, first, Above { nursery: self.nursery.is_some(), rootless })?;
        send(self.leash.as_fd(), &[1], &[]).at(STEP, "leash")?;
        send(self.report.as_fd(), &Said::Cloned { pid: first }.bytes(), &[]).at(STEP, "report")
    }

    /// Without root, mounting needs a user namespace first: the zygote's, or a new one that maps this user to 0.
    fn enter_own_user_namespace(&self, proc: &OwnedFd) -> Outcome<()> {
        if let Some(nursery) = &self.nursery {
            return setns(nursery, CloneFlags::CLONE_NEWUSER).at(STEP, "the zygote's user namespace");
        }
        let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
        unshare(CloneFlags::CLONE_NEWUSER).coded(Code::WallUnavailable, STEP, "a user namespace")?;
        write_at(proc, "self/setgroups", "deny")?;
        write_at(proc, "self/uid_map", &format!("0 {uid} 1\n"))?;
        write_at(proc, "self/gid_map", &format!("0 {gid} 1\n"))
    }

    /// Joins the cgroup before anything is created. The setup cost is then charged to the sandbox, and the first
    /// process is born in the group. If it joined later, its cgroup namespace would reveal where the group lies.
    fn join_cgroup(&self) -> Outcome<()> {
        self.doors.iter().try_for_each(|door| nix::unistd::write(door, b"0").map(|_| ()).at(STEP, "joining the cgroup"))
    }
}

/// The parent of the sandbox's user namespace.
#[derive(Clone, Copy)]
struct Above {
    nursery: bool,
    rootless: bool,
}

fn give_ids(plan: &Plan, range: Option<(u32, u32)>, proc: &OwnedFd, pid: i32, above: Above) -> Outcome<()> {
    let map = |inside: u32, outside: u32, count: u32| format!("{inside} {outside} {count}\n");
    let user = &plan.user;
    let (uids, gids) = match (plan.kind, range) {
        (Kind::Zygote, _) if above.rootless => (map(0, 0, 1), map(0, 0, 1)),
        (Kind::Zygote, _) => (map(0, NURSERY_FIRST, NURSERY_COUNT), map(0, NURSERY_FIRST, NURSERY_COUNT)),
        (Kind::Sandbox, Some((number, _))) if above.nursery => {
            (map(0, number * RANGE, RANGE), map(0, number * RANGE, RANGE))
        }
        (Kind::Sandbox, Some((_, base))) => (map(0, base, RANGE), map(0, base, RANGE)),
        (Kind::Sandbox, None) if plan.engine.is_some() => (map(0, 0, 1), map(0, 0, 1)),
        (Kind::Sandbox, None) => (map(user.uid, 0, 1), map(user.gid, 0, 1)),
    };
    write_at(proc, &format!("{pid}/uid_map"), &uids)?;
    write_at(proc, &format!("{pid}/gid_map"), &gids)
}

/// Clones this process into new namespaces as a child of the keeper, not of the builder (CLONE_PARENT, clone(2)).
/// Returns 0 in the clone. The clone shares our mount namespace until the root is assembled.
fn clone_first(kind: Kind) -> Outcome<i32> {
    let mut flags = libc::CLONE_PARENT
        | libc::CLONE_NEWUSER
        | libc::CLONE_NEWNET
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWCGROUP;
    if kind == Kind::Sandbox {
        flags |= libc::CLONE_NEWPID;
    }
    if is_without(Step::Network) {
        flags &= !libc::CLONE_NEWNET;
    }
    // SAFETY: like fork: no new stack, no shared memory; this process has one thread.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags | libc::SIGCHLD, 0, 0, 0, 0) };
    if pid < 0 {
        return Err(std::io::Error::last_os_error()).coded(Code::WallUnavailable, STEP, "namespaces");
    }
    Ok(pid as i32)
}

fn open_folder(path: &str) -> Outcome<OwnedFd> {
    let flags = nix::fcntl::OFlag::O_PATH | nix::fcntl::OFlag::O_DIRECTORY | nix::fcntl::OFlag::O_CLOEXEC;
    nix::fcntl::open(path, flags, Mode::empty()).at(STEP, path)
}

fn write_at(dir: &OwnedFd, path: &str, text: &str) -> Outcome<()> {
    let name = std::ffi::CString::new(path).at(STEP, path)?;
    // SAFETY: a NUL-terminated path below a descriptor we hold.
    let fd = unsafe { libc::openat(dir.as_raw_fd(), name.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC) };
    if fd < 0 {
        return Err(std::io::Error::last_os_error()).at(STEP, path);
    }
    // SAFETY: just opened, owned by nobody else.
    let mut file = File::from(unsafe { OwnedFd::from_raw_fd(fd) });
    file.write_all(text.as_bytes()).at(STEP, path)
}
