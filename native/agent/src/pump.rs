//! What moves between a process and the stream that is attached to it. Nothing is read from a pipe before there is credit and a place in the
//! connection's queue for it, so a reader that stalls costs a full pipe and no memory; and nothing that was read can be lost when the stream ends.

use std::cell::RefCell;
use std::future::pending;
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::time::Duration;

use caisson_wire::data::Channel;
use caisson_wire::{Exit, event};
use nix::errno::Errno;
use tokio::time::{Instant, sleep, sleep_until};

use crate::agent::Agent;
use crate::inbound::Lane;
use crate::port::{Port, Slot};
use crate::process::{End, Held, Process};
use crate::refusal::{Outcome, Refusal};
use crate::stream::Stream;
use crate::terminal;

/// What a pipe holds.
const CHUNK: usize = 64 * 1024;
/// After its process has ended, a pipe that others hold open is listened to until it was silent for so long.
const SILENCE: Duration = Duration::from_millis(50);
/// And never longer than this.
const LAST_CALL: Duration = Duration::from_secs(1);
const FORGET_PAUSE: Duration = Duration::from_millis(5);
const END_OF_TRANSMISSION: u8 = 4;
const CONTROL: usize = 2;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; CHUNK]);
}

/// Until the process has ended and its last words are sent, or the stream is over.
pub async fn serve(agent: &Rc<Agent>, stream: &Stream, process: &Rc<Process>) -> Outcome<()> {
    let attachment = process.attach();
    let pump = Pump { stream, process };
    let end = tokio::select! {
        end = pump.output() => end?,
        never = pump.input() => match never? {},
        never = pump.control_input() => match never? {},
        never = pump.orders() => match never {},
        () = attachment.taken_over() => return Err(Refusal::taken_over()),
        () = stream.cancelled() => return Err(Refusal::cancelled()),
    };
    let status = end.status;
    let exit = Exit {
        code: status.map_or(0, |status| status.code),
        signal: status.map_or(0, |status| status.signal as u32),
        disk_full: end.disk_full,
        unknown: status.is_none(),
    };
    stream.event(event::What::Exit(exit)).await?;
    agent.processes.borrow_mut().remove(process);
    agent.drain(process);
    Ok(())
}

struct Pump<'a> {
    stream: &'a Stream,
    process: &'a Rc<Process>,
}

type Never = std::convert::Infallible;

