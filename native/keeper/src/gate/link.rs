//! The gate's connection to the host (wire/airlock.ts). There is at most one. While there is none, every answer is no.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, connect, recv, send, socket};
use serde::Deserialize;
use serde_json::{Value, json};

use super::introduction::Proxy;

/// Answers are short: sixteen addresses, or a list of connections.
const MAX_LINE: usize = 256 * 1024;
/// A host that does not read is treated as gone.
const MAX_UNREAD: usize = 1024 * 1024;
const FIRST_DELAY: Duration = Duration::from_millis(20);
const LONGEST_DELAY: Duration = Duration::from_secs(5);

#[derive(Deserialize, Debug)]
#[serde(tag = "answer", rename_all = "lowercase", deny_unknown_fields)]
pub enum Answer {
    Name {
        seq: u64,
        allowed: bool,
    },
    Connect {
        seq: u64,
        verdict: Verdict,
        dial: Vec<IpAddr>,
        #[serde(default)]
        proxy: Option<Proxy>,
        /// Bytes that may be sent before asking for more; absent: no limit.
        #[serde(default)]
        most: Option<u64>,
    },
    More {
        seq: u64,
        most: u64,
    },
    End {
        connections: Option<Vec<u64>>,
    },
}

#[derive(Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Tunnel,
    Inspect,
    Refuse,
    Deny,
}

pub struct Link {
    path: UnixAddr,
    hello: String,
    socket: Option<OwnedFd>,
    unsent: Vec<u8>,
    unread: Vec<u8>,
    /// Messages that must reach the host even if it is absent now.
    kept: Vec<String>,
    delay: Duration,
    retry: Instant,
    /// How often the connection to a host was lost.
    pub losses: u64,
}

/// The most messages kept for an absent host.
const MAX_KEPT: usize = 4096;

impl Link {
    pub fn new(path: &str, sandbox: &str) -> nix::Result<Link> {
        let hello = json!({ "ask": "hello", "sandbox": sandbox, "generation": 1 }).to_string();
        Ok(Link {
            path: UnixAddr::new(path)?,
            hello,
            socket: None,
            unsent: Vec::new(),
            unread: Vec::new(),
            kept: Vec::new(),
            delay: FIRST_DELAY,
            retry: Instant::now(),
            losses: 0,
        })
    }

    pub fn is_up(&self) -> bool {
        self.socket.is_some()
    }

    /// When to try again; None: it is connected.
    pub fn retry(&self) -> Option<Instant> {
        if self.is_up() { None } else { Some(self.retry) }
    }

    /// Tries to connect. True: there is a new connection, to be watched.
    pub fn connect(&mut self) -> bool {
        if self.is_up() {
            return false;
        }
        match self.try_connect() {
            Ok(socket) => {
                self.socket = Some(socket);
                self.delay = FIRST_DELAY;
                self.unsent = format!("{}\n", self.hello).into_bytes();
                for line in std::mem::take(&mut self.kept) {
                    self.unsent.extend(line.as_bytes());
                }
                self.flush()
            }
            Err(_) => {
                self.retry = Instant::now() + self.delay;
                self.delay = (self.delay * 2).min(LONGEST_DELAY);
                false
            }
        }
    }

    fn try_connect(&self) -> nix::Result<OwnedFd> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
        connect(socket.as_raw_fd(), &self.path)?;
        Ok(socket)
    }

    pub fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.socket.as_ref().map(std::os::fd::AsFd::as_fd)
    }

    /// False: the host is gone, and everything that depended on it must end.
    pub fn say(&mut self, said: &Value) -> bool {
        if !self.is_up() {
            return false;
        }
        self.unsent.extend(said.to_string().as_bytes());
        self.unsent.push(b'\n');
        self.flush()
    }

    /// Sends a message that is kept for the next host if there is none now.
    pub fn tell(&mut self, said: &Value) {
        let gone = self.is_up() && !self.say(said);
        if gone || self.is_up() {
            return;
        }
        if self.kept.len() < MAX_KEPT {
            self.kept.push(format!("{said}\n"));
        }
    }

    /// The host has not read everything; flush again later.
    pub fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// False: the host is gone.
    pub fn flush(&mut self) -> bool {
        while let Some(socket) = self.socket.as_ref().filter(|_| !self.unsent.is_empty()) {
            match send(socket.as_raw_fd(), &self.unsent, MsgFlags::MSG_NOSIGNAL) {
                Ok(sent) => drop(self.unsent.drain(..sent)),
                Err(nix::Error::EAGAIN) if self.unsent.len() <= MAX_UNREAD => return true,
                Err(nix::Error::EINTR) => {}
                Err(_) => return self.lose(),
            }
        }
        self.is_up()
    }

    fn lose(&mut self) -> bool {
        self.losses += u64::from(self.socket.take().is_some());
        self.unsent = Vec::new();
        self.unread = Vec::new();
        self.retry = Instant::now() + self.delay;
        false
    }

    /// The host's messages, in order. An error: it is gone, or violates the protocol, which is treated alike.
    pub fn hear(&mut self) -> io::Result<Vec<Answer>> {
        let heard = self.read_lines();
        if heard.is_err() {
            self.lose();
        }
        heard
    }

    fn read_lines(&mut self) -> io::Result<Vec<Answer>> {
        let Some(socket) = &self.socket else { return Err(io::ErrorKind::NotConnected.into()) };
        let mut buffer = [0u8; 16 * 1024];
        let mut answers = Vec::new();
        loop {
            match recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(length) => self.unread.extend_from_slice(&buffer[..length]),
                Err(nix::Error::EAGAIN) => break,
                Err(nix::Error::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
            let mut start = 0;
            while let Some(length) = self.unread[start..].iter().position(|byte| *byte == b'\n') {
                answers.push(serde_json::from_slice(&self.unread[start..start + length])?);
                start += length + 1;
            }
            self.unread.drain(..start);
            if self.unread.len() > MAX_LINE {
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
        if self.unread.is_empty() {
            self.unread = Vec::new();
        }
        Ok(answers)
    }
}
