//! From fork to exec. Everything that needs memory is allocated before; in between, only what signal-safety(7) allows.

use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};

use crate::refusal::{OrRefuse, Outcome, Refusal};
use crate::users::Account;

/// The child's descriptors are kept above this number, so that dup2 to their final numbers overwrites none of them.
const ASIDE: i32 = 64;

pub struct Launch {
    /// Where the program may be; the first executable file is used.
    pub candidates: Vec<CString>,
    pub argv: Vec<CString>,
    pub env: Vec<CString>,
    pub cwd: CString,
    /// The caller did not ask for this folder; it is only the home. If it is missing, the program starts in the root,
    /// as a login does.
    pub cwd_or_root: bool,
    /// None: the agent's own user.
    pub account: Option<Account>,
    pub open_files: u64,
    /// Descriptors 0, 1, 2 and, if there is a fourth, 3; all moved `aside`.
    pub descriptors: Vec<OwnedFd>,
    /// Descriptor 0 becomes the controlling terminal.
    pub terminal: bool,
    /// Where the child reports a failure, moved `aside`; closed by exec on success.
    pub report: OwnedFd,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Step {
    Session,
    Descriptors,
    Terminal,
    Limit,
    User,
    Cwd,
    Find,
    Exec,
}

const STEPS: [Step; 8] =
    [Step::Session, Step::Descriptors, Step::Terminal, Step::Limit, Step::User, Step::Cwd, Step::Find, Step::Exec];
pub const REPORT_BYTES: usize = 8;

pub fn parse_report(bytes: [u8; REPORT_BYTES]) -> Option<(Step, Errno)> {
    let [a, b, c, d, e, f, g, h] = bytes;
    let step = STEPS.get(usize::try_from(i32::from_ne_bytes([a, b, c, d])).ok()?)?;
    Some((*step, Errno::from_raw(i32::from_ne_bytes([e, f, g, h]))))
}

pub fn aside(descriptor: OwnedFd) -> Outcome<OwnedFd> {
    let number = fcntl(&descriptor, FcntlArg::F_DUPFD_CLOEXEC(ASIDE)).or_refuse(|| "descriptor")?;
    // SAFETY: fcntl has just created it for us.
    Ok(unsafe { std::os::fd::FromRawFd::from_raw_fd(number) })
}

/// Returns the child's pid.
pub fn fork(launch: &Launch) -> Outcome<i32> {
    let pointers = |strings: &[CString]| -> Vec<*const libc::c_char> {
        strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let (argv, env) = (pointers(&launch.argv), pointers(&launch.env));
    // SAFETY: all zeroes is valid storage for a signal set; sigfillset and pthread_sigmask fill them. Signals are
    // blocked so that none runs a handler of ours in the child. Between fork and exec the child touches only memory
    // allocated above.
    let pid = unsafe {
        let (mut all, mut before) = std::mem::zeroed::<(libc::sigset_t, libc::sigset_t)>();
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
        let pid = libc::fork();
        if pid == 0 {
            let step = become_program(launch, &argv, &env).err().unwrap_or(Step::Exec);
            let words = [step as i32, *libc::__errno_location()];
            libc::write(launch.report.as_raw_fd(), words.as_ptr().cast(), REPORT_BYTES);
            libc::_exit(127)
        }
        let failure = Errno::last_raw();
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, std::ptr::null_mut());
        Errno::set_raw(failure);
        pid
    };
    Errno::result(pid).map_err(|errno| Refusal::os("no further process can be made", errno))
}

/// Returns only on failure, with errno set.
///
/// # Safety
/// Only in the child of a fork, because it changes the whole process. `argv` and `env` end in null.
unsafe fn become_program(
    launch: &Launch,
    argv: &[*const libc::c_char],
    env: &[*const libc::c_char],
) -> Result<(), Step> {
    // SAFETY: system calls on numbers, and on memory that was allocated before the fork and is not freed in this
    // process.
    unsafe {
        reset_signal_action(libc::SIGPIPE);
        check(libc::setsid(), Step::Session)?;
        for (number, descriptor) in (0..).zip(&launch.descriptors) {
            check(libc::dup2(descriptor.as_raw_fd(), number), Step::Descriptors)?;
        }
        if launch.terminal {
            check(libc::ioctl(0, libc::TIOCSCTTY, 0), Step::Terminal)?;
        }
        // All our descriptors are close-on-exec; this covers one that might not be.
        let first = launch.descriptors.len() as libc::c_uint;
        let flags = libc::CLOSE_RANGE_CLOEXEC as libc::c_int;
        // The highest possible descriptor; gVisor accepts no higher number.
        check(libc::close_range(first, libc::c_int::MAX as libc::c_uint, flags), Step::Descriptors)?;
        limit_open_files(launch.open_files)?;
        if let Some(account) = &launch.account {
            // Raw system calls: the C library's functions would try to change other threads too.
            let (uid, gid) = (account.uid, account.gid);
            let groups = &account.groups;
            check_long(libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()), Step::User)?;
            check_long(libc::syscall(libc::SYS_setresgid, gid, gid, gid), Step::User)?;
            check_long(libc::syscall(libc::SYS_setresuid, uid, uid, uid), Step::User)?;
        }
        if libc::chdir(launch.cwd.as_ptr()) == -1 && !(launch.cwd_or_root && libc::chdir(c"/".as_ptr()) == 0) {
            return Err(Step::Cwd);
        }
        crate::vm::place::roam();
        let program = find(&launch.candidates).ok_or(Step::Find)?;
        let mut none = std::mem::zeroed::<libc::sigset_t>();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
        check(libc::execve(program.as_ptr(), argv.as_ptr(), env.as_ptr()), Step::Exec)
    }
}

