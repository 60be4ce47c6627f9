//! A keeper's request to a zygote: one SOCK_SEQPACKET message with a header, a seccomp program, and descriptors.
//!
//! The zygote greets a new connection with one byte and the descriptor of its user namespace, below which the keeper
//! creates the sandbox's own. It answers each request with one Answer.

use std::os::fd::OwnedFd;

use libc::sock_filter;

pub const MAGIC: u32 = 0x4341_4953;
pub const MAX_FILTER: usize = 4096;

/// The order of a request's descriptors; the doors of the cgroups follow (see `MAX_DOORS`).
pub const FD_PID: usize = 0;
pub const FD_USER: usize = 1;
pub const FD_CGROUP: usize = 2;
pub const FD_IPC: usize = 3;
pub const FD_UTS: usize = 4;
pub const FD_NET: usize = 5;
/// A socket pair. On it the keeper reports that the wall stands and sends the mount namespace; the child replies with
/// its number and its notification descriptor.
pub const FD_GATE: usize = 6;
/// For a machine's twin: the stream to its agent, its log, and its control channel (native/twins).
pub const FD_STDOUT: usize = 7;
pub const FD_STDERR: usize = 8;
pub const FD_CONTROL: usize = 9;
pub const FIXED_FDS: usize = 10;
pub const MAX_DOORS: usize = 5;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Header {
    pub magic: u32,
    pub uid: u32,
    pub gid: u32,
    pub doors: u32,
    /// A bit set of the capabilities that set-user-id programs may gain.
    pub bounding: u64,
    pub open_files: u64,
    /// The largest file that can be written; 0: unchanged.
    pub file_bytes: u64,
    pub no_new_privileges: u8,
    /// The filter passes execve to a listener: send that descriptor back through the gate.
    pub notify: u8,
    /// The gate's first message also carries a Landlock ruleset, or the disk of a machine.
    pub landlock: u8,
    pub disk: u8,
    /// The namespace has only one id, so groups cannot be set.
    pub single_id: u8,
    pub filter_length: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Answer {
    /// 0: forked. Otherwise the errno of the failed step.
    pub errno: i32,
    pub step: u32,
}

pub const STEPS: [&str; 6] =
    ["request", "enter cgroup", "enter pid namespace", "clone", "fork", "the fork that was ready"];

/// A decoded request.
pub struct Request {
    pub header: Header,
    pub filter: Vec<sock_filter>,
    pub fds: Vec<OwnedFd>,
}

impl Request {
    /// None if it is malformed.
    pub fn of(bytes: &[u8], fds: Vec<OwnedFd>) -> Option<Request> {
        let header = read::<Header>(bytes).filter(|header| header.magic == MAGIC)?;
        let filter = filter(bytes, header.filter_length as usize)?;
        let doors = header.doors as usize;
        (doors <= MAX_DOORS && fds.len() == FIXED_FDS + doors).then_some(Request { header, filter, fds })
    }
}

/// The bytes of a plain structure or slice, for a message.
pub fn bytes_of<T: Copy>(values: &[T]) -> &[u8] {
    // SAFETY: T is a plain repr(C) structure without padding that matters to the reader; the length is exact.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
}

/// Reads a plain structure from the start of a message.
pub fn read<T: Copy>(bytes: &[u8]) -> Option<T> {
    // SAFETY: the length is checked, the read is unaligned, and every bit pattern is a valid T for the structures used here.
    (bytes.len() >= size_of::<T>()).then(|| unsafe { std::ptr::read_unaligned(bytes.as_ptr().cast()) })
}

/// The seccomp program after the header.
fn filter(bytes: &[u8], length: usize) -> Option<Vec<sock_filter>> {
    let body = bytes.get(size_of::<Header>()..)?;
    let size = size_of::<sock_filter>();
    if length > MAX_FILTER || body.len() != length * size {
        return None;
    }
    body.chunks_exact(size).map(read).collect()
}
