//! A machine's end of the stream to the keeper's pilot (native/relay): messages of the leash, and the hosts' connections
//! as numbered lines. All of it is in the agent's own loop, because an emulated CPU takes longer to change to another
//! thread than to do this. Neither end trusts the other: a protocol violation ends the machine.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use caisson_relay::frame::{self, Broken, Frame, Kind, MAX_PAYLOAD, encode};
use caisson_relay::{CHUNK, ENOUGH, never_wait};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv, send};
use tokio::sync::Notify;

use super::line::{Line, State};
use crate::port::{Port, port, when_writable};

const HANG_UP_LOOK: Duration = Duration::from_millis(1);

/// Before there is a loop, when only messages may come.
pub struct Beginning {
    stream: OwnedFd,
    /// The other end of the one that the agent holds.
    leash: OwnedFd,
    heard: Vec<u8>,
}

pub struct Lines {
    stream: Port,
    leash: Port,
    welcome: Box<dyn Fn(Line)>,
    open: RefCell<BTreeMap<u32, Rc<State>>>,
    /// The number of the line opened last.
    last: Cell<u32>,
    /// Output for the stream.
    out: RefCell<Vec<u8>>,
    /// The stream has taken no more of it. From then on a task writes, in order.
    is_stuck: Cell<bool>,
    stuck: Notify,
    pub room: Notify,
    end: RefCell<Option<io::Result<()>>>,
    ended: Notify,
}

impl Beginning {
    /// Makes both non-blocking.
    pub fn new(stream: OwnedFd, leash: OwnedFd) -> io::Result<Beginning> {
        [&stream, &leash].into_iter().try_for_each(never_wait)?;
        Ok(Beginning { stream, leash, heard: Vec::new() })
    }

