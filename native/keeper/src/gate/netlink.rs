//! A minimal netlink client (netlink(7)): messages with attributes, sent in one batch, and every answer awaited.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, send, socket};

const HEADER: usize = 16;
const NESTED: u16 = 0x8000;

/// A batch of messages, in native byte order.
#[derive(Default)]
pub struct Messages {
    bytes: Vec<u8>,
    answers: u32,
}

impl Messages {
    /// `flags` are added to NLM_F_REQUEST. With `answered`, the kernel acknowledges the message.
    pub fn add(&mut self, kind: u16, flags: i32, answered: bool, header: &[u8], fill: impl FnOnce(&mut Attributes)) {
        let flags = libc::NLM_F_REQUEST | flags | if answered { libc::NLM_F_ACK } else { 0 };
        self.answers += u32::from(answered);
        let start = self.bytes.len();
        self.bytes.extend([0; 4]);
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend((flags as u16).to_ne_bytes());
        self.bytes.extend(self.answers.to_ne_bytes());
        self.bytes.extend([0; 4]);
        self.bytes.extend(header);
        fill(&mut Attributes(&mut self.bytes));
        let length = (self.bytes.len() - start) as u32;
        self.bytes[start..start + 4].copy_from_slice(&length.to_ne_bytes());
    }

    /// Sends the batch and reads all answers; returns the first failure.
    pub fn carry_out(self, protocol: SockProtocol) -> io::Result<()> {
        self.carry_out_on(&open(protocol)?)
    }

    pub fn carry_out_on(self, socket: &OwnedFd) -> io::Result<()> {
        send(socket.as_raw_fd(), &self.bytes, MsgFlags::empty())?;
        let mut buffer = [0u8; 16 * 1024];
        let mut left = self.answers;
        while left > 0 {
            let length = nix::sys::socket::recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
            left = left.saturating_sub(answers(&buffer[..length])?);
        }
        Ok(())
    }
}

pub fn open(protocol: SockProtocol) -> io::Result<OwnedFd> {
    let socket = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?;
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
    Ok(socket)
}

/// The number of successful acknowledgements.
fn answers(mut bytes: &[u8]) -> io::Result<u32> {
    let mut count = 0;
    while bytes.len() >= HEADER {
        let number = |at: usize| i32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let length = number(0) as usize;
        let kind = u16::from_ne_bytes([bytes[4], bytes[5]]);
        if length < HEADER || length > bytes.len() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if i32::from(kind) == libc::NLMSG_ERROR && length >= HEADER + 4 {
            match number(HEADER) {
                0 => count += 1,
                error => return Err(io::Error::from_raw_os_error(-error)),
            }
        }
        bytes = &bytes[length.next_multiple_of(4).min(bytes.len())..];
    }
    Ok(count)
}

pub struct Attributes<'a>(&'a mut Vec<u8>);

impl Attributes<'_> {
    pub fn put(&mut self, kind: u16, value: &[u8]) {
        self.0.extend((value.len() as u16 + 4).to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    /// Text with its terminating NUL.
    pub fn text(&mut self, kind: u16, value: &str) {
        self.put(kind, &[value.as_bytes(), b"\0"].concat());
    }

    /// In network byte order, as nf_tables requires.
    pub fn number(&mut self, kind: u16, value: u32) {
        self.put(kind, &value.to_be_bytes());
    }

    pub fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Attributes)) {
        let start = self.0.len();
        self.0.extend([0; 2]);
        self.0.extend((kind | NESTED).to_ne_bytes());
        fill(&mut Attributes(self.0));
        let length = (self.0.len() - start) as u16;
        self.0[start..start + 2].copy_from_slice(&length.to_ne_bytes());
    }
}
