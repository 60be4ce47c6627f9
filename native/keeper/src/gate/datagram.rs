//! Datagrams on a transparent socket: received with their original destination, and answered from that address.

use std::io::{IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg};

/// The sender, and the address it sent to.
#[derive(Clone)]
pub struct Asker {
    from: SockaddrStorage,
    to: IpAddr,
}

/// Returns the length of the next datagram; None: there is none. A longer one is cut to the buffer.
pub fn receive(socket: &OwnedFd, buffer: &mut [u8]) -> Option<(usize, Asker)> {
    let mut space = nix::cmsg_space!(libc::in_pktinfo, libc::in6_pktinfo);
    let mut parts = [IoSliceMut::new(buffer)];
    loop {
        let flags = MsgFlags::MSG_DONTWAIT;
        let message = match recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut parts, Some(&mut space), flags) {
            Ok(message) => message,
            Err(nix::Error::EINTR) => continue,
            Err(_) => return None,
        };
        let mut to = None;
        for control in message.cmsgs().into_iter().flatten() {
            match control {
                ControlMessageOwned::Ipv4PacketInfo(info) => {
                    to = Some(IpAddr::V4(Ipv4Addr::from_bits(u32::from_be(info.ipi_addr.s_addr))));
                }
                ControlMessageOwned::Ipv6PacketInfo(info) => {
                    to = Some(IpAddr::V6(Ipv6Addr::from(info.ipi6_addr.s6_addr)));
                }
                _ => {}
            }
        }
        if let (Some(from), Some(to)) = (message.address, to) {
            return Some((message.bytes, Asker { from, to }));
        }
    }
}

/// Silently lost if the receiver does not read.
pub fn answer(socket: &OwnedFd, asker: &Asker, bytes: &[u8]) {
    let parts = [IoSlice::new(bytes)];
    let (v4, v6);
    let control = match asker.to {
        IpAddr::V4(address) => {
            let address = libc::in_addr { s_addr: address.to_bits().to_be() };
            v4 = libc::in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: address, ipi_addr: address };
            ControlMessage::Ipv4PacketInfo(&v4)
        }
        IpAddr::V6(address) => {
            v6 = libc::in6_pktinfo { ipi6_addr: libc::in6_addr { s6_addr: address.octets() }, ipi6_ifindex: 0 };
            ControlMessage::Ipv6PacketInfo(&v6)
        }
    };
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    let _lost = sendmsg(socket.as_raw_fd(), &parts, &[control], flags, Some(&asker.from));
}
