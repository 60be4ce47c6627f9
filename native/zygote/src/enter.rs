//! How a child enters: from the zygote's namespaces into the sandbox's, then down to the sandbox's user, step by step.
//! A step that fails ends the process, so no child can be half inside.

use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use libc::{c_int, c_ulong, sock_filter};

use crate::message::{receive, send};
use crate::request::{
    FD_CGROUP, FD_CONTROL, FD_GATE, FD_IPC, FD_NET, FD_STDERR, FD_STDOUT, FD_USER, FD_UTS, Header, Request, bytes_of,
};

/// Seconds that a zygote's child waits for its wall before it gives up.
const GATE_TIMEOUT_S: libc::time_t = 30;

/// Everything that a child needs to enter.
pub struct Entrance(pub Request);

impl Entrance {
    pub fn enter(self) {
        let (request, ruleset) = self.pass();
        descriptors(&request.fds);
        // Last, so that a low limit of open files cannot break the steps before.
        limits(&request.header);
        // close_range has already closed them; dropping them would close the numbers again.
        std::mem::forget((request, ruleset));
    }

    /// Does everything except descriptors and limits. Also returns what came with the mount namespace.
    pub fn pass(self) -> (Request, Option<OwnedFd>) {
        let Request { header, filter, fds } = &self.0;
        let handed = pass(header, filter, fds);
        (self.0, handed)
    }
}

fn pass(header: &Header, filter: &[sock_filter], fds: &[OwnedFd]) -> Option<OwnedFd> {
    let gate = &fds[FD_GATE];
    approach(header, fds);
    let (mounts, handed) = wait_at(gate, header.landlock != 0 || header.disk != 0);
    // SAFETY: a descriptor we hold.
    must(unsafe { libc::setns(mounts.as_raw_fd(), libc::CLONE_NEWNS) }, "setns");
    if let Some(ruleset) = handed.as_ref().filter(|_| header.landlock != 0) {
        // SAFETY: a ruleset descriptor, no flags.
        must(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0) } as c_int, "landlock");
    }
    if header.no_new_privileges != 0 {
        // SAFETY: no pointers.
        must(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }, "no_new_privs");
    }
    let listener = install(filter, header.notify != 0);
    // SAFETY: getpid cannot fail.
    let pid = unsafe { libc::getpid() } as u32;
    if send(gate.as_fd(), bytes_of(&[pid]), listener.as_slice()).is_err() {
        stop("gate");
    }
    become_user(header);
    handed
}

/// Enters the namespaces that existed when the fork was requested, so that only the rest waits for the wall.
fn approach(header: &Header, fds: &[OwnedFd]) {
    // The user namespace first, because it gives the right to enter the others.
    let namespaces = [
        (FD_USER, libc::CLONE_NEWUSER),
        (FD_CGROUP, libc::CLONE_NEWCGROUP),
        (FD_IPC, libc::CLONE_NEWIPC),
        (FD_UTS, libc::CLONE_NEWUTS),
        (FD_NET, libc::CLONE_NEWNET),
    ];
    for (namespace, kind) in namespaces {
        // SAFETY: a descriptor we hold.
        must(unsafe { libc::setns(fds[namespace].as_raw_fd(), kind) }, "setns");
    }
    // SAFETY: plain calls on our own process.
    unsafe {
        must(libc::setsid(), "setsid");
        libc::umask(0o022);
        for capability in 0..63 {
            // EINVAL marks the end of what this kernel knows.
            if header.bounding >> capability & 1 == 0 && libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) != 0 {
                break;
            }
        }
    }
}

