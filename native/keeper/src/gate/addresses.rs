//! The addresses of a sandbox's network. They are the same in every sandbox, because no packet with one of them ever
//! leaves it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The gate: its name server, and the listener for caught connections.
pub const GATE_4: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
pub const GATE_6: Ipv6Addr = Ipv6Addr::new(0xfdca, 0x1550, 0x9a7e, 0, 0, 0, 0, 1);
/// The address that programs inside see as their own, beside the loopback: many consider themselves offline without
/// one.
pub const SELF_4: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 2);
pub const SELF_6: Ipv6Addr = Ipv6Addr::new(0xfdca, 0x1550, 0x9a7e, 0, 0, 0, 0, 2);
/// The address of a machine at the end of a link, if there is one. The agent uses the same
/// (native/agent/src/vm/network.rs).
pub const GUEST_4: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
pub const PORT: u16 = 53;

/// Ports of the HTTP and SOCKS5 proxies, on the loopback.
pub const HTTP_PROXY: u16 = 3128;
pub const SOCKS5_PROXY: u16 = 1080;

/// Addresses that are handed out for names: the rest of 198.18.0.0/15 (RFC 2544), and a network of our own (RFC 4193).
pub const POOL: u32 = (1 << 17) - 256;
const FIRST_4: u32 = Ipv4Addr::new(198, 18, 1, 0).to_bits();
const FIRST_6: u128 = Ipv6Addr::new(0xfdca, 0x1550, 0x9a7e, 1, 0, 0, 0, 0).to_bits();

pub fn pool_4(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(FIRST_4 + number % POOL)
}

pub fn pool_6(number: u32) -> Ipv6Addr {
    Ipv6Addr::from_bits(FIRST_6 + u128::from(number % POOL))
}

/// The index of an address in the pool; the same for both families.
pub fn number_of(address: IpAddr) -> Option<u32> {
    let number = match address {
        IpAddr::V4(address) => address.to_bits().checked_sub(FIRST_4)?,
        IpAddr::V6(address) => u32::try_from(address.to_bits().checked_sub(FIRST_6)?).ok()?,
    };
    (number < POOL).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_of_the_pool_has_its_number() {
        for number in [0, 1, 255, 256, POOL - 1] {
            assert_eq!(number_of(pool_4(number).into()), Some(number));
            assert_eq!(number_of(pool_6(number).into()), Some(number));
        }
        assert_eq!(pool_4(POOL - 1), Ipv4Addr::new(198, 19, 255, 255));
        for address in
            ["198.18.0.1", "198.18.0.2", "198.20.0.0", "10.0.0.1", "::1", "fdca:1550:9a7e::2", "fdca:1550:9a7e:2::"]
        {
            assert_eq!(number_of(address.parse().expect("an address")), None, "{address}");
        }
    }
}
