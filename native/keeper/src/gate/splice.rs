//! One direction of a tunnel. Bytes go from one socket to the other through a kernel pipe (splice(2)), never through
//! this process's memory.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::fcntl::OFlag;
use nix::sys::socket::{MsgFlags, Shutdown, recv, send, shutdown};

const PIPE_BYTES: i32 = 256 * 1024;
/// Empty pipes kept for reuse.
const SPARE_PIPES: usize = 8;
/// Bytes per turn and direction.
const TURN_BYTES: u64 = 1024 * 1024;

pub struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
}

/// A pool of empty pipes. A direction holds a pipe only while it has data in it, so that an idle connection costs two
/// descriptors.
#[derive(Default)]
pub struct Pipes(Vec<Pipe>);

impl Pipes {
    fn take(&mut self) -> io::Result<Pipe> {
        if let Some(pipe) = self.0.pop() {
            return Ok(pipe);
        }
        let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        // Unprivileged users may have no large pipes left; a smaller one works as well.
        // SAFETY: no pointers.
        unsafe { libc::fcntl(write.as_raw_fd(), libc::F_SETPIPE_SZ, PIPE_BYTES) };
        Ok(Pipe { read, write })
    }

    fn give_back(&mut self, pipe: Pipe) {
        if self.0.len() < SPARE_PIPES {
            self.0.push(pipe);
        }
    }

    /// No connection is left, so this frees the memory.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

/// A socket, and whether it may be readable or writable.
pub struct End {
    pub socket: OwnedFd,
    pub readable: bool,
    pub writable: bool,
}

impl End {
    pub fn new(socket: OwnedFd) -> End {
        End { socket, readable: true, writable: true }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pumped {
    /// Until one of the sockets is ready again.
    Waits,
    /// Until the rate limit has bytes again, or a descriptor is free.
    Throttled,
    /// There is more, but it is the others' turn.
    More,
    /// There is more, but the byte budget is used up.
    Spent,
    /// Everything has been passed on, including the end of the stream.
    Done,
}

#[derive(Default)]
pub struct OneWay {
    /// To be sent before anything else.
    before: Vec<u8>,
    pipe: Option<Pipe>,
    held: usize,
    ended: bool,
    done: bool,
    /// Bytes passed on.
    pub bytes: u64,
    /// Bytes that may still pass; None: no limit.
    pub left: Option<u64>,
}

impl OneWay {
    pub fn first(&mut self, bytes: &[u8]) {
        self.before.extend_from_slice(bytes);
    }

    /// Moves at most `allowance` bytes. Returns how many it took from `from`.
    pub fn pump(
        &mut self,
        from: &mut End,
        to: &mut End,
        pipes: &mut Pipes,
        allowance: u64,
    ) -> io::Result<(Pumped, u64)> {
        let mut taken = 0;
        loop {
            if self.done {
                return Ok((Pumped::Done, taken));
            }
            if !self.send_before(to)? {
                let spent = to.writable && self.left == Some(0);
                return Ok((if spent { Pumped::Spent } else { Pumped::Waits }, taken));
            }
            if !self.empty_pipe(to, pipes)? {
                return Ok((Pumped::Waits, taken));
            }
            if self.ended {
                self.done = true;
                // Fails if the peer has gone, which does not matter.
                let _ = shutdown(to.socket.as_raw_fd(), Shutdown::Write);
                continue;
            }
            if !from.readable {
                return Ok((Pumped::Waits, taken));
            }
            if taken >= TURN_BYTES {
                return Ok((Pumped::More, taken));
            }
            let left = (allowance - taken).min(PIPE_BYTES as u64).min(self.left.unwrap_or(u64::MAX)) as usize;
            if self.left == Some(0) {
                match ahead(&from.socket)? {
                    Ahead::Bytes => return Ok((Pumped::Spent, taken)),
                    Ahead::End => self.ended = true,
                    Ahead::Nothing => from.readable = false,
                }
                continue;
            }
            if left == 0 {
                return Ok((Pumped::Throttled, taken));
            }
            let Ok(pipe) = pipes.take() else { return Ok((Pumped::Throttled, taken)) };
            match splice(&from.socket, &pipe.write, left) {
                Ok(0) => {
                    self.ended = true;
                    pipes.give_back(pipe);
                }
                Ok(length) => {
                    self.held = length;
                    taken += length as u64;
                    self.spend(length);
                    self.pipe = Some(pipe);
                }
                Err(error) => {
                    pipes.give_back(pipe);
                    if error.kind() != io::ErrorKind::WouldBlock {
                        return Err(error);
                    }
                    from.readable = false;
                }
            }
        }
    }

    fn send_before(&mut self, to: &mut End) -> io::Result<bool> {
        while !self.before.is_empty() {
            if !to.writable {
                return Ok(false);
            }
            let most = self.left.map_or(self.before.len(), |left| self.before.len().min(left as usize));
            if most == 0 {
                return Ok(false);
            }
            match send(to.socket.as_raw_fd(), &self.before[..most], MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT) {
                Ok(sent) => {
                    self.before.drain(..sent);
                    self.spend(sent);
                }
                Err(nix::Error::EAGAIN) => to.writable = false,
                Err(error) => return Err(error.into()),
            }
        }
        self.before = Vec::new();
        Ok(true)
    }

    fn spend(&mut self, bytes: usize) {
        self.left = self.left.map(|left| left.saturating_sub(bytes as u64));
    }

    fn empty_pipe(&mut self, to: &mut End, pipes: &mut Pipes) -> io::Result<bool> {
        while let Some(pipe) = &self.pipe {
            if !to.writable {
                return Ok(false);
            }
            match splice(&pipe.read, &to.socket, self.held) {
                Ok(length) => {
                    self.held -= length;
                    self.bytes += length as u64;
                    if self.held == 0 {
                        self.pipe.take().into_iter().for_each(|pipe| pipes.give_back(pipe));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => to.writable = false,
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

enum Ahead {
    Bytes,
    Nothing,
    End,
}

fn ahead(socket: &OwnedFd) -> io::Result<Ahead> {
    match recv(socket.as_raw_fd(), &mut [0], MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT) {
        Ok(0) => Ok(Ahead::End),
        Ok(_) => Ok(Ahead::Bytes),
        Err(nix::Error::EAGAIN) => Ok(Ahead::Nothing),
        Err(error) => Err(error.into()),
    }
}

fn splice(from: &OwnedFd, to: &OwnedFd, length: usize) -> io::Result<usize> {
    let flags = libc::SPLICE_F_MOVE | libc::SPLICE_F_NONBLOCK;
    let none = std::ptr::null_mut();
    loop {
        // SAFETY: two descriptors, no offsets.
        let moved = unsafe { libc::splice(from.as_raw_fd(), none, to.as_raw_fd(), none, length, flags) };
        if moved >= 0 {
            return Ok(moved as usize);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}