/// Waits for the keeper's message that the wall stands. Returns the mount namespace, and the ruleset or the disk.
fn wait_at(gate: &OwnedFd, with_more: bool) -> (OwnedFd, Option<OwnedFd>) {
    let patience = libc::timeval { tv_sec: GATE_TIMEOUT_S, tv_usec: 0 };
    let size = size_of_val(&patience) as libc::socklen_t;
    // SAFETY: the value outlives the call and has the given size.
    unsafe {
        libc::setsockopt(gate.as_raw_fd(), libc::SOL_SOCKET, libc::SO_RCVTIMEO, (&raw const patience).cast(), size);
    }
    match receive(gate.as_fd(), &mut [0u8; 8]) {
        Ok((1, fds)) if fds.len() == 1 + usize::from(with_more) => {
            let mut fds = fds.into_iter();
            match (fds.next(), fds.next()) {
                (Some(mounts), more) => (mounts, more),
                (None, _) => stop("no mount namespace"),
            }
        }
        _ => stop("the wall did not come to stand"),
    }
}

pub fn limits(header: &Header) {
    // A core limit of 1 prevents the kernel from starting a core_pattern pipe on the host (core(5)).
    let of_files = (header.file_bytes != 0).then_some((libc::RLIMIT_FSIZE, header.file_bytes));
    for (resource, value) in
        [(libc::RLIMIT_CORE, 1), (libc::RLIMIT_NOFILE, header.open_files)].into_iter().chain(of_files)
    {
        let limit = libc::rlimit { rlim_cur: value, rlim_max: value };
        // SAFETY: the structure outlives the call.
        must(unsafe { libc::setrlimit(resource, &raw const limit) }, "rlimit");
    }
}

fn install(filter: &[sock_filter], notify: bool) -> Option<RawFd> {
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
    let flags = if notify { libc::SECCOMP_FILTER_FLAG_NEW_LISTENER } else { 0 } as c_ulong;
    let mode = libc::SECCOMP_SET_MODE_FILTER as c_ulong;
    // SAFETY: the program outlives the call.
    let result = unsafe { libc::syscall(libc::SYS_seccomp, mode, flags, &raw const program) } as c_int;
    must(result, "seccomp");
    notify.then_some(result)
}

fn become_user(header: &Header) {
    // SAFETY: plain calls on our own process; the structures are those of capset(2), version 3.
    unsafe {
        if header.single_id == 0 {
            // A program that runs a machine has no supplementary groups.
            must(libc::setgroups(usize::from(header.disk == 0), &raw const header.gid), "setgroups");
        }
        must(libc::setresgid(header.gid, header.gid, header.gid), "setresgid");
        must(libc::setresuid(header.uid, header.uid, header.uid), "setresuid");
        let head: [u32; 2] = [0x2008_0522, 0];
        let none = [0u32; 6];
        must(libc::syscall(libc::SYS_capset, head.as_ptr(), none.as_ptr()) as c_int, "capset");
        // Changing the user made the process undumpable, which would hide its own /proc/self from it.
        must(libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0), "dumpable");
    }
}

/// 0 is /dev/null, 1 and 2 are the pipes, 3 is the control socket, and nothing else is open.
fn descriptors(fds: &[OwnedFd]) {
    // SAFETY: a NUL-terminated path; dup2 and close_range touch only this process's table.
    unsafe {
        let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
        must(null, "/dev/null");
        let high: Vec<RawFd> =
            [null, fds[FD_STDOUT].as_raw_fd(), fds[FD_STDERR].as_raw_fd(), fds[FD_CONTROL].as_raw_fd()]
                .into_iter()
                .map(|fd| libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 64))
                .collect();
        for (target, source) in high.into_iter().enumerate() {
            must(source, "dup");
            must(libc::dup2(source, target as c_int), "dup2");
        }
        must(libc::close_range(4, u32::MAX, 0), "close_range");
    }
}

fn must(result: c_int, step: &str) {
    if result < 0 {
        stop(step);
    }
}

pub fn stop(step: &str) -> ! {
    eprintln!("caisson zygote child: {step}: {}", std::io::Error::last_os_error());
    // SAFETY: ends this process without running the interpreter's exit handlers.
    unsafe { libc::_exit(126) }
}
