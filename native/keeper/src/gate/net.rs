//! The first process's part of the gate, inside the sandbox's network namespace and before it gives up its rights
//! there. It sets up the rules that catch outgoing traffic, and opens the listeners that receive it. The keeper gets
//! the listeners; nothing that runs inside later can obtain or replace them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockProtocol, SockType, SockaddrStorage, bind, listen, setsockopt, socket,
    sockopt,
};

use super::addresses::{GATE_4, GATE_6, HTTP_PROXY, PORT, SELF_4, SELF_6, SOCKS5_PROXY};
use super::netlink::Messages;
use super::{notes, rules};
use crate::fault::{At, Code, Fault, Outcome};

const STEP: &str = "gate";
const LOOPBACK: i32 = 1;
const BACKLOG: i32 = 4096;

// linux/rtnetlink.h, linux/if_addr.h
const TABLE_LOCAL: u8 = 255;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_CACHEINFO: u16 = 6;

/// Where the outgoing traffic comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Processes in this network namespace.
    Here,
    /// A machine at the other end of a link (native/keeper/src/machine/tap.rs).
    Link,
}

/// In the order of `super::Listeners`; IPv6 listeners only where the kernel has IPv6.
pub fn prepare(source: Source) -> Outcome<Vec<OwnedFd>> {
    let with_v6 = has_v6()?;
    addresses_and_routes(with_v6).coded(Code::WallUnavailable, STEP, "addresses and routes")?;
    rules::install(with_v6, source).map_err(|error| missing_rules(&error))?;
    let notes = notes::open().map_err(|error| missing_rules(&error))?;
    // A machine has its own loopback, so the proxies need another address.
    let proxies = if source == Source::Here { Ipv4Addr::LOCALHOST } else { SELF_4 };
    let mut listeners = vec![
        notes,
        proxy(proxies, HTTP_PROXY)?,
        proxy(proxies, SOCKS5_PROXY)?,
        catching(GATE_4.into(), SockType::Stream)?,
        catching(GATE_4.into(), SockType::Datagram)?,
    ];
    if with_v6 {
        listeners.push(catching(GATE_6.into(), SockType::Stream)?);
        listeners.push(catching(GATE_6.into(), SockType::Datagram)?);
    }
    Ok(listeners)
}

fn missing_rules(error: &std::io::Error) -> Fault {
    let message = format!("nf_tables does not take the rules that catch what leaves: {error}");
    Fault::new(Code::WallUnavailable, STEP, message).hint(
        "The kernel needs nf_tables with tproxy, log and limit: `modprobe -a nf_tables nft_tproxy nft_log nft_limit nfnetlink_log` as root, \
         and the same names in /etc/modules-load.d/caisson.conf. Or run without network (--net none).",
    )
}

/// Where IPv6 is disabled altogether, nothing can leave by it either.
fn has_v6() -> Outcome<bool> {
    match socket(AddressFamily::Inet6, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None) {
        Ok(_) => Ok(true),
        Err(nix::Error::EAFNOSUPPORT) => Ok(false),
        Err(error) => Err(error).at(STEP, "IPv6"),
    }
}

/// Adds the sandbox's own address, and a route that makes every address local.
fn addresses_and_routes(with_v6: bool) -> std::io::Result<()> {
    let mut messages = Messages::default();
    let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
    let families = [(libc::AF_INET, 32, SELF_4.octets().to_vec()), (libc::AF_INET6, 128, SELF_6.octets().to_vec())];
    for (family, bits, own) in families.iter().take(if with_v6 { 2 } else { 1 }) {
        let mut address = vec![*family as u8, *bits, libc::IFA_F_NODAD as u8, libc::RT_SCOPE_UNIVERSE];
        address.extend(LOOPBACK.to_ne_bytes());
        messages.add(libc::RTM_NEWADDR, flags, true, &address, |attributes| {
            attributes.put(IFA_LOCAL, own);
            attributes.put(IFA_ADDRESS, own);
            if *family == libc::AF_INET6 {
                // Usable but deprecated, so never preferred (RFC 6724, rule 3): more programs can handle an IPv4
                // address.
                attributes.put(IFA_CACHEINFO, &[[0u8; 4], [0xFF; 4], [0; 4], [0; 4]].concat());
            }
        });
        let mut route = vec![*family as u8, 0, 0, 0];
        route.extend([TABLE_LOCAL, libc::RTPROT_STATIC, libc::RT_SCOPE_HOST, libc::RTN_LOCAL]);
        route.extend([0; 4]);
        messages.add(libc::RTM_NEWROUTE, flags, true, &route, |attributes| {
            attributes.put(libc::RTA_OIF, &LOOPBACK.to_ne_bytes());
            attributes.put(libc::RTA_PREFSRC, own);
        });
    }
    messages.carry_out(SockProtocol::NetlinkRoute)
}

/// Accepts what the rules divert, whatever its destination. In this namespace nobody without CAP_NET_ADMIN can create
/// another such socket.
fn catching(address: IpAddr, kind: SockType) -> Outcome<OwnedFd> {
    let listener = open(address, kind)?;
    let v4 = address.is_ipv4();
    let transparent = if v4 {
        set(&listener, libc::SOL_IP, libc::IP_TRANSPARENT)
    } else {
        setsockopt(&listener, sockopt::Ipv6V6Only, &true).at(STEP, "IPv6 only")?;
        set(&listener, libc::SOL_IPV6, libc::IPV6_TRANSPARENT)
    };
    transparent.coded(Code::WallUnavailable, STEP, "a transparent socket")?;
    if kind == SockType::Datagram {
        let told = if v4 {
            set(&listener, libc::SOL_IP, libc::IP_PKTINFO)
        } else {
            set(&listener, libc::SOL_IPV6, libc::IPV6_RECVPKTINFO)
        };
        told.at(STEP, "packet information")?;
    }
    bind_to(&listener, SocketAddr::new(address, PORT))?;
    if kind == SockType::Stream {
        listen(&listener, Backlog::new(BACKLOG).at(STEP, "backlog")?).at(STEP, "listen")?;
    }
    Ok(listener)
}

fn proxy(address: Ipv4Addr, port: u16) -> Outcome<OwnedFd> {
    let listener = open(address.into(), SockType::Stream)?;
    bind_to(&listener, SocketAddr::new(address.into(), port))?;
    listen(&listener, Backlog::new(BACKLOG).at(STEP, "backlog")?).at(STEP, "listen")?;
    Ok(listener)
}

fn open(address: IpAddr, kind: SockType) -> Outcome<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    socket(family, kind, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, None).at(STEP, "socket")
}

fn bind_to(socket: &OwnedFd, address: SocketAddr) -> Outcome<()> {
    bind(socket.as_raw_fd(), &SockaddrStorage::from(address)).at(STEP, address)
}

fn set(socket: &OwnedFd, level: i32, option: i32) -> std::io::Result<()> {
    let one: i32 = 1;
    // SAFETY: the value outlives the call and has the given length.
    let set = unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const one).cast(), size_of_val(&one) as u32)
    };
    if set == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}
