//! Hand-written classic BPF programs for seccomp, for here and for the keeper.

use libc::sock_filter;

// linux/audit.h
#[cfg(target_arch = "x86_64")]
pub const ARCH: u32 = 0xC000_003E;
#[cfg(target_arch = "aarch64")]
pub const ARCH: u32 = 0xC000_00B7;

pub const RET_ALLOW: u32 = 0x7FFF_0000;
pub const RET_NOTIFY: u32 = 0x7FC0_0000;
pub const RET_ERRNO: u32 = 0x0005_0000;
pub const RET_KILL_PROCESS: u32 = 0x8000_0000;

// Offsets in struct seccomp_data.
pub const OFFSET_OF_NUMBER: u32 = 0;
pub const OFFSET_OF_ARCH: u32 = 4;
pub const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
pub const JUMP_EQUAL: u16 = 0x15;
pub const JUMP_ABOVE: u16 = 0x25;
pub const JUMP_AT_LEAST: u16 = 0x35;
pub const RETURN: u16 = 0x06;

/// The first system call number of the x32 ABI, which has its own execve.
const X32: u32 = 0x4000_0000;

pub fn step(code: u16, jt: u8, jf: u8, k: u32) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

/// Passes execve and execveat to the listener.
pub fn asking() -> [sock_filter; 4] {
    [
        step(JUMP_EQUAL, 0, 1, libc::SYS_execve as u32),
        step(RETURN, 0, 0, RET_NOTIFY),
        step(JUMP_EQUAL, 0, 1, libc::SYS_execveat as u32),
        step(RETURN, 0, 0, RET_NOTIFY),
    ]
}

/// Passes every execve to the listener, and leaves the rest to the kernel. 32-bit and x32 system calls would bypass it,
/// so the first kill the process and the second are refused.
pub fn execs() -> Vec<sock_filter> {
    let mut program = vec![
        step(LOAD, 0, 0, OFFSET_OF_ARCH),
        step(JUMP_EQUAL, 1, 0, ARCH),
        step(RETURN, 0, 0, RET_KILL_PROCESS),
        step(LOAD, 0, 0, OFFSET_OF_NUMBER),
        step(JUMP_AT_LEAST, 0, 1, X32),
        step(RETURN, 0, 0, RET_ERRNO | libc::ENOSYS as u32),
    ];
    program.extend(asking());
    program.push(step(RETURN, 0, 0, RET_ALLOW));
    program
}
