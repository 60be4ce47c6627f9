//! A leash is a socket that carries messages with descriptors. No descriptor can be passed into a virtual machine,
//! which has only a byte stream. The relay at the host's end of that stream forwards messages unchanged, and also
//! forwards a connection that comes with one, as a numbered line; the machine's end is part of its agent
//! (native/agent/src/vm/lines.rs). Neither end trusts the other: a protocol violation ends the relay, and no buffer
//! grows beyond a window.

pub mod frame;
mod line;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use caisson_zygote::message::{receive, send};
use frame::{Broken, Frame, Kind, encode};
use line::{Heard, Line};
pub use line::{WINDOW, WORTH_TELLING};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};

/// Open lines at once.
const MAX_LINES: usize = 64;
/// Bytes per line and turn.
pub const CHUNK: usize = 32 * 1024;
/// When this much waits for the stream, no more is read for it.
pub const ENOUGH: usize = 256 * 1024;

/// Makes it non-blocking, for everybody who shares it.
pub fn never_wait(descriptor: &OwnedFd) -> io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(descriptor, FcntlArg::F_GETFL)?);
    fcntl(descriptor, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}

/// The host's end: it opens lines, and accepts none.
pub struct Relay {
    leash: OwnedFd,
    stream: OwnedFd,
    lines: BTreeMap<u32, Line>,
    /// The number of the line opened last.
    last: u32,
    /// Output for the stream.
    out: Vec<u8>,
    /// Input from the stream, not yet a whole frame.
    heard: Vec<u8>,
    /// A reusable read buffer: zeroing a new one each time would take longer than a message.
    buffer: Vec<u8>,
}

impl Relay {
    /// Makes both non-blocking, which affects everybody who shares them.
    pub fn new(leash: OwnedFd, stream: OwnedFd) -> io::Result<Relay> {
        [&leash, &stream].into_iter().try_for_each(never_wait)?;
        let (lines, out, heard) = (BTreeMap::new(), Vec::new(), Vec::new());
        Ok(Relay { leash, stream, lines, last: 0, out, heard, buffer: vec![0; frame::MAX_PAYLOAD] })
    }

    /// Before anything else: the guest was restored, and has lines to a peer that is gone.
    pub fn begin_anew(&mut self) {
        encode(&mut self.out, Kind::Anew, 0, &[]);
    }

    /// Runs until one of the two is closed, or the protocol is violated.
    pub fn run(mut self) -> io::Result<()> {
        while self.turn()? {}
        Ok(())
    }

    /// False: it is over.
    fn turn(&mut self) -> io::Result<bool> {
        let may_send = self.out.len() < ENOUGH;
        let poll = |fd: RawFd, events| libc::pollfd { fd: if events == 0 { -1 } else { fd }, events, revents: 0 };
        let writes = if self.out.is_empty() { 0 } else { libc::POLLOUT };
        let mut polls = vec![
            poll(self.leash.as_raw_fd(), if may_send { libc::POLLIN } else { 0 }),
            poll(self.stream.as_raw_fd(), libc::POLLIN | writes),
        ];
        let numbers: Vec<u32> = self.lines.keys().copied().collect();
        polls.extend(self.lines.values().map(|line| poll(line.fd(), line.events(may_send))));
        // SAFETY: the array is ours and has the given length.
        if unsafe { libc::poll(polls.as_mut_ptr(), polls.len() as libc::nfds_t, -1) } < 0 {
            return if Errno::last() == Errno::EINTR { Ok(true) } else { Err(io::Error::last_os_error()) };
        }
        if polls[1].revents != 0 && !(self.write_stream()? && self.read_stream()?) {
            return Ok(false);
        }
        for (number, poll) in numbers.into_iter().zip(&polls[2..]) {
            if poll.revents != 0 {
                self.serve(number, poll.revents);
            }
        }
        if polls[0].revents != 0 && !self.read_leash()? {
            return Ok(false);
        }
        self.pay();
        // Most of what was read can be sent at once.
        self.write_stream()
    }

