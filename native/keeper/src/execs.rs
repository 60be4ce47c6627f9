//! Records every execve inside before it happens, and refuses one that cannot be recorded.

use std::os::fd::OwnedFd;

use caisson_execs::{Exec, answer, next, read};
use serde_json::Value;

use crate::audit::Audit;

/// Answers one pending execve: continue, or EPERM if it could not be recorded. False: no process can ask through this
/// descriptor any more.
pub fn answer_one(listener: &OwnedFd, audit: &mut Audit) -> bool {
    match next(listener) {
        Ok(Some(asked)) => {
            // A process that has died meanwhile executes nothing.
            let allowed =
                read(&asked, listener).is_ok_and(|exec| is_recorded(&exec, inner_pid(exec.pid), audit, Vec::new()));
            answer(listener, asked.id, allowed);
            true
        }
        Ok(None) => true,
        Err(_) => false,
    }
}

/// Records an exec that a machine reports. The record marks it as the machine's own claim. True: it is recorded.
pub fn record_told(exec: &Exec, audit: &mut Audit) -> bool {
    is_recorded(exec, exec.pid.into(), audit, vec![("told", "inside".into())])
}

fn is_recorded(exec: &Exec, pid: u64, audit: &mut Audit, more: Vec<(&'static str, Value)>) -> bool {
    let Exec { path, argv, truncated, secrets, .. } = exec;
    let asked = Asked { pid, path, argv, secrets, truncated: *truncated };
    let recorded = !audit.spent() && asked.record(audit, more).is_ok();
    if !recorded {
        audit.refuse();
    }
    recorded
}

/// A program about to run, with its arguments as given.
pub struct Asked<'a, W> {
    /// The process number inside.
    pub pid: u64,
    pub path: &'a [u8],
    pub argv: &'a [W],
    /// Values of variables whose names mark them as secret (caisson_execs::secrets).
    pub secrets: &'a [Vec<u8>],
    /// There is more than this.
    pub truncated: bool,
}

impl<W: AsRef<[u8]>> Asked<'_, W> {
    pub fn record(&self, audit: &mut Audit, more: Vec<(&'static str, Value)>) -> std::io::Result<()> {
        let argv: Vec<String> = self.argv.iter().map(|one| text(one.as_ref())).collect();
        let secrets: Vec<String> = self.secrets.iter().map(|one| text(one)).collect();
        let argv = audit.redacted(&argv, &secrets, self.truncated)?;
        let fields = [
            ("pid", self.pid.into()),
            ("path", text(self.path).into()),
            ("argv", argv.into_iter().map(Value::from).collect()),
            ("truncated", self.truncated.into()),
        ];
        audit.record("exec", fields.into_iter().chain(more))
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The process number inside; 0 if the process has just died.
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

    /// Allows everything but execve, which is passed to the listener.
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
        // The budget is zero, so the answer is no.
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
            // SAFETY: affects this thread alone.
            unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
            hand.send(install(&filter(), true).unwrap().unwrap()).unwrap();
            begin.recv().unwrap();
            // SAFETY: NUL-terminated strings; the call returns, because it is refused.
            unsafe { libc::execv(c"/nowhere".as_ptr(), [c"nowhere".as_ptr(), ptr::null()].as_ptr()) };
            tell.send(Error::last_os_error().raw_os_error()).unwrap();
        });
        let listener = handed.recv().unwrap();
        spawn(move || {
            for _ in 0..10 {
                sleep(Duration::from_millis(20));
                // SAFETY: signals a thread of this process that is still alive.
                unsafe { libc::syscall(libc::SYS_tgkill, process, keeper, libc::SIGUSR2) };
            }
            go.send(()).unwrap();
        });
        assert!(answer_one(&listener, &mut audit));
        assert_eq!(heard.recv_timeout(Duration::from_secs(30)).unwrap(), Some(libc::EPERM));
        std::fs::remove_dir_all(folder).unwrap();
    }
}
