//! From fork to exec. Everything that needs memory is made before; in between, only what signal-safety(7) allows.

use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};

use crate::refusal::{OrRefuse, Outcome, Refusal};
use crate::users::Account;

/// The child's descriptors wait above this, so that putting them in their places overwrites none of them.
const ASIDE: i32 = 64;

pub struct Launch {
    /// Where the program may be; the first that can be executed is.
    pub candidates: Vec<CString>,
    pub argv: Vec<CString>,
    pub env: Vec<CString>,
    pub cwd: CString,
    /// Nobody asked for that directory, it is only the home: without it, the program starts in the root, as a login does.
    pub cwd_or_root: bool,
    /// None: as whoever the agent is.
    pub account: Option<Account>,
    pub open_files: u64,
    /// Descriptors 0, 1, 2 and, if there is a fourth, 3; all `aside`.
    pub descriptors: Vec<OwnedFd>,
    /// Descriptor 0 becomes the controlling terminal.
    pub terminal: bool,
    /// Where the child says what went wrong, `aside`; closed silently when all went well.
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
    // SAFETY: fcntl has just made it, for us.
    Ok(unsafe { std::os::fd::FromRawFd::from_raw_fd(number) })
}

/// Returns the child's pid.
pub fn fork(launch: &Launch) -> Outcome<i32> {
    let pointers = |strings: &[CString]| -> Vec<*const libc::c_char> {
        strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let (argv, env) = (pointers(&launch.argv), pointers(&launch.env));
    // SAFETY: all zeroes is valid storage for a signal set; sigfillset and pthread_sigmask fill them. Signals are held back so that none runs
    // a handler of ours in the child. Between fork and exec the child touches only memory made above.
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
/// In the child of a fork only: it changes the whole process. `argv` and `env` end in null.
unsafe fn become_program(
    launch: &Launch,
    argv: &[*const libc::c_char],
    env: &[*const libc::c_char],
) -> Result<(), Step> {
    // SAFETY: system calls on numbers, and on memory that was made before the fork and is not freed in this process.
    unsafe {
        reset_signal_action(libc::SIGPIPE);
        check(libc::setsid(), Step::Session)?;
        for (number, descriptor) in (0..).zip(&launch.descriptors) {
            check(libc::dup2(descriptor.as_raw_fd(), number), Step::Descriptors)?;
        }
        if launch.terminal {
            check(libc::ioctl(0, libc::TIOCSCTTY, 0), Step::Terminal)?;
        }
        // Everything of ours is close-on-exec from its making; this holds even if one were not.
        let first = launch.descriptors.len() as libc::c_uint;
        let flags = libc::CLOSE_RANGE_CLOEXEC as libc::c_int;
        // The highest number that a descriptor can have; gVisor takes none above it.
        check(libc::close_range(first, libc::c_int::MAX as libc::c_uint, flags), Step::Descriptors)?;
        limit_open_files(launch.open_files)?;
        if let Some(account) = &launch.account {
            // Raw calls: the C library's functions would look for other threads to change.
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

/// An ignored signal stays ignored over exec: what this program was started with is forgotten once, so that no child need do it, for which each call is
/// dear behind an engine. SIGPIPE stays ignored here, as Rust wants it. Actions of ours end by themselves at exec. Before any thread exists.
pub fn forget_ignored_signals() {
    for number in (1..=64).filter(|number| *number != libc::SIGPIPE && is_ignored(*number)) {
        reset_signal_action(number);
    }
}

/// struct sigaction as the kernel has it: what is done, flags, what returns, what is blocked.
type Action = [u64; 4];

fn is_ignored(number: libc::c_int) -> bool {
    let mut found: Action = [0; 4];
    // SAFETY: the kernel writes the structure above.
    unsafe { change_signal_action(number, std::ptr::null(), &raw mut found) };
    found[0] == libc::SIG_IGN as u64
}

fn reset_signal_action(number: libc::c_int) {
    // All zero: SIG_DFL, no flags, nothing blocked.
    let default: Action = [0; 4];
    // SAFETY: the kernel reads the structure above.
    unsafe { change_signal_action(number, &raw const default, std::ptr::null_mut()) };
}

/// A raw call, because the C library keeps two numbers to itself. Where there is no such action (SIGKILL), it fails and changes nothing.
///
/// # Safety
/// Both are null, or point to an action.
unsafe fn change_signal_action(number: libc::c_int, wanted: *const Action, before: *mut Action) {
    // SAFETY: the caller's.
    unsafe { libc::syscall(libc::SYS_rt_sigaction, number, wanted, before, size_of::<u64>()) };
}

fn limit_open_files(wanted: u64) -> Result<(), Step> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls read or write the structure above.
    unsafe {
        check(libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit), Step::Limit)?;
        // Never more than the keeper gave.
        let files = wanted.min(limit.rlim_max);
        limit = libc::rlimit { rlim_cur: files, rlim_max: files };
        check(libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit), Step::Limit)
    }
}

/// Looks before it executes: each try of execve would be a record in the audit. Sets errno when there is none.
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
        // SAFETY: actions of numbers that nothing in this test program uses.
        unsafe {
            libc::signal(libc::SIGTTOU, libc::SIG_IGN);
            libc::signal(libc::SIGPIPE, libc::SIG_IGN);
        }
        assert!(is_ignored(libc::SIGTTOU));
        forget_ignored_signals();
        assert!(!is_ignored(libc::SIGTTOU) && is_ignored(libc::SIGPIPE));
        reset_signal_action(libc::SIGPIPE);
        assert!(!is_ignored(libc::SIGPIPE));
        // SAFETY: as it was.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    }
}
