//! The link of a machine that has no user-mode network of its own: a tap device in the sandbox's network namespace. The
//! first process creates it while it has rights over that namespace, and gives it to the ids that the machine's program
//! runs with. What arrives by it meets the same rules and listeners as everything else there.

use std::ffi::CStr;
use std::fs::File;
use std::os::fd::AsRawFd;

use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};

use super::STEP;
use super::addresses::GUEST_4;
use super::netlink::Messages;
use crate::fault::{At, Code, Outcome};

pub const TUN: &str = "/dev/net/tun";
pub const NAME: &str = "out";
const WITHOUT_V6: &str = "/proc/sys/net/ipv6/conf/out/disable_ipv6";
const C_NAME: &CStr = c"out";

// linux/if_tun.h: _IOW('T', 202, int), 203 and 204
const TUNSETIFF: libc::c_ulong = 0x4004_54CA;
const TUNSETPERSIST: libc::c_ulong = 0x4004_54CB;
const TUNSETOWNER: libc::c_ulong = 0x4004_54CC;
/// Raw frames, each with the virtio header.
const FLAGS: libc::c_short = (libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR) as libc::c_short;
const TABLE_LOCAL: u8 = 255;

pub fn raise() -> Outcome<()> {
    make().and_then(|()| without_v6()).and_then(|()| up()).and_then(|()| route()).coded(
        Code::WallUnavailable,
        STEP,
        "a link for the machine",
    )
}

fn make() -> std::io::Result<()> {
    let device = File::options().read(true).write(true).open(TUN)?;
    let mut request = request();
    request.ifr_ifru.ifru_flags = FLAGS;
    // SAFETY: the structure outlives the call; the others take a number. The device lasts as long as its namespace, and
    // only this user can open it.
    let made = unsafe {
        libc::ioctl(device.as_raw_fd(), TUNSETIFF, &raw mut request) == 0
            && libc::ioctl(device.as_raw_fd(), TUNSETOWNER, libc::c_ulong::from(libc::geteuid())) == 0
            && libc::ioctl(device.as_raw_fd(), TUNSETPERSIST, 1 as libc::c_ulong) == 0
    };
    if made { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

/// An IPv6 neighbour can have any number of addresses, and the host's kernel would store each in a table that all its
/// namespaces share.
fn without_v6() -> std::io::Result<()> {
    match std::fs::write(WITHOUT_V6, "1") {
        // Where IPv6 is disabled altogether, this switch does not exist.
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn up() -> std::io::Result<()> {
    let asked = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    let mut request = request();
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: the structure outlives the call (netdevice(7)).
    if unsafe { libc::ioctl(asked.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw const request) } == 0 {
        return Ok(());
    }
    Err(std::io::Error::last_os_error())
}

/// Every address is local except the machine's. So reverse path validation also drops packets from the link with any
/// other source.
fn route() -> std::io::Result<()> {
    // SAFETY: a NUL-terminated name.
    let index = unsafe { libc::if_nametoindex(C_NAME.as_ptr()) };
    if index == 0 {
        return Err(std::io::Error::last_os_error());
    }
    let mut messages = Messages::default();
    let mut route = vec![libc::AF_INET as u8, 32, 0, 0];
    route.extend([TABLE_LOCAL, libc::RTPROT_STATIC, libc::RT_SCOPE_LINK, libc::RTN_UNICAST]);
    route.extend([0; 4]);
    messages.add(libc::RTM_NEWROUTE, libc::NLM_F_CREATE | libc::NLM_F_EXCL, true, &route, |attributes| {
        attributes.put(libc::RTA_DST, &GUEST_4.octets());
        attributes.put(libc::RTA_OIF, &index.to_ne_bytes());
    });
    messages.carry_out(SockProtocol::NetlinkRoute)
}

fn request() -> libc::ifreq {
    // SAFETY: all-zero is a valid ifreq.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (place, byte) in request.ifr_name.iter_mut().zip(NAME.bytes()) {
        *place = byte as libc::c_char;
    }
    request
}
