//! What differs when the sandbox is a zygote: other keepers ask it for forks, and it is ready once its interpreter is
//! warm.

use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::Path;

use caisson_zygote::message::receive;
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket};

use crate::engine;
use crate::fault::{At, Code, Fault, Outcome};
use crate::nursery::Nursery;
use crate::order::{PATIENCE, Sandbox};
use crate::say::Said;

impl Sandbox {
    pub fn listen_for_forks(&mut self) -> Outcome<OwnedFd> {
        let path = Path::new(&self.plan.dir).join("keeper.sock");
        self.control = Some(UnixListener::bind(&path).at("sockets", path.display())?);
        if self.plan.engine.is_some() {
            // A mother is rehearsed before it serves.
            let path = Path::new(&self.plan.dir).join("agent.sock");
            let agent = UnixListener::bind(&path).at("sockets", path.display())?;
            self.engine = Some(engine::Held::new(&agent)?);
        }
        let path = self.plan.serve.as_ref().map_or("", |serve| serve.socket.as_str());
        let socket =
            socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None).at("sockets", path)?;
        bind(socket.as_raw_fd(), &UnixAddr::new(path).at("sockets", path)?).at("sockets", path)?;
        listen(&socket, Backlog::new(511).at("sockets", path)?).at("sockets", path)?;
        Ok(socket)
    }

    /// It answers once its interpreter is warm; if it ends instead, its log tells why.
    pub fn wait_for_zygote(&mut self) -> Outcome<()> {
        let leash = self.leash.take().ok_or_else(|| Fault::new(Code::LaunchFailed, "interpreter", "no leash"))?;
        let mut buffer = [0u8; 8192];
        let (length, _) = receive(leash.as_fd(), &mut buffer).at("interpreter", "leash")?;
        Said::read(&buffer[..length], "interpreter")?;
        let socket = self.plan.serve.as_ref().map_or("", |serve| serve.socket.as_str());
        let log = Path::new(&self.plan.dir).join("zygote.log");
        Nursery::connect(socket, PATIENCE).map(|_| ()).map_err(|fault| {
            let said = fs::read_to_string(log).unwrap_or_default();
            let tail = said.trim_end().lines().last().unwrap_or("it said nothing").to_string();
            Fault::new(Code::LaunchFailed, "interpreter", format!("{}; {tail}", fault.message))
        })?;
        let first = self.first.unwrap_or(0);
        let status = fs::read_to_string(format!("/proc/{first}/status")).at("interpreter", "status")?;
        let threads = status.lines().find_map(|line| line.strip_prefix("Threads:"));
        if threads.map(str::trim) == Some("1") {
            return Ok(());
        }
        Err(Fault::new(Code::LaunchFailed, "interpreter", "it has more than one thread, and a fork would lose them"))
    }
}
