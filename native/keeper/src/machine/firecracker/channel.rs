//! The stream to the machine's agent. The machine's kernel connects to the host by vsock, and Firecracker forwards that
//! to a unix socket named after the port (its docs/vsock.md, "guest-initiated connections"). So the pilot need not poll
//! for the agent, and reads nothing from the machine before it comes. The agent is the first program there. Once it has
//! connected, the socket is removed, so that nobody else can.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Instant;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::STEP;
use super::api::failed;
use crate::fault::{At, Outcome};
use crate::machine::stage;

/// The same as in the agent (native/agent/src/vm/channel.rs).
pub const PORT: u32 = 1024;

pub struct Door {
    listener: UnixListener,
    path: PathBuf,
}

impl Door {
    pub fn open() -> Outcome<Door> {
        Door::at(Path::new(stage::VSOCK))
    }

    /// `vsock`: the path given to Firecracker; it appends the port.
    fn at(vsock: &Path) -> Outcome<Door> {
        let path = PathBuf::from(format!("{}_{PORT}", vsock.display()));
        let listener = UnixListener::bind(&path).at(STEP, path.display())?;
        Ok(Door { listener, path })
    }

    /// `control` becomes readable only when Firecracker ends, because no request is open.
    pub fn welcome(self, control: &impl AsFd, until: Instant) -> Outcome<OwnedFd> {
        let fds = [self.listener.as_fd(), control.as_fd()];
        loop {
            let mut polls = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN));
            let left = until.saturating_duration_since(Instant::now()).as_millis();
            match poll(&mut polls, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)) {
                Ok(0) => return Err(failed("the machine's agent did not come in time")),
                Ok(_) => {}
                Err(nix::Error::EINTR) => continue,
                Err(error) => return Err(error).at(STEP, "waiting for its agent"),
            }
            if polls[0].any().unwrap_or(true) {
                let (stream, _) = self.listener.accept().at(STEP, "its agent")?;
                std::fs::remove_file(&self.path).at(STEP, self.path.display())?;
                return Ok(stream.into());
            }
            return Err(failed("the machine ended before its agent came"));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    fn place(name: &str) -> PathBuf {
        let place = std::env::temp_dir().join(format!("caisson-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&place).expect("a folder");
        place
    }

    #[test]
    fn the_first_who_comes_is_let_in_and_nobody_after_it() {
        let place = place("door");
        let door = Door::at(&place.join("vsock")).expect("a door");
        let (control, _firecracker) = UnixStream::pair().expect("a pair");
        let mut agent = UnixStream::connect(place.join("vsock_1024")).expect("the agent");
        let second = UnixStream::connect(place.join("vsock_1024")).expect("in the queue");
        let stream = door.welcome(&control, soon()).expect("welcome");
        agent.write_all(b"hello").expect("said");
        let mut heard = [0; 5];
        UnixStream::from(stream).read_exact(&mut heard).expect("heard");
        assert_eq!(&heard, b"hello");
        // A second connection that waited is closed, and later ones find no socket.
        assert!(matches!((&second).read(&mut heard), Ok(0) | Err(_)));
        assert!(UnixStream::connect(place.join("vsock_1024")).is_err());
        std::fs::remove_dir_all(place).expect("removed");
    }

    #[test]
    fn an_agent_that_never_comes_is_not_waited_for_for_ever() {
        let place = place("nobody");
        let (control, firecracker) = UnixStream::pair().expect("a pair");
        let late = Door::at(&place.join("late")).expect("a door").welcome(&control, Instant::now());
        assert!(late.is_err_and(|fault| fault.message.contains("did not come in time")));
        drop(firecracker);
        let ended = Door::at(&place.join("ended")).expect("a door").welcome(&control, soon());
        assert!(ended.is_err_and(|fault| fault.message.contains("ended before its agent came")));
        std::fs::remove_dir_all(place).expect("removed");
    }
}
