//! The builder: a process between the keeper and the sandbox. It assembles the root in a mount namespace of its own, makes the first process in its
//! namespaces, gives it its ids, and ends. Whatever mounts it made live on only in the sandbox's mount namespace.

use std::fs::{DirBuilder, File};
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use caisson_zygote::message::send;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::stat::Mode;

use crate::disk::Prepared;
use crate::engine;
use crate::fault::{At, Code, Outcome};
use crate::idmap::IdMap;
use crate::ids::{NURSERY_COUNT, NURSERY_FIRST, RANGE};
use crate::inside::Inside;
use crate::machine;
use crate::plan::{Kind, Plan};
use crate::root::{Owners, Stage};
use crate::say::Said;

const STEP: &str = "builder";

pub struct Builder<'a> {
    pub plan: &'a Plan,
    pub disk: &'a Prepared,
    pub root: PathBuf,
    pub disk_mount: PathBuf,
    /// Number and first host id of the sandbox's range; None without root.
    pub range: Option<(u32, u32)>,
    /// Of that range.
    pub map: Option<&'a IdMap>,
    /// The user namespace of the zygote, to live below.
    pub nursery: Option<OwnedFd>,
    pub doors: Vec<OwnedFd>,
    /// To the keeper.
    pub report: OwnedFd,
    pub inside: Inside<'a>,
    /// The leash's end of the keeper, to say that ids are there; closed here afterwards.
    pub leash: OwnedFd,
}

