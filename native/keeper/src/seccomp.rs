//! Which system calls exist inside: an allow-list. Calls on no list fail with EPERM; calls that the C library tries but
//! can do without fail with ENOSYS.
//!
//! On installation the kernel runs the program once for every system call number, so its length delays the first
//! result. Therefore the numbers that are allowed whatever their arguments are compiled here into ranges at the head,
//! with the answers that seccompiler cannot express. seccompiler generates the rest, which checks arguments.

use std::collections::{BTreeMap, BTreeSet};

use caisson_execs::filter::{
    ARCH, JUMP_ABOVE, JUMP_AT_LEAST, JUMP_EQUAL, LOAD, OFFSET_OF_ARCH, OFFSET_OF_NUMBER, RET_ALLOW, RET_ERRNO,
    RET_KILL_PROCESS, RETURN, asking, step,
};
use libc::{sock_filter, *};
use seccompiler::SeccompCmpArgLen::{Dword, Qword};
use seccompiler::SeccompCmpOp::{Eq, MaskedEq, Ne};
use seccompiler::{BpfProgram, SeccompAction, SeccompCondition, SeccompFilter, SeccompRule};

use crate::fault::{At, Outcome};
use crate::syscalls;
use crate::weakened::{Step, is_without};

const STEP: &str = "seccomp";

/// Flags of clone and unshare that create namespaces.
const NAMESPACES: u64 = 0x7E02_0080;
/// TIOCSTI injects input into a terminal (CVE-2017-5226); TIOCLINUX does the same on the console.
const TIOCSTI: u64 = 0x5412;
const TIOCLINUX: u64 = 0x541C;
/// Higher numbers are system calls newer than this list, and those of the x32 ABI.
const NEWEST: u32 = 470;

// Offsets in struct seccomp_data.
// The lower half of an argument, on the little-endian machines above.
const OFFSET_OF_FIRST: u32 = 16;
const OFFSET_OF_THIRD: u32 = 32;

#[derive(Clone, Copy)]
pub struct Shape {
    /// Pass execve to the notification descriptor.
    pub notify_exec: bool,
    pub allow_user_namespaces: bool,
    /// A zygote enters the namespaces of others; no sandbox may.
    pub zygote: bool,
}

pub fn program(shape: Shape) -> Outcome<Vec<sock_filter>> {
    if is_without(Step::SystemCalls) {
        return Ok(notices(shape.notify_exec));
    }
    let mut allowed: BTreeSet<i64> = syscalls::ALLOWED.iter().chain(syscalls::OLD).copied().collect();
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    let condition = |index, length, op, value| SeccompCondition::new(index, length, op, value).at(STEP, "condition");
    let rule = |conditions| SeccompRule::new(conditions).at(STEP, "rule");

    if !shape.allow_user_namespaces && !shape.zygote {
        for call in [SYS_clone, SYS_unshare] {
            rules.insert(call, vec![rule(vec![condition(0, Qword, MaskedEq(NAMESPACES), 0)?])?]);
        }
    }
    if shape.zygote {
        // The base filter stays complete, because forked children inherit it underneath their own.
        allowed.insert(SYS_setns);
    }
    // Other families reach kernel code, or (vsock) the hypervisor, that no namespace confines.
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
    rules.insert(SYS_ioctl, vec![rule(vec![condition(1, Dword, Ne, TIOCSTI)?, condition(1, Dword, Ne, TIOCLINUX)?])?]);
    let personalities = [0, 0x0008, 0x0002_0000, 0x0002_0008, 0xFFFF_FFFF];
    let personalities: Outcome<Vec<_>> =
        personalities.into_iter().map(|value| rule(vec![condition(0, Dword, Eq, value)?])).collect();
    rules.insert(SYS_personality, personalities?);

    allowed.retain(|number| !rules.contains_key(number));
    let arch = std::env::consts::ARCH.try_into().at(STEP, "architecture")?;
    let refusal = SeccompAction::Errno(EPERM as u32);
    let body: BpfProgram = SeccompFilter::new(rules, refusal, SeccompAction::Allow, arch)
        .and_then(TryInto::try_into)
        .at(STEP, "program")?;
    let mut program = head(shape.notify_exec, &allowed);
    program.extend(body.iter().map(|one| sock_filter { code: one.code, jt: one.jt, jf: one.jf, k: one.k }));
    Ok(program)
}

