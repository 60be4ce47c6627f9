//! Pseudo-terminals (pty(7)).

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use nix::errno::Errno;

use crate::identity::Identity;
use crate::refusal::{OrRefuse, Outcome};

pub struct Pair {
    /// Our side; non-blocking.
    pub master: OwnedFd,
    pub slave: OwnedFd,
}

/// The kernel gives the slave to whoever opens the pair (devpts), so the user opens it.
pub fn open(identity: &Identity, (columns, rows): (u16, u16)) -> Outcome<Pair> {
    let assumed = identity.assume()?;
    let flags = libc::O_NOCTTY | libc::O_CLOEXEC | libc::O_NONBLOCK;
    let master = std::fs::OpenOptions::new().read(true).write(true).custom_flags(flags).open("/dev/ptmx");
    let master = OwnedFd::from(master.or_refuse(|| "terminal")?);
    drop(assumed);
    let unlocked: libc::c_int = 0;
    // SAFETY: reads an int.
    Errno::result(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSPTLCK, &raw const unlocked) })
        .or_refuse(|| "terminal")?;
    let slave = match peer(&master) {
        // gVisor lacks this call.
        Err(Errno::ENOTTY) => by_number(&master).or_refuse(|| "terminal")?,
        found => found.or_refuse(|| "terminal")?,
    };
    resize(&master, (columns, rows)).or_refuse(|| "terminal size")?;
    Ok(Pair { master, slave })
}

const SLAVE: libc::c_int = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;

/// Opens the slave side, whatever lies in /dev/pts by now.
fn peer(master: &OwnedFd) -> nix::Result<OwnedFd> {
    // SAFETY: takes flags and makes a descriptor, for us.
    unsafe {
        let slave = Errno::result(libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER, SLAVE))?;
        Ok(OwnedFd::from_raw_fd(slave))
    }
}

fn by_number(master: &OwnedFd) -> nix::Result<OwnedFd> {
    let mut number: libc::c_uint = 0;
    // SAFETY: writes an int; the path ends with NUL, and what is opened is ours.
    unsafe {
        Errno::result(libc::ioctl(master.as_raw_fd(), libc::TIOCGPTN, &raw mut number))?;
        let path = std::ffi::CString::new(format!("/dev/pts/{number}")).map_err(|_| Errno::EINVAL)?;
        let slave = Errno::result(libc::open(path.as_ptr(), SLAVE))?;
        Ok(OwnedFd::from_raw_fd(slave))
    }
}

/// Also notifies the foreground processes (SIGWINCH).
pub fn resize(master: &impl AsRawFd, (columns, rows): (u16, u16)) -> nix::Result<()> {
    let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: reads one winsize.
    Errno::result(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) }).map(drop)
}
