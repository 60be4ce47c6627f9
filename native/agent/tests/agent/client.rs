//! A small host: speaks frames with an agent.

use std::collections::{HashMap, VecDeque};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use caisson_wire::data::Channel;
use caisson_wire::open::Operation;
use caisson_wire::{
    Close, Control, Data, Event, Exit, Frame, Hello, Open, Opened, Start, Window, control, event, frame, opened,
};

/// Everything that one stream said, in order of arrival per channel.
#[derive(Debug, Default)]
pub struct Said {
    pub opened: Option<opened::Result>,
    pub channels: HashMap<i32, Vec<u8>>,
    /// Channel and bytes as they came.
    pub order: Vec<(Channel, Vec<u8>)>,
    pub events: Vec<event::What>,
    pub close: Option<Close>,
}

impl Said {
    pub fn text(&self, channel: Channel) -> String {
        String::from_utf8_lossy(self.bytes(channel)).into_owned()
    }
    pub fn bytes(&self, channel: Channel) -> &[u8] {
        self.channels.get(&channel.into()).map_or(&[], Vec::as_slice)
    }
    pub fn code(&self) -> &str {
        &self.close.as_ref().unwrap().code
    }
    pub fn exit(&self) -> Exit {
        match self.events.last() {
            Some(event::What::Exit(exit)) => exit.clone(),
            other => panic!("no exit but {other:?}, {:?}", self.close),
        }
    }
    pub fn pid(&self) -> u32 {
        match &self.opened {
            Some(opened::Result::Started(started)) => started.pid,
            other => panic!("not started but {other:?}, {:?}", self.close),
        }
    }
}

pub struct Client {
    pub socket: UnixStream,
    bytes: Vec<u8>,
    waiting: VecDeque<Frame>,
    last: u32,
}

impl Client {
    pub fn greet(socket: UnixStream) -> Client {
        let mut client = Client { socket, bytes: Vec::new(), waiting: VecDeque::new(), last: 0 };
        let hello = client.ask(Operation::Hello(Hello { generation: 7 }));
        let Some(opened::Result::Hello(reply)) = hello.opened else { panic!("no hello: {hello:?}") };
        assert_eq!(reply.generation, 1);
        client
    }

    pub fn open(&mut self, operation: Operation) -> u32 {
        self.last += 1;
        self.send(self.last, frame::Body::Open(Open { operation: Some(operation) }));
        self.last
    }

    pub fn send(&mut self, stream: u32, body: frame::Body) {
        let mut bytes = Vec::new();
        caisson_wire::encode(&Frame { stream, body: Some(body) }, &mut bytes);
        self.socket.write_all(&bytes).unwrap();
    }

    pub fn data(&mut self, stream: u32, channel: Channel, payload: &[u8], end: bool) {
        let data = Data { channel: channel.into(), payload: payload.to_vec(), at_us: 0, end };
        self.send(stream, frame::Body::Data(data));
    }

    pub fn control(&mut self, stream: u32, action: control::Action) {
        self.send(stream, frame::Body::Control(Control { action: Some(action) }));
    }

    pub fn grant(&mut self, stream: u32, bytes: u32) {
        self.send(stream, frame::Body::Window(Window { bytes }));
    }

    /// None: the agent closed the connection.
    pub fn receive(&mut self) -> Option<Frame> {
        loop {
            if let Some((frame, used)) = caisson_wire::decode(&self.bytes).unwrap() {
                self.bytes.drain(..used);
                return Some(frame);
            }
            let mut chunk = vec![0; 256 * 1024];
            match self.socket.read(&mut chunk) {
                Ok(0) => return None,
                Ok(count) => self.bytes.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("no frame: {error}"),
            }
        }
    }

    /// The next frame of one stream; those of others wait.
    pub fn next(&mut self, stream: u32) -> frame::Body {
        if let Some(at) = self.waiting.iter().position(|frame| frame.stream == stream) {
            return self.waiting.remove(at).unwrap().body.unwrap();
        }
        loop {
            let frame = self.receive().expect("the agent closed the connection");
            if frame.stream == stream {
                return frame.body.unwrap();
            }
            self.waiting.push_back(frame);
        }
    }

    /// Takes one frame into what was said; false when it was the Close. Credit is returned at once.
    pub fn step(&mut self, stream: u32, said: &mut Said) -> bool {
        match self.next(stream) {
            frame::Body::Opened(Opened { result }) => said.opened = result,
            frame::Body::Event(Event { what }) => said.events.push(what.unwrap()),
            frame::Body::Window(_) => {}
            frame::Body::Close(close) => {
                said.close = Some(close);
                return false;
            }
            frame::Body::Data(data) => {
                if !data.payload.is_empty() {
                    self.grant(stream, data.payload.len() as u32);
                }
                said.channels.entry(data.channel).or_default().extend_from_slice(&data.payload);
                said.order.push((data.channel(), data.payload));
            }
            other => panic!("the agent sent {other:?}"),
        }
        true
    }

    pub fn until(&mut self, stream: u32, said: &mut Said, mut enough: impl FnMut(&Said) -> bool) {
        while !enough(said) {
            assert!(self.step(stream, said), "closed too soon: {said:?}");
        }
    }

    pub fn finish_into(&mut self, stream: u32, said: &mut Said) {
        while self.step(stream, said) {}
    }

    pub fn finish(&mut self, stream: u32) -> Said {
        let mut said = Said::default();
        self.finish_into(stream, &mut said);
        said
    }

    pub fn ask(&mut self, operation: Operation) -> Said {
        let stream = self.open(operation);
        self.finish(stream)
    }

    pub fn shell(&mut self, script: &str) -> Said {
        self.ask(Operation::Start(shell(script)))
    }

    /// What follows a stream's Open, when the Opened has come.
    pub fn started(&mut self, start: Start) -> (u32, Said) {
        let stream = self.open(Operation::Start(start));
        let mut said = Said::default();
        self.until(stream, &mut said, |said| said.opened.is_some());
        (stream, said)
    }
}

pub fn shell(script: &str) -> Start {
    Start { command: "/bin/sh".into(), args: vec!["-c".into(), script.into()], ..Start::default() }
}
