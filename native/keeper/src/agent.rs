//! The keeper's side of the conversation with the agent over the leash (their socket pair). It is short: the keeper
//! says who lives in the sandbox, and hands over processes that came in through the zygote.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use caisson_execs::MOST_TOLD_BYTES;
use caisson_zygote::message::{receive, send};
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};
use serde_json::json;

use crate::fault::{At, Code, Fault, Outcome};
use crate::plan::{OnHit, Plan, Wall};
use crate::say::Said;

const STEP: &str = "agent";
/// How long a leash may stay full. The keeper does not wait longer for a stuck peer, because no limit would be enforced
/// meanwhile.
const TAKES_WITHIN: Duration = Duration::from_secs(1);

/// Bounds every wait for the other end of a leash. `patience` applies to reads.
pub fn bound(leash: &OwnedFd, patience: Duration) -> Outcome<()> {
    let time = |patience: Duration| TimeVal::milliseconds(patience.as_millis() as i64);
    setsockopt(leash, sockopt::SendTimeout, &time(TAKES_WITHIN)).at(STEP, "leash")?;
    setsockopt(leash, sockopt::ReceiveTimeout, &time(patience)).at(STEP, "leash")
}

/// Tells the agent what it must know. The agent answers once it listens.
pub fn greet(leash: &OwnedFd, plan: &Plan, single_id: bool) -> Outcome<()> {
    let user = &plan.user;
    let writable: Vec<&str> = plan.writable.iter().map(|writable| writable.target.as_str()).collect();
    let message = json!({
        "singleUser": single_id,
        "openFiles": plan.limits.open_files,
        "user": { "name": user.name, "uid": user.uid, "gid": user.gid, "home": user.home },
        "writable": writable,
        // Behind gVisor the host cannot see individual processes, so a limit that is only reported is enforced inside.
        "processes": plan.limits.pids.filter(|_| plan.wall == Wall::Gvisor && plan.limits.on_hit == OnHit::Report),
        "healthPort": plan.health_port,
    });
    send(leash.as_fd(), message.to_string().as_bytes(), &[]).at(STEP, "leash")?;
    hear_ready(leash)
}

pub fn hear_ready(leash: &OwnedFd) -> Outcome<()> {
    match hear(leash)? {
        Said::Ready(true) => Ok(()),
        _ => Err(Fault::new(Code::LaunchFailed, STEP, "said something else than ready")),
    }
}

/// Hands the agent the keeper's ends of the pipes of a process that is already the agent's child.
pub fn adopt(leash: &OwnedFd, pid: u32, ends: &[OwnedFd; 3], patience: Duration) -> Outcome<()> {
    let message = json!({ "adopt": { "pid": pid } });
    let fds = [0, 1, 2].map(|index| ends[index].as_raw_fd());
    send(leash.as_fd(), message.to_string().as_bytes(), &fds).at(STEP, "adopt")?;
    match hear_until(leash, Instant::now() + patience)? {
        Said::Adopted(adopted) if adopted == pid => Ok(()),
        _ => Err(Fault::new(Code::LaunchFailed, STEP, "did not adopt the process")),
    }
}

pub fn hear(leash: &OwnedFd) -> Outcome<Said> {
    let mut buffer = [0u8; MOST_TOLD_BYTES];
    let (length, _) = receive(leash.as_fd(), &mut buffer).at(STEP, "leash")?;
    Said::read(&buffer[..length], STEP)
}

/// As `hear`, but gives up at `until`.
pub fn hear_until(leash: &OwnedFd, until: Instant) -> Outcome<Said> {
    let left = until.saturating_duration_since(Instant::now()).as_millis() as i64;
    if left == 0 {
        return Err(Fault::new(Code::LaunchFailed, STEP, "no answer in time"));
    }
    setsockopt(leash, sockopt::ReceiveTimeout, &TimeVal::milliseconds(left)).at(STEP, "leash")?;
    hear(leash)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::thread::spawn;

    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

    use super::*;

    #[test]
    fn whoever_takes_nothing_from_its_leash_is_not_waited_for() {
        let pair = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC);
        let (leash, _stuck) = pair.unwrap();
        bound(&leash, Duration::from_secs(60)).unwrap();
        let (tell, told) = channel();
        spawn(move || {
            while send(leash.as_fd(), b"{}", &[]).is_ok() {}
            tell.send(()).unwrap();
        });
        told.recv_timeout(Duration::from_secs(30)).unwrap();
    }
}
