//! QEMU's control protocol (qemu-qmp-ref(7)): one JSON object a line, an answer to each command, events in between. Spoken by the pilot, which is as
//! little trusted as QEMU is.

use std::io::{IoSlice, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use serde_json::{Value, json};

use super::STEP;
use crate::fault::{At, Code, Fault, Outcome};

/// One answer. A healthy machine needs a millisecond; one that writes its memory to a disk answers between pieces.
const PATIENCE: Duration = Duration::from_secs(30);
/// All of a state.
const STATE_PATIENCE: Duration = Duration::from_secs(120);
const MAX_LINE: usize = 256 * 1024;
/// Between two looks at how far it has come.
const LOOK: Duration = Duration::from_millis(1);
/// As fast as it goes: by itself it would be polite to a network.
const BYTES_PER_SECOND: u64 = 1 << 40;

pub struct Qmp {
    stream: UnixStream,
    pending: Vec<u8>,
}

impl Qmp {
    /// When QEMU has begun to listen.
    pub fn greet(stream: OwnedFd) -> Outcome<Qmp> {
        let stream = UnixStream::from(stream);
        stream.set_read_timeout(Some(PATIENCE)).at(STEP, "control")?;
        let mut qmp = Qmp { stream, pending: Vec::new() };
        qmp.line()?;
        qmp.ask("qmp_capabilities", json!({}), None)?;
        Ok(qmp)
    }

    /// Writes the state of the machine, which stands still then. `shared`: without what it shares with a file. If it cannot be written, it goes on.
    pub fn save(&mut self, state: &OwnedFd, shared: bool) -> Outcome<()> {
        self.ask("stop", json!({}), None)?;
        let written = self.migrate(state, shared);
        if written.is_err() {
            self.go_on()?;
        }
        written
    }

    /// Takes on a state, from a descriptor that QEMU inherited, and goes on from there.
    pub fn restore(&mut self, number: u32, shared: bool) -> Outcome<()> {
        self.without_shared(shared)?;
        self.ask("migrate-incoming", json!({ "uri": format!("fd:{number}") }), None)?;
        let until = Instant::now() + STATE_PATIENCE;
        while self.ask("query-status", json!({}), None)?["status"] == "inmigrate" {
            if Instant::now() > until {
                return Err(failed("the state was not taken on in time"));
            }
            std::thread::sleep(LOOK);
        }
        self.go_on()
    }

    pub fn go_on(&mut self) -> Outcome<()> {
        self.ask("cont", json!({}), None).map(drop)
    }

    fn migrate(&mut self, state: &OwnedFd, shared: bool) -> Outcome<()> {
        self.without_shared(shared)?;
        self.ask("migrate-set-parameters", json!({ "max-bandwidth": BYTES_PER_SECOND }), None)?;
        self.ask("getfd", json!({ "fdname": "state" }), Some(state))?;
        self.ask("migrate", json!({ "uri": "fd:state" }), None)?;
        let until = Instant::now() + STATE_PATIENCE;
        loop {
            let told = self.ask("query-migrate", json!({}), None)?;
            match told["status"].as_str().unwrap_or_default() {
                "completed" => return Ok(()),
                "failed" | "cancelled" => {
                    let why = told["error-desc"].as_str().unwrap_or("the state could not be written");
                    return Err(failed(why.chars().take(300).collect::<String>()));
                }
                _ if Instant::now() > until => {
                    self.ask("migrate_cancel", json!({}), None)?;
                    return Err(failed("the state was not written in time"));
                }
                _ => std::thread::sleep(LOOK),
            }
        }
    }

    fn without_shared(&mut self, shared: bool) -> Outcome<()> {
        let one = json!({ "capability": "x-ignore-shared", "state": shared });
        self.ask("migrate-set-capabilities", json!({ "capabilities": [one] }), None).map(drop)
    }

    fn ask(&mut self, command: &str, arguments: Value, fd: Option<&OwnedFd>) -> Outcome<Value> {
        let text = json!({ "execute": command, "arguments": arguments }).to_string();
        let numbers: Vec<i32> = fd.iter().map(|fd| fd.as_raw_fd()).collect();
        let with: Vec<ControlMessage<'_>> =
            if numbers.is_empty() { Vec::new() } else { vec![ControlMessage::ScmRights(&numbers)] };
        let parts = [IoSlice::new(text.as_bytes())];
        sendmsg::<()>(self.stream.as_raw_fd(), &parts, &with, MsgFlags::MSG_NOSIGNAL, None).at(STEP, command)?;
        loop {
            let mut said = self.line()?;
            if let Some(error) = said.get("error") {
                return Err(failed(format!("{command}: {}", error["desc"].as_str().unwrap_or("refused"))));
            }
            if let Some(answer) = said.get_mut("return") {
                return Ok(answer.take());
            }
        }
    }

    fn line(&mut self) -> Outcome<Value> {
        loop {
            if let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.pending.drain(..=end).collect();
                return serde_json::from_slice(&line).at(STEP, "what it says is not understood");
            }
            let mut buffer = [0u8; 4096];
            let length = self.stream.read(&mut buffer).at(STEP, "control")?;
            if length == 0 || self.pending.len() + length > MAX_LINE {
                return Err(failed("it ended, or says too much"));
            }
            self.pending.extend_from_slice(&buffer[..length]);
        }
    }
}

fn failed(message: impl Into<String>) -> Fault {
    Fault::new(Code::LaunchFailed, STEP, message)
}