    /// Waits for the keeper's next message, and puts it on the leash.
    pub fn bring_message(&mut self) -> io::Result<()> {
        let mut buffer = [0; 4096];
        loop {
            if let Some((frame, length)) = frame::decode(&self.heard).map_err(broken)? {
                self.heard.drain(..length);
                return match frame.kind {
                    Kind::Message => deliver(&self.leash, &frame.payload),
                    _ => Err(io::Error::other("a line, before the agent is there")),
                };
            }
            let mut poll = libc::pollfd { fd: self.stream.as_raw_fd(), events: libc::POLLIN, revents: 0 };
            // SAFETY: one structure of ours. That it failed is seen by the read.
            unsafe { libc::poll(&raw mut poll, 1, -1) };
            match nix::unistd::read(&self.stream, &mut buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(length) => self.heard.extend_from_slice(&buffer[..length]),
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Carries everything from now on. Returns when the stream has ended, or the protocol was violated.
    pub async fn carry(self, welcome: impl Fn(Line) + 'static) -> io::Result<()> {
        let lines = Rc::new(Lines {
            stream: port(self.stream)?,
            leash: port(self.leash)?,
            welcome: Box::new(welcome),
            open: RefCell::default(),
            last: Cell::new(0),
            out: RefCell::default(),
            is_stuck: Cell::new(false),
            stuck: Notify::new(),
            room: Notify::new(),
            end: RefCell::default(),
            ended: Notify::new(),
        });
        let (listener, writer, messenger) = (lines.clone(), lines.clone(), lines.clone());
        // Not one task, which would look at all three whenever one has something to do.
        tokio::task::spawn_local(async move { listener.over(listener.listen(self.heard).await) });
        tokio::task::spawn_local(async move { writer.over(writer.write_on().await) });
        tokio::task::spawn_local(async move { messenger.over(messenger.pass_messages().await) });
        lines.ended.notified().await;
        lines.end.take().unwrap_or(Ok(()))
    }
}

impl Lines {
    fn over(&self, result: io::Result<()>) {
        self.end.borrow_mut().get_or_insert(result);
        self.ended.notify_one();
    }

    async fn listen(self: &Rc<Self>, mut heard: Vec<u8>) -> io::Result<()> {
        let mut buffer = vec![0; CHUNK];
        loop {
            let mut used = 0;
            while let Some((frame, length)) = frame::decode(&heard[used..]).map_err(broken)? {
                used += length;
                let is_end = frame.kind == Kind::Close;
                self.take(frame)?;
                if is_end {
                    // Its place is free before another line is opened.
                    tokio::task::yield_now().await;
                }
            }
            if used > 0 {
                heard.drain(..used);
                // Whoever was given something goes first. Then it is read again, since a port gives one piece at a
                // time, and does not tell that there is another.
                tokio::task::yield_now().await;
            }
            let mut ready = self.stream.readable().await?;
            match ready.try_io(|stream| Ok(nix::unistd::read(stream.get_ref(), &mut buffer)?)) {
                Ok(Ok(0)) => return Ok(()),
                Ok(Ok(length)) => heard.extend_from_slice(&buffer[..length]),
                Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(()),
                Ok(Err(error)) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                // There was nobody at the other end for a moment, which is remembered: it looks readable for ever.
                Err(_) if ready.ready().is_read_closed() => tokio::time::sleep(HANG_UP_LOOK).await,
                _ => {}
            }
        }
    }

    fn take(self: &Rc<Self>, Frame { kind, line, payload }: Frame) -> io::Result<()> {
        match kind {
            Kind::Message => return deliver(self.leash.get_ref(), &payload),
            Kind::Open => return self.begin(line, &payload),
            Kind::Anew => {
                self.forget();
                return Ok(());
            }
            Kind::Data | Kind::Credit | Kind::Close => {}
        }
        if line == 0 || line > self.last.get() {
            return Err(io::Error::other("a line that was never opened"));
        }
        // The frame was in flight when the line ended, which is not an error.
        let Some(state) = self.open.borrow().get(&line).cloned() else { return Ok(()) };
        match (kind, <[u8; 4]>::try_from(payload.as_slice())) {
            (Kind::Data, _) => state.receive(&payload).map_err(broken),
            (Kind::Credit, Ok(bytes)) => state.grant(u32::from_le_bytes(bytes) as usize).map_err(broken),
            (Kind::Credit, Err(_)) => Err(io::Error::other("credit without a number")),
            _ => {
                self.open.borrow_mut().remove(&line);
                state.close();
                Ok(())
            }
        }
    }

    fn begin(self: &Rc<Self>, number: u32, message: &[u8]) -> io::Result<()> {
        if number <= self.last.get() || !crate::leash::is_connection(message) {
            return Err(io::Error::other("a line that may not be opened"));
        }
        self.last.set(number);
        let state = Rc::new(State::new());
        self.open.borrow_mut().insert(number, state.clone());
        (self.welcome)(Line::new(number, state, self.clone()));
        Ok(())
    }

    /// This machine was restored, and the peer of its lines is gone.
    fn forget(&self) {
        for state in std::mem::take(&mut *self.open.borrow_mut()).into_values() {
            state.close();
        }
        self.last.set(0);
    }

    /// What the agent's threads and loop tell the keeper.
    async fn pass_messages(&self) -> io::Result<()> {
        let mut buffer = vec![0; MAX_PAYLOAD];
        loop {
            let room = self.room.notified();
            if !self.has_room() {
                room.await;
                continue;
            }
            let mut ready = self.leash.readable().await?;
            match ready.try_io(|leash| Ok(recv(leash.as_raw_fd(), &mut buffer, MsgFlags::empty())?)) {
                Ok(Ok(0)) => return Ok(()),
                Ok(Ok(length)) => self.put(Kind::Message, 0, &buffer[..length]),
                Ok(Err(error)) => return Err(error),
                Err(_) => {}
            }
        }
    }

    /// When this much waits for the stream, no more is taken for it.
    pub fn has_room(&self) -> bool {
        self.out.borrow().len() < ENOUGH
    }

    pub fn put(&self, kind: Kind, line: u32, payload: &[u8]) {
        encode(&mut self.out.borrow_mut(), kind, line, payload);
        if !self.is_stuck.get() && self.write().is_err() {
            self.is_stuck.set(true);
            self.stuck.notify_one();
        }
    }

    /// An error: also when the stream has no space.
    fn write(&self) -> io::Result<()> {
        let mut out = self.out.borrow_mut();
        while !out.is_empty() {
            let length = nix::unistd::write(self.stream.get_ref(), &out[..out.len().min(CHUNK)])?;
            out.drain(..length);
            if out.len() < ENOUGH {
                self.room.notify_waiters();
            }
        }
        Ok(())
    }

    /// Closes it, unless the other side has. After a restore another may have its number.
    pub fn close(&self, number: u32, state: &Rc<State>) {
        let mut open = self.open.borrow_mut();
        if open.get(&number).is_some_and(|open| Rc::ptr_eq(open, state)) {
            open.remove(&number);
            self.put(Kind::Close, number, &[]);
        }
    }

    async fn write_on(&self) -> io::Result<()> {
        loop {
            self.stuck.notified().await;
            match when_writable(&self.stream, |_| self.write()).await {
                Ok(()) => self.is_stuck.set(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => self.stuck.notify_one(),
                Err(error) if matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) => {
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
    }
}

fn deliver(leash: &OwnedFd, message: &[u8]) -> io::Result<()> {
    send(leash.as_raw_fd(), message, MsgFlags::MSG_NOSIGNAL)?;
    Ok(())
}

fn broken(Broken(why): Broken) -> io::Error {
    io::Error::other(why)
}
