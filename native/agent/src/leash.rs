//! The leash: the socket to the keeper. Over it come the sandbox's configuration and processes to adopt; when it
//! closes, the agent exits.

use std::io::IoSliceMut;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::time::Duration;

use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, send};
use serde::{Deserialize, Serialize};

use crate::agent::Agent;
use crate::connection::Guests;
use crate::naming;
use crate::port::{Port, port};
use crate::process;
use crate::vm;

const MAX_MESSAGE_BYTES: usize = 64 * 1024;
const MAX_DESCRIPTORS: usize = 8;
const SETTLING_LOOK: Duration = Duration::from_millis(5);

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Config {
    pub single_user: bool,
    /// Open files per process.
    pub open_files: u64,
    /// Processes per user, where nothing else limits them.
    pub processes: Option<u64>,
    pub user: User,
    /// The folders where a full disk would be noticed.
    pub writable: Vec<String>,
    /// On the loopback (health.rs).
    pub health_port: Option<u16>,
}

/// The ordinary user inside.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    pub name: String,
    pub uid: u32,
    pub gid: u32,
    pub home: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
enum Order {
    Adopt {
        pid: i32,
    },
    /// A connection of the host, where the host cannot connect itself. Not answered. In a machine it comes as a line
    /// (vm/lines.rs).
    Connect {},
    /// A machine only (vm/steward.rs): answered once its disk is complete, after which nothing more is written to it.
    WriteBack {},
    /// Not answered.
    GoOn {},
    /// A restored machine only: its new identity. Answered by its steward.
    Renew(Box<vm::Machine>),
    /// The time, sent after that because a machine's first answer takes long.
    #[serde(rename_all = "camelCase")]
    Clock {
        now_ns: u64,
    },
    /// All hosts are about to disconnect. Answered once they have, and once all commands that a machine has reported
    /// are recorded. From then on it executes nothing, until `GoOn` or `Clock`.
    Settle {},
    /// A machine only (vm/execs.rs): a reported command is recorded, or must not be executed. Not answered.
    Recorded {
        id: u64,
        allowed: bool,
    },
    /// This process was restored from a state that other sandboxes are restored from as well.
    #[serde(rename_all = "camelCase")]
    Rename {
        host_name: String,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Answer {
    Ready(bool),
    Adopted(i32),
    Error(String),
}

/// Reads the first message: the configuration.
pub fn read<T: serde::de::DeserializeOwned>(leash: &OwnedFd) -> Result<T, String> {
    let (message, _) = receive(leash.as_raw_fd(), MsgFlags::empty()).map_err(|error| format!("leash: {error}"))?;
    serde_json::from_slice(&message).map_err(|error| format!("configuration: {error}"))
}

/// Answers that the agent is ready, then carries out orders until the keeper is gone.
pub async fn hold(agent: Rc<Agent>, guests: Guests, leash: OwnedFd) -> std::io::Result<()> {
    let mut leash = port(leash)?;
    answer(&leash, &Answer::Ready(true))?;
    let (mut is_emptying, mut is_settling) = (false, false);
    loop {
        if is_settling && vm::execs::is_settled() {
            is_settling = false;
            answer(&leash, &Answer::Ready(true))?;
        }
        let mut ready = tokio::select! {
            () = guests.gone(), if is_emptying => {
                vm::execs::hold();
                (is_emptying, is_settling) = (false, true);
                continue;
            }
            // A process that asked may have died instead of being answered, and no order reports that.
            () = tokio::time::sleep(SETTLING_LOOK), if is_settling => continue,
            ready = leash.readable() => ready?,
        };
        let Ok(received) = ready.try_io(|leash| receive(leash.as_raw_fd(), MsgFlags::MSG_DONTWAIT)) else { continue };
        let (message, descriptors) = received?;
        if message.is_empty() {
            return Ok(());
        }
        let reply = match serde_json::from_slice(&message) {
            Ok(Order::Connect {}) => {
                guests.welcome(descriptors);
                continue;
            }
            Ok(Order::Settle {}) => {
                is_emptying = true;
                continue;
            }
            Ok(Order::Recorded { id, allowed }) => {
                vm::execs::recorded(id, allowed);
                continue;
            }
            Ok(Order::Rename { host_name }) => {
                drop(ready);
                // A restored gVisor (2022) no longer watches host descriptors that were watched before, so register
                // again.
                leash = port(leash.into_inner())?;
                match naming::rename(&host_name).and_then(|()| breathe()) {
                    Ok(()) => Answer::Ready(true),
                    Err(error) => Answer::Error(error),
                }
            }
            Ok(Order::WriteBack {}) => {
                vm::tell(vm::Order::WriteBack);
                continue;
            }
            Ok(Order::Renew(machine)) => {
                vm::tell(vm::Order::Renew(machine));
                continue;
            }
            Ok(Order::Clock { now_ns }) => {
                vm::tell(vm::Order::Clock(now_ns));
                continue;
            }
            Ok(Order::GoOn {}) => {
                // Nobody waits for that any more.
                (is_emptying, is_settling) = (false, false);
                vm::tell(vm::Order::GoOn);
                continue;
            }
            Ok(Order::Adopt { pid }) => match adopt(&agent, pid, descriptors) {
                Ok(()) => Answer::Adopted(pid),
                Err(error) => Answer::Error(error),
            },
            Err(error) => Answer::Error(error.to_string()),
        };
        answer(&leash, &reply)?;
    }
}

/// Whether this message announces a connection.
pub fn is_connection(message: &[u8]) -> bool {
    matches!(serde_json::from_slice(message), Ok(Order::Connect {}))
}

/// Starts a thread, so that the trace reports something: the keeper lets nobody in before that.
fn breathe() -> Result<(), String> {
    let thread = std::thread::Builder::new().spawn(|| ()).map_err(|error| format!("a thread: {error}"))?;
    thread.join().map_err(|_| "a thread that does nothing has failed".into())
}

fn adopt(agent: &Rc<Agent>, pid: i32, descriptors: Vec<OwnedFd>) -> Result<(), String> {
    let [stdout, stderr, control] = <[OwnedFd; 3]>::try_from(descriptors)
        .map_err(|given| format!("adopt needs 3 descriptors, got {}", given.len()))?;
    process::adopt(agent, pid, stdout, stderr, control).map_err(|error| format!("adopt {pid}: {error}"))
}

fn answer(leash: &Port, answer: &Answer) -> std::io::Result<()> {
    let text = serde_json::to_vec(answer)?;
    // Answers are few and small, so a full leash is broken.
    send(leash.as_raw_fd(), &text, MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT)?;
    Ok(())
}

/// One message and its descriptors. Empty: the other end is closed.
fn receive(leash: RawFd, flags: MsgFlags) -> std::io::Result<(Vec<u8>, Vec<OwnedFd>)> {
    let mut bytes = vec![0; MAX_MESSAGE_BYTES];
    let mut space = nix::cmsg_space!([RawFd; MAX_DESCRIPTORS]);
    let mut parts = [IoSliceMut::new(&mut bytes)];
    let message = recvmsg::<()>(leash, &mut parts, Some(&mut space), flags | MsgFlags::MSG_CMSG_CLOEXEC)?;
    let mut descriptors = Vec::new();
    for part in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(numbers) = part {
            // SAFETY: the kernel has just installed these descriptors for us; nobody else knows them.
            descriptors.extend(numbers.into_iter().map(|number| unsafe { OwnedFd::from_raw_fd(number) }));
        }
    }
    let (length, flags) = (message.bytes, message.flags);
    if flags.intersects(MsgFlags::MSG_TRUNC | MsgFlags::MSG_CTRUNC) {
        return Err(std::io::Error::other("a message over the limit"));
    }
    bytes.truncate(length);
    Ok((bytes, descriptors))
}
