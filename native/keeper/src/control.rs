//! Conversations with hosts: JSON lines on standard input and output, and on `keeper.sock`. The messages are defined in
//! wire/keeper.ts.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::os::unix::net::UnixStream;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::fault::Fault;
use crate::plan::{Leash, OnWall};

const MAX_LINE: usize = 256 * 1024;

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Request {
    Kill { seq: i64, reason: Reason, detail: String, keep_disk: Option<String> },
    Hello { seq: i64 },
    Assign { seq: i64, leash: Leash, wall_ms: Option<u64>, on_wall: OnWall },
    Freeze { seq: i64 },
    Thaw { seq: i64, wall_ms: Option<u64> },
    CopyDisk { seq: i64, to: String },
    Fork { seq: i64, socket: String, count: u32 },
    Deadline { seq: i64, wall_ms: Option<u64> },
    Stats { seq: i64 },
    Save { seq: i64 },
    Serve { seq: i64 },
    Sleep { seq: i64, folder: String, keep_disk: String },
    Snapshot { seq: i64, folder: String, lasts: bool },
}

/// Why a sandbox ended.
#[derive(Deserialize, serde::Serialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Reason {
    Exit,
    Kill,
    Timeout,
    Memory,
    Pids,
    Disk,
    Output,
    Abandoned,
    Crash,
    Pause,
}

pub struct Connection {
    /// Unique; 0 is the host that started this keeper.
    pub id: u64,
    read: RawFd,
    stream: Stream,
    pending: Vec<u8>,
}

enum Stream {
    /// This process's standard input and output.
    Standard {
        input: std::fs::File,
        output: std::fs::File,
    },
    Socket(UnixStream),
}

/// The result of one read.
pub enum Heard {
    Requests(Vec<Result<Request, String>>),
    Over,
}

impl Connection {
    /// `left_over`: bytes that arrived after the plan.
    pub fn standard(left_over: Vec<u8>) -> Connection {
        // SAFETY: 0 and 1 belong to this connection from here on; nothing else in this process uses them.
        let (input, output) = unsafe { (std::fs::File::from_raw_fd(0), std::fs::File::from_raw_fd(1)) };
        for fd in [0, 1] {
            // SAFETY: flags only. Non-blocking, so that a host that does not read cannot stop the keeper.
            unsafe { libc::fcntl(fd, libc::F_SETFL, libc::fcntl(fd, libc::F_GETFL) | libc::O_NONBLOCK) };
        }
        Connection { id: 0, read: 0, stream: Stream::Standard { input, output }, pending: left_over }
    }

    pub fn socket(stream: UnixStream, id: u64) -> std::io::Result<Connection> {
        stream.set_nonblocking(true)?;
        Ok(Connection { id, read: stream.as_raw_fd(), stream: Stream::Socket(stream), pending: Vec::new() })
    }

    pub fn fd(&self) -> RawFd {
        self.read
    }

    /// Stops reading, but keeps reporting events. False: nobody is left to report to either.
    pub fn stop_hearing(&mut self) -> bool {
        self.read = -1;
        self.is_standard()
    }

    pub fn is_standard(&self) -> bool {
        matches!(self.stream, Stream::Standard { .. })
    }

    pub fn hear(&mut self) -> Heard {
        let mut buffer = [0u8; 8192];
        let read = match &mut self.stream {
            Stream::Standard { input, .. } => input.read(&mut buffer),
            Stream::Socket(stream) => stream.read(&mut buffer),
        };
        match read {
            Ok(0) => return Heard::Over,
            Ok(length) => self.pending.extend_from_slice(&buffer[..length]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => return Heard::Over,
        }
        let requests = self.take_lines();
        if self.pending.len() > MAX_LINE { Heard::Over } else { Heard::Requests(requests) }
    }

    pub fn take_lines(&mut self) -> Vec<Result<Request, String>> {
        let mut requests = Vec::new();
        while let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.pending.drain(..=end).collect();
            requests.push(serde_json::from_slice(&line).map_err(|error| error.to_string()));
        }
        requests
    }

    /// False: the peer has gone, or reads too slowly.
    pub fn say(&mut self, value: &Value) -> bool {
        let mut line = value.to_string();
        line.push('\n');
        let written = match &mut self.stream {
            Stream::Standard { output, .. } => output.write(line.as_bytes()),
            Stream::Socket(stream) => stream.write(line.as_bytes()),
        };
        written.is_ok_and(|length| length == line.len())
    }
}

pub fn answer(seq: i64, ok: Value) -> Value {
    json!({ "event": "answer", "seq": seq, "ok": ok })
}

pub fn refusal(seq: i64, fault: &Fault) -> Value {
    json!({ "event": "answer", "seq": seq, "error": fault.to_string(), "code": fault.code, "hint": fault.hint })
}
