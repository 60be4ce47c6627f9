//! Descriptors watched by the event loop, and how they are read and written.

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, send};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::vm;

pub type Port = AsyncFd<OwnedFd>;

/// In a machine it is watched for input alone. Otherwise whoever reads at the other end wakes this process, which in an
/// emulated machine takes as long as what is read. (A gVisor of 2022 could not be saved after that: record 25.)
pub fn port(descriptor: OwnedFd) -> io::Result<Port> {
    let interest = if vm::is_here() { Interest::READABLE } else { Interest::READABLE | Interest::WRITABLE };
    watched(descriptor, interest)
}

fn watched(descriptor: OwnedFd, interest: Interest) -> io::Result<Port> {
    // SAFETY: it is moved in, owns its descriptor, and is neither taken out nor replaced before it is dropped.
    Ok(unsafe { AsyncFd::register_with_interest(descriptor, interest) }?)
}

/// Returns the first result of `write` but that there is no space, for which it waits.
pub async fn when_writable<R>(port: &Port, mut write: impl FnMut(&Port) -> io::Result<R>) -> io::Result<R> {
    if !vm::is_here() {
        return until(port, || write(port)).await;
    }
    match write(port) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
        result => return result,
    }
    let space = watched(port.get_ref().try_clone()?, Interest::WRITABLE)?;
    until(&space, || write(port)).await
}

async fn until<R>(space: &Port, mut write: impl FnMut() -> io::Result<R>) -> io::Result<R> {
    loop {
        if let Ok(result) = space.writable().await?.try_io(|_| write()) {
            return result;
        }
    }
}

/// To a socket.
pub async fn send_all(socket: &Port, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let write = |socket: &Port| match send(socket.as_raw_fd(), bytes, MsgFlags::MSG_NOSIGNAL) {
            Err(Errno::EINTR) => Ok(0),
            sent => Ok(sent?),
        };
        let sent = when_writable(socket, write).await?;
        bytes = &bytes[sent..];
    }
    Ok(())
}

/// From a socket. Appends what has come to the buffer, up to its capacity. 0: the other end is closed.
pub async fn receive(socket: &Port, buffer: &mut Vec<u8>) -> io::Result<usize> {
    loop {
        let mut ready = socket.readable().await?;
        let space = buffer.spare_capacity_mut();
        let read = ready.try_io(|socket| {
            // SAFETY: the kernel writes at most as many bytes as the space has.
            let read = unsafe { libc::recv(socket.as_raw_fd(), space.as_mut_ptr().cast(), space.len(), 0) };
            usize::try_from(read).map_err(|_| io::Error::last_os_error())
        });
        match read {
            Ok(Ok(count)) => {
                if count > 0 && count < space.len() {
                    // That was all.
                    ready.clear_ready();
                }
                // SAFETY: that many bytes behind the last were written just now.
                unsafe { buffer.set_len(buffer.len() + count) };
                return Ok(count);
            }
            Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(Err(error)) => return Err(error),
            Err(_) => {}
        }
    }
}

/// One of our ends of a process's pipes, while it is open.
#[derive(Default)]
pub struct Slot(RefCell<Option<Rc<Port>>>);

impl Slot {
    pub fn new(descriptor: OwnedFd) -> io::Result<Slot> {
        caisson_relay::never_wait(&descriptor)?;
        Ok(Slot(RefCell::new(Some(Rc::new(port(descriptor)?)))))
    }
    pub fn get(&self) -> Option<Rc<Port>> {
        self.0.borrow().clone()
    }
    pub fn close(&self) {
        self.0.take();
    }

    /// The number of bytes waiting to be read.
    fn waiting(&self) -> usize {
        let Some(port) = self.get() else { return 0 };
        let mut bytes: libc::c_int = 0;
        // SAFETY: writes one int.
        let result = unsafe { libc::ioctl(port.as_raw_fd(), libc::FIONREAD, &raw mut bytes) };
        if result == 0 { usize::try_from(bytes).unwrap_or(0) } else { 0 }
    }
}

/// The numbers of bytes waiting to be read. Mostly there are none, which takes one system call to learn.
pub fn waiting<const N: usize>(slots: [&Slot; N]) -> [usize; N] {
    let mut polls = slots.map(|slot| {
        let fd = slot.get().map_or(-1, |port| port.as_raw_fd());
        libc::pollfd { fd, events: libc::POLLIN, revents: 0 }
    });
    // SAFETY: the array is ours and has the given length.
    if unsafe { libc::poll(polls.as_mut_ptr(), polls.len() as libc::nfds_t, 0) } == 0 {
        return [0; N];
    }
    slots.map(Slot::waiting)
}
