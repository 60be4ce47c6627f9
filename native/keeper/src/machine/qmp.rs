//! QEMU's control protocol (qemu-qmp-ref(7)): one JSON object per line, an answer to each command, events in between.
//! The pilot speaks it, which is no more trusted than QEMU itself.

use std::io::{IoSlice, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use serde_json::{Value, json};

use super::STEP;
use crate::fault::{At, Code, Fault, Outcome};

/// For one answer. A healthy machine needs a millisecond.
const PATIENCE: Duration = Duration::from_secs(30);
/// For a whole state.
const STATE_PATIENCE: Duration = Duration::from_secs(30);
const MAX_LINE: usize = 256 * 1024;
/// Pause between two checks of the progress.
const LOOK: Duration = Duration::from_millis(1);
/// The descriptor set for the device state (arguments.rs uses another set).
const DEVICES_SET: u32 = 2;

pub struct Qmp {
    stream: UnixStream,
    pending: Vec<u8>,
    /// Whether it holds the file with its device state open.
    holds_file: bool,
}

impl Qmp {
    /// Waits until QEMU speaks, and greets it.
    pub fn greet(stream: OwnedFd) -> Outcome<Qmp> {
        let mut qmp = Qmp::with(stream)?;
        qmp.line()?;
        qmp.ask("qmp_capabilities", json!({}), None)?;
        Ok(qmp)
    }

    /// A connection on which the greeting has already taken place.
    pub fn with(stream: OwnedFd) -> Outcome<Qmp> {
        let stream = UnixStream::from(stream);
        stream.set_read_timeout(Some(PATIENCE)).at(STEP, "control")?;
        Ok(Qmp { stream, pending: Vec::new(), holds_file: false })
    }

    pub fn stop(&mut self) -> Outcome<()> {
        self.ask("stop", json!({}), None).map(drop)
    }

    /// Stops it, and writes its device state to that file. Returns the address of its memory in QEMU's address space.
    /// On failure the machine resumes.
    pub fn stand(&mut self, devices: &OwnedFd) -> Outcome<u64> {
        self.stop()?;
        let written = self.write_devices(devices).and_then(|()| self.memory());
        if written.is_err() {
            self.go_on()?;
        }
        written
    }

    /// Loads device state from an inherited descriptor, and resumes. The memory is already in place.
    pub fn restore(&mut self, number: u32) -> Outcome<()> {
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
        self.ask("cont", json!({}), None)?;
        if std::mem::take(&mut self.holds_file) {
            // QEMU releases the file only while the machine runs.
            self.ask("remove-fd", json!({ "fdset-id": DEVICES_SET }), None)?;
        }
        Ok(())
    }

    /// The only command that leaves out the memory, even when it is private. It was made for Xen, but does not need
    /// Xen. Not `live`, so that the machine keeps its disk.
    fn write_devices(&mut self, devices: &OwnedFd) -> Outcome<()> {
        self.ask("add-fd", json!({ "fdset-id": DEVICES_SET }), Some(devices))?;
        self.holds_file = true;
        let to = format!("/dev/fdset/{DEVICES_SET}");
        self.ask("xen-save-devices-state", json!({ "filename": to, "live": false }), None).map(drop)
    }

    fn memory(&mut self) -> Outcome<u64> {
        let told = self.ask("human-monitor-command", json!({ "command-line": "gpa2hva 0" }), None)?;
        let said = told.as_str().unwrap_or_default();
        let number = said.trim().rsplit(' ').next().and_then(|word| word.strip_prefix("0x"));
        let address = number.and_then(|digits| u64::from_str_radix(digits, 16).ok());
        address.ok_or_else(|| failed("it does not say where its memory is"))
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
