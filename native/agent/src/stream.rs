//! One stream of a connection: what may still be sent, what has come in and waits, and whether it is over.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::time::{SystemTime, UNIX_EPOCH};

use caisson_wire::data::Channel;
use caisson_wire::{Close, Control, Data, Event, Frame, INITIAL_WINDOW_BYTES, Opened, Window, control, frame, opened};
use tokio::sync::Notify;
use tokio::sync::mpsc::{Permit, Sender};

use crate::refusal::{Outcome, Refusal};

/// Credit is returned in steps of this, so that small messages cost no Window each.
const RETURN_STEP: usize = INITIAL_WINDOW_BYTES / 4;
/// Small payloads are joined up to this, so that what waits costs little more than its bytes.
const JOINED_BYTES: usize = 64 * 1024;
const MAX_CREDIT: u64 = 1 << 40;

/// Which Data the host may send on a stream; anything else breaks the connection.
#[derive(Clone, Copy, Default)]
pub struct Accepts {
    pub stdin: bool,
    pub pty: bool,
    pub control: bool,
    pub file: bool,
    pub tcp: bool,
    /// The stream has a process: Control makes sense.
    pub process: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    Main,
    Control,
}

/// The host broke the rules of the wire; the connection ends.
#[derive(Debug)]
pub struct BadHost(pub &'static str);

pub struct Stream {
    id: u32,
    accepts: Accepts,
    outgoing: Sender<Vec<u8>>,
    credit: Cell<u64>,
    credited: Notify,
    inbound: RefCell<Inbound>,
    arrived: Notify,
    cancelled: Cell<bool>,
    ended: Notify,
}

#[derive(Default)]
struct Waiting {
    chunks: VecDeque<Vec<u8>>,
    /// Bytes of the first chunk that have been used.
    used: usize,
    ended: bool,
}

struct Inbound {
    lanes: [Waiting; 2],
    /// What the host may still send.
    allowance: usize,
    /// Used up here and not yet returned as a Window.
    returnable: usize,
    /// One bit per signal number that waits to be sent.
    signals: u64,
    resize: Option<(u16, u16)>,
}

/// What Control asked for since the last look.
pub struct Orders {
    pub signals: Vec<i32>,
    pub resize: Option<(u16, u16)>,
}

impl Stream {
    pub fn new(id: u32, accepts: Accepts, outgoing: Sender<Vec<u8>>) -> Self {
        let inbound = Inbound {
            lanes: [Waiting::default(), Waiting::default()],
            allowance: INITIAL_WINDOW_BYTES,
            returnable: 0,
            signals: 0,
            resize: None,
        };
        Stream {
            id,
            accepts,
            outgoing,
            credit: Cell::new(INITIAL_WINDOW_BYTES as u64),
            credited: Notify::new(),
            inbound: RefCell::new(inbound),
            arrived: Notify::new(),
            cancelled: Cell::new(false),
            ended: Notify::new(),
        }
    }

    // ---- what the connection hands in

    pub fn receive_data(&self, data: Data) -> Result<(), BadHost> {
        let accepts = &self.accepts;
        let lane = match data.channel() {
            Channel::Stdin if accepts.stdin => Lane::Main,
            Channel::Pty if accepts.pty => Lane::Main,
            Channel::File if accepts.file => Lane::Main,
            Channel::Tcp if accepts.tcp => Lane::Main,
            Channel::Control if accepts.control => Lane::Control,
            _ => return Err(BadHost("data on a channel that the stream does not have")),
        };
        let mut inbound = self.inbound.borrow_mut();
        let Some(left) = inbound.allowance.checked_sub(data.payload.len()) else {
            return Err(BadHost("more data than there was credit for"));
        };
        inbound.allowance = left;
        let waiting = &mut inbound.lanes[lane as usize];
        if waiting.ended && !data.payload.is_empty() {
            return Err(BadHost("data after the end of its channel"));
        }
        waiting.push(data.payload);
        waiting.ended |= data.end;
        drop(inbound);
        self.arrived.notify_waiters();
        Ok(())
    }

    pub fn receive_window(&self, window: Window) {
        self.credit.set((self.credit.get() + u64::from(window.bytes)).min(MAX_CREDIT));
        self.credited.notify_waiters();
    }

    pub fn receive_control(&self, control: Control) -> Result<(), BadHost> {
        if !self.accepts.process {
            return Err(BadHost("control of a stream that has no process"));
        }
        let mut inbound = self.inbound.borrow_mut();
        match control.action {
            Some(control::Action::Signal(number @ 1..=64)) => inbound.signals |= 1 << (number - 1),
            Some(control::Action::Resize(size)) => inbound.resize = Some(cells(size.columns, size.rows)),
            Some(control::Action::CloseStdin(true)) => inbound.lanes[Lane::Main as usize].ended = true,
            Some(control::Action::CloseStdin(false)) => {}
            _ => return Err(BadHost("a control that says nothing known")),
        }
        drop(inbound);
        self.arrived.notify_waiters();
        Ok(())
    }

    /// The host closed the stream, or is gone.
    pub fn cancel(&self) {
        self.cancelled.set(true);
        self.ended.notify_waiters();
    }

    pub async fn cancelled(&self) {
        loop {
            let ended = self.ended.notified();
            if self.cancelled.get() {
                return;
            }
            ended.await;
        }
    }

    // ---- sending

    /// A place in the connection's queue. Places are given in the order they were asked for, one frame each: that is the fairness.
    pub async fn place(&self) -> Outcome<Place<'_>> {
        let permit = self.outgoing.reserve().await.map_err(|_| Refusal::cancelled())?;
        Ok(Place { stream: self, permit })
    }

    pub async fn opened(&self, result: opened::Result) -> Outcome<()> {
        self.place().await?.put(frame::Body::Opened(Opened { result: Some(result) }));
        Ok(())
    }

    pub async fn event(&self, what: caisson_wire::event::What) -> Outcome<()> {
        self.place().await?.put(frame::Body::Event(Event { what: Some(what) }));
        Ok(())
    }

    pub async fn close(&self, close: Close) {
        if let Ok(place) = self.place().await {
            place.put(frame::Body::Close(close));
        }
    }

    /// Waits until something may be sent, and says how many bytes.
    pub async fn credit(&self) -> usize {
        loop {
            let credited = self.credited.notified();
            match self.credit.get() {
                0 => credited.await,
                bytes => return usize::try_from(bytes).unwrap_or(usize::MAX),
            }
        }
    }

    // ---- what came in

    /// Waits until the lane has bytes or has ended. False: it has ended, and everything was used.
    pub async fn wait(&self, lane: Lane) -> bool {
        loop {
            let arrived = self.arrived.notified();
            {
                let waiting = &self.inbound.borrow().lanes[lane as usize];
                if !waiting.chunks.is_empty() {
                    return true;
                }
                if waiting.ended {
                    return false;
                }
            }
            arrived.await;
        }
    }

    /// Shows the first bytes of the lane to `consume`, which returns how many it used.
    pub fn consume<E>(&self, lane: Lane, consume: impl FnOnce(&[u8]) -> Result<usize, E>) -> Result<(), E> {
        let mut inbound = self.inbound.borrow_mut();
        let waiting = &mut inbound.lanes[lane as usize];
        let Some(first) = waiting.chunks.front() else { return Ok(()) };
        let used = consume(&first[waiting.used..])?;
        waiting.used += used;
        if waiting.used >= first.len() {
            waiting.chunks.pop_front();
            waiting.used = 0;
        }
        inbound.returnable += used;
        Ok(())
    }

    /// Everything that waits in the lane, as it came.
    pub fn take(&self, lane: Lane) -> Vec<Vec<u8>> {
        let mut inbound = self.inbound.borrow_mut();
        let waiting = &mut inbound.lanes[lane as usize];
        let mut chunks: Vec<Vec<u8>> = std::mem::take(&mut waiting.chunks).into();
        if let Some(first) = chunks.first_mut() {
            first.drain(..std::mem::take(&mut waiting.used));
        }
        inbound.returnable += chunks.iter().map(Vec::len).sum::<usize>();
        chunks
    }

    /// Returns credit for what was used, when it is worth a frame.
    pub async fn return_credit(&self) -> Outcome<()> {
        if self.inbound.borrow().returnable < RETURN_STEP {
            return Ok(());
        }
        let place = self.place().await?;
        let mut inbound = self.inbound.borrow_mut();
        let bytes = std::mem::take(&mut inbound.returnable);
        inbound.allowance += bytes;
        drop(inbound);
        place.put(frame::Body::Window(Window { bytes: bytes as u32 }));
        Ok(())
    }

    pub async fn orders(&self) -> Orders {
        loop {
            let arrived = self.arrived.notified();
            {
                let mut inbound = self.inbound.borrow_mut();
                let bits = std::mem::take(&mut inbound.signals);
                let resize = inbound.resize.take();
                if bits != 0 || resize.is_some() {
                    let signals = (1..=64).filter(|number| bits & (1 << (number - 1)) != 0).collect();
                    return Orders { signals, resize };
                }
            }
            arrived.await;
        }
    }
}

