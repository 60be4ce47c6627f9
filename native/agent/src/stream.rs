//! One stream of a connection: its credit, its queued input, and whether it is over.

use std::cell::{Cell, RefCell};
use std::time::{SystemTime, UNIX_EPOCH};

use caisson_wire::data::Channel;
use caisson_wire::{Close, Control, Data, Event, Frame, INITIAL_WINDOW_BYTES, Opened, Window, frame, opened};
use tokio::sync::Notify;
use tokio::sync::mpsc::{Permit, Sender};

use crate::inbound::{Accepts, BadHost, Inbound, Lane, Orders};
use crate::refusal::{Outcome, Refusal};

const MAX_CREDIT: u64 = 1 << 40;

pub struct Stream {
    id: u32,
    outgoing: Sender<Vec<u8>>,
    credit: Cell<u64>,
    credited: Notify,
    inbound: RefCell<Inbound>,
    arrived: Notify,
    cancelled: Cell<bool>,
    ended: Notify,
}

impl Stream {
    pub fn new(id: u32, accepts: Accepts, outgoing: Sender<Vec<u8>>) -> Self {
        Stream {
            id,
            outgoing,
            credit: Cell::new(INITIAL_WINDOW_BYTES as u64),
            credited: Notify::new(),
            inbound: RefCell::new(Inbound::new(accepts)),
            arrived: Notify::new(),
            cancelled: Cell::new(false),
            ended: Notify::new(),
        }
    }

    // ---- called by the connection

    pub fn receive_data(&self, data: Data) -> Result<(), BadHost> {
        self.inbound.borrow_mut().receive_data(data)?;
        self.arrived.notify_waiters();
        Ok(())
    }

    pub fn receive_window(&self, window: Window) {
        self.credit.set((self.credit.get() + u64::from(window.bytes)).min(MAX_CREDIT));
        self.credited.notify_waiters();
    }

    pub fn receive_control(&self, control: Control) -> Result<(), BadHost> {
        self.inbound.borrow_mut().receive_control(control)?;
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

    /// Waits for a place in the connection's queue. Places are given first come, first served, for one frame each,
    /// which makes it fair.
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

    /// Waits for credit, and returns the number of bytes that may be sent.
    pub async fn credit(&self) -> usize {
        loop {
            let credited = self.credited.notified();
            match self.credit.get() {
                0 => credited.await,
                bytes => return usize::try_from(bytes).unwrap_or(usize::MAX),
            }
        }
    }

    // ---- receiving

    /// Waits until the lane has bytes or has ended. False: it has ended, and everything was consumed.
    pub async fn wait(&self, lane: Lane) -> bool {
        self.when(|inbound| inbound.has(lane)).await
    }

    pub async fn orders(&self) -> Orders {
        self.when(Inbound::orders).await
    }

    async fn when<T>(&self, mut look: impl FnMut(&mut Inbound) -> Option<T>) -> T {
        loop {
            let arrived = self.arrived.notified();
            if let Some(found) = look(&mut self.inbound.borrow_mut()) {
                return found;
            }
            arrived.await;
        }
    }

    /// Passes the first bytes of the lane to `consume`, which returns how many it used.
    pub fn consume<E>(&self, lane: Lane, consume: impl FnOnce(&[u8]) -> Result<usize, E>) -> Result<(), E> {
        self.inbound.borrow_mut().consume(lane, consume)
    }

    /// Takes everything queued in the lane, in the original chunks.
    pub fn take(&self, lane: Lane) -> Vec<Vec<u8>> {
        self.inbound.borrow_mut().take(lane)
    }

    /// Returns credit for consumed bytes, once it is worth a frame.
    pub async fn return_credit(&self) -> Outcome<()> {
        if !self.inbound.borrow().is_worth_returning() {
            return Ok(());
        }
        let place = self.place().await?;
        // The other lane may have returned it meanwhile.
        if self.inbound.borrow().is_worth_returning() {
            let bytes = self.inbound.borrow_mut().return_all();
            place.put(frame::Body::Window(Window { bytes: bytes as u32 }));
        }
        Ok(())
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

    /// Spends the credit for `payload`; the caller has checked that there is enough.
    pub fn put_data(self, channel: Channel, payload: Vec<u8>, end: bool) {
        let stream = self.stream;
        stream.credit.set(stream.credit.get().saturating_sub(payload.len() as u64));
        self.put(frame::Body::Data(Data { channel: channel.into(), payload, at_us: now_us(), end }));
    }
}

fn now_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}
