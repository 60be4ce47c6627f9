//! One forwarded connection: this side's socket, and its flow control.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use nix::errno::Errno;

use crate::frame::Broken;
use crate::never_wait;

/// The most bytes of one line that the other side may send without an acknowledgement.
pub const WINDOW: usize = 256 * 1024;
/// The least credit worth a frame, because each frame wakes everybody on the way to the other side and back.
pub const WORTH_TELLING: usize = WINDOW / 4;

pub struct Line {
    socket: OwnedFd,
    /// Bytes that we may send.
    credit: usize,
    /// Received, but not yet taken by the reader; never more than a window.
    pending: Vec<u8>,
    /// The other side will send nothing more.
    closing: bool,
    /// Delivered, but not yet credited to the other side.
    pub owed: usize,
}

pub enum Heard<'a> {
    Bytes(&'a [u8]),
    Nothing,
    End,
}

impl Line {
    pub fn new(socket: OwnedFd) -> io::Result<Line> {
        never_wait(&socket)?;
        Ok(Line { socket, credit: WINDOW, pending: Vec::new(), closing: false, owed: 0 })
    }

    pub fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// Events to poll for; zero: none.
    pub fn events(&self, may_send: bool) -> libc::c_short {
        let reads = may_send && self.credit > 0 && !self.closing;
        let writes = !self.pending.is_empty();
        (if reads { libc::POLLIN } else { 0 }) | (if writes { libc::POLLOUT } else { 0 })
    }

    pub fn read<'a>(&mut self, buffer: &'a mut [u8]) -> Heard<'a> {
        let most = buffer.len().min(self.credit);
        match nix::unistd::read(self.socket.as_fd(), &mut buffer[..most]) {
            Ok(0) => Heard::End,
            Ok(length) => {
                self.credit -= length;
                Heard::Bytes(&buffer[..length])
            }
            Err(Errno::EAGAIN | Errno::EINTR) => Heard::Nothing,
            Err(_) => Heard::End,
        }
    }

    pub fn receive(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        if self.closing || self.pending.len() + self.owed + bytes.len() > WINDOW {
            return Err(Broken("more than it had credit for"));
        }
        self.pending.extend_from_slice(bytes);
        Ok(())
    }

    pub fn grant(&mut self, bytes: usize) -> Result<(), Broken> {
        self.credit += bytes;
        if self.credit > WINDOW { Err(Broken("credit for more than a window")) } else { Ok(()) }
    }

    /// Delivers what is pending, and returns how much was. None: the reader is gone.
    pub fn flush(&mut self) -> Option<usize> {
        if self.pending.is_empty() {
            return Some(0);
        }
        // SAFETY: a pointer and a length of the same buffer.
        let sent = unsafe {
            let (start, length) = (self.pending.as_ptr().cast(), self.pending.len());
            libc::send(self.socket.as_raw_fd(), start, length, libc::MSG_NOSIGNAL)
        };
        match Errno::result(sent) {
            Ok(length) => {
                self.pending.drain(..length as usize);
                Some(length as usize)
            }
            Err(Errno::EAGAIN | Errno::EINTR) => Some(0),
            Err(_) => None,
        }
    }

    pub fn close(&mut self) {
        self.closing = true;
    }

    pub fn is_over(&self) -> bool {
        self.closing && self.pending.is_empty()
    }
}
