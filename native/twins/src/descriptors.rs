//! QEMU's open descriptors. A twin gets each of them anew, with the same number. It shares no open file with its mother
//! or another twin, not even for reading.

use std::ffi::{CStr, c_int, c_long};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Mutex;

use crate::call;

/// As in native/keeper/src/machine/arguments.rs.
const STREAM: RawFd = 3;
pub const DISK: RawFd = 4;
const CONTROL: RawFd = 5;
const STANDARD: RawFd = 3;
/// QEMU has two dozen.
const MOST: RawFd = 128;
/// Read-only files shared by all: native/keeper/src/machine/stage.rs.
const FILES: [&CStr; 3] = [c"/memory", c"/usr.erofs", c"/shown.erofs"];

/// Descriptors without a path, by how they were created.
#[derive(Clone, Copy)]
pub enum Kind {
    Event,
    Epoll,
    Signals(u64),
}

/// By number: the latest one created with it.
static NOTED: Mutex<Vec<(RawFd, Kind)>> = Mutex::new(Vec::new());

pub fn note(made: c_long, kind: Kind) -> c_int {
    if let (Some(fd), Ok(mut noted)) = (call(made), NOTED.lock()) {
        noted.retain(|(number, _)| *number != fd);
        noted.push((fd, kind));
    }
    made as c_int
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Identity(libc::dev_t, libc::ino_t, libc::mode_t);

impl Identity {
    pub fn of(fd: RawFd) -> Option<Identity> {
        // SAFETY: all-zero is a valid structure, which the kernel fills.
        let (told, stat) = unsafe {
            let mut stat: libc::stat = std::mem::zeroed();
            (libc::fstat(fd, &raw mut stat), stat)
        };
        (told == 0).then_some(Identity(stat.st_dev, stat.st_ino, stat.st_mode & libc::S_IFMT))
    }

    fn at(path: &CStr) -> Option<Identity> {
        // SAFETY: a path that ends with NUL; as above.
        let (told, stat) = unsafe {
            let mut stat: libc::stat = std::mem::zeroed();
            (libc::stat(path.as_ptr(), &raw mut stat), stat)
        };
        (told == 0).then_some(Identity(stat.st_dev, stat.st_ino, stat.st_mode & libc::S_IFMT))
    }
}

/// What takes this descriptor's place in a twin.
#[derive(Clone, Copy)]
enum Place {
    Null,
    Log,
    Stream,
    Disk,
    Control,
    File(&'static CStr),
    Anonymous(Kind),
}

/// All of QEMU's descriptors, except the mother's own.
pub struct Table(Vec<(RawFd, Place)>);

/// A twin's own descriptors.
pub struct Own {
    pub log: OwnedFd,
    pub stream: OwnedFd,
    pub disk: OwnedFd,
    pub control: OwnedFd,
}

impl Table {
    /// On an unknown descriptor, fails with its number.
    pub fn read(disk: Identity, mothers: &[RawFd]) -> Result<Table, RawFd> {
        let noted = NOTED.lock().map(|noted| noted.clone()).unwrap_or_default();
        let mut table = Vec::new();
        for fd in 0..MOST {
            let Some(found) = Identity::of(fd).filter(|_| !mothers.contains(&fd)) else { continue };
            let kind = noted.iter().find(|(number, _)| *number == fd).map(|(_, kind)| *kind);
            let place = match fd {
                0 => Place::Null,
                _ if fd < STANDARD => Place::Log,
                STREAM => Place::Stream,
                CONTROL => Place::Control,
                _ if found == disk => Place::Disk,
                // An anonymous inode has no file type.
                _ if found.2 == 0 => Place::Anonymous(kind.ok_or(fd)?),
                _ => Place::File(FILES.into_iter().find(|path| Identity::at(path) == Some(found)).ok_or(fd)?),
            };
            table.push((fd, place));
        }
        Ok(Table(table))
    }

    /// Runs in a twin: sets up the same descriptors as in its mother, and no others. False: one could not be created.
    pub fn renew(&self, own: &Own) -> bool {
        let mut fresh = Vec::new();
        for (fd, place) in &self.0 {
            let Some(made) = place.make(*fd, own).and_then(beyond) else { return false };
            fresh.push((*fd, made));
        }
        let mut next = 0;
        for (fd, made) in fresh {
            // SAFETY: touches only this process's table; nothing here uses what is closed.
            unsafe {
                if fd > next {
                    libc::close_range(next as u32, fd as u32 - 1, 0);
                }
                if libc::dup3(made, fd, if fd < STANDARD { 0 } else { libc::O_CLOEXEC }) != fd {
                    return false;
                }
            }
            next = fd + 1;
        }
        // SAFETY: as above.
        unsafe { libc::close_range(next as u32, u32::MAX, 0) == 0 }
    }
}

impl Place {
    fn make(self, fd: RawFd, own: &Own) -> Option<RawFd> {
        // SAFETY: flags of a descriptor, paths that end with NUL, and a set of eight bytes.
        unsafe {
            let flags = libc::fcntl(fd, libc::F_GETFL);
            let nonblocking = flags & libc::O_NONBLOCK;
            let open = |path: &CStr| {
                let mode = flags & (libc::O_ACCMODE | libc::O_DIRECT | libc::O_NONBLOCK) | libc::O_CLOEXEC;
                call(libc::open(path.as_ptr(), mode).into())
            };
            let set = |own: &OwnedFd| {
                let own = own.as_raw_fd();
                (libc::fcntl(own, libc::F_SETFL, libc::fcntl(own, libc::F_GETFL) | nonblocking) == 0).then_some(own)
            };
            match self {
                Place::Null => open(c"/dev/null"),
                Place::Log => Some(own.log.as_raw_fd()),
                Place::Stream => set(&own.stream),
                Place::Control => set(&own.control),
                Place::Disk => Some(own.disk.as_raw_fd()),
                Place::File(path) => open(path),
                // Initially signalled, at the cost of one spurious wake-up.
                Place::Anonymous(Kind::Event) => call(libc::syscall(libc::SYS_eventfd2, 1, nonblocking)),
                Place::Anonymous(Kind::Epoll) => call(libc::syscall(libc::SYS_epoll_create1, 0)),
                Place::Anonymous(Kind::Signals(set)) => {
                    call(libc::syscall(libc::SYS_signalfd4, -1, &raw const set, 8, nonblocking))
                }
            }
        }
    }
}

/// Moves it above all numbers that are to be replaced.
fn beyond(fd: RawFd) -> Option<RawFd> {
    // SAFETY: no pointers.
    call(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, MOST) }.into())
}
