//! What a keeper asks of a zygote: one SOCK_SEQPACKET message, a header and a filter program, with descriptors beside it.
//!
//! The zygote answers a new connection with one byte and the descriptor of its user namespace, in which the keeper makes the sandbox's own; and a
//! request with one Answer.

use std::os::fd::OwnedFd;

use libc::sock_filter;

pub const MAGIC: u32 = 0x4341_4953;
pub const MAX_FILTER: usize = 4096;

/// Order of the descriptors that come with a request; after them the doors of the cgroups (see `MAX_DOORS`).
pub const FD_PID: usize = 0;
pub const FD_USER: usize = 1;
pub const FD_CGROUP: usize = 2;
pub const FD_IPC: usize = 3;
pub const FD_UTS: usize = 4;
pub const FD_NET: usize = 5;
/// A socket pair: the keeper says on it that the wall stands, with the mount namespace, and gets the child's number and notification descriptor.
pub const FD_GATE: usize = 6;
/// Of a machine's twin: the stream to its agent, its log, and its control (native/twins).
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
    /// Bit set of the capabilities that set-user-id programs may gain.
    pub bounding: u64,
    pub open_files: u64,
    /// The largest file that can be written; 0: as it was.
    pub file_bytes: u64,
    pub no_new_privileges: u8,
    /// The filter answers execve by notification: send the descriptor back through the gate.
    pub notify: u8,
    /// The gate's first message carries something too: a Landlock ruleset, or the disk of a machine.
    pub landlock: u8,
    pub disk: u8,
    /// The namespace has one id only: groups cannot be set.
    pub single_id: u8,
    pub filter_length: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Answer {
    /// 0: forked. Else the errno of the failing step.
    pub errno: i32,
    pub step: u32,
}

pub const STEPS: [&str; 6] =
    ["request", "enter cgroup", "enter pid namespace", "clone", "fork", "the fork that was ready"];

/// A request, taken apart.
pub struct Request {
    pub header: Header,
    pub filter: Vec<sock_filter>,
    pub fds: Vec<OwnedFd>,
}

impl Request {
    /// Nothing where it is not one.
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

/// Reads a plain structure off the front of a message.
pub fn read<T: Copy>(bytes: &[u8]) -> Option<T> {
    // SAFETY: the length is checked, the read is unaligned, and every bit pattern is a valid T for the structures used here.
    (bytes.len() >= size_of::<T>()).then(|| unsafe { std::ptr::read_unaligned(bytes.as_ptr().cast()) })
}

/// The filter program that follows the header.
fn filter(bytes: &[u8], length: usize) -> Option<Vec<sock_filter>> {
    let body = bytes.get(size_of::<Header>()..)?;
    let size = size_of::<sock_filter>();
    if length > MAX_FILTER || body.len() != length * size {
        return None;
    }
    body.chunks_exact(size).map(read).collect()
}