/// A filter that only reports commands, and allows everything.
fn notices(notify_exec: bool) -> Vec<sock_filter> {
    let mut program = vec![step(LOAD, 0, 0, OFFSET_OF_NUMBER)];
    program.extend(asking().into_iter().filter(|_| notify_exec));
    program.push(step(RETURN, 0, 0, RET_ALLOW));
    program
}

fn head(notify_exec: bool, allowed: &BTreeSet<i64>) -> Vec<sock_filter> {
    let mut head = vec![
        step(LOAD, 0, 0, OFFSET_OF_ARCH),
        step(JUMP_EQUAL, 1, 0, ARCH),
        step(RETURN, 0, 0, RET_KILL_PROCESS),
        step(LOAD, 0, 0, OFFSET_OF_NUMBER),
        step(JUMP_ABOVE, 0, 1, NEWEST),
        step(RETURN, 0, 0, RET_ERRNO | ENOSYS as u32),
        // clone3 passes its flags in memory, which a filter cannot read; the C library falls back to clone.
        step(JUMP_EQUAL, 1, 0, SYS_clone3 as u32),
        // aio contexts are limited per machine (fs.aio-max-nr); programs can do without them.
        step(JUMP_EQUAL, 0, 1, SYS_io_setup as u32),
        step(RETURN, 0, 0, RET_ERRNO | ENOSYS as u32),
        // The answer of a kernel without audit. sudo and PAM would take EPERM for a failure.
        step(JUMP_EQUAL, 0, 6, SYS_socket as u32),
        step(LOAD, 0, 0, OFFSET_OF_FIRST),
        step(JUMP_EQUAL, 0, 3, AF_NETLINK as u32),
        step(LOAD, 0, 0, OFFSET_OF_THIRD),
        step(JUMP_EQUAL, 0, 1, NETLINK_AUDIT as u32),
        step(RETURN, 0, 0, RET_ERRNO | EPROTONOSUPPORT as u32),
        step(LOAD, 0, 0, OFFSET_OF_NUMBER),
    ];
    head.extend(asking().into_iter().filter(|_| notify_exec));
    for (first, last) in ranges(allowed) {
        head.push(step(JUMP_ABOVE, 2, 0, last));
        head.push(step(JUMP_AT_LEAST, 0, 1, first));
        head.push(step(RETURN, 0, 0, RET_ALLOW));
    }
    head
}

