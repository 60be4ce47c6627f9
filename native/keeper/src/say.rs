//! Messages to the keeper from the processes that set up a sandbox: a failure, or something they hand over.

use std::os::fd::{AsFd, OwnedFd};

use caisson_execs::{Exec, is_told};
use caisson_zygote::message::receive;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::{Deserialize, Serialize};

use crate::fault::{Code, Fault, Outcome};

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Said {
    Failed {
        code: String,
        step: String,
        message: String,
        hint: String,
    },
    /// From the builder: the first process, in host numbering.
    Cloned {
        pid: i32,
    },
    /// From the digger: the loop device of the disk's image.
    Attached {
        device: Option<String>,
    },
    /// From the mason: the root is assembled; the mounted disk comes as a descriptor.
    Rooted {},
    /// From the first process, just before exec: the descriptors of the seccomp notification and of the Landlock
    /// ruleset, as far as the flags are true, and of the gate's listeners.
    Kit {
        notify: bool,
        landlock: bool,
    },
    /// From the agent.
    #[serde(rename = "ready")]
    Ready(bool),
    #[serde(rename = "adopted")]
    Adopted(u32),
    /// From a machine's pilot: the address of its memory in QEMU's address space.
    Memory {
        address: u64,
    },
    /// From a machine: a limit inside was hit.
    #[serde(rename = "limit")]
    Limit(String),
    /// From a machine: whether its disk is fully written now.
    #[serde(rename = "written")]
    Written(bool),
    /// From a machine: a command about to be executed. Not JSON (caisson_execs).
    #[serde(skip)]
    Exec(Exec),
    #[serde(rename = "error")]
    Error(String),
}

impl Said {
    pub fn kit(notify: bool, landlock: bool) -> Said {
        Said::Kit { notify, landlock }
    }

    pub fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Prefers the last message of a process that has ended over the error that it could not be found. A failure that
    /// the builder reported by then is the cause.
    pub fn instead_of(fault: Fault, report: &OwnedFd, leash: Option<&OwnedFd>) -> Fault {
        let mut buffer = [0u8; 8192];
        let mut hear = |from: &OwnedFd| {
            let length = receive(from.as_fd(), &mut buffer).map_or(0, |(length, _)| length);
            (length > 0).then(|| Said::read(&buffer[..length], "inner walls").err())
        };
        while is_waiting(report) {
            match hear(report) {
                Some(Some(why)) => return why,
                Some(None) => {}
                None => break,
            }
        }
        leash.and_then(hear).flatten().unwrap_or(fault)
    }

    /// Turns a failure reported by the other side into an error here.
    pub fn read(bytes: &[u8], step: &'static str) -> Outcome<Said> {
        if is_told(bytes) {
            let exec = Exec::hear(bytes).map(Said::Exec);
            return exec.ok_or_else(|| Fault::new(Code::LaunchFailed, step, "an exec that is not told as agreed"));
        }
        match serde_json::from_slice(bytes) {
            Ok(Said::Failed { code, step: there, message, hint }) => {
                let code = [Code::MountUnreadable, Code::LimitUnavailable, Code::WallUnavailable, Code::PlanInvalid]
                    .into_iter()
                    .find(|known| format!("{known:?}") == code)
                    .unwrap_or(Code::LaunchFailed);
                Err(Fault::new(code, step, format!("{there}: {message}")).hint(hint))
            }
            Ok(Said::Error(message)) => Err(Fault::new(Code::LaunchFailed, step, message)),
            Ok(said) => Ok(said),
            Err(_) if bytes.is_empty() => Err(Fault::new(Code::LaunchFailed, step, "the process ended without a word")),
            Err(error) => Err(Fault::new(Code::LaunchFailed, step, format!("not understood: {error}"))),
        }
    }
}

impl From<&Fault> for Said {
    fn from(fault: &Fault) -> Said {
        Said::Failed {
            code: format!("{:?}", fault.code),
            step: fault.step.to_string(),
            message: fault.message.clone(),
            hint: fault.hint.clone(),
        }
    }
}

fn is_waiting(socket: &OwnedFd) -> bool {
    poll(&mut [PollFd::new(socket.as_fd(), PollFlags::POLLIN)], PollTimeout::ZERO) == Ok(1)
}
