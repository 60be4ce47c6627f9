//! What runs behind gVisor, as gVisor itself reports it: its trace points, from before the first process on, also in a
//! restored state. They do not ask for permission, so a command is recorded after it has begun. The engine waits while
//! we do not read (`RETRIES`), and counts what it could not send. A sandbox whose commands can no longer be recorded is
//! ended.

mod account;
mod fields;
mod points;
#[cfg(test)]
mod tests;
mod trial;

use std::io::ErrorKind;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, Backlog, MsgFlags, SockFlag, SockType, UnixAddr, accept4, bind, listen, send, setsockopt, socket,
    sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};
use serde_json::{Value, json};

use super::{PATIENCE, STEP};
use crate::audit::Audit;
use crate::execs;
use crate::fault::{At, Code, Fault, Outcome};

use account::{Account, Command};
pub use trial::watch as try_trace;

/// In the engine's own root.
pub const SOCKET: &str = "/trace";
pub const CONFIG: &str = "trace.json";

/// Each retry waits at most ten milliseconds: one minute in all, after which a message is dropped and counted.
const RETRIES: u32 = 6000;
/// Messages that exceed the engine's socket buffer (net.core.wmem_default) are not sent. Where that buffer is larger
/// than usual, we read this much.
const MAX_MESSAGE: usize = 256 * 1024;
/// Messages per turn, so that the host is heard in between.
const AT_ONCE: usize = 64;
const VERSION: [u8; 2] = [8, 1];

/// The content of `--pod-init-config` for a socket at this path. The engine only logs an error for a point that its
/// version lacks: see `Trace::prove`.
pub fn configuration(endpoint: &str) -> Value {
    let whose = ["thread_id", "group_id", "credentials"];
    let calls = [libc::SYS_execve, libc::SYS_execveat].into_iter().flat_map(|number| {
        ["enter", "exit"]
            .map(|when| json!({ "name": format!("syscall/sysno/{number}/{when}"), "context_fields": whose }))
    });
    let mut points = vec![
        json!({ "name": "container/start", "context_fields": ["time"] }),
        json!({ "name": "sentry/clone", "context_fields": ["group_id"] }),
        json!({ "name": "sentry/execve", "context_fields": whose }),
    ];
    points.extend(calls);
    let sink = json!({ "name": "remote", "config": { "endpoint": endpoint, "retries": RETRIES } });
    json!({ "trace_session": { "name": "Default", "points": points, "sinks": [sink] } })
}

/// Where the engine will connect, once.
pub fn listener(path: &str) -> Outcome<OwnedFd> {
    let door = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None).at(STEP, path)?;
    bind(door.as_raw_fd(), &UnixAddr::new(path).at(STEP, path)?).at(STEP, path)?;
    listen(&door, Backlog::new(1).at(STEP, path)?).at(STEP, path)?;
    Ok(door)
}

pub enum Heard {
    More,
    Nothing,
    Over,
}

pub struct Trace {
    socket: OwnedFd,
    account: Account,
    buffer: Vec<u8>,
}

impl Trace {
    /// Waits for the engine to connect. None: `other` became readable first, which signals the engine's end.
    pub fn begin(door: &OwnedFd, other: &OwnedFd) -> Outcome<Option<Trace>> {
        let mut ends = [PollFd::new(door.as_fd(), PollFlags::POLLIN), PollFd::new(other.as_fd(), PollFlags::POLLIN)];
        let patience = PollTimeout::try_from(PATIENCE).at(STEP, "poll")?;
        if poll(&mut ends, patience).at(STEP, "poll")? == 0 {
            return Err(Fault::new(Code::LaunchFailed, STEP, "it has not connected to say what it runs"));
        }
        if !ends[0].any().unwrap_or(false) {
            return Ok(None);
        }
        let accepted = accept4(door.as_raw_fd(), SockFlag::SOCK_CLOEXEC).at(STEP, "accept")?;
        // SAFETY: just opened, owned by nobody else.
        let socket = unsafe { OwnedFd::from_raw_fd(accepted) };
        setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::seconds(PATIENCE.as_secs() as i64)).at(STEP, "trace")?;
        let mut trace = Trace { socket, account: Account::default(), buffer: vec![0; MAX_MESSAGE] };
        // The engine sends its protocol version, which may be newer, and checks ours in turn.
        if trace.receive(MsgFlags::empty()).at(STEP, "trace")? == 0 {
            return Ok(None);
        }
        send(trace.socket.as_raw_fd(), &VERSION, MsgFlags::MSG_NOSIGNAL).at(STEP, "trace")?;
        Ok(Some(trace))
    }

    pub fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// Checks that tracing works. The agent has been started, or has started a thread; the engine reports either unless
    /// it reports nothing at all.
    pub fn prove(&mut self, audit: &mut Audit) -> Outcome<()> {
        let heard = self.drain(audit).and_then(|()| match self.account.begun {
            true => Ok(()),
            false => Err("it does not say what it runs".into()),
        });
        heard.map_err(|why| Fault::new(Code::LaunchFailed, STEP, why))
    }

    /// Handles everything that has been reported so far.
    pub fn drain(&mut self, audit: &mut Audit) -> Result<(), String> {
        while matches!(self.hear(audit)?, Heard::More) {}
        Ok(())
    }

    /// Records what has been reported, at most one turn's worth. An error says why commands can no longer be recorded.
    pub fn hear(&mut self, audit: &mut Audit) -> Result<Heard, String> {
        self.each(|command| {
            if audit.spent() {
                return Err("they have filled what a sandbox may have of the record".into());
            }
            record(command, audit).map_err(|error| format!("audit: {error}"))
        })
    }

    fn each(&mut self, mut note: impl FnMut(Command<'_>) -> Result<(), String>) -> Result<Heard, String> {
        for _ in 0..AT_ONCE {
            let length = match self.receive(MsgFlags::MSG_DONTWAIT) {
                Ok(0) => return Ok(Heard::Over),
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Heard::Nothing),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(Heard::Over),
                Err(error) => return Err(error.to_string()),
            };
            let (bytes, whole) = (&self.buffer[..length.min(MAX_MESSAGE)], length <= MAX_MESSAGE);
            let message = points::read(bytes, whole).map_err(|wrong| format!("a malformed trace point: {wrong}"))?;
            self.account.take(message)?.map_or(Ok(()), &mut note)?;
        }
        Ok(Heard::More)
    }

    /// Returns the length of the message, which may exceed what was read.
    fn receive(&mut self, flags: MsgFlags) -> std::io::Result<usize> {
        let flags = (flags | MsgFlags::MSG_TRUNC).bits();
        // SAFETY: the buffer is ours and has the given length.
        let length =
            unsafe { libc::recv(self.socket.as_raw_fd(), self.buffer.as_mut_ptr().cast(), MAX_MESSAGE, flags) };
        usize::try_from(length).map_err(|_| std::io::Error::last_os_error())
    }
}

fn record(command: Command<'_>, audit: &mut Audit) -> std::io::Result<()> {
    let unread = command.words.is_none();
    let words = command.words.unwrap_or_default();
    let mut more = vec![("uid", command.uid.into()), ("parent", command.parent.into())];
    more.extend(unread.then_some(("unread", true.into())));
    let secrets = caisson_execs::secrets(&words.variables);
    let asked = execs::Asked {
        pid: command.pid.into(),
        path: words.path,
        argv: &words.argv,
        secrets: &secrets,
        truncated: words.truncated || unread,
    };
    asked.record(audit, more)
}
