//! How the kernel signals that a limit of a cgroup has been hit.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;

use crate::cgroup::{field, write};
use crate::fault::{At, Outcome};

const STEP: &str = "cgroup";

/// Something to poll that signals when a limit may have been hit.
pub struct Alarm {
    pub reason: &'static str,
    kind: AlarmKind,
}

enum AlarmKind {
    /// Version 1 memory: signals each out-of-memory condition of the group, a moment before any counter shows the kill.
    Event(OwnedFd),
    /// A file of counters: signals when one has changed. Under version 1 it never signals and must be polled.
    Counter { file: File, key: &'static str, seen: u64, silent: bool },
}

impl Alarm {
    /// Version 1: cgroup-v1/memory.rst, "OOM Control".
    pub fn out_of_memory(dir: &Path) -> Outcome<Alarm> {
        // SAFETY: eventfd returns a new descriptor, which is ours.
        let event = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if event < 0 {
            return Err(std::io::Error::last_os_error()).at(STEP, "eventfd");
        }
        // SAFETY: just created, owned by nobody else.
        let event = unsafe { OwnedFd::from_raw_fd(event) };
        let control = File::open(dir.join("memory.oom_control")).at(STEP, "memory.oom_control")?;
        write(dir, "cgroup.event_control", format!("{} {}", event.as_raw_fd(), control.as_raw_fd()))?;
        Ok(Alarm { reason: "memory", kind: AlarmKind::Event(event) })
    }

    pub fn memory_events(dir: &Path) -> Outcome<Alarm> {
        Alarm::counter(dir, "memory.events", "oom_kill ", "memory", false)
    }

    pub fn pids_events(dir: &Path, silent: bool) -> Outcome<Alarm> {
        Alarm::counter(dir, "pids.events", "max ", "pids", silent)
    }

    fn counter(dir: &Path, file: &str, key: &'static str, reason: &'static str, silent: bool) -> Outcome<Alarm> {
        let path = dir.join(file);
        let mut file = File::open(&path).at(STEP, path.display())?;
        // The kernel reports changes since the last read of this descriptor.
        file.read_to_string(&mut String::new()).at(STEP, path.display())?;
        Ok(Alarm { reason, kind: AlarmKind::Counter { file, key, seen: 0, silent } })
    }

    pub fn wait_for(&self) -> libc::pollfd {
        match &self.kind {
            AlarmKind::Event(event) => libc::pollfd { fd: event.as_raw_fd(), events: libc::POLLIN, revents: 0 },
            AlarmKind::Counter { file, .. } => libc::pollfd { fd: file.as_raw_fd(), events: libc::POLLPRI, revents: 0 },
        }
    }

    pub fn is_silent(&self) -> bool {
        matches!(self.kind, AlarmKind::Counter { silent: true, .. })
    }

    /// True when the limit has been hit since the last call.
    pub fn rang(&mut self) -> bool {
        match &mut self.kind {
            AlarmKind::Event(event) => {
                let mut count = [0u8; 8];
                // SAFETY: the buffer is ours and has the given length; the descriptor is non-blocking.
                unsafe { libc::read(event.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) == count.len() as isize }
            }
            AlarmKind::Counter { file, key, seen, .. } => {
                let mut text = String::new();
                let read = file.seek(SeekFrom::Start(0)).and_then(|_| file.read_to_string(&mut text));
                let now = read.ok().and_then(|_| field(&text, key)).unwrap_or(*seen);
                std::mem::replace(seen, now) < now
            }
        }
    }
}
