//! A second witness of what runs: an eBPF program that counts, in the kernel, the executions within one pid namespace.
//! It decides nothing, and stays only while somebody asks; the audit log does not depend on it. `caisson doctor`
//! compares the two.

use std::fs::metadata;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};

use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};
use serde_json::{Value, json};

use crate::fault::{At, Code, Fault, Outcome};

const STEP: &str = "witness";
/// linux/bpf.h
const MAP_CREATE: libc::c_int = 0;
const MAP_LOOKUP: libc::c_int = 1;
const PROG_LOAD: libc::c_int = 5;
const RAW_TRACEPOINT_OPEN: libc::c_int = 17;
const ARRAY: u64 = 2;
const RAW_TRACEPOINT: u64 = 17;
const LOOKUP: i32 = 1;
const NS_CURRENT_PID: i32 = 120;
/// linux/audit.h
const AUDIT_GET: u16 = 1000;

/// Prints that it counts; at the end of standard input, returns the number of executions in the pid namespace of this
/// process.
pub fn watch(pid: &str) -> Outcome<Value> {
    let pid: u32 = pid.parse().coded(Code::PlanInvalid, STEP, pid)?;
    let witness = Witness::of(&format!("/proc/{pid}/ns/pid"))?;
    println!("{}", json!({ "counting": true }));
    std::io::stdin().take(4096).read_to_end(&mut Vec::new()).at(STEP, "standard input")?;
    Ok(json!({ "executed": witness.count()? }))
}

/// What this kernel offers; each was tried.
pub fn offered() -> Value {
    let said = |tried: Outcome<Value>| tried.unwrap_or_else(|fault| json!({ "lacking": fault.message }));
    json!({ "ebpf": said(counts()), "audit": said(audit_status()) })
}

/// Counts one real execution.
fn counts() -> Outcome<Value> {
    let witness = Witness::of("/proc/self/ns/pid")?;
    let quiet = Stdio::null;
    Command::new("/proc/self/exe").stdin(quiet()).stdout(quiet()).stderr(quiet()).status().at(STEP, "a program")?;
    match witness.count()? {
        0 => Err(Fault::new(Code::WallUnavailable, STEP, "it has not seen a program that was executed")),
        _ => Ok(json!({})),
    }
}

struct Witness {
    counts: OwnedFd,
    _program: OwnedFd,
    /// Attached until it is closed.
    _link: OwnedFd,
}

impl Witness {
    fn of(namespace: &str) -> Outcome<Witness> {
        let found = metadata(namespace).at(STEP, namespace)?;
        // Type, key size and value size, number of entries.
        let counts = call(MAP_CREATE, &[ARRAY | 4 << 32, 8 | 1 << 32], "a map")?;
        let program = program(found.dev(), found.ino(), counts.as_raw_fd());
        let (code, license) = (program.as_ptr() as u64, c"GPL".as_ptr() as u64);
        let loaded =
            call(PROG_LOAD, &[RAW_TRACEPOINT | (program.len() as u64) << 32, code, license, 0, 0, 0], "a program")?;
        let point = [c"sched_process_exec".as_ptr() as u64, loaded.as_raw_fd() as u64];
        let link = call(RAW_TRACEPOINT_OPEN, &point, "sched_process_exec")?;
        Ok(Witness { counts, _program: loaded, _link: link })
    }

    fn count(&self) -> Outcome<u64> {
        let (key, mut count) = (0u32, 0u64);
        let words = [self.counts.as_raw_fd() as u64, &raw const key as u64, &raw mut count as u64, 0];
        // SAFETY: key and value outlive the call, and have the sizes of the map.
        if unsafe { libc::syscall(libc::SYS_bpf, MAP_LOOKUP, words.as_ptr(), size_of_val(&words)) } != 0 {
            return Err(std::io::Error::last_os_error()).at(STEP, "its count");
        }
        Ok(count)
    }
}

/// A bpf(2) call that returns a descriptor. Whatever its attributes point to outlives it.
fn call(command: libc::c_int, words: &[u64], what: &str) -> Outcome<OwnedFd> {
    // SAFETY: the kernel reads as many bytes as given, and takes missing ones as zero.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, command, words.as_ptr(), size_of_val(words)) } as i32;
    if fd < 0 {
        return Err(std::io::Error::last_os_error()).at(STEP, format!("eBPF: {what}"));
    }
    // SAFETY: just opened, owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Increments the count if the task is in this namespace: `get_ns_current_pid_tgid`, which identifies it by device and
/// inode, succeeds only then.
fn program(device: u64, inode: u64, map: i32) -> Vec<u64> {
    let op = |code: u8, to: u8, from: u8, offset: i16, number: i32| {
        u64::from(code)
            | u64::from(to | from << 4) << 8
            | u64::from(offset as u16) << 16
            | u64::from(number as u32) << 32
    };
    let wide =
        |to: u8, from: u8, number: u64| [op(0x18, to, from, 0, number as i32), op(0, 0, 0, 0, (number >> 32) as i32)];
    let mut code = Vec::new();
    code.extend(wide(1, 0, device));
    code.extend(wide(2, 0, inode));
    code.extend([
        // Its result buffer: the eight bytes at the top of the stack frame.
        op(0xbf, 3, 10, 0, 0),
        op(0x07, 3, 0, 0, -8),
        op(0xb7, 4, 0, 0, 8),
        op(0x85, 0, 0, 0, NS_CURRENT_PID),
        // Another namespace: jump to the end.
        op(0x55, 0, 0, 9, 0),
        op(0x62, 10, 0, -12, 0),
        op(0xbf, 2, 10, 0, 0),
        op(0x07, 2, 0, 0, -12),
    ]);
    code.extend(wide(1, 1, map as u64));
    code.extend([
        op(0x85, 0, 0, 0, LOOKUP),
        op(0x15, 0, 0, 2, 0),
        op(0xb7, 1, 0, 0, 1),
        op(0xdb, 0, 1, 0, 0),
        op(0xb7, 0, 0, 0, 0),
        op(0x95, 0, 0, 0, 0),
    ]);
    code
}

/// Whether the kernel audits, and who listens (auditd).
fn audit_status() -> Outcome<Value> {
    let what = "the kernel's audit";
    let link = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkAudit)
        .at(STEP, what)?;
    setsockopt(&link, sockopt::ReceiveTimeout, &TimeVal::seconds(1)).at(STEP, what)?;
    let mut question = Vec::new();
    question.extend(16u32.to_ne_bytes());
    question.extend(AUDIT_GET.to_ne_bytes());
    // NLM_F_REQUEST
    question.extend(1u16.to_ne_bytes());
    question.extend([0; 8]);
    send(link.as_fd().as_raw_fd(), &question, MsgFlags::empty()).at(STEP, what)?;
    let mut answer = [0u8; 256];
    let length = recv(link.as_raw_fd(), &mut answer, MsgFlags::empty()).at(STEP, what)?;
    let word = |at: usize| {
        answer[..length].get(at..at + 4).map(|bytes| u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    };
    // An answer of another type is an error (nlmsgerr). After the header: mask, enabled, failure, pid.
    match (answer[4..6] == AUDIT_GET.to_ne_bytes(), word(20), word(28)) {
        (true, Some(enabled), Some(pid)) => Ok(json!({ "enabled": enabled, "listener": pid })),
        _ => Err(Fault::new(Code::WallUnavailable, STEP, "the kernel's audit gives no account of itself to us")),
    }
}
