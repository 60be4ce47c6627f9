//! One connection from the sandbox, from its first byte to its last.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::sys::socket::{MsgFlags, Shutdown, recv, send, setsockopt, shutdown, sockopt};
use serde_json::{Value, json};

use super::dialling::Dial;
use super::link::Verdict;
use super::proxy::Reply;
use super::splice::{End, OneWay, Pipes, Pumped};
use super::target::Target;
use super::words::{MAX_FIRST_WORDS, Speaks, speaks};

/// For the head of a request, or the next question to the name server.
pub const HEAD_PATIENCE: Duration = Duration::from_secs(15);
/// For the last address dialled; earlier ones get a quarter of it.
pub const DIAL_PATIENCE: Duration = Duration::from_secs(10);
/// For the first bytes of a client that is refused. Some clients hang if a reset follows right after the connect
/// (undici of Node 20).
pub const FIRST_WORDS: Duration = Duration::from_millis(500);
/// Time for the program to read why it was refused.
const FAREWELL: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Direct,
    HttpProxy,
    Connect,
    Socks5,
}

impl Way {
    fn word(self) -> &'static str {
        match self {
            Way::Direct => "direct",
            Way::HttpProxy => "http-proxy",
            Way::Connect => "connect",
            Way::Socks5 => "socks5",
        }
    }
}

pub enum State {
    HttpHead,
    SocksGreeting,
    SocksRequest,
    /// A connection to the name server; `true` while a question is open.
    Dns(bool),
    /// Waits for the verdict. None: the question is still queued.
    Asking(Option<u64>),
    Dialing(Box<Dial>),
    Open,
    /// Caught and refused. Once the client has sent something, it is told so if it speaks HTTP.
    Refused(No),
    /// Everything has been sent; further input is discarded.
    Farewell,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    Done,
    Idle,
    Failed,
    Host,
    /// It has used up its byte budget.
    Budget,
}

impl Why {
    pub fn word(self) -> &'static str {
        match self {
            Why::Done => "done",
            Why::Idle => "idle",
            Why::Failed => "failed",
            Why::Host => "host",
            Why::Budget => "budget",
        }
    }
}

/// A refusal, in the protocol of the way that the connection came.
#[derive(Clone, Copy)]
pub struct No {
    pub status: &'static str,
    pub code: &'static str,
    pub why: &'static str,
    pub reply: Reply,
}

impl No {
    pub fn denied(why: &'static str) -> No {
        No { status: "403 Forbidden", code: "NETWORK_DENIED", why, reply: Reply::NotAllowed }
    }

    pub fn unreachable() -> No {
        let why = "the server cannot be reached";
        No { status: "502 Bad Gateway", code: "NETWORK_UNREACHABLE", why, reply: Reply::HostUnreachable }
    }

    pub fn malformed(why: &'static str) -> No {
        No { status: "400 Bad Request", code: "BAD_REQUEST", why, reply: Reply::GeneralFailure }
    }
}

pub struct Connection {
    /// Unique in this sandbox, never reused.
    pub number: u64,
    pub way: Way,
    pub state: State,
    pub client: End,
    pub remote: Option<End>,
    pub target: Option<Target>,
    pub port: u16,
    pub verdict: Option<Verdict>,
    /// Bytes from the client that are not passed on yet.
    pub said: Vec<u8>,
    /// When the current state times out; None: only the idle timeout applies.
    pub deadline: Option<Instant>,
    pub active: Instant,
    /// It is already queued to be looked at again.
    pub queued: bool,
    pub out: OneWay,
    pub back: OneWay,
    /// It has more to send than it may, and whether the host has been asked.
    pub spent: bool,
    pub asks_more: bool,
    /// Byte counts of both directions as last reported to the host.
    told: (u64, u64),
}

