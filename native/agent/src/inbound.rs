//! Data that the host has sent on a stream and that is not consumed yet. It is validated on arrival and bounded by
//! credit.

use std::collections::VecDeque;

use caisson_wire::data::Channel;
use caisson_wire::{Control, Data, INITIAL_WINDOW_BYTES, control};

/// Credit is returned in steps of this size, so that small messages do not each cost a Window frame.
const RETURN_STEP: usize = INITIAL_WINDOW_BYTES / 4;
/// Small payloads are joined up to this size, to keep the overhead per queued byte low.
const JOINED_BYTES: usize = 64 * 1024;

/// Which Data frames the host may send on a stream; any other ends the connection.
#[derive(Clone, Copy, Default)]
pub struct Accepts {
    pub stdin: bool,
    pub pty: bool,
    pub control: bool,
    pub file: bool,
    pub tcp: bool,
    /// The stream has a process, so Control is valid.
    pub process: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    Main,
    Control,
}

/// The host violated the protocol; the connection ends.
#[derive(Debug)]
pub struct BadHost(pub &'static str);

/// What Control requested since the last check.
pub struct Orders {
    pub signals: Vec<i32>,
    pub resize: Option<(u16, u16)>,
}

#[derive(Default)]
struct Waiting {
    chunks: VecDeque<Vec<u8>>,
    /// Consumed bytes of the first chunk.
    used: usize,
    ended: bool,
}

pub struct Inbound {
    accepts: Accepts,
    lanes: [Waiting; 2],
    /// Bytes that the host may still send.
    allowance: usize,
    /// Bytes consumed but not yet returned as a Window.
    returnable: usize,
    /// One bit per pending signal number.
    signals: u64,
    resize: Option<(u16, u16)>,
}

impl Inbound {
    pub fn new(accepts: Accepts) -> Self {
        let lanes = [Waiting::default(), Waiting::default()];
        Inbound { accepts, lanes, allowance: INITIAL_WINDOW_BYTES, returnable: 0, signals: 0, resize: None }
    }

    pub fn receive_data(&mut self, data: Data) -> Result<(), BadHost> {
        let accepts = &self.accepts;
        let lane = match data.channel() {
            Channel::Stdin if accepts.stdin => Lane::Main,
            Channel::Pty if accepts.pty => Lane::Main,
            Channel::File if accepts.file => Lane::Main,
            Channel::Tcp if accepts.tcp => Lane::Main,
            Channel::Control if accepts.control => Lane::Control,
            _ => return Err(BadHost("data on a channel that the stream does not have")),
        };
        let left = self.allowance.checked_sub(data.payload.len());
        self.allowance = left.ok_or(BadHost("more data than there was credit for"))?;
        let waiting = &mut self.lanes[lane as usize];
        if waiting.ended && !data.payload.is_empty() {
            return Err(BadHost("data after the end of its channel"));
        }
        waiting.push(data.payload);
        waiting.ended |= data.end;
        Ok(())
    }

    pub fn receive_control(&mut self, control: Control) -> Result<(), BadHost> {
        if !self.accepts.process {
            return Err(BadHost("control of a stream that has no process"));
        }
        match control.action {
            Some(control::Action::Signal(number @ 1..=64)) => self.signals |= 1 << (number - 1),
            Some(control::Action::Resize(size)) => self.resize = Some(cells(size.columns, size.rows)),
            Some(control::Action::CloseStdin(close)) => self.lanes[Lane::Main as usize].ended |= close,
            _ => return Err(BadHost("a control that says nothing known")),
        }
        Ok(())
    }

    /// None: nothing is queued, but more may come. False: the lane has ended, and everything was consumed.
    pub fn has(&self, lane: Lane) -> Option<bool> {
        let waiting = &self.lanes[lane as usize];
        if waiting.chunks.is_empty() { waiting.ended.then_some(false) } else { Some(true) }
    }

    pub fn consume<E>(&mut self, lane: Lane, consume: impl FnOnce(&[u8]) -> Result<usize, E>) -> Result<(), E> {
        let waiting = &mut self.lanes[lane as usize];
        let Some(first) = waiting.chunks.front() else { return Ok(()) };
        let used = consume(&first[waiting.used..])?;
        waiting.used += used;
        if waiting.used >= first.len() {
            waiting.chunks.pop_front();
            waiting.used = 0;
        }
        self.returnable += used;
        Ok(())
    }

    pub fn take(&mut self, lane: Lane) -> Vec<Vec<u8>> {
        let waiting = &mut self.lanes[lane as usize];
        let mut chunks: Vec<Vec<u8>> = std::mem::take(&mut waiting.chunks).into();
        if let Some(first) = chunks.first_mut() {
            first.drain(..std::mem::take(&mut waiting.used));
        }
        self.returnable += chunks.iter().map(Vec::len).sum::<usize>();
        chunks
    }

    pub fn is_worth_returning(&self) -> bool {
        self.returnable >= RETURN_STEP
    }

    /// Returns the number of bytes that the host may send again.
    pub fn return_all(&mut self) -> usize {
        let bytes = std::mem::take(&mut self.returnable);
        self.allowance += bytes;
        bytes
    }

    pub fn orders(&mut self) -> Option<Orders> {
        let bits = std::mem::take(&mut self.signals);
        let resize = self.resize.take();
        if bits == 0 && resize.is_none() {
            return None;
        }
        let signals = (1..=64).filter(|number| bits & (1 << (number - 1)) != 0).collect();
        Some(Orders { signals, resize })
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

/// Columns and rows in the terminal's number range.
pub fn cells(columns: u32, rows: u32) -> (u16, u16) {
    (u16::try_from(columns).unwrap_or(u16::MAX), u16::try_from(rows).unwrap_or(u16::MAX))
}
