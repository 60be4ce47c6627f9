//! Every execve inside is recorded before it happens; what cannot be recorded is refused.

use std::os::fd::OwnedFd;

use caisson_execs::{Exec, answer, next, read};
use serde_json::Value;

use crate::audit::Audit;

/// Takes one who asks and answers: go on, or EPERM when it could not be recorded.
/// False: nobody can ask through this descriptor any more.
pub fn answer_one(listener: &OwnedFd, audit: &mut Audit) -> bool {
    match next(listener) {
        Ok(Some(asked)) => {
            // Who has died meanwhile executes nothing.
            let allowed =
                read(&asked, listener).is_ok_and(|exec| is_recorded(&exec, inner_pid(exec.pid), audit, Vec::new()));
            answer(listener, asked.id, allowed);
            true
        }
        Ok(None) => true,
        Err(_) => false,
    }
}

/// What a machine says of itself is its word, and the record says so. True: it is recorded.
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

/// A program that is to run, with the words as they were given.
pub struct Asked<'a, W> {
    /// As those inside number it.
    pub pid: u64,
    pub path: &'a [u8],
    pub argv: &'a [W],
    /// Values of its variables whose names say that they are (caisson_execs::secrets).
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

/// The process as the sandbox numbers it; 0 if it has just died.
fn inner_pid(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    line.and_then(|pids| pids.split_whitespace().last()?.parse().ok()).unwrap_or(0)
}
