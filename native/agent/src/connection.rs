//! One connection of a host: frames in, frames out, and the streams between.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use caisson_wire::{Close, Frame, HelloReply, MAX_DATA_BYTES, MAX_FRAME_BYTES, MAX_STREAMS, Open, frame, open, opened};
use tokio::net::UnixListener;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::timeout;

use crate::agent::Agent;
use crate::inbound::{Accepts, BadHost};
use crate::link::Link;
use crate::operations;
use crate::port::port;
use crate::stream::Stream;

const MAX_CONNECTIONS: usize = 64;
/// Frames that wait for the socket. Senders block when the queue is full, so this bounds the memory of a connection.
const OUTGOING_FRAMES: usize = 8;
const SMALL_READ: usize = 8 * 1024;
/// How long a large buffer is kept without input.
const GIVE_BACK: Duration = Duration::from_millis(500);

/// The hosts' connections; their number is limited.
#[derive(Clone)]
pub struct Guests {
    agent: Rc<Agent>,
    open: Rc<Cell<usize>>,
}

impl Guests {
    pub fn new(agent: Rc<Agent>) -> Guests {
        Guests { agent, open: Rc::default() }
    }

    /// Over the limit it closes here, and its host is told so by that.
    pub fn serve(&self, link: Link) {
        let Guests { agent, open } = self.clone();
        if open.get() == MAX_CONNECTIONS {
            return;
        }
        open.set(open.get() + 1);
        tokio::task::spawn_local(async move {
            serve(agent, link).await;
            open.set(open.get() - 1);
        });
    }

    fn serve_socket(&self, socket: OwnedFd) {
        // If the kernel has no room to watch it, it closes here.
        if let Ok(socket) = port(socket) {
            self.serve(Link::Socket(socket));
        }
    }

