//! Every execve inside is recorded before it happens (seccomp_unotify(2)). The arguments are read from the caller's memory: another thread of it may
//! change them afterwards, so the record says what was asked for, and walls do not depend on it.

use std::os::fd::{AsRawFd, OwnedFd};

use serde_json::Value;

use crate::audit::{Audit, is_secret};
use crate::memory::Memory;

const NOTIF_RECV: libc::c_ulong = 0xC050_2100;
const NOTIF_SEND: libc::c_ulong = 0xC018_2101;
const NOTIF_ID_VALID: libc::c_ulong = 0x4008_2102;
const FLAG_CONTINUE: u32 = 1;

const MAX_PATH: usize = 4096;
const MAX_ARGS: usize = 256;
const MAX_ARGS_BYTES: usize = 8192;
const MAX_VARIABLES: usize = 512;
const MAX_VARIABLES_BYTES: usize = 65_536;

#[repr(C)]
struct Answer {
    id: u64,
    value: i64,
    error: i32,
    flags: u32,
}

/// Takes one notification and answers it: go on, or EPERM when it could not be recorded.
/// False: nobody can notify through this descriptor any more.
pub fn answer_one(listener: &OwnedFd, audit: &mut Audit) -> bool {
    // SAFETY: all-zero is valid, and demanded by the kernel.
    let mut asked: libc::seccomp_notif = unsafe { std::mem::zeroed() };
    // SAFETY: the structure has the size that the number says.
    while unsafe { libc::ioctl(listener.as_raw_fd(), NOTIF_RECV, &raw mut asked) } != 0 {
        match std::io::Error::last_os_error().raw_os_error() {
            // Whatever stops this process for a moment interrupts (signal(7)); who asks still waits for the answer.
            Some(libc::EINTR) => {}
            // That caller died; others may come.
            error => return matches!(error, Some(libc::ENOENT | libc::EAGAIN)),
        }
    }
    let recorded = !audit.spent() && record(&asked, listener, audit).is_ok();
    let mut answer = Answer { id: asked.id, value: 0, error: 0, flags: FLAG_CONTINUE };
    if !recorded {
        answer.error = -libc::EPERM;
        answer.flags = 0;
    }
    // SAFETY: as above. ENOENT: the caller died meanwhile.
    unsafe { libc::ioctl(listener.as_raw_fd(), NOTIF_SEND, &raw mut answer) };
    true
}

fn record(asked: &libc::seccomp_notif, listener: &OwnedFd, audit: &mut Audit) -> std::io::Result<()> {
    let mut memory = Memory::of(asked.pid as libc::pid_t);
    let offset = usize::from(i64::from(asked.data.nr) == libc::SYS_execveat);
    let path = memory.string(asked.data.args[offset], MAX_PATH);
    let (argv, truncated) = memory.strings(asked.data.args[offset + 1], MAX_ARGS, MAX_ARGS_BYTES);
    let (variables, _) = memory.strings(asked.data.args[offset + 2], MAX_VARIABLES, MAX_VARIABLES_BYTES);
    // The number may have passed to another process meanwhile: then what was read is somebody else's.
    // SAFETY: reads one u64.
    if unsafe { libc::ioctl(listener.as_raw_fd(), NOTIF_ID_VALID, &raw const asked.id) } != 0 {
        return Err(std::io::ErrorKind::NotFound.into());
    }
    let pid = inner_pid(asked.pid);
    Asked { pid, path: &path, argv: &argv, variables: &variables, truncated }.record(audit, Vec::new())
}

/// A program that is to run, with the words as they were given.
pub struct Asked<'a, W> {
    /// As those inside number it.
    pub pid: u64,
    pub path: &'a [u8],
    pub argv: &'a [W],
    pub variables: &'a [W],
    /// There is more than this.
    pub truncated: bool,
}

impl<W: AsRef<[u8]>> Asked<'_, W> {
    pub fn record(&self, audit: &mut Audit, more: Vec<(&'static str, Value)>) -> std::io::Result<()> {
        let argv: Vec<String> = self.argv.iter().map(|one| text(one.as_ref())).collect();
        let argv = audit.redacted(&argv, &secrets(self.variables), self.truncated)?;
        let fields = [
            ("pid", self.pid.into()),
            ("path", text(self.path).into()),
            ("argv", argv.into_iter().map(Value::from).collect()),
            ("truncated", self.truncated.into()),
        ];
        audit.record("exec", fields.into_iter().chain(more))
    }
}

/// Values of variables whose names say that they are secrets.
fn secrets(variables: &[impl AsRef<[u8]>]) -> Vec<String> {
    let both = variables.iter().filter_map(|one| std::str::from_utf8(one.as_ref()).ok()?.split_once('='));
    both.filter(|(name, _)| is_secret(name)).map(|(_, value)| value.to_string()).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The process as the sandbox numbers it; 0 if it has just died.
fn inner_pid(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    line.and_then(|pids| pids.split_whitespace().last()?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::io::Error;
    use std::ptr;
    use std::sync::mpsc::channel;
    use std::thread::{sleep, spawn};
    use std::time::Duration;

    use super::*;
    use crate::inside::install;

    extern "C" fn nothing(_: libc::c_int) {}

    /// Lets everything pass but execve, which is asked about.
    fn filter() -> [libc::sock_filter; 4] {
        let step = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
        [
            step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
            step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, libc::SYS_execve as u32),
            step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_USER_NOTIF),
            step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
        ]
    }

    #[test]
    fn whoever_asks_is_answered_however_often_the_keeper_is_interrupted() {
        let folder = std::env::temp_dir().join(format!("caisson-execs-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        // There is nothing left that it may write: the answer is no.
        let mut audit = Audit::open(folder.join("audit.jsonl").to_str().unwrap(), "s", 0).unwrap();
        // SAFETY: all-zero is a valid sigaction; without SA_RESTART, so that interruptions are seen.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as usize;
        // SAFETY: the handler does nothing.
        assert_eq!(unsafe { libc::sigaction(libc::SIGUSR2, &raw const action, ptr::null_mut()) }, 0);
        // SAFETY: cannot fail.
        let (process, keeper) = unsafe { (libc::getpid(), libc::gettid()) };
        let (hand, handed) = channel();
        let (go, begin) = channel::<()>();
        let (tell, heard) = channel();
        spawn(move || {
            // SAFETY: of this thread alone.
            unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
            hand.send(install(&filter(), true).unwrap().unwrap()).unwrap();
            begin.recv().unwrap();
            // SAFETY: strings with their ends; it comes back, for it is not allowed.
            unsafe { libc::execv(c"/nowhere".as_ptr(), [c"nowhere".as_ptr(), ptr::null()].as_ptr()) };
            tell.send(Error::last_os_error().raw_os_error()).unwrap();
        });
        let listener = handed.recv().unwrap();
        spawn(move || {
            for _ in 0..10 {
                sleep(Duration::from_millis(20));
                // SAFETY: a thread that waits for this one to be through.
                unsafe { libc::syscall(libc::SYS_tgkill, process, keeper, libc::SIGUSR2) };
            }
            go.send(()).unwrap();
        });
        assert!(answer_one(&listener, &mut audit));
        assert_eq!(heard.recv_timeout(Duration::from_secs(30)).unwrap(), Some(libc::EPERM));
        std::fs::remove_dir_all(folder).unwrap();
    }
}
