//! One connection over a machine's stream: what has come and was not taken yet, and its flow control.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;

use caisson_relay::frame::{Broken, Kind};
use caisson_relay::{CHUNK, WINDOW, WORTH_TELLING};
use tokio::sync::Notify;

use super::lines::Lines;

/// One connection. It is closed when this is dropped.
pub struct Line {
    number: u32,
    state: Rc<State>,
    lines: Rc<Lines>,
}

pub struct State {
    /// Not yet taken by the reader; with what is owed, never more than a window.
    heard: RefCell<Vec<u8>>,
    /// Taken by the reader, but not yet credited to the other side.
    owed: Cell<usize>,
    /// Bytes that we may send.
    credit: Cell<usize>,
    /// By the other side.
    closed: Cell<bool>,
    changed: Notify,
}

impl State {
    pub fn new() -> State {
        State {
            heard: RefCell::default(),
            owed: Cell::new(0),
            credit: Cell::new(WINDOW),
            closed: Cell::new(false),
            changed: Notify::new(),
        }
    }

    pub fn receive(&self, bytes: &[u8]) -> Result<(), Broken> {
        let mut heard = self.heard.borrow_mut();
        if heard.len() + self.owed.get() + bytes.len() > WINDOW {
            return Err(Broken("more than it had credit for"));
        }
        heard.extend_from_slice(bytes);
        self.changed.notify_waiters();
        Ok(())
    }

    pub fn grant(&self, bytes: usize) -> Result<(), Broken> {
        self.credit.set(self.credit.get() + bytes);
        self.changed.notify_waiters();
        if self.credit.get() > WINDOW { Err(Broken("credit for more than a window")) } else { Ok(()) }
    }

    pub fn close(&self) {
        self.closed.set(true);
        self.changed.notify_waiters();
    }
}

impl Line {
    pub fn new(number: u32, state: Rc<State>, lines: Rc<Lines>) -> Line {
        Line { number, state, lines }
    }

    /// Waits until something has come, or the other end is closed.
    pub async fn readable(&self) {
        loop {
            let changed = self.state.changed.notified();
            if self.state.closed.get() || !self.state.heard.borrow().is_empty() {
                return;
            }
            changed.await;
        }
    }

    /// Appends what has come to the buffer, up to its capacity. 0: the other end is closed.
    pub async fn receive(&self, buffer: &mut Vec<u8>) -> usize {
        self.readable().await;
        let mut heard = self.state.heard.borrow_mut();
        let length = heard.len().min(buffer.capacity() - buffer.len());
        buffer.extend(heard.drain(..length));
        // Credit is worth a frame only in large pieces, because each wakes everybody on the way to the other side.
        let owed = self.state.owed.get() + length;
        if owed < WORTH_TELLING || self.state.closed.get() {
            self.state.owed.set(owed);
        } else {
            self.state.owed.set(0);
            self.lines.put(Kind::Credit, self.number, &(owed as u32).to_le_bytes());
        }
        length
    }

    pub async fn send_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let (changed, room) = (self.state.changed.notified(), self.lines.room.notified());
            if self.state.closed.get() {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            let most = if self.lines.has_room() { self.state.credit.get().min(CHUNK) } else { 0 };
            if most == 0 {
                tokio::select! { () = changed => {}, () = room => {} }
                continue;
            }
            let (now, later) = bytes.split_at(bytes.len().min(most));
            self.state.credit.set(self.state.credit.get() - now.len());
            self.lines.put(Kind::Data, self.number, now);
            bytes = later;
        }
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.lines.close(self.number, &self.state);
    }
}
