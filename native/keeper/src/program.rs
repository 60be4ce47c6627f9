//! The program that a first process becomes by exec.

use std::ffi::CString;
use std::os::fd::{AsRawFd, OwnedFd};

use crate::fault::{At, Outcome};

pub struct Program {
    argv: Vec<CString>,
    env: Vec<CString>,
    /// These become descriptors 0, 1, 2, ... in this order.
    inherited: Vec<OwnedFd>,
}

impl Program {
    pub fn new(argv: &[&str], env: impl Iterator<Item = String>, inherited: Vec<OwnedFd>) -> Outcome<Program> {
        let argv = argv.iter().map(|argument| CString::new(*argument)).collect::<Result<_, _>>().at("exec", "argv")?;
        let env = env.map(CString::new).collect::<Result<_, _>>().at("exec", "env")?;
        Ok(Program { argv, env, inherited })
    }

    /// Returns only on failure. Exec closes everything that is not inherited; until then the leash is needed.
    pub fn exec(self) -> Outcome<std::convert::Infallible> {
        // Move them out of the way first, so that none is overwritten before it is copied.
        let high: Vec<i32> = self.inherited.iter().map(|fd| duplicate_high(fd.as_raw_fd())).collect::<Outcome<_>>()?;
        for (target, source) in high.into_iter().enumerate() {
            // SAFETY: numbers below the count of inherited descriptors are nobody's own any more.
            if unsafe { libc::dup2(source, target as i32) } < 0 {
                return Err(std::io::Error::last_os_error()).at("exec", "dup2");
            }
        }
        // SAFETY: only marks; exec closes.
        unsafe { libc::close_range(self.inherited.len() as u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC as i32) };
        nix::unistd::execve(&self.argv[0], &self.argv, &self.env).at("exec", self.argv[0].to_string_lossy())
    }
}

fn duplicate_high(fd: i32) -> Outcome<i32> {
    // SAFETY: a descriptor number that is open.
    let high = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 64) };
    if high < 0 { Err(std::io::Error::last_os_error()).at("exec", "dup") } else { Ok(high) }
}