fn ranges(numbers: &BTreeSet<i64>) -> Vec<(u32, u32)> {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for number in numbers.iter().map(|number| *number as u32) {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => ranges.push((number, number)),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use caisson_execs::filter::{self, RET_NOTIFY};

    use super::*;

    fn sandbox() -> Shape {
        Shape { notify_exec: true, allow_user_namespaces: false, zygote: false }
    }

    /// An interpreter for the part of classic BPF that is used here.
    fn verdict(program: &[sock_filter], arch: u32, number: i64, args: [u64; 6]) -> u32 {
        let mut data = Vec::new();
        data.extend((number as u32).to_ne_bytes());
        data.extend(arch.to_ne_bytes());
        data.extend(0u64.to_ne_bytes());
        args.iter().for_each(|argument| data.extend(argument.to_ne_bytes()));
        let (mut at, mut value) = (0, 0u32);
        loop {
            let one = program[at];
            at += 1;
            let jump = |yes: bool| usize::from(if yes { one.jt } else { one.jf });
            match one.code {
                0x20 => value = u32::from_ne_bytes(data[one.k as usize..][..4].try_into().expect("in range")),
                0x54 => value &= one.k,
                0x05 => at += one.k as usize,
                0x15 => at += jump(value == one.k),
                0x25 => at += jump(value > one.k),
                0x35 => at += jump(value >= one.k),
                0x06 => return one.k,
                other => panic!("instruction {other:#x}"),
            }
        }
    }

    #[test]
    fn what_the_list_allows_is_allowed_and_the_rest_is_not() {
        let program = program(sandbox()).expect("a program");
        let conditional = [SYS_clone, SYS_clone3, SYS_io_setup, SYS_unshare, SYS_ioctl, SYS_execve, SYS_execveat];
        for number in 0..=i64::from(NEWEST) {
            let allowed = syscalls::ALLOWED.contains(&number) || syscalls::OLD.contains(&number);
            if conditional.contains(&number) || number == SYS_socket || number == SYS_personality {
                continue;
            }
            let expected = if allowed { RET_ALLOW } else { RET_ERRNO | EPERM as u32 };
            assert_eq!(verdict(&program, ARCH, number, [0; 6]), expected, "system call {number}");
        }
    }

    #[test]
    fn arguments_and_strangers_are_judged() {
        let program = program(sandbox()).expect("a program");
        let refused = RET_ERRNO | EPERM as u32;
        let at = |number, args| verdict(&program, ARCH, number, args);
        assert_eq!(at(SYS_clone, [SIGCHLD as u64, 0, 0, 0, 0, 0]), RET_ALLOW);
        assert_eq!(at(SYS_clone, [CLONE_NEWUSER as u64, 0, 0, 0, 0, 0]), refused);
        assert_eq!(at(SYS_unshare, [CLONE_NEWNET as u64, 0, 0, 0, 0, 0]), refused);
        assert_eq!(at(SYS_clone3, [0; 6]), RET_ERRNO | ENOSYS as u32);
        assert_eq!(at(SYS_io_setup, [0; 6]), RET_ERRNO | ENOSYS as u32);
        assert_eq!(at(SYS_execve, [0; 6]), RET_NOTIFY);
        assert_eq!(at(SYS_socket, [AF_INET as u64, 0, 0, 0, 0, 0]), RET_ALLOW);
        for family in [AF_VSOCK, AF_PACKET, AF_ALG, AF_KEY] {
            assert_eq!(at(SYS_socket, [family as u64, 0, 0, 0, 0, 0]), refused, "family {family}");
        }
        assert_eq!(at(SYS_socket, [AF_NETLINK as u64, 0, NETLINK_ROUTE as u64, 0, 0, 0]), RET_ALLOW);
        assert_eq!(
            at(SYS_socket, [AF_NETLINK as u64, 0, NETLINK_AUDIT as u64, 0, 0, 0]),
            RET_ERRNO | EPROTONOSUPPORT as u32
        );
        assert_eq!(at(SYS_socket, [AF_NETLINK as u64, 0, NETLINK_NETFILTER as u64, 0, 0, 0]), refused);
        // The kernel ignores the upper half of the request, so the upper half must not hide the lower one.
        assert_eq!(at(SYS_ioctl, [0, TIOCSTI | 1 << 32, 0, 0, 0, 0]), refused);
        assert_eq!(at(i64::from(NEWEST) + 1, [0; 6]), RET_ERRNO | ENOSYS as u32);
        assert_eq!(at(0x4000_0000, [0; 6]), RET_ERRNO | ENOSYS as u32);
        assert_eq!(verdict(&program, 0x4000_0003, SYS_read, [0; 6]), RET_KILL_PROCESS);
    }

    #[test]
    fn what_only_tells_of_commands_has_no_way_around_it() {
        let program = filter::execs();
        for number in 0..=i64::from(NEWEST) {
            let asks = number == SYS_execve || number == SYS_execveat;
            assert_eq!(verdict(&program, ARCH, number, [0; 6]), if asks { RET_NOTIFY } else { RET_ALLOW });
        }
        assert_eq!(verdict(&program, ARCH, 0x4000_0000 | 520, [0; 6]), RET_ERRNO | ENOSYS as u32);
        assert_eq!(verdict(&program, 0x4000_0003, 11, [0; 6]), RET_KILL_PROCESS);
    }

    #[test]
    fn the_program_is_short() {
        assert!(program(sandbox()).expect("a program").len() < 400);
    }
}
