//! What the rules refuse and log: protocols other than TCP and DNS. The kernel reports each by nfnetlink_log, with the
//! first bytes of the packet.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{MsgFlags, SockProtocol, recv};

use super::netlink::{self, Messages};
use super::rules::LOG_GROUP;

// linux/netfilter/nfnetlink_log.h
const MSG_PACKET: u16 = 0;
const MSG_CONFIG: u16 = 1;
const CONFIG_COMMAND: u16 = 1;
const CONFIG_MODE: u16 = 2;
const COMMAND_BIND: u8 = 1;
const COPY_PACKET: u8 = 2;
const PAYLOAD: u16 = 9;

const BYTES: u32 = 64;

/// A socket that receives the log of this network namespace.
pub fn open() -> io::Result<OwnedFd> {
    let socket = netlink::open(SockProtocol::NetlinkNetFilter)?;
    let kind = (libc::NFNL_SUBSYS_ULOG as u16) << 8 | MSG_CONFIG;
    let [high, low] = LOG_GROUP.to_be_bytes();
    let mut messages = Messages::default();
    messages.add(kind, 0, true, &[0, 0, high, low], |config| {
        config.put(CONFIG_COMMAND, &[COMMAND_BIND]);
        config.put(CONFIG_MODE, &[&BYTES.to_be_bytes()[..], &[COPY_PACKET, 0]].concat());
    });
    messages.carry_out_on(&socket)?;
    nix::fcntl::fcntl(&socket, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK))?;
    Ok(socket)
}

/// A refused packet.
#[derive(Debug, PartialEq, Eq)]
pub struct Note {
    pub icmp: bool,
    /// What it was and where it was sent to, in words.
    pub detail: String,
}

/// Reads all notes that have arrived.
pub fn hear(socket: &OwnedFd, mut note: impl FnMut(Note)) {
    let mut buffer = [0u8; 8192];
    // An overflow (ENOBUFS) ends the loop like any error: those notes are lost, but the packets are still refused.
    while let Ok(length) = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
        packets(&buffer[..length]).filter_map(read).for_each(&mut note);
    }
}

/// The packets of a batch of messages, as far as the kernel copied them.
fn packets(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        loop {
            let length = u32::from_ne_bytes(bytes.first_chunk().copied()?) as usize;
            let message = bytes.get(..length).filter(|_| length >= 20)?;
            bytes = &bytes[length.next_multiple_of(4).min(bytes.len())..];
            let kind = u16::from_ne_bytes([message[4], message[5]]);
            if kind == (libc::NFNL_SUBSYS_ULOG as u16) << 8 | MSG_PACKET
                && let Some(packet) = attribute(&message[20..], PAYLOAD)
            {
                return Some(packet);
            }
        }
    })
}

fn attribute(mut bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    while bytes.len() >= 4 {
        let length = usize::from(u16::from_ne_bytes([bytes[0], bytes[1]]));
        let kind = u16::from_ne_bytes([bytes[2], bytes[3]]);
        let value = bytes.get(4..length)?;
        if kind == wanted {
            return Some(value);
        }
        bytes = &bytes[length.next_multiple_of(4).min(bytes.len())..];
    }
    None
}

fn read(packet: &[u8]) -> Option<Note> {
    let (protocol, destination, rest) = match packet.first()? >> 4 {
        4 => {
            let header = usize::from(packet[0] & 0xF) * 4;
            let to: [u8; 4] = packet.get(16..20)?.try_into().ok()?;
            (packet[9], Ipv4Addr::from(to).to_string(), packet.get(header..)?)
        }
        6 => {
            let to: [u8; 16] = packet.get(24..40)?.try_into().ok()?;
            (packet[6], format!("[{}]", Ipv6Addr::from(to)), packet.get(40..)?)
        }
        _ => return None,
    };
    let port = |name: &str| {
        let port = rest.get(2..4).map_or(0, |port| u16::from_be_bytes([port[0], port[1]]));
        format!("{name} to {destination}:{port}")
    };
    Some(match i32::from(protocol) {
        libc::IPPROTO_ICMP | libc::IPPROTO_ICMPV6 => Note { icmp: true, detail: format!("icmp to {destination}") },
        libc::IPPROTO_UDP => Note { icmp: false, detail: port("udp") },
        number => Note { icmp: false, detail: format!("protocol {number} to {destination}") },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(packet: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 20];
        bytes[4..6].copy_from_slice(&((libc::NFNL_SUBSYS_ULOG as u16) << 8 | MSG_PACKET).to_ne_bytes());
        bytes.extend(((packet.len() + 4) as u16).to_ne_bytes());
        bytes.extend(PAYLOAD.to_ne_bytes());
        bytes.extend(packet);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        let length = bytes.len() as u32;
        bytes[..4].copy_from_slice(&length.to_ne_bytes());
        bytes
    }

    #[test]
    fn a_packet_is_told_by_what_it_is_and_where_it_goes() {
        let mut udp = vec![0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 198, 18, 0, 2, 9, 9, 9, 9];
        udp.extend([0xC0, 0, 0x01, 0xBB, 0, 8, 0, 0]);
        let mut ping = vec![0x60, 0, 0, 0, 0, 8, 58, 64];
        ping.extend([0; 16]);
        ping.extend(Ipv6Addr::LOCALHOST.octets());
        let row = [message(&udp), message(&ping)].concat();
        let notes: Vec<_> = packets(&row).filter_map(read).collect();
        assert_eq!(notes[0], Note { icmp: false, detail: "udp to 9.9.9.9:443".into() });
        assert_eq!(notes[1], Note { icmp: true, detail: "icmp to [::1]".into() });
        for end in 0..row.len() {
            assert!(packets(&row[..end]).filter_map(read).count() < 2);
        }
    }
}
