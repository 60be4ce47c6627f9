//! Descriptors watched by the event loop.

use std::cell::RefCell;
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use tokio::io::unix::AsyncFd;

pub type Port = AsyncFd<OwnedFd>;

pub fn port(descriptor: OwnedFd) -> std::io::Result<Port> {
    // SAFETY: it is moved in, owns its descriptor, and is neither taken out nor replaced before it is dropped.
    Ok(unsafe { AsyncFd::register(descriptor) }?)
}

/// One of our ends of a process's pipes, while it is open.
#[derive(Default)]
pub struct Slot(RefCell<Option<Rc<Port>>>);

impl Slot {
    pub fn new(descriptor: OwnedFd) -> std::io::Result<Slot> {
        let flags = fcntl(&descriptor, FcntlArg::F_GETFL)?;
        fcntl(&descriptor, FcntlArg::F_SETFL(OFlag::from_bits_retain(flags) | OFlag::O_NONBLOCK))?;
        Ok(Slot(RefCell::new(Some(Rc::new(port(descriptor)?)))))
    }
    pub fn get(&self) -> Option<Rc<Port>> {
        self.0.borrow().clone()
    }
    pub fn close(&self) {
        self.0.take();
    }
    /// The number of bytes waiting to be read.
    pub fn waiting(&self) -> usize {
        let Some(port) = self.get() else { return 0 };
        let mut bytes: libc::c_int = 0;
        // SAFETY: writes one int.
        let result = unsafe { libc::ioctl(port.as_raw_fd(), libc::FIONREAD, &raw mut bytes) };
        if result == 0 { usize::try_from(bytes).unwrap_or(0) } else { 0 }
    }
}