    /// Returns when no connection is left. Only the keeper waits for this, with a timeout.
    pub async fn gone(&self) {
        while self.open.get() > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    /// Serves a connection that the keeper accepted for us.
    pub fn welcome(&self, descriptors: Vec<OwnedFd>) {
        for descriptor in descriptors {
            let socket = std::os::unix::net::UnixStream::from(descriptor);
            if socket.set_nonblocking(true).is_ok() {
                self.serve_socket(socket.into());
            }
        }
    }
}

pub async fn accept(guests: Guests, listener: UnixListener) {
    loop {
        match listener.accept().await {
            Ok((socket, _)) => {
                // Likewise.
                if let Ok(socket) = socket.into_std() {
                    guests.serve_socket(socket.into());
                }
            }
            // Out of descriptors or memory, until some connection ends.
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

type Streams = Rc<RefCell<HashMap<u32, Rc<Stream>>>>;

async fn serve(agent: Rc<Agent>, link: Link) {
    let (sender, receiver) = channel(OUTGOING_FRAMES);
    let connection = Connection { agent, outgoing: sender, streams: Streams::default(), last: 0, greeted: false };
    let streams = connection.streams.clone();
    tokio::select! {
        heard = connection.listen(&link) => if let Err(BadHost(why)) = heard {
            // Goes to /dev/null inside a wall.
            eprintln!("caisson-agent: connection closed: {why}");
        },
        _ = speak(&link, receiver) => {}
    }
    for stream in streams.borrow().values() {
        stream.cancel();
    }
}

async fn speak(link: &Link, mut queue: Receiver<Vec<u8>>) -> io::Result<()> {
    let mut frames = Vec::with_capacity(OUTGOING_FRAMES);
    let mut joined = Vec::new();
    while queue.recv_many(&mut frames, OUTGOING_FRAMES).await > 0 {
        for frame in frames.drain(..) {
            if joined.len() + frame.len() > SMALL_READ && !joined.is_empty() {
                link.send_all(&joined).await?;
                joined.clear();
            }
            if frame.len() > SMALL_READ {
                link.send_all(&frame).await?;
            } else {
                joined.extend_from_slice(&frame);
            }
        }
        if !joined.is_empty() {
            link.send_all(&joined).await?;
            joined.clear();
        }
    }
    Ok(())
}

struct Connection {
    agent: Rc<Agent>,
    outgoing: Sender<Vec<u8>>,
    streams: Streams,
    last: u32,
    greeted: bool,
}

impl Connection {
    /// Returns when the host is gone or violated the protocol; there is no resynchronisation.
    async fn listen(mut self, link: &Link) -> Result<(), BadHost> {
        let mut buffer: Vec<u8> = Vec::with_capacity(SMALL_READ);
        loop {
            // Shrink only after a pause: growing again for each chunk of a file costs more than the chunk.
            if buffer.is_empty() && buffer.capacity() > SMALL_READ && timeout(GIVE_BACK, link.readable()).await.is_err()
            {
                buffer = Vec::with_capacity(SMALL_READ);
            }
            match link.receive(&mut buffer).await {
                Ok(0) | Err(_) => return Ok(()),
                Ok(_) => {}
            }
            let filled = buffer.len() == buffer.capacity();
            let mut used = 0;
            while let Some((frame, bytes)) =
                caisson_wire::decode(&buffer[used..]).map_err(|_| BadHost("not a sequence of frames"))?
            {
                used += bytes;
                self.receive(frame)?;
            }
            buffer.drain(..used);
            if filled {
                // Grows only while a large frame or a flood fills it, and never beyond the largest frame.
                let wanted = (buffer.capacity() * 2).min(MAX_FRAME_BYTES + 4);
                buffer.reserve_exact(wanted.saturating_sub(buffer.len()));
            }
        }
    }

    fn receive(&mut self, frame: Frame) -> Result<(), BadHost> {
        let id = frame.stream;
        let body = frame.body.ok_or(BadHost("a frame without a body"))?;
        if let frame::Body::Open(open) = body {
            return self.open(id, open);
        }
        if id == 0 || id > self.last {
            return Err(BadHost("a stream that was never opened"));
        }
        if !matches!(
            body,
            frame::Body::Data(_) | frame::Body::Window(_) | frame::Body::Control(_) | frame::Body::Close(_)
        ) {
            return Err(BadHost("a frame that only the agent sends"));
        }
        let stream = self.streams.borrow().get(&id).cloned();
        // The frame was in flight when the stream ended, which is not an error.
        let Some(stream) = stream else { return Ok(()) };
        match body {
            frame::Body::Data(data) if data.payload.len() > MAX_DATA_BYTES => Err(BadHost("a payload over the limit")),
            frame::Body::Data(data) => stream.receive_data(data),
            frame::Body::Window(window) => {
                stream.receive_window(window);
                Ok(())
            }
            frame::Body::Control(control) => stream.receive_control(control),
            _ => {
                stream.cancel();
                Ok(())
            }
        }
    }

    fn open(&mut self, id: u32, open: Open) -> Result<(), BadHost> {
        let operation = open.operation.ok_or(BadHost("an open without an operation"))?;
        if id <= self.last {
            return Err(BadHost("stream numbers must grow"));
        }
        if self.streams.borrow().len() >= MAX_STREAMS {
            return Err(BadHost("too many streams"));
        }
        let hello = matches!(operation, open::Operation::Hello(_));
        if hello == self.greeted {
            return Err(BadHost("hello comes first, and once"));
        }
        self.greeted = true;
        self.last = id;
        let stream = Rc::new(Stream::new(id, accepts(&operation), self.outgoing.clone()));
        self.streams.borrow_mut().insert(id, stream.clone());
        let (agent, streams) = (self.agent.clone(), self.streams.clone());
        tokio::task::spawn_local(async move {
            let close = match operations::run(&agent, &stream, operation).await {
                Ok(()) => Close::default(),
                Err(refusal) => refusal.into(),
            };
            // Before the Close is sent, so that a host that has received it can count on the free slot.
            streams.borrow_mut().remove(&id);
            stream.close(close).await;
            agent.rest();
        });
        Ok(())
    }
}

fn accepts(operation: &open::Operation) -> Accepts {
    let none = Accepts::default();
    match operation {
        open::Operation::Start(start) => Accepts {
            stdin: start.pty.is_none(),
            pty: start.pty.is_some(),
            control: start.control_channel,
            process: true,
            ..none
        },
        open::Operation::Attach(_) => Accepts { stdin: true, pty: true, control: true, process: true, ..none },
        open::Operation::WriteFile(_) => Accepts { file: true, ..none },
        open::Operation::Dial(_) => Accepts { tcp: true, ..none },
        _ => none,
    }
}

pub fn greeting(agent: &Agent, generation: u32) -> opened::Result {
    opened::Result::Hello(HelloReply {
        generation: generation.min(caisson_wire::AGENT_GENERATION),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        single_user: agent.config.single_user,
    })
}
