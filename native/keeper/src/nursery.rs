//! The nursery: the keeper's side of a zygote. It provides the parent user namespace, and warm processes forked into
//! the sandbox. See native/zygote.

use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::path::Path;
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

/// A forked process that waits at its gate.
pub struct Child {
    gate: Gate,
    stdout: OwnedFd,
    stderr: OwnedFd,
    control: OwnedFd,
}

/// The socket at which a forked process waits until it may enter.
pub struct Gate(OwnedFd);

/// A process inside the sandbox: its number there, and our ends of its output and control channel.
pub struct Entered {
    pub pid: u32,
    pub listener: Option<OwnedFd>,
    pub ends: [OwnedFd; 3],
}

/// The sandbox's namespaces except the mount namespace, in the order of native/zygote/src/request.rs.
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
    pub doors: Vec<OwnedFd>,
    pub filter: &'a [sock_filter],
    pub landlock: bool,
    pub single_id: bool,
    /// The sandbox's user in host ids. Pipes are chowned to it, so that it can open /dev/stdout.
    pub owner: Option<(u32, u32)>,
}

impl Nursery {
    pub fn connect(path: impl AsRef<Path>, patience: Duration) -> Outcome<Nursery> {
        let path = path.as_ref();
        let socket =
            socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None).at(STEP, "socket")?;
        wait_at_most(&socket, patience)?;
        connect(socket.as_raw_fd(), &UnixAddr::new(path).at(STEP, path.display())?).at(STEP, path.display())?;
        let hello = receive(socket.as_fd(), &mut [0u8; 8]);
        if hello.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock) {
            let message = format!("nobody answered at {} within {patience:?}", path.display());
            return Err(Fault::new(Code::LaunchFailed, STEP, message));
        }
        let (length, mut fds) = hello.at(STEP, "hello")?;
        match fds.pop() {
            Some(user_namespace) if length == 1 && fds.is_empty() => Ok(Nursery { socket, user_namespace }),
            _ => {
                Err(Fault::new(Code::LaunchFailed, STEP, format!("{} does not speak as a zygote does", path.display())))
            }
        }
    }

    /// Asks for one fork. The child waits at its gate until `Child::enter`.
    pub fn fork(&self, wanted: &Wanted<'_>) -> Outcome<Child> {
        let (stdout, out) = pipe(wanted.owner)?;
        let (stderr, error) = pipe(wanted.owner)?;
        let (control, theirs) = pair(SockType::Stream)?;
        let gate = self.request(&header(wanted)?, wanted, [&out, &error, &theirs])?;
        Ok(Child { gate, stdout, stderr, control })
    }

    /// For a mother: asks for a twin with these ends for its stream, log and control. It waits at its gate as well, and
    /// enters without any rights.
    pub fn bear(&self, wanted: &Wanted<'_>, ends: [&OwnedFd; 3], file_bytes: u64) -> Outcome<Gate> {
        // Root of its own ids without any capability, like a QEMU that is started.
        let nobody =
            Header { uid: 0, gid: 0, bounding: 0, no_new_privileges: 1, notify: 0, landlock: 0, ..header(wanted)? };
        self.request(&Header { file_bytes, disk: 1, ..nobody }, wanted, ends)
    }

    fn request(&self, header: &Header, wanted: &Wanted<'_>, ends: [&OwnedFd; 3]) -> Outcome<Gate> {
        let (gate, childs_gate) = pair(SockType::SeqPacket)?;
        let message = [bytes_of(&[*header]), bytes_of(wanted.filter)].concat();
        let mut fds: Vec<RawFd> = wanted.namespaces.0.iter().map(AsRawFd::as_raw_fd).collect();
        fds.push(childs_gate.as_raw_fd());
        fds.extend(ends.map(AsRawFd::as_raw_fd));
        fds.extend(wanted.doors.iter().map(AsRawFd::as_raw_fd));
        send(self.socket.as_fd(), &message, &fds).at(STEP, "request")?;
        Ok(Gate(gate))
    }

    /// Reads the answer to the oldest open request.
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
    /// The wall stands: the child enters, and reports its number inside.
    pub fn enter(self, mounts: &File, ruleset: Option<&OwnedFd>, patience: Duration) -> Outcome<Entered> {
        let (pid, listener) = self.gate.pass(mounts, ruleset, patience)?;
        Ok(Entered { pid, listener, ends: [self.stdout, self.stderr, self.control] })
    }
}

impl Gate {
    /// Returns its number inside, and the descriptor that it hands out. `more`: a descriptor to give it besides the
    /// mount namespace.
    pub fn pass(self, mounts: &File, more: Option<&OwnedFd>, patience: Duration) -> Outcome<(u32, Option<OwnedFd>)> {
        wait_at_most(&self.0, patience)?;
        let fds: Vec<RawFd> = [mounts.as_raw_fd()].into_iter().chain(more.map(AsRawFd::as_raw_fd)).collect();
        send(self.0.as_fd(), &[1], &fds).at(STEP, "gate")?;
        let mut buffer = [0u8; 16];
        let (length, mut fds) = receive(self.0.as_fd(), &mut buffer).at(STEP, "gate")?;
        let pid = read::<u32>(&buffer[..length]);
        let pid = pid.ok_or_else(|| {
            Fault::new(
                Code::LaunchFailed,
                STEP,
                "the forked process could not enter (an interpreter says why in zygote.log)",
            )
        })?;
        Ok((pid, fds.pop()))
    }
}

fn header(wanted: &Wanted<'_>) -> Outcome<Header> {
    let plan = wanted.plan;
    Ok(Header {
        magic: MAGIC,
        uid: plan.user.uid,
        gid: plan.user.gid,
        doors: wanted.doors.len() as u32,
        bounding: caps::set_of(plan.capabilities.iter().map(String::as_str))?,
        open_files: plan.limits.open_files,
        file_bytes: 0,
        no_new_privileges: plan.no_new_privileges.into(),
        notify: plan.asks_before_exec().into(),
        landlock: wanted.landlock.into(),
        disk: 0,
        single_id: wanted.single_id.into(),
        filter_length: wanted.filter.len() as u32,
    })
}

fn pair(kind: SockType) -> Outcome<(OwnedFd, OwnedFd)> {
    socketpair(AddressFamily::Unix, kind, None, SockFlag::SOCK_CLOEXEC).at(STEP, "socketpair")
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
