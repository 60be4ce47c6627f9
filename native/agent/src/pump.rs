//! Moves data between a process and the stream attached to it. A pipe is only read when there is credit and a place in
//! the connection's queue. So a stalled reader costs a full pipe but no memory, and nothing that was read can be lost
//! when the stream ends.

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
use crate::port::{Port, Slot, waiting, when_writable};
use crate::process::{End, Held, Process};
use crate::refusal::{Outcome, Refusal};
use crate::stream::Stream;
use crate::terminal;
use crate::vm;

/// The capacity of a pipe.
const CHUNK: usize = 64 * 1024;
/// After the process has ended, a pipe that others hold open is read until it has been silent for this long.
const SILENCE: Duration = Duration::from_millis(50);
/// But never longer than this.
const LAST_CALL: Duration = Duration::from_secs(1);
const FORGET_PAUSE: Duration = Duration::from_millis(5);
const END_OF_TRANSMISSION: u8 = 4;
const CONTROL: usize = 2;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; CHUNK]);
}

/// Returns once the process has ended and its last output is sent, or the stream is over.
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
                    if vm::is_here() && !payload.is_empty() && payload.len() < credit.min(CHUNK) {
                        // That was all. To ask again is a call of the kernel, which an emulated machine feels.
                        guard.clear_ready();
                    }
                    self.pay(index, payload.len());
                    self.hold(payload);
                }
                Ok(payload) if !payload.is_empty() => {
                    self.pay(index, payload.len());
                    place.put_data(channel, payload, false);
                }
                // End of file, or of the terminal (EIO).
                _ => {
                    self.pay(index, usize::MAX);
                    slot.close();
                    place.put_data(channel, Vec::new(), true);
                }
            }
        }
    }

    /// Holds control bytes back until everything that was written before them is forwarded. What is in the pipes now
    /// was written before them, or is indistinguishable from it. Counting it prevents a thread that never stops
    /// printing from holding the control bytes back for ever.
    fn hold(&self, bytes: Vec<u8>) {
        let [(first, _), (stderr, _), _] = self.process.ports.outputs();
        let ended = bytes.is_empty();
        self.process.held.replace(Held { bytes, ended, owed: waiting([first, stderr]) });
    }

    async fn forward_held(&self) -> Outcome<()> {
        let held = &self.process.held;
        let outputs = self.process.ports.outputs();
        for (index, (slot, channel)) in outputs.into_iter().enumerate().take(CONTROL) {
            while held.borrow().owed[index] > 0 {
                let credit = self.stream.credit().await;
                let place = self.stream.place().await?;
                // Read without waiting for readiness: the event loop may not have been notified yet.
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

    /// Counts down the output that was left when the process ended.
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
            // SAFETY: takes numbers only. Fails if the process has closed its end, which does not matter.
            unsafe { libc::shutdown(port.as_raw_fd(), libc::SHUT_WR) };
        }
        pending().await
    }

    /// Returns when the host ends the lane.
    async fn write_lane(&self, lane: Lane, slot: &Slot) -> Outcome<()> {
        while self.stream.wait(lane).await {
            match slot.get() {
                // Nobody can receive it any more.
                None => drop(self.stream.take(lane)),
                Some(port) => {
                    let write = |port: &Port| self.stream.consume(lane, |bytes| write_some(port, bytes));
                    if when_writable(&port, write).await.is_err() {
                        // The process may still send on a control channel, and always on a terminal.
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
            let Ok(count) = when_writable(&port, |port| write_some(port, bytes)).await else { return };
            bytes = &bytes[count..];
        }
    }

    async fn orders(&self) -> Never {
        loop {
            let orders = self.stream.orders().await;
            if let (Some(size), Some(port)) = (orders.resize, self.process.ports.pty.get()) {
                // Fails for a terminal whose other side is gone.
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

/// Reads and discards until the other ends are closed, so that background processes can go on printing.
pub async fn forget(slot: &Slot) {
    while let Some(port) = slot.get() {
        let Ok(mut ready) = port.readable().await else { return };
        match ready.try_io(|port| read_some(port, CHUNK)) {
            // Nobody waits for this output, so slow down to spare the CPU.
            Ok(Ok(bytes)) if !bytes.is_empty() => sleep(FORGET_PAUSE).await,
            Err(_) => {}
            _ => slot.close(),
        }
    }
}