impl Connection {
    pub fn new(number: u64, socket: OwnedFd, way: Way, state: State) -> Connection {
        Connection {
            number,
            way,
            state,
            client: End::new(socket),
            remote: None,
            target: None,
            port: 0,
            verdict: None,
            said: Vec::new(),
            deadline: Some(Instant::now() + HEAD_PATIENCE),
            active: Instant::now(),
            queued: false,
            out: OneWay::default(),
            back: OneWay::default(),
            spent: false,
            asks_more: false,
            told: (0, 0),
        }
    }

    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open)
    }

    pub fn question(&self, seq: u64) -> Value {
        let (name, address) = match &self.target {
            Some(Target::Name(name)) => (Some(name.clone()), None),
            Some(Target::Address(address)) => (None, Some(address.to_string())),
            None => (None, None),
        };
        let (connection, port, way) = (self.number, self.port, self.way.word());
        json!({ "ask": "connect", "seq": seq, "connection": connection, "name": name, "address": address, "port": port, "way": way })
    }

    /// None, unless it was let through or may be at this moment. The host keeps an account from then on, and must learn
    /// of the end.
    pub fn closed(&self, why: Why) -> Option<Value> {
        let is_asked = matches!(self.state, State::Asking(Some(_)));
        (is_asked || matches!(self.verdict, Some(Verdict::Tunnel | Verdict::Inspect))).then(|| {
            let (bytes_out, bytes_in) = (self.out.bytes, self.back.bytes);
            json!({ "ask": "closed", "connection": self.number, "bytesOut": bytes_out, "bytesIn": bytes_in, "why": why.word() })
        })
    }

    /// None: nothing new for the host.
    pub fn moved(&mut self) -> Option<Value> {
        let now = (self.out.bytes, self.back.bytes);
        if !self.is_open() || self.verdict == Some(Verdict::Refuse) || std::mem::replace(&mut self.told, now) == now {
            return None;
        }
        Some(json!({ "ask": "moved", "connection": self.number, "bytesOut": now.0, "bytesIn": now.1 }))
    }

    /// Reads from the client, up to `most` bytes in all. False: end of input, or the client is gone.
    pub fn listen(&mut self, most: usize) -> bool {
        let mut buffer = [0u8; 4096];
        while self.client.readable && self.said.len() < most {
            let room = buffer.len().min(most - self.said.len());
            match recv(self.client.socket.as_raw_fd(), &mut buffer[..room], MsgFlags::MSG_DONTWAIT) {
                Ok(0) => return false,
                Ok(length) => self.said.extend_from_slice(&buffer[..length]),
                Err(nix::Error::EAGAIN) => self.client.readable = false,
                Err(nix::Error::EINTR) => {}
                Err(_) => return false,
            }
        }
        true
    }

    /// Peeks at what the client speaks. None: it is gone. Consumes nothing, because the bytes may still go to a server.
    pub fn first_words(&self) -> Option<Speaks> {
        let mut buffer = [0u8; MAX_FIRST_WORDS];
        loop {
            match recv(self.client.socket.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_PEEK) {
                Ok(0) => return None,
                Ok(length) => return Some(speaks(&buffer[..length])),
                Err(nix::Error::EAGAIN) => return Some(Speaks::Unclear),
                Err(nix::Error::EINTR) => {}
                Err(_) => return None,
            }
        }
    }

    /// Sends a short answer to the client. False: the client does not take it.
    pub fn reply(&self, bytes: &[u8]) -> bool {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        send(self.client.socket.as_raw_fd(), bytes, flags) == Ok(bytes.len())
    }

    /// The connection is established: bytes already received go first.
    pub fn opened(&mut self, sandbox: &str) {
        let said = std::mem::take(&mut self.said);
        if self.verdict != Some(Verdict::Tunnel) {
            let number = self.number;
            self.out.first(format!("{}\n", json!({ "sandbox": sandbox, "connection": number })).as_bytes());
        }
        match (self.way, self.verdict) {
            // The host answers the client itself.
            (Way::Connect, Some(Verdict::Refuse)) | (Way::Direct | Way::HttpProxy, _) => {}
            (Way::Connect, _) => self.back.first(b"HTTP/1.1 200 Connection established\r\n\r\n"),
            (Way::Socks5, _) => self.back.first(&Reply::Succeeded.bytes()),
        }
        self.out.first(&said);
        self.out.bytes = said.len() as u64;
        self.state = State::Open;
        self.deadline = None;
        self.active = Instant::now();
    }

    /// Moves what can be moved, at most `allowance` bytes. Returns the number of bytes moved.
    pub fn pump(&mut self, pipes: &mut Pipes, allowance: u64) -> io::Result<(Pumped, u64)> {
        let Some(remote) = &mut self.remote else { return Ok((Pumped::Done, 0)) };
        let (out, sent) = self.out.pump(&mut self.client, remote, pipes, allowance)?;
        let (back, received) = self.back.pump(remote, &mut self.client, pipes, allowance - sent)?;
        let moved = sent + received;
        if moved > 0 {
            self.active = Instant::now();
        }
        let both = [out, back];
        self.spent = out == Pumped::Spent;
        let first = [Pumped::More, Pumped::Throttled, Pumped::Waits].into_iter().find(|state| both.contains(state));
        Ok((first.unwrap_or(if self.spent { Pumped::Waits } else { Pumped::Done }), moved))
    }

    /// Sends the refusal. False: there is nothing to wait for.
    pub fn refuse(&mut self, no: No) -> bool {
        let told = match self.way {
            Way::Socks5 => self.reply(&no.reply.bytes()),
            Way::Direct | Way::HttpProxy | Way::Connect => {
                let body = format!("{}\n", json!({ "code": no.code, "message": no.why }));
                let head = "content-type: application/json\r\nconnection: close\r\ncontent-length: ";
                let answer = format!("HTTP/1.1 {}\r\n{head}{}\r\n\r\n{body}", no.status, body.len());
                self.reply(answer.as_bytes())
            }
        };
        if told {
            self.farewell();
        } else {
            self.reset();
        }
        told
    }

    /// Closing a socket with unread bytes would reset it, and could destroy the answer just sent.
    pub fn farewell(&mut self) {
        let _gone = shutdown(self.client.socket.as_raw_fd(), Shutdown::Write);
        self.state = State::Farewell;
        self.deadline = Some(Instant::now() + FAREWELL);
        self.said = Vec::new();
        self.remote = None;
    }

    /// Resets both sockets, so that neither peer takes this for a normal end.
    pub fn reset(&self) {
        let linger = libc::linger { l_onoff: 1, l_linger: 0 };
        for end in [Some(&self.client), self.remote.as_ref()].into_iter().flatten() {
            // Has no effect on a unix socket.
            let _ = setsockopt(&end.socket, sockopt::Linger, &linger);
        }
    }
}
