//! Starts an agent as the keeper does.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use nix::sys::socket::{AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, recv, sendmsg, socketpair};

use crate::client::Client;

/// Only ends a test that hangs; nothing depends on it.
const PATIENCE: Duration = Duration::from_secs(30);

/// Nobody else's.
const CROWDED_UID: u32 = 61_235;

fn single_user(folder: &Path) -> serde_json::Value {
    let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
    let home = folder.join("home");
    serde_json::json!({
        "singleUser": true, "openFiles": 256, "writable": [home],
        "user": { "name": "user", "uid": uid.as_raw(), "gid": gid.as_raw(), "home": home },
    })
}

pub struct Agent {
    pub process: Child,
    pub folder: PathBuf,
    leash: Option<OwnedFd>,
}

impl Agent {
    /// With a single user: whoever runs the test.
    pub fn start() -> Agent {
        Agent::with_config(single_user)
    }

    /// With a user that may have no further process or thread.
    pub fn start_crowded() -> Agent {
        Agent::spawn(true).configured(single_user)
    }

    pub fn with_config(config: impl FnOnce(&Path) -> serde_json::Value) -> Agent {
        Agent::without_config().configured(config)
    }

    pub fn without_config() -> Agent {
        Agent::spawn(false)
    }

    fn configured(self, config: impl FnOnce(&Path) -> serde_json::Value) -> Agent {
        let text = config(&self.folder).to_string();
        self.tell(&text, &[]);
        assert_eq!(self.hear(), r#"{"ready":true}"#);
        self
    }

    fn spawn(crowded: bool) -> Agent {
        let folder = fresh_folder();
        std::fs::create_dir_all(folder.join("home")).unwrap();
        let listener = UnixListener::bind(folder.join("agent.sock")).unwrap();
        let (ours, theirs) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).unwrap();
        let mut program = PathBuf::from(env!("CARGO_BIN_EXE_caisson-agent"));
        if crowded {
            // A copy, where the other user can reach it.
            program =
                std::fs::copy(&program, folder.join("caisson-agent")).map(|_| folder.join("caisson-agent")).unwrap();
            std::fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        }
        let mut command = Command::new(program);
        command.env_clear();
        let given = [high(listener.as_raw_fd()), high(theirs.as_raw_fd())];
        // SAFETY: only async-signal-safe calls, on numbers.
        unsafe {
            command.pre_exec(move || {
                libc::dup2(given[0], 3);
                libc::dup2(given[1], 4);
                // Orphans come to it, as they come to PID 1.
                libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1);
                if crowded {
                    // Root is not bound by the limit. For an ordinary user the first call fails, and need not succeed.
                    libc::setuid(CROWDED_UID);
                    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
                    libc::setrlimit(libc::RLIMIT_NPROC, &raw const none);
                }
                Ok(())
            });
        }
        let process = command.spawn().unwrap();
        for number in given {
            // SAFETY: made by `high` for this command alone.
            unsafe { libc::close(number) };
        }
        Agent { process, folder, leash: Some(ours) }
    }

    pub fn tell(&self, text: &str, descriptors: &[RawFd]) {
        let parts = [std::io::IoSlice::new(text.as_bytes())];
        let rights = [ControlMessage::ScmRights(descriptors)];
        let rights = if descriptors.is_empty() { &rights[..0] } else { &rights[..] };
        sendmsg::<()>(self.leash.as_ref().unwrap().as_raw_fd(), &parts, rights, MsgFlags::empty(), None).unwrap();
    }

    pub fn hear(&self) -> String {
        let mut bytes = [0; 4096];
        let count = recv(self.leash.as_ref().unwrap().as_raw_fd(), &mut bytes, MsgFlags::empty()).unwrap();
        String::from_utf8(bytes[..count].to_vec()).unwrap()
    }

    pub fn let_go(&mut self) {
        self.leash = None;
    }

    pub fn home(&self) -> PathBuf {
        self.folder.join("home")
    }

    pub fn raw(&self) -> UnixStream {
        let socket = UnixStream::connect(self.folder.join("agent.sock")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    }

    pub fn connect(&self) -> Client {
        Client::greet(self.raw())
    }

    /// KiB, of one line of /proc/PID/status.
    pub fn status_kib(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // No pid namespace ends with it here: what it started, and what fell to it, is ended first.
        let children = format!("/proc/{0}/task/{0}/children", self.process.id());
        loop {
            let pids = std::fs::read_to_string(&children).unwrap_or_default();
            let pids: Vec<i32> = pids.split_ascii_whitespace().map(|pid| pid.parse().unwrap()).collect();
            if pids.is_empty() {
                break;
            }
            for pid in pids {
                // SAFETY: takes numbers only.
                unsafe { libc::kill(pid, libc::SIGKILL) };
            }
            std::thread::yield_now();
        }
        self.leash = None;
        self.process.wait().unwrap();
        std::fs::remove_dir_all(&self.folder).unwrap();
    }
}

fn high(number: RawFd) -> RawFd {
    // SAFETY: takes numbers only.
    let copy = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 100) };
    assert!(copy >= 100);
    copy
}

fn fresh_folder() -> PathBuf {
    let mut template = *b"/tmp/caisson-agent-XXXXXX\0";
    // SAFETY: a NUL-terminated template that mkdtemp fills in.
    assert!(!unsafe { libc::mkdtemp(template.as_mut_ptr().cast()) }.is_null());
    PathBuf::from(std::str::from_utf8(&template[..template.len() - 1]).unwrap())
}