impl Builder<'_> {
    /// In the forked builder; does not return.
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
        // SAFETY: cannot fail. Folders of the new root have the modes that they are made with, however the host was started.
        unsafe { libc::umask(0o022) };
        let rootless = self.range.is_none() && self.single();
        // Kept: /proc is about to become the sandbox's.
        let proc = open_folder("/proc")?;
        if rootless {
            self.enter_own_user_namespace(&proc)?;
        }
        unshare(CloneFlags::CLONE_NEWNS).coded(Code::WallUnavailable, STEP, "a mount namespace")?;
        self.make_workplace()?;
        let owners = self.owners();
        let stage = Stage {
            plan: self.plan,
            root: self.root.clone(),
            disk: self.disk_mount.clone(),
            owners,
            map: self.map,
            stored: self.map.filter(|_| matches!(self.disk, Prepared::Loop { .. })),
        };
        let mounted = if self.plan.machine.is_none() { Some(stage.build(self.disk)?) } else { None };
        // The first process begins there: it could not find the way, through folders that are closed to its ids.
        let start = match (&self.plan.engine, &self.plan.machine) {
            (Some(engine), Some(machine)) => machine::stage(machine, engine, &self.root)?,
            (Some(engine), None) => engine::stage(self.plan, engine, &self.root, owners.root)?,
            (None, _) => self.root.clone(),
        };
        nix::unistd::chdir(&start).at(STEP, start.display())?;
        if let Some(nursery) = self.nursery.as_ref().filter(|_| !rootless) {
            setns(nursery, CloneFlags::CLONE_NEWUSER).at(STEP, "the zygote's user namespace")?;
            // Whoever makes a user namespace must have an id in the one above it, which the host's root has not (user_namespaces(7)).
            nix::unistd::setresgid(0.into(), 0.into(), 0.into()).at(STEP, "the zygote's group")?;
            nix::unistd::setresuid(0.into(), 0.into(), 0.into()).at(STEP, "the zygote's user")?;
        }
        // Changing credentials hid this process's /proc files, and its child's, from itself.
        nix::sys::prctl::set_dumpable(true).at(STEP, "dumpable")?;
        let first = clone_first(self.plan.kind)?;
        if first == 0 {
            drop((self.report, self.leash, mounted));
            self.inside.run();
        }
        let below_nursery = self.nursery.is_some();
        self.give_ids(&proc, first, below_nursery, rootless)?;
        send(self.leash.as_fd(), &[1], &[]).at(STEP, "leash")?;
        let cloned = Said::Cloned { pid: first };
        let mounted: Vec<_> = mounted.iter().map(AsRawFd::as_raw_fd).collect();
        send(self.report.as_fd(), &cloned.bytes(), &mounted).at(STEP, "report")
    }

    /// Over the state folder, in memory and seen by nobody else. The same folders on a disk would cost milliseconds where that is busy.
    fn make_workplace(&self) -> Outcome<()> {
        let (none, place) = (None::<&str>, self.plan.dir.as_str());
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).at(STEP, "private mounts")?;
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        let options = Some("size=8m,nr_inodes=4096,mode=700");
        mount(Some("caisson"), place, Some("tmpfs"), flags, options).at(STEP, "tmpfs to work in")?;
        for folder in [&self.root, &self.disk_mount, &self.disk_mount.with_file_name("files")] {
            DirBuilder::new().mode(0o700).create(folder).at(STEP, folder.display())?;
        }
        Ok(())
    }

    fn single(&self) -> bool {
        self.inside.single_id
    }

    fn owners(&self) -> Owners {
        match self.range {
            Some((_, base)) => {
                Owners { root: (base, base), user: (base + self.plan.user.uid, base + self.plan.user.gid) }
            }
            // One id for all: within the builder's user namespace it is 0. A zygote as root owns its files as the first of its ids.
            None if self.single() => Owners { root: (0, 0), user: (0, 0) },
            None => Owners { root: (NURSERY_FIRST, NURSERY_FIRST), user: (NURSERY_FIRST, NURSERY_FIRST) },
        }
    }

    /// Without root, mounting takes a user namespace first: the zygote's, or one of our own that maps this user to 0.
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

    /// Before anything is made: what it costs is the sandbox's, and the first process must be born there, or its cgroup namespace would show
    /// where that lies.
    fn join_cgroup(&self) -> Outcome<()> {
        self.doors.iter().try_for_each(|door| nix::unistd::write(door, b"0").map(|_| ()).at(STEP, "joining the cgroup"))
    }

    fn give_ids(&self, proc: &OwnedFd, pid: i32, below_nursery: bool, rootless: bool) -> Outcome<()> {
        let map = |inside: u32, outside: u32, count: u32| format!("{inside} {outside} {count}\n");
        let user = &self.plan.user;
        let (uids, gids) = match (self.plan.kind, self.range) {
            (Kind::Zygote, _) if rootless => (map(0, 0, 1), map(0, 0, 1)),
            (Kind::Zygote, _) => (map(0, NURSERY_FIRST, NURSERY_COUNT), map(0, NURSERY_FIRST, NURSERY_COUNT)),
            (Kind::Sandbox, Some((number, _))) if below_nursery => {
                (map(0, number * RANGE, RANGE), map(0, number * RANGE, RANGE))
            }
            (Kind::Sandbox, Some((_, base))) => (map(0, base, RANGE), map(0, base, RANGE)),
            (Kind::Sandbox, None) if self.plan.engine.is_some() => (map(0, 0, 1), map(0, 0, 1)),
            (Kind::Sandbox, None) => (map(user.uid, 0, 1), map(user.gid, 0, 1)),
        };
        write_at(proc, &format!("{pid}/uid_map"), &uids)?;
        write_at(proc, &format!("{pid}/gid_map"), &gids)
    }
}

/// A copy of this process in new namespaces, and a child of the keeper's rather than ours (clone(2)). 0 in the copy.
fn clone_first(kind: Kind) -> Outcome<i32> {
    let mut flags = libc::CLONE_PARENT
        | libc::CLONE_NEWUSER
        | libc::CLONE_NEWNS
        | libc::CLONE_NEWNET
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWCGROUP;
    if kind == Kind::Sandbox {
        flags |= libc::CLONE_NEWPID;
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
