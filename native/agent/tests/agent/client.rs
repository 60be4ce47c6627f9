//! A small host: starts an agent, speaks frames with it.

use std::collections::{HashMap, VecDeque};
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Duration;

use caisson_wire::data::Channel;
use caisson_wire::open::Operation;
use caisson_wire::{
    Close, Control, Data, Event, Exit, Frame, Hello, Open, Opened, Start, Window, control, event, frame, opened,
};
use nix::sys::socket::{AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, recv, sendmsg, socketpair};

/// Only ends a test that hangs; nothing depends on it.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Agent {
    pub process: Child,
    pub folder: PathBuf,
    leash: Option<OwnedFd>,
}

impl Agent {
    /// With a single user: whoever runs the test.
    pub fn start() -> Agent {
        Agent::with_config(|folder| {
            let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
            let home = folder.join("home");
            serde_json::json!({
                "singleUser": true, "openFiles": 256, "writable": [home],
                "user": { "name": "user", "uid": uid.as_raw(), "gid": gid.as_raw(), "home": home },
            })
        })
    }

    pub fn with_config(config: impl FnOnce(&PathBuf) -> serde_json::Value) -> Agent {
        let agent = Agent::without_config();
        let text = config(&agent.folder).to_string();
        agent.tell(&text, &[]);
        assert_eq!(agent.hear(), r#"{"ready":true}"#);
        agent
    }

    pub fn without_config() -> Agent {
        let folder = fresh_folder();
        std::fs::create_dir_all(folder.join("home")).unwrap();
        let listener = UnixListener::bind(folder.join("agent.sock")).unwrap();
        let (ours, theirs) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_caisson-agent"));
        command.env_clear();
        let given = [high(listener.as_raw_fd()), high(theirs.as_raw_fd())];
        // SAFETY: only async-signal-safe calls, on numbers.
        unsafe {
            command.pre_exec(move || {
                libc::dup2(given[0], 3);
                libc::dup2(given[1], 4);
                // Orphans come to it, as they come to PID 1.
                libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1);
                Ok(())
            });
        }
        let process = command.spawn().unwrap();
        for number in given {
            // SAFETY: made by `high` for this command alone.
            unsafe { libc::close(number) };
        }
        Agent { process, folder, leash: Some(ours) }
    }

    pub fn tell(&self, text: &str, descriptors: &[RawFd]) {
        let parts = [std::io::IoSlice::new(text.as_bytes())];
        let rights = [ControlMessage::ScmRights(descriptors)];
        let rights = if descriptors.is_empty() { &rights[..0] } else { &rights[..] };
        sendmsg::<()>(self.leash.as_ref().unwrap().as_raw_fd(), &parts, rights, MsgFlags::empty(), None).unwrap();
    }

    pub fn hear(&self) -> String {
        let mut bytes = [0; 4096];
        let count = recv(self.leash.as_ref().unwrap().as_raw_fd(), &mut bytes, MsgFlags::empty()).unwrap();
        String::from_utf8(bytes[..count].to_vec()).unwrap()
    }

    pub fn let_go(&mut self) {
        self.leash = None;
    }

    pub fn home(&self) -> PathBuf {
        self.folder.join("home")
    }

    pub fn raw(&self) -> UnixStream {
        let socket = UnixStream::connect(self.folder.join("agent.sock")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    }

    pub fn connect(&self) -> Client {
        let mut client = Client { socket: self.raw(), bytes: Vec::new(), waiting: VecDeque::new(), last: 0 };
        let hello = client.ask(Operation::Hello(Hello { generation: 7 }));
        let Some(opened::Result::Hello(reply)) = hello.opened else { panic!("no hello: {hello:?}") };
        assert_eq!(reply.generation, 1);
        client
    }

    /// KiB, of one line of /proc/PID/status.
    pub fn status_kib(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.leash = None;
        self.process.wait().unwrap();
        std::fs::remove_dir_all(&self.folder).unwrap();
    }
}

fn high(number: RawFd) -> RawFd {
    // SAFETY: takes numbers only.
    let copy = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 100) };
    assert!(copy >= 100);
    copy
}

fn fresh_folder() -> PathBuf {
    let mut template = *b"/tmp/caisson-agent-XXXXXX\0";
    // SAFETY: a NUL-terminated template that mkdtemp fills in.
    assert!(!unsafe { libc::mkdtemp(template.as_mut_ptr().cast()) }.is_null());
    PathBuf::from(std::str::from_utf8(&template[..template.len() - 1]).unwrap())
}

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
            Some(event::What::Exit(exit)) => *exit,
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
