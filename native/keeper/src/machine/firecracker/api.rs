//! A minimal client of Firecracker's API: one connection over a unix socket, one request and one answer at a time
//! (HTTP/1.1 with a JSON body). The pilot uses it, which is no more trusted than Firecracker itself; even so, answers
//! are bounded in size and time.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use serde_json::Value;

use super::STEP;
use crate::fault::{At, Code, Fault, Outcome};

/// Pause between attempts to connect.
const LOOK: Duration = Duration::from_millis(1);
/// Firecracker's own answers have some hundred bytes.
const MAX_ANSWER: usize = 64 * 1024;
const MAX_WORDS: usize = 300;
const MAX_HEADERS: usize = 16;

#[derive(Debug)]
pub struct Api {
    stream: UnixStream,
}

impl Api {
    /// Waits until it listens. `process`: a child of ours; its exit ends the wait.
    pub fn reach(socket: &Path, process: Pid, until: Instant) -> Outcome<Api> {
        loop {
            match UnixStream::connect(socket) {
                Ok(stream) => return Ok(Api { stream }),
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {}
                Err(error) => return Err(error).at(STEP, socket.display()),
            }
            match waitpid(process, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) => {}
                Ok(ended) => return Err(failed(format!("Firecracker ended before it listened ({ended:?})"))),
                Err(error) => return Err(error).at(STEP, "waiting for it"),
            }
            if Instant::now() > until {
                return Err(failed("Firecracker did not begin to listen in time"));
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Succeeds if the answer is success.
    pub fn put(&mut self, path: &str, body: &Value, until: Instant) -> Outcome<()> {
        let body = body.to_string();
        let head = format!(
            "PUT {path} HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        self.stream.set_write_timeout(Some(left(path, until)?)).at(STEP, "its socket")?;
        let sent = self.stream.write_all(head.as_bytes()).and_then(|()| self.stream.write_all(body.as_bytes()));
        sent.at(STEP, path)?;
        let answer = self.answer(path, until)?;
        if (200..300).contains(&answer.status) {
            return Ok(());
        }
        Err(failed(format!("Firecracker refused PUT {path} ({}): {}", answer.status, answer.words())))
    }

    /// Exactly one answer: no other request is open that a second one could belong to.
    fn answer(&mut self, path: &str, until: Instant) -> Outcome<Answer> {
        let (mut heard, mut buffer) = (Vec::new(), [0u8; 4096]);
        loop {
            if let Some(answer) = Answer::read(&heard).map_err(|why| failed(format!("PUT {path}: {why}")))? {
                return Ok(answer);
            }
            self.stream.set_read_timeout(Some(left(path, until)?)).at(STEP, "its socket")?;
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(failed(format!("PUT {path}: Firecracker ended instead of answering"))),
                Ok(length) if heard.len() + length <= MAX_ANSWER => heard.extend_from_slice(&buffer[..length]),
                Ok(_) => return Err(failed(format!("PUT {path}: Firecracker says too much"))),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                    return Err(failed(format!("PUT {path}: Firecracker ended instead of answering")));
                }
                Err(error) => return Err(error).at(STEP, path),
            }
        }
    }
}

impl AsFd for Api {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// Never zero, which a socket would take for no timeout.
fn left(path: &str, until: Instant) -> Outcome<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(failed(format!("PUT {path}: Firecracker did not answer in time"))) } else { Ok(left) }
}

pub fn failed(message: impl Into<String>) -> Fault {
    Fault::new(Code::LaunchFailed, STEP, message)
}

#[derive(Debug)]
struct Answer {
    status: u16,
    body: Vec<u8>,
}

impl Answer {
    /// None: there is more to come.
    fn read(bytes: &[u8]) -> Result<Option<Answer>, &'static str> {
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
        let head = std::str::from_utf8(&bytes[..end]).map_err(|_| "an answer that is no text")?;
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok());
        let status = status.ok_or("an answer that is not one of HTTP")?;
        let mut length = 0;
        for (number, line) in lines.enumerate() {
            let (name, value) =
                line.split_once(':').filter(|_| number < MAX_HEADERS).ok_or("an answer that is not one of HTTP")?;
            if name.eq_ignore_ascii_case("content-length") {
                length =
                    value.trim().parse().ok().filter(|length| *length <= MAX_ANSWER).ok_or("an answer of no length")?;
            }
        }
        let body = &bytes[end + 4..];
        match body.len() {
            there if there < length => Ok(None),
            there if there > length => Err("more than one answer to one question"),
            _ => Ok(Some(Answer { status, body: body.to_vec() })),
        }
    }

    /// The message of an error answer.
    fn words(&self) -> String {
        let told: Option<Value> = serde_json::from_slice(&self.body).ok();
        let told = told.as_ref().and_then(|told| told["fault_message"].as_str());
        told.unwrap_or("it does not say why").chars().filter(|one| !one.is_control()).take(MAX_WORDS).collect()
    }
}

#[cfg(test)]
mod tests;