    /// Returns credit for delivered bytes. While the stream is blocked, a line accumulates one amount instead of many
    /// frames: otherwise a guest that never reads could make as many frames queue up as it sends bytes.
    fn pay(&mut self) {
        for (number, line) in &mut self.lines {
            if line.owed >= WORTH_TELLING && self.out.len() < ENOUGH {
                encode(&mut self.out, Kind::Credit, *number, &(line.owed as u32).to_le_bytes());
                line.owed = 0;
            }
        }
    }

    fn read_leash(&mut self) -> io::Result<bool> {
        let (length, mut descriptors) = match receive(self.leash.as_fd(), &mut self.buffer) {
            Ok((0, _)) => return Ok(false),
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
            Err(error) => return Err(error),
        };
        let message = &self.buffer[..length];
        match descriptors.pop() {
            None => encode(&mut self.out, Kind::Message, 0, message),
            // A connection over the limit is closed, as the agent would do.
            Some(_) if self.lines.len() >= MAX_LINES => {}
            Some(socket) => {
                self.last = self.last.checked_add(1).ok_or(io::ErrorKind::QuotaExceeded)?;
                self.lines.insert(self.last, Line::new(socket)?);
                encode(&mut self.out, Kind::Open, self.last, message);
            }
        }
        Ok(true)
    }

    fn write_stream(&mut self) -> io::Result<bool> {
        if self.out.is_empty() {
            return Ok(true);
        }
        match nix::unistd::write(self.stream.as_fd(), &self.out[..self.out.len().min(CHUNK)]) {
            Ok(length) => drop(self.out.drain(..length)),
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(Errno::EPIPE | Errno::ECONNRESET) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        Ok(true)
    }

    fn read_stream(&mut self) -> io::Result<bool> {
        match nix::unistd::read(self.stream.as_fd(), &mut self.buffer[..CHUNK]) {
            Ok(0) => return Ok(false),
            Ok(length) => self.heard.extend_from_slice(&self.buffer[..length]),
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(true),
            Err(Errno::ECONNRESET) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        let mut used = 0;
        let broken = |Broken(why): Broken| io::Error::other(why);
        while let Some((frame, length)) = frame::decode(&self.heard[used..]).map_err(broken)? {
            used += length;
            self.take(frame)?;
        }
        self.heard.drain(..used);
        Ok(true)
    }

    fn take(&mut self, Frame { kind, line, payload }: Frame) -> io::Result<()> {
        let broken = |Broken(why): Broken| io::Error::other(why);
        match kind {
            Kind::Message => return send(self.leash.as_fd(), &payload, &[]),
            Kind::Open | Kind::Anew => return Err(io::Error::other("what only the host may begin")),
            Kind::Data | Kind::Credit | Kind::Close => {}
        }
        if line == 0 || line > self.last {
            return Err(io::Error::other("a line that was never opened"));
        }
        // The frame was in flight when the line ended, which is not an error.
        let Some(open) = self.lines.get_mut(&line) else { return Ok(()) };
        match (kind, <[u8; 4]>::try_from(payload.as_slice())) {
            (Kind::Data, _) => open.receive(&payload).map_err(broken)?,
            (Kind::Credit, Ok(bytes)) => open.grant(u32::from_le_bytes(bytes) as usize).map_err(broken)?,
            (Kind::Credit, Err(_)) => return Err(io::Error::other("credit without a number")),
            _ => open.close(),
        }
        self.flush(line);
        Ok(())
    }

    fn serve(&mut self, number: u32, events: libc::c_short) {
        let Some(line) = self.lines.get_mut(&number) else { return };
        if line.events(true) & libc::POLLIN != 0 && events & !libc::POLLOUT != 0 {
            match line.read(&mut self.buffer[..CHUNK]) {
                Heard::Bytes(bytes) => encode(&mut self.out, Kind::Data, number, bytes),
                Heard::Nothing => {}
                Heard::End => return self.end(number),
            }
        }
        self.flush(number);
    }

    fn flush(&mut self, number: u32) {
        let Some(line) = self.lines.get_mut(&number) else { return };
        match line.flush() {
            None => self.end(number),
            Some(_) if line.is_over() => drop(self.lines.remove(&number)),
            Some(taken) => line.owed += taken,
        }
    }

    fn end(&mut self, number: u32) {
        if self.lines.remove(&number).is_some() {
            encode(&mut self.out, Kind::Close, number, &[]);
        }
    }
}
