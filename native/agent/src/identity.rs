//! File operations run as the user they are done for, so that the kernel's own permission checks decide.

use std::sync::Arc;

use nix::errno::Errno;

use crate::agent::Agent;
use crate::refusal::{Outcome, Refusal};
use crate::threads::Threads;
use crate::users::{self, Account};

/// Whose rights a thread takes on for one operation.
#[derive(Clone)]
pub struct Identity {
    pub account: Arc<Account>,
    /// False where the agent already is that user and cannot be another.
    switch: bool,
    threads: Threads,
}

impl Identity {
    pub fn of(agent: &Agent, user: &str) -> Outcome<Identity> {
        let account = Arc::new(users::account(&agent.config, user)?);
        Ok(Identity { account, switch: !agent.config.single_user, threads: agent.threads.clone() })
    }

    /// Root acting for this user; None where root is not available.
    pub fn lifted(&self) -> Option<Identity> {
        let root = Account {
            name: "root".into(),
            uid: 0,
            gid: 0,
            home: self.account.home.clone(),
            shell: self.account.shell.clone(),
            groups: vec![0],
        };
        self.switch.then(|| Identity { account: Arc::new(root), ..self.clone() })
    }

    /// Runs `work` on a file thread, as this user.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> Outcome<T> + Send + 'static) -> Outcome<T> {
        let identity = self.clone();
        let assumed = move || {
            let _assumed = identity.assume()?;
            work()
        };
        self.threads.run(assumed).await
    }

    /// This thread acts as the user until the result is dropped. With the user id, the kernel also drops root's file
    /// capabilities, and later restores both (capabilities(7)).
    pub fn assume(&self) -> Outcome<Option<Assumed>> {
        if !self.switch {
            return Ok(None);
        }
        let account = &self.account;
        let assumed = Assumed;
        set_groups(&account.groups).map_err(|errno| Refusal::os("groups", errno))?;
        set_file_ids(account.uid, account.gid)
            .map_err(|errno| Refusal::os(format_args!("user {}", account.name), errno))?;
        Ok(Some(assumed))
    }
}

pub struct Assumed;

impl Drop for Assumed {
    fn drop(&mut self) {
        // A thread with wrong rights must not run the next operation.
        if set_file_ids(0, 0).is_err() || set_groups(&[]).is_err() {
            std::process::abort();
        }
    }
}

/// For this thread alone: the C library's function would change all threads (nptl(7)).
fn set_groups(groups: &[u32]) -> nix::Result<()> {
    // SAFETY: a pointer and a length of the same slice.
    Errno::result(unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) }).map(drop)
}

/// setfsuid(2) reports no errors; a second call returns the current value.
fn set_file_ids(uid: u32, gid: u32) -> nix::Result<()> {
    // SAFETY: these calls take numbers only.
    let (now_uid, now_gid) = unsafe {
        // The group first, because afterwards there may be no right to.
        if uid == 0 {
            libc::setfsuid(uid);
        }
        libc::setfsgid(gid);
        libc::setfsuid(uid);
        (libc::setfsuid(u32::MAX), libc::setfsgid(u32::MAX))
    };
    if now_uid as u32 == uid && now_gid as u32 == gid {
        return Ok(());
    }
    // gVisor's kernel lacks this call. There, effective ids do: nobody outside this process could notice the
    // difference.
    if now_uid == -1 && Errno::last() == Errno::ENOSYS { set_effective_ids(uid, gid) } else { Err(Errno::EPERM) }
}

/// For this thread alone; the real and saved ids stay, to allow switching back.
fn set_effective_ids(uid: u32, gid: u32) -> nix::Result<()> {
    let same = u32::MAX;
    // SAFETY: these calls take numbers only.
    unsafe {
        if uid == 0 {
            Errno::result(libc::syscall(libc::SYS_setresuid, same, uid, same))?;
        }
        Errno::result(libc::syscall(libc::SYS_setresgid, same, gid, same))?;
        Errno::result(libc::syscall(libc::SYS_setresuid, same, uid, same)).map(drop)
    }
}