fn check(result: libc::c_int, step: Step) -> Result<(), Step> {
    if result == -1 { Err(step) } else { Ok(()) }
}

fn check_long(result: libc::c_long, step: Step) -> Result<(), Step> {
    if result == -1 { Err(step) } else { Ok(()) }
}

/// Ignored signals stay ignored across exec. What this program inherited is reset once here, so that no child has to,
/// because each call is expensive behind an engine. SIGPIPE stays ignored here, as Rust wants it. Exec resets our
/// handlers by itself. Call it before any thread exists.
pub fn forget_ignored_signals() {
    for number in (1..=64).filter(|number| *number != libc::SIGPIPE && is_ignored(*number)) {
        reset_signal_action(number);
    }
}

/// The kernel's struct sigaction: handler, flags, restorer, mask.
type Action = [u64; 4];

fn is_ignored(number: libc::c_int) -> bool {
    let mut found: Action = [0; 4];
    // SAFETY: the kernel writes the structure above.
    unsafe { change_signal_action(number, std::ptr::null(), &raw mut found) };
    found[0] == libc::SIG_IGN as u64
}

fn reset_signal_action(number: libc::c_int) {
    // All zero: SIG_DFL, no flags, empty mask.
    let default: Action = [0; 4];
    // SAFETY: the kernel reads the structure above.
    unsafe { change_signal_action(number, &raw const default, std::ptr::null_mut()) };
}

/// A raw system call, because the C library reserves two signal numbers for itself. For SIGKILL and the like it fails
/// and changes nothing.
///
/// # Safety
/// Both are null, or point to an action.
unsafe fn change_signal_action(number: libc::c_int, wanted: *const Action, before: *mut Action) {
    // SAFETY: promised by the caller.
    unsafe { libc::syscall(libc::SYS_rt_sigaction, number, wanted, before, size_of::<u64>()) };
}

fn limit_open_files(wanted: u64) -> Result<(), Step> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls read or write the structure above.
    unsafe {
        check(libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit), Step::Limit)?;
        // Never more than the keeper allowed.
        let files = wanted.min(limit.rlim_max);
        limit = libc::rlimit { rlim_cur: files, rlim_max: files };
        check(libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit), Step::Limit)
    }
}

/// Checks before exec, because each failed execve would appear in the audit log. Sets errno if there is no such
/// program.
fn find(candidates: &[CString]) -> Option<&CStr> {
    let mut denied = false;
    for candidate in candidates {
        // SAFETY: an all-zero stat is valid storage; the path ends in NUL.
        let regular = unsafe {
            let mut facts = std::mem::zeroed::<libc::stat>();
            libc::stat(candidate.as_ptr(), &raw mut facts) == 0 && facts.st_mode & libc::S_IFMT == libc::S_IFREG
        };
        // SAFETY: the path ends in NUL.
        if regular && unsafe { libc::access(candidate.as_ptr(), libc::X_OK) } == 0 {
            return Some(candidate);
        }
        denied |= regular || Errno::last() == Errno::EACCES;
    }
    (if denied { Errno::EACCES } else { Errno::ENOENT }).set();
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_ignored_from_the_start_is_not_in_children() {
        // SAFETY: actions of signals that nothing else in this test program uses.
        unsafe {
            libc::signal(libc::SIGTTOU, libc::SIG_IGN);
            libc::signal(libc::SIGPIPE, libc::SIG_IGN);
        }
        assert!(is_ignored(libc::SIGTTOU));
        forget_ignored_signals();
        assert!(!is_ignored(libc::SIGTTOU) && is_ignored(libc::SIGPIPE));
        reset_signal_action(libc::SIGPIPE);
        assert!(!is_ignored(libc::SIGPIPE));
        // SAFETY: restores the previous action.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    }
}
