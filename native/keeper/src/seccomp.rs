//! Which system calls exist inside: an allow-list. What is on no list answers EPERM; what the C library may try and do without answers ENOSYS.
//!
//! seccompiler makes the program; a short head written here goes before it, because it has no user notification and a single refusal.

use std::collections::BTreeMap;

use libc::{sock_filter, *};
use seccompiler::SeccompCmpArgLen::{Dword, Qword};
use seccompiler::SeccompCmpOp::{Eq, MaskedEq, Ne};
use seccompiler::{BpfProgram, SeccompAction, SeccompCondition, SeccompFilter, SeccompRule};

use crate::fault::{At, Outcome};
use crate::syscalls;

const STEP: &str = "seccomp";

/// Flags of clone and unshare that make namespaces.
const NAMESPACES: u64 = 0x7E02_0080;
/// Typing into a terminal on somebody's behalf (CVE-2017-5226), and its sister of the console.
const TIOCSTI: u64 = 0x5412;
const TIOCLINUX: u64 = 0x541C;
/// Above this number are system calls newer than this list, and those of the x32 ABI.
const NEWEST: u32 = 470;

const RET_NOTIFY: u32 = 0x7FC0_0000;
const RET_ERRNO: u32 = 0x0005_0000;
const LOAD_NUMBER: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS, offset 0 of seccomp_data
const JUMP_EQUAL: u16 = 0x15;
const JUMP_ABOVE: u16 = 0x25;
const RETURN: u16 = 0x06;

#[derive(Clone, Copy)]
pub struct Shape {
    /// Answer execve through the notification descriptor.
    pub notify_exec: bool,
    pub allow_user_namespaces: bool,
    /// The zygote enters the namespaces of others; no sandbox may.
    pub zygote: bool,
}

pub fn program(shape: Shape) -> Outcome<Vec<sock_filter>> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        syscalls::ALLOWED.iter().map(|number| (*number, Vec::new())).collect();
    let condition = |index, length, op, value| SeccompCondition::new(index, length, op, value).at(STEP, "condition");
    let rule = |conditions| SeccompRule::new(conditions).at(STEP, "rule");

    if !shape.allow_user_namespaces && !shape.zygote {
        for call in [SYS_clone, SYS_unshare] {
            rules.insert(call, vec![rule(vec![condition(0, Qword, MaskedEq(NAMESPACES), 0)?])?]);
        }
    }
    if shape.zygote {
        rules.insert(SYS_setns, Vec::new());
        for refused in [SYS_kill, SYS_tkill, SYS_pidfd_open, SYS_pidfd_send_signal, SYS_socket, SYS_connect] {
            rules.remove(&refused);
        }
    } else {
        // Other families reach kernel code, or (vsock) the hypervisor, that no namespace holds back.
        let family = |number: i32| condition(0, Dword, Eq, number as u64);
        rules.insert(
            SYS_socket,
            vec![
                rule(vec![family(AF_UNIX)?])?,
                rule(vec![family(AF_INET)?])?,
                rule(vec![family(AF_INET6)?])?,
                rule(vec![family(AF_NETLINK)?, condition(2, Dword, Eq, NETLINK_ROUTE as u64)?])?,
            ],
        );
    }
    rules.insert(SYS_ioctl, vec![rule(vec![condition(1, Dword, Ne, TIOCSTI)?, condition(1, Dword, Ne, TIOCLINUX)?])?]);
    let personalities = [0, 0x0008, 0x0002_0000, 0x0002_0008, 0xFFFF_FFFF];
    let personalities: Outcome<Vec<_>> =
        personalities.into_iter().map(|value| rule(vec![condition(0, Dword, Eq, value)?])).collect();
    rules.insert(SYS_personality, personalities?);

    let arch = std::env::consts::ARCH.try_into().at(STEP, "architecture")?;
    let refusal = SeccompAction::Errno(EPERM as u32);
    let body: BpfProgram = SeccompFilter::new(rules, refusal, SeccompAction::Allow, arch)
        .and_then(TryInto::try_into)
        .at(STEP, "program")?;
    let mut program = head(shape.notify_exec);
    program.extend(body.iter().map(|one| sock_filter { code: one.code, jt: one.jt, jf: one.jf, k: one.k }));
    Ok(program)
}

/// Runs before the list. The list's own head checks the architecture again, so a foreign number gets no further than an answer given here.
fn head(notify_exec: bool) -> Vec<sock_filter> {
    let step = |code, jt, jf, k| sock_filter { code, jt, jf, k };
    let mut head = vec![
        step(LOAD_NUMBER, 0, 0, 0),
        step(JUMP_ABOVE, 0, 1, NEWEST),
        step(RETURN, 0, 0, RET_ERRNO | ENOSYS as u32),
        // Its flags lie in memory, where a filter cannot look; the C library falls back to clone.
        step(JUMP_EQUAL, 0, 1, SYS_clone3 as u32),
        step(RETURN, 0, 0, RET_ERRNO | ENOSYS as u32),
    ];
    if notify_exec {
        for call in [SYS_execve, SYS_execveat] {
            head.push(step(JUMP_EQUAL, 0, 1, call as u32));
            head.push(step(RETURN, 0, 0, RET_NOTIFY));
        }
    }
    head
}
