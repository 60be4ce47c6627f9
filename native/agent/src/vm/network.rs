//! The machine's network interfaces: `lo`, and one that ends at the gate of the sandbox's own network namespace.

use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use super::{Machine, Outcome};

/// The addresses of QEMU's user-mode network (qemu(1), -netdev user). On a link, every address answers, including the
/// router's.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
const MASK: Ipv4Addr = Ipv4Addr::new(255, 255, 255, 0);
pub const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
const UP: libc::c_short = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;

pub fn raise(machine: &Machine) -> Outcome<()> {
    let asked = asking()?;
    flags(&asked, b"lo")?;
    if !machine.network {
        return Ok(());
    }
    rename(machine)?;
    // The router announces the IPv6 configuration; nobody else there could have the same address.
    for setting in ["accept_dad", "router_solicitation_delay"] {
        let path = format!("/proc/sys/net/ipv6/conf/eth0/{setting}");
        std::fs::write(&path, "0").map_err(|error| format!("{path}: {error}"))?;
    }
    address(&asked, b"eth0", libc::SIOCSIFADDR as _, ADDRESS)?;
    address(&asked, b"eth0", libc::SIOCSIFNETMASK as _, MASK)?;
    flags(&asked, b"eth0")?;
    // SAFETY: all-zero is a valid route entry.
    let mut route: libc::rtentry = unsafe { std::mem::zeroed() };
    route.rt_dst = sockaddr(Ipv4Addr::UNSPECIFIED);
    route.rt_genmask = sockaddr(Ipv4Addr::UNSPECIFIED);
    route.rt_gateway = sockaddr(ROUTER);
    route.rt_flags = libc::RTF_UP | libc::RTF_GATEWAY;
    // SAFETY: the structure outlives the call (netdevice(7)).
    let added = unsafe { libc::ioctl(asked.as_raw_fd(), libc::SIOCADDRT as _, &raw const route) };
    if added == 0 { Ok(()) } else { Err(format!("the way out: {}", std::io::Error::last_os_error())) }
}

/// Sets the MAC address, so that a restored machine appears to have another card.
pub fn rename(machine: &Machine) -> Outcome<()> {
    let Some(address) = machine.hardware_address.as_ref().filter(|_| machine.network) else { return Ok(()) };
    let wrong = || format!("hardware address: {address:?} is none");
    let bytes: Option<Vec<u8>> = address.split(':').map(|pair| u8::from_str_radix(pair, 16).ok()).collect();
    let bytes = bytes.filter(|bytes| bytes.len() == 6).ok_or_else(wrong)?;
    let mut request = request(b"eth0");
    // SAFETY: all-zero is a valid address of no family.
    let mut address: libc::sockaddr = unsafe { std::mem::zeroed() };
    // linux/if_arp.h: ARPHRD_ETHER
    address.sa_family = 1;
    for (place, byte) in address.sa_data.iter_mut().zip(bytes) {
        *place = byte as libc::c_char;
    }
    request.ifr_ifru.ifru_hwaddr = address;
    ask(&asking()?, libc::SIOCSIFHWADDR as _, &request, b"eth0")
}

fn asking() -> Outcome<OwnedFd> {
    socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)
        .map_err(|error| format!("network: {error}"))
}

fn request(name: &[u8]) -> libc::ifreq {
    // SAFETY: all-zero is a valid ifreq.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (place, byte) in request.ifr_name.iter_mut().zip(name) {
        *place = *byte as libc::c_char;
    }
    request
}

fn flags(socket: &OwnedFd, name: &[u8]) -> Outcome<()> {
    let mut request = request(name);
    request.ifr_ifru.ifru_flags = UP;
    ask(socket, libc::SIOCSIFFLAGS as _, &request, name)
}

fn address(socket: &OwnedFd, name: &[u8], what: libc::Ioctl, address: Ipv4Addr) -> Outcome<()> {
    let mut request = request(name);
    request.ifr_ifru.ifru_addr = sockaddr(address);
    ask(socket, what, &request, name)
}

fn ask(socket: &OwnedFd, what: libc::Ioctl, request: &libc::ifreq, name: &[u8]) -> Outcome<()> {
    // SAFETY: the structure outlives the call (netdevice(7)).
    if unsafe { libc::ioctl(socket.as_raw_fd(), what, std::ptr::from_ref(request)) } == 0 {
        return Ok(());
    }
    Err(format!("{}: {}", String::from_utf8_lossy(name), std::io::Error::last_os_error()))
}

fn sockaddr(address: Ipv4Addr) -> libc::sockaddr {
    // SAFETY: all-zero is a valid address of no family.
    let mut made: libc::sockaddr = unsafe { std::mem::zeroed() };
    made.sa_family = libc::AF_INET as libc::sa_family_t;
    // After the port (ip(7)).
    for (place, byte) in made.sa_data[2..6].iter_mut().zip(address.octets()) {
        *place = byte as libc::c_char;
    }
    made
}
