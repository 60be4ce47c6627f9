//! Confines the gate. The gate parses what hostile programs send, on the host's side of the wall, so it keeps only what
//! it needs: no capability, no file, no program, no other process.

use std::collections::BTreeMap;

use libc::*;
use seccompiler::SeccompCmpArgLen::Dword;
use seccompiler::SeccompCmpOp::{Eq, MaskedEq};
use seccompiler::{BpfProgram, SeccompAction, SeccompCondition, SeccompFilter, SeccompRule};

use super::STEP;
use crate::fault::{At, Outcome};

#[rustfmt::skip]
const ALLOWED: &[i64] = &[
    // sockets
    SYS_accept4, SYS_connect, SYS_getsockname, SYS_getsockopt, SYS_setsockopt, SYS_shutdown, SYS_sendto, SYS_recvfrom, SYS_sendmsg, SYS_recvmsg,
    SYS_read, SYS_write, SYS_close, SYS_splice, SYS_pipe2, SYS_fcntl, SYS_epoll_ctl, SYS_epoll_pwait,
    // memory, time, randomness
    SYS_munmap, SYS_mremap, SYS_brk, SYS_madvise, SYS_futex, SYS_clock_gettime, SYS_clock_nanosleep, SYS_nanosleep, SYS_getrandom,
    SYS_restart_syscall,
    // to print a panic and abort
    SYS_writev, SYS_rt_sigprocmask, SYS_rt_sigaction, SYS_rt_sigreturn, SYS_getpid, SYS_gettid, SYS_tgkill, SYS_exit, SYS_exit_group,
];

#[cfg(target_arch = "x86_64")]
const OLD: &[i64] = &[SYS_epoll_wait];
#[cfg(not(target_arch = "x86_64"))]
const OLD: &[i64] = &[];

pub fn confine() -> Outcome<()> {
    crate::caps::set(0)?;
    nix::sys::prctl::set_no_new_privs().at(STEP, "no_new_privs")?;
    let rule = |index, op, value| {
        let condition = SeccompCondition::new(index, Dword, op, value).at(STEP, "condition")?;
        SeccompRule::new(vec![condition]).at(STEP, "rule")
    };
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = ALLOWED.iter().chain(OLD).map(|call| (*call, vec![])).collect();
    let families = [AF_INET, AF_INET6, AF_UNIX].map(|family| rule(0, Eq, family as u64));
    rules.insert(SYS_socket, families.into_iter().collect::<Outcome<_>>()?);
    rules.insert(SYS_mmap, vec![rule(2, MaskedEq(PROT_EXEC as u64), 0)?]);
    let arch = std::env::consts::ARCH.try_into().at(STEP, "architecture")?;
    let program: BpfProgram = SeccompFilter::new(rules, SeccompAction::Errno(EPERM as u32), SeccompAction::Allow, arch)
        .and_then(TryInto::try_into)
        .at(STEP, "program")?;
    seccompiler::apply_filter(&program).at(STEP, "seccomp")
}