impl Waiting {
    fn push(&mut self, payload: Vec<u8>) {
        match self.chunks.back_mut() {
            _ if payload.is_empty() => {}
            Some(last) if last.len() + payload.len() <= JOINED_BYTES => last.extend_from_slice(&payload),
            _ => self.chunks.push_back(payload),
        }
    }
}

pub struct Place<'a> {
    stream: &'a Stream,
    permit: Permit<'a, Vec<u8>>,
}

impl Place<'_> {
    pub fn put(self, body: frame::Body) {
        let mut bytes = Vec::new();
        caisson_wire::encode(&Frame { stream: self.stream.id, body: Some(body) }, &mut bytes);
        self.permit.send(bytes);
    }

    /// Spends the credit of `payload`; the caller has seen that there is enough.
    pub fn put_data(self, channel: Channel, payload: Vec<u8>, end: bool) {
        let stream = self.stream;
        stream.credit.set(stream.credit.get().saturating_sub(payload.len() as u64));
        self.put(frame::Body::Data(Data { channel: channel.into(), payload, at_us: now_us(), end }));
    }
}

fn now_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}

/// Columns and rows as a terminal counts them.
pub fn cells(columns: u32, rows: u32) -> (u16, u16) {
    (u16::try_from(columns).unwrap_or(u16::MAX), u16::try_from(rows).unwrap_or(u16::MAX))
}
