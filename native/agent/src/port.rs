//! Descriptors that the event loop watches: for what there is to be read. Whoever reads what was written here would wake the loop each time if it
//! watched for room as well, so it does that only while somebody waits for room.

use std::cell::RefCell;
use std::io::{Error, ErrorKind, Result};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::rc::Rc;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, send};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::coop::consume_budget;

pub type Port = AsyncFd<OwnedFd>;

pub fn port(descriptor: OwnedFd) -> Result<Port> {
    watched(descriptor, Interest::READABLE)
}

/// Until there is room again, after there was none.
pub async fn writable(port: &Port) -> Result<()> {
    let copy = watched(port.get_ref().try_clone()?, Interest::WRITABLE)?;
    copy.writable().await.map(drop)
}

fn watched(descriptor: OwnedFd, what: Interest) -> Result<Port> {
    // SAFETY: it is moved in, owns its descriptor, and nothing takes or replaces it before it is dropped.
    Ok(unsafe { AsyncFd::register_with_interest(descriptor, what) }?)
}

/// At once, and then in the time that whoever reads it takes.
pub async fn write_all(socket: &Port, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        match send(socket.as_raw_fd(), bytes, MsgFlags::MSG_NOSIGNAL) {
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::EAGAIN) => writable(socket).await?,
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// What is there, as far as there is room for it in `buffer`, behind what it has. Zero: nothing will come any more.
pub async fn read(socket: &Port, buffer: &mut Vec<u8>) -> Result<usize> {
    // One who never stops speaking is not the only one.
    consume_budget().await;
    loop {
        let mut ready = socket.readable().await?;
        let room = buffer.spare_capacity_mut();
        let most = room.len();
        let Ok(heard) = ready.try_io(|socket| receive(socket, room)) else { continue };
        match heard {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
            Ok(count) => {
                if is_drained(count, most) {
                    ready.clear_ready();
                }
                // SAFETY: that many bytes of the room have been written.
                unsafe { buffer.set_len(buffer.len() + count) };
                return Ok(count);
            }
        }
    }
}

fn receive(socket: &Port, room: &mut [MaybeUninit<u8>]) -> Result<usize> {
    // SAFETY: as much room as is said.
    let count = unsafe { libc::recv(socket.as_raw_fd(), room.as_mut_ptr().cast(), room.len(), 0) };
    usize::try_from(count).map_err(|_| Error::last_os_error())
}

/// Of a socket that less was read from than was asked for: what comes after that is heard of anew (epoll(7), of those that are watched edge-triggered).
pub fn is_drained(count: usize, most: usize) -> bool {
    count > 0 && count < most
}

/// One of our ends of a process's pipes, while it is open.
#[derive(Default)]
pub struct Slot(RefCell<Option<Rc<Port>>>);

impl Slot {
    pub fn new(descriptor: OwnedFd) -> Result<Slot> {
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
    /// What waits to be read.
    pub fn waiting(&self) -> usize {
        let Some(port) = self.get() else { return 0 };
        let mut bytes: libc::c_int = 0;
        // SAFETY: writes one int.
        let result = unsafe { libc::ioctl(port.as_raw_fd(), libc::FIONREAD, &raw mut bytes) };
        if result == 0 { usize::try_from(bytes).unwrap_or(0) } else { 0 }
    }
}

/// What waits to be read in each: mostly nothing in any, which is one question.
pub fn waiting<const COUNT: usize>(slots: [&Slot; COUNT]) -> [usize; COUNT] {
    let ports = slots.map(Slot::get);
    let mut polls: Vec<_> = ports.iter().flatten().map(|port| PollFd::new(port.as_fd(), PollFlags::POLLIN)).collect();
    if poll(&mut polls, PollTimeout::ZERO) == Ok(0) { [0; COUNT] } else { slots.map(Slot::waiting) }
}
