//! The keeper's side of a zygote: the user namespace to live below, and warmed processes forked into the sandbox. See native/zygote.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

use caisson_zygote::message::{receive, send};
use caisson_zygote::request::{Answer, Header, MAGIC, STEPS, bytes_of, read};
use libc::sock_filter;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, setsockopt, socket, socketpair, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};

use crate::caps;
use crate::fault::{At, Code, Fault, Outcome};
use crate::plan::Plan;

const STEP: &str = "zygote";

pub struct Nursery {
    socket: OwnedFd,
    pub user_namespace: OwnedFd,
}

/// A forked process that waits at the gate.
pub struct Child {
    gate: OwnedFd,
    stdout: OwnedFd,
    stderr: OwnedFd,
    control: OwnedFd,
}

/// A process inside the sandbox: its number there, and our ends of its output and control channel.
pub struct Entered {
    pub pid: u32,
    pub listener: Option<OwnedFd>,
    pub ends: [OwnedFd; 3],
}

/// The sandbox's namespaces but that of its mounts, in the order of native/zygote/src/request.rs.
pub struct Namespaces(Vec<File>);

impl Namespaces {
    pub fn of(pid: i32) -> Outcome<Namespaces> {
        let open = |name| open_namespace(pid, name);
        ["pid", "user", "cgroup", "ipc", "uts", "net"].into_iter().map(open).collect::<Outcome<_>>().map(Namespaces)
    }
}

pub fn open_namespace(pid: i32, name: &str) -> Outcome<File> {
    File::open(format!("/proc/{pid}/ns/{name}")).at("namespaces", name)
}

pub struct Wanted<'a> {
    pub plan: &'a Plan,
    pub namespaces: &'a Namespaces,
    pub doors: &'a [OwnedFd],
    pub filter: &'a [sock_filter],
    pub landlock: bool,
    pub single_id: bool,
    /// As the host numbers the sandbox's user: pipes are made over to it, so that it can open /dev/stdout.
    pub owner: Option<(u32, u32)>,
}

impl Nursery {
    pub fn connect(path: &str, patience: Duration) -> Outcome<Nursery> {
        let socket =
            socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None).at(STEP, "socket")?;
        wait_at_most(&socket, patience)?;
        connect(socket.as_raw_fd(), &UnixAddr::new(path).at(STEP, path)?).at(STEP, path)?;
        let (length, mut fds) = receive(socket.as_fd(), &mut [0u8; 8]).at(STEP, "hello")?;
        match fds.pop() {
            Some(user_namespace) if length == 1 && fds.is_empty() => Ok(Nursery { socket, user_namespace }),
            _ => Err(Fault::new(Code::LaunchFailed, STEP, format!("{path} does not speak as a zygote does"))),
        }
    }

    /// Asks for one fork. The child waits at its gate until `Child::enter`.
    pub fn fork(&self, wanted: &Wanted<'_>) -> Outcome<Child> {
        let (stdout, out) = pipe(wanted.owner)?;
        let (stderr, error) = pipe(wanted.owner)?;
        let pair = |kind| socketpair(AddressFamily::Unix, kind, None, SockFlag::SOCK_CLOEXEC).at(STEP, "socketpair");
        let (gate, childs_gate) = pair(SockType::SeqPacket)?;
        let (control, childs_control) = pair(SockType::Stream)?;
        let plan = wanted.plan;
        let header = Header {
            magic: MAGIC,
            uid: plan.user.uid,
            gid: plan.user.gid,
            doors: wanted.doors.len() as u32,
            bounding: caps::set_of(plan.capabilities.iter().map(String::as_str))?,
            open_files: plan.limits.open_files,
            no_new_privileges: plan.no_new_privileges.into(),
            notify: plan.asks_before_exec().into(),
            landlock: wanted.landlock.into(),
            single_id: wanted.single_id.into(),
            filter_length: wanted.filter.len() as u32,
        };
        let message = [bytes_of(&[header]), bytes_of(wanted.filter)].concat();
        let mut fds: Vec<RawFd> = wanted.namespaces.0.iter().map(AsRawFd::as_raw_fd).collect();
        fds.extend([&childs_gate, &out, &error, &childs_control].map(AsRawFd::as_raw_fd));
        fds.extend(wanted.doors.iter().map(AsRawFd::as_raw_fd));
        send(self.socket.as_fd(), &message, &fds).at(STEP, "request")?;
        Ok(Child { gate, stdout, stderr, control })
    }

    /// The answer to the oldest request not answered yet.
    pub fn answer(&self) -> Outcome<()> {
        let mut buffer = [0u8; 64];
        let (length, _) = receive(self.socket.as_fd(), &mut buffer).at(STEP, "answer")?;
        match read::<Answer>(&buffer[..length]) {
            Some(Answer { errno: 0, .. }) => Ok(()),
            Some(Answer { errno, step }) => {
                let step = STEPS.get(step as usize).unwrap_or(&"an unknown step");
                let error = std::io::Error::from_raw_os_error(errno);
                Err(Fault::new(Code::LaunchFailed, STEP, format!("{step}: {error}")))
            }
            None => Err(Fault::new(Code::LaunchFailed, STEP, "the zygote ended")),
        }
    }
}

impl Child {
    /// The wall stands: the child goes in, and says who it is there.
    pub fn enter(self, mounts: &File, ruleset: Option<&OwnedFd>, patience: Duration) -> Outcome<Entered> {
        wait_at_most(&self.gate, patience)?;
        let fds: Vec<RawFd> = [mounts.as_raw_fd()].into_iter().chain(ruleset.map(AsRawFd::as_raw_fd)).collect();
        send(self.gate.as_fd(), &[1], &fds).at(STEP, "gate")?;
        let mut buffer = [0u8; 16];
        let (length, mut fds) = receive(self.gate.as_fd(), &mut buffer).at(STEP, "gate")?;
        let pid = read::<u32>(&buffer[..length]);
        let pid = pid.ok_or_else(|| {
            Fault::new(Code::LaunchFailed, STEP, "the forked process could not enter (see zygote.log)")
        })?;
        Ok(Entered { pid, listener: fds.pop(), ends: [self.stdout, self.stderr, self.control] })
    }
}

fn wait_at_most(socket: &OwnedFd, patience: Duration) -> Outcome<()> {
    let patience = TimeVal::milliseconds((patience.as_millis() as i64).max(1));
    setsockopt(socket, sockopt::ReceiveTimeout, &patience).at(STEP, "timeout")?;
    setsockopt(socket, sockopt::SendTimeout, &patience).at(STEP, "timeout")
}

fn pipe(owner: Option<(u32, u32)>) -> Outcome<(OwnedFd, OwnedFd)> {
    let (read, write) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).at(STEP, "pipe")?;
    if let Some((uid, gid)) = owner {
        nix::unistd::fchown(&write, Some(uid.into()), Some(gid.into())).at(STEP, "pipe")?;
    }
    Ok((read, write))
}