impl Pump<'_> {
    async fn output(&self) -> Outcome<Rc<End>> {
        let mut last_byte = Instant::now();
        loop {
            self.forward_held().await?;
            let outputs = self.process.ports.outputs();
            let ports = outputs.map(|(slot, _)| slot.get());
            let end = self.process.ended();
            if let Some(end) = &end
                && ports.iter().all(Option::is_none)
            {
                return Ok(end.clone());
            }
            let owed = end.as_ref().map_or([0; 3], |end| end.owed.get());
            let ready = tokio::select! {
                ready = readable(ports[0].as_ref()) => (0, ready),
                ready = readable(ports[1].as_ref()) => (1, ready),
                ready = readable(ports[CONTROL].as_ref()) => (CONTROL, ready),
                () = self.process.wait_end(), if end.is_none() => continue,
                () = silence(end.as_deref(), last_byte), if owed == [0; 3] => match end {
                    Some(end) => return Ok(end),
                    None => continue,
                },
            };
            let (index, guard) = ready;
            let Ok(mut guard) = guard else {
                outputs[index].0.close();
                continue;
            };
            let credit = self.stream.credit().await;
            let place = self.stream.place().await?;
            let Ok(read) = guard.try_io(|port| read_some(port, credit)) else {
                self.pay(index, usize::MAX);
                continue;
            };
            last_byte = Instant::now();
            let (slot, channel) = outputs[index];
            match read {
                Ok(payload) if index == CONTROL => {
                    drop(place);
                    self.pay(index, payload.len());
                    self.hold(payload);
                }
                Ok(payload) if !payload.is_empty() => {
                    self.pay(index, payload.len());
                    place.put_data(channel, payload, false);
                }
                // The end of the file, or of the terminal (EIO).
                _ => {
                    self.pay(index, usize::MAX);
                    slot.close();
                    place.put_data(channel, Vec::new(), true);
                }
            }
        }
    }

    /// Control bytes wait until everything that was written before them is forwarded. What is in the pipes now was, or cannot be told
    /// from it; counting it keeps a thread that never stops printing from holding the control bytes back for ever.
    fn hold(&self, bytes: Vec<u8>) {
        let [(first, _), (stderr, _), _] = self.process.ports.outputs();
        let ended = bytes.is_empty();
        self.process.held.replace(Held { bytes, ended, owed: [first.waiting(), stderr.waiting()] });
    }

    async fn forward_held(&self) -> Outcome<()> {
        let held = &self.process.held;
        let outputs = self.process.ports.outputs();
        for (index, (slot, channel)) in outputs.into_iter().enumerate().take(CONTROL) {
            while held.borrow().owed[index] > 0 {
                let credit = self.stream.credit().await;
                let place = self.stream.place().await?;
                // Read without asking for readiness first: the event loop may not have heard of it yet.
                let read = slot.get().map(|port| read_some(&port, credit));
                let owed = &mut held.borrow_mut().owed[index];
                match read {
                    Some(Ok(payload)) if !payload.is_empty() => {
                        *owed = owed.saturating_sub(payload.len());
                        self.pay(index, payload.len());
                        place.put_data(channel, payload, false);
                    }
                    _ => *owed = 0,
                }
            }
        }
        while !held.borrow().bytes.is_empty() {
            let credit = self.stream.credit().await;
            let place = self.stream.place().await?;
            let mut held = held.borrow_mut();
            let count = credit.min(held.bytes.len());
            place.put_data(Channel::Control, held.bytes.drain(..count).collect(), false);
        }
        if held.borrow().ended {
            self.stream.place().await?.put_data(Channel::Control, Vec::new(), true);
            held.borrow_mut().ended = false;
            self.pay(CONTROL, usize::MAX);
            self.process.ports.control.close();
        }
        Ok(())
    }

    /// Counts down what the process left behind when it ended.
    fn pay(&self, index: usize, bytes: usize) {
        if let Some(end) = self.process.ended() {
            let mut owed = end.owed.get();
            owed[index] = owed[index].saturating_sub(bytes);
            end.owed.set(owed);
        }
    }

    async fn input(&self) -> Outcome<Never> {
        let ports = &self.process.ports;
        let slot = if ports.has_terminal { &ports.pty } else { &ports.stdin };
        self.write_lane(Lane::Main, slot).await?;
        if ports.has_terminal {
            self.write_all(slot, &[END_OF_TRANSMISSION]).await;
        } else {
            slot.close();
        }
        pending().await
    }

    async fn control_input(&self) -> Outcome<Never> {
        let slot = &self.process.ports.control;
        self.write_lane(Lane::Control, slot).await?;
        if let Some(port) = slot.get() {
            // SAFETY: takes numbers only. If the process has closed its end, there is nothing left to say.
            unsafe { libc::shutdown(port.as_raw_fd(), libc::SHUT_WR) };
        }
        pending().await
    }

    /// Until the host ends the lane.
    async fn write_lane(&self, lane: Lane, slot: &Slot) -> Outcome<()> {
        while self.stream.wait(lane).await {
            match slot.get() {
                // Nobody can take it any more.
                None => drop(self.stream.take(lane)),
                Some(port) => {
                    if let Ok(mut ready) = port.writable().await
                        && let Ok(Err(_)) =
                            ready.try_io(|port| self.stream.consume(lane, |bytes| write_some(port, bytes)))
                    {
                        // A control channel may still have something to say; a terminal always.
                        self.stream.take(lane);
                        if lane == Lane::Main && !self.process.ports.has_terminal {
                            slot.close();
                        }
                    }
                }
            }
            self.stream.return_credit().await?;
        }
        Ok(())
    }

    async fn write_all(&self, slot: &Slot, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let Some(port) = slot.get() else { return };
            let Ok(mut ready) = port.writable().await else { return };
            match ready.try_io(|port| write_some(port, bytes)) {
                Ok(Ok(count)) => bytes = &bytes[count..],
                Ok(Err(_)) => return,
                Err(_) => {}
            }
        }
    }

    async fn orders(&self) -> Never {
        loop {
            let orders = self.stream.orders().await;
            if let (Some(size), Some(port)) = (orders.resize, self.process.ports.pty.get()) {
                // A terminal whose other side is gone has no size.
                let _ = terminal::resize(&port.get_ref().as_raw_fd(), size);
            }
            for number in orders.signals {
                self.process.signal(number);
            }
        }
    }
}

async fn readable(
    port: Option<&Rc<Port>>,
) -> std::io::Result<tokio::io::unix::AsyncFdReadyGuard<'_, std::os::fd::OwnedFd>> {
    match port {
        Some(port) => port.readable().await,
        None => pending().await,
    }
}

async fn silence(end: Option<&End>, last_byte: Instant) {
    match end {
        Some(end) => sleep_until((last_byte.max(end.at) + SILENCE).min(end.at + LAST_CALL)).await,
        None => pending().await,
    }
}

fn read_some(port: &Port, most: usize) -> std::io::Result<Vec<u8>> {
    SCRATCH.with_borrow_mut(|scratch| {
        let most = most.min(CHUNK);
        let count = nix::unistd::read(port.get_ref(), &mut scratch[..most])?;
        Ok(scratch[..count].to_vec())
    })
}

fn write_some(port: &Port, bytes: &[u8]) -> std::io::Result<usize> {
    match nix::unistd::write(port.get_ref(), bytes) {
        Err(Errno::EINTR) => Ok(0),
        other => Ok(other?),
    }
}

/// Reads and forgets until the other ends are closed: what a program left running in the background may go on printing.
pub async fn forget(slot: &Slot) {
    while let Some(port) = slot.get() {
        let Ok(mut ready) = port.readable().await else { return };
        match ready.try_io(|port| read_some(port, CHUNK)) {
            // Nobody waits for it, so it may be slow, and must not keep the agent busy.
            Ok(Ok(bytes)) if !bytes.is_empty() => sleep(FORGET_PAUSE).await,
            Err(_) => {}
            _ => slot.close(),
        }
    }
}
