//! Every execve inside is recorded before it happens (seccomp_unotify(2)). The arguments are read from the caller's memory: another thread of it may
//! change them afterwards, so the record says what was asked for, and walls do not depend on it.

use std::os::fd::{AsRawFd, OwnedFd};

use serde_json::Value;

use crate::audit::Audit;

const NOTIF_RECV: libc::c_ulong = 0xC050_2100;
const NOTIF_SEND: libc::c_ulong = 0xC018_2101;
const NOTIF_ID_VALID: libc::c_ulong = 0x4008_2102;
const FLAG_CONTINUE: u32 = 1;

const MAX_PATH: usize = 4096;
const MAX_ARGS: usize = 256;
const MAX_ARGS_BYTES: usize = 8192;

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
    if unsafe { libc::ioctl(listener.as_raw_fd(), NOTIF_RECV, &raw mut asked) } != 0 {
        // ENOENT and EINTR: that caller died; others may come.
        let error = std::io::Error::last_os_error().raw_os_error();
        return matches!(error, Some(libc::ENOENT | libc::EINTR | libc::EAGAIN));
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
    let memory = Memory(asked.pid as libc::pid_t);
    let offset = usize::from(i64::from(asked.data.nr) == libc::SYS_execveat);
    let path = string_at(&memory, asked.data.args[offset], MAX_PATH);
    let (argv, truncated) = strings_at(&memory, asked.data.args[offset + 1]);
    // The number may have passed to another process meanwhile: then what was read is somebody else's.
    // SAFETY: reads one u64.
    if unsafe { libc::ioctl(listener.as_raw_fd(), NOTIF_ID_VALID, &raw const asked.id) } != 0 {
        return Err(std::io::ErrorKind::NotFound.into());
    }
    audit.record(
        "exec",
        [
            ("pid", inner_pid(asked.pid).into()),
            ("path", text(&path).into()),
            ("argv", argv.iter().map(|one| Value::from(text(one))).collect()),
            ("truncated", truncated.into()),
        ],
    )
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

/// The memory of a process, read by the right to trace it. (/proc/PID/mem would also ask for the owner, which for a process that may not be
/// dumped is the host's root.)
struct Memory(libc::pid_t);

impl Memory {
    fn read_at(&self, buffer: &mut [u8], address: u64) -> std::io::Result<usize> {
        let ours = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
        let theirs = libc::iovec { iov_base: address as *mut libc::c_void, iov_len: buffer.len() };
        // SAFETY: both descriptions outlive the call, and ours is of the buffer; theirs is an address in another process.
        let read = unsafe { libc::process_vm_readv(self.0, &raw const ours, 1, &raw const theirs, 1, 0) };
        if read < 0 { Err(std::io::Error::last_os_error()) } else { Ok(read as usize) }
    }
}

/// Up to NUL or `most` bytes, page by page: the string may end just before unmapped memory.
fn string_at(memory: &Memory, address: u64, most: usize) -> Vec<u8> {
    let mut found = Vec::new();
    let mut buffer = [0u8; 256];
    while found.len() < most {
        let at = address.wrapping_add(found.len() as u64);
        let length = buffer.len().min(most - found.len()).min(4096 - (at % 4096) as usize);
        let Ok(read) = memory.read_at(&mut buffer[..length], at) else { break };
        if let Some(end) = buffer[..read].iter().position(|byte| *byte == 0) {
            found.extend_from_slice(&buffer[..end]);
            break;
        }
        found.extend_from_slice(&buffer[..read]);
        if read == 0 {
            break;
        }
    }
    found
}

fn strings_at(memory: &Memory, address: u64) -> (Vec<Vec<u8>>, bool) {
    let (mut found, mut bytes) = (Vec::new(), 0);
    for index in 0..MAX_ARGS {
        let mut pointer = [0u8; 8];
        if memory.read_at(&mut pointer, address.wrapping_add(8 * index as u64)).ok() != Some(pointer.len()) {
            return (found, true);
        }
        let pointer = u64::from_ne_bytes(pointer);
        if pointer == 0 {
            return (found, false);
        }
        if bytes >= MAX_ARGS_BYTES {
            break;
        }
        let one = string_at(memory, pointer, MAX_ARGS_BYTES - bytes);
        bytes += one.len();
        found.push(one);
    }
    (found, true)
}
