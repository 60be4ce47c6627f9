//! The rules of the sandbox's network namespace, as nf_tables expressions. In words:
//!
//! ```text
//! catch (prerouting):  what the sandbox sends to itself passes
//!                      TCP that opens a connection, UDP to port 53: to the gate's listener; without a listener: dropped
//! out (output):        what the sandbox sends to itself passes; TCP passes, UDP to port 53 passes; the rest is refused (EPERM) and logged
//! ```
//!
//! With a machine at a link, packets from the machine never pass `out`. `out` lets through what goes to the machine,
//! and `catch` logs the rest of what comes from it. ICMP is then dropped; for other protocols nobody listens, and the
//! kernel reports that to the machine.
//!
//! tproxy rather than redirect: without address translation there is no connection table to fill, the accepted socket's
//! local address is the original destination, and traffic within the sandbox costs nothing.

use libc::{c_int, sa_family_t};
use nix::sys::socket::SockProtocol;

use super::addresses::{GATE_4, GATE_6, GUEST_4, PORT, SELF_4, SELF_6};
use super::net::Source;
use super::netlink::{Attributes, Messages};

const TABLE: &str = "caisson";
const CATCH: &str = "catch";
const OUT: &str = "out";
/// Refused packets are logged to this group of nfnetlink_log, at most at this rate.
pub const LOG_GROUP: u16 = 1;
const NOTED_PER_SECOND: u64 = 20;
const NOTED_BYTES: u32 = 64;

// linux/netfilter/nf_tables.h; missing in libc.
const REG_1: u32 = 1;
const REG_2: u32 = 2;
const PRIORITY_MANGLE: i32 = -150;
const PRIORITY_FILTER: i32 = 0;
const META_NFPROTO: u32 = 15;
const META_L4PROTO: u32 = 16;
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;
const VERDICT_DROP: u32 = 0;
const VERDICT_ACCEPT: u32 = 1;

pub fn install(with_v6: bool, source: Source) -> std::io::Result<()> {
    let mut messages = Messages::default();
    batch(&mut messages, libc::NFNL_MSG_BATCH_BEGIN);
    add(&mut messages, libc::NFT_MSG_NEWTABLE, |table| table.text(1, TABLE));
    chain(&mut messages, CATCH, libc::NF_INET_PRE_ROUTING, PRIORITY_MANGLE, VERDICT_ACCEPT);
    chain(&mut messages, OUT, libc::NF_INET_LOCAL_OUT, PRIORITY_FILTER, VERDICT_DROP);
    let families: &[Family] = if with_v6 { &[V4, V6] } else { &[V4] };
    for name in [CATCH, OUT] {
        for family in families {
            rule(&mut messages, name, |rule| rule.of(family).to(family, family.loopback).verdict(VERDICT_ACCEPT));
            rule(&mut messages, name, |rule| rule.of(family).to(family, family.own).verdict(VERDICT_ACCEPT));
        }
    }
    for family in families {
        rule(&mut messages, CATCH, |rule| rule.of(family).opens().caught_by(family).verdict(VERDICT_ACCEPT));
        rule(&mut messages, CATCH, |rule| rule.of(family).asks().caught_by(family).verdict(VERDICT_ACCEPT));
    }
    rule(&mut messages, CATCH, |rule| rule.opens().verdict(VERDICT_DROP));
    rule(&mut messages, CATCH, |rule| rule.asks().verdict(VERDICT_DROP));
    if source == Source::Link {
        rule(&mut messages, OUT, |rule| rule.of(&V4).to(&V4, &GUEST_4.octets()).verdict(VERDICT_ACCEPT));
        for protocol in [libc::IPPROTO_UDP, libc::IPPROTO_ICMP] {
            rule(&mut messages, CATCH, |rule| rule.of(&V4).protocol(protocol).noted());
        }
        rule(&mut messages, CATCH, |rule| rule.of(&V4).protocol(libc::IPPROTO_ICMP).verdict(VERDICT_DROP));
    }
    rule(&mut messages, OUT, |rule| rule.protocol(libc::IPPROTO_TCP).verdict(VERDICT_ACCEPT));
    rule(&mut messages, OUT, |rule| rule.asks().verdict(VERDICT_ACCEPT));
    rule(&mut messages, OUT, |rule| rule.noted());
    batch(&mut messages, libc::NFNL_MSG_BATCH_END);
    messages.carry_out(SockProtocol::NetlinkNetFilter)
}

struct Family {
    number: c_int,
    /// The offset of the destination in the header.
    offset: u32,
    /// The prefix of the sandbox's own addresses.
    loopback: &'static [u8],
    own: &'static [u8],
    gate: &'static [u8],
}

const V4: Family =
    Family { number: libc::AF_INET, offset: 16, loopback: &[127], own: &SELF_4.octets(), gate: &GATE_4.octets() };
const V6: Family = Family {
    number: libc::AF_INET6,
    offset: 24,
    loopback: &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
    own: &SELF_6.octets(),
    gate: &GATE_6.octets(),
};

fn batch(messages: &mut Messages, kind: c_int) {
    let header = header(libc::AF_UNSPEC as sa_family_t, libc::NFNL_SUBSYS_NFTABLES as u16);
    messages.add(kind as u16, 0, false, &header, |_| ());
}

fn header(family: sa_family_t, resource: u16) -> [u8; 4] {
    let [high, low] = resource.to_be_bytes();
    [family as u8, 0, high, low]
}

fn add(messages: &mut Messages, kind: c_int, fill: impl FnOnce(&mut Attributes)) {
    let kind = (libc::NFNL_SUBSYS_NFTABLES << 8 | kind) as u16;
    let flags = libc::NLM_F_CREATE | libc::NLM_F_APPEND;
    messages.add(kind, flags, true, &header(libc::NFPROTO_INET as sa_family_t, 0), fill);
}

fn chain(messages: &mut Messages, name: &str, hook: c_int, priority: i32, policy: u32) {
    add(messages, libc::NFT_MSG_NEWCHAIN, |chain| {
        chain.text(1, TABLE);
        chain.text(3, name);
        chain.nest(4, |place| {
            place.number(1, hook as u32);
            place.number(2, priority as u32);
        });
        chain.number(5, policy);
        chain.text(7, "filter");
    });
}

fn rule(messages: &mut Messages, chain: &str, fill: impl for<'a, 'b> FnOnce(Rule<'a, 'b>) -> Rule<'a, 'b>) {
    add(messages, libc::NFT_MSG_NEWRULE, |rule| {
        rule.text(1, TABLE);
        rule.text(2, chain);
        rule.nest(4, |expressions| {
            fill(Rule(expressions));
        });
    });
}

struct Rule<'a, 'b>(&'a mut Attributes<'b>);

impl Rule<'_, '_> {
    fn expression(self, name: &str, fill: impl FnOnce(&mut Attributes)) -> Self {
        self.0.nest(1, |element| {
            element.text(1, name);
            element.nest(2, fill);
        });
        self
    }

    fn meta(self, key: u32, value: u8) -> Self {
        let loaded = self.expression("meta", |meta| {
            meta.number(1, REG_1);
            meta.number(2, key);
        });
        loaded.equals(&[value])
    }

    fn equals(self, value: &[u8]) -> Self {
        self.expression("cmp", |compare| {
            compare.number(1, REG_1);
            compare.number(2, libc::NFT_CMP_EQ as u32);
            compare.nest(3, |data| data.put(1, value));
        })
    }

    fn load(self, base: u32, offset: u32, length: usize) -> Self {
        self.expression("payload", |payload| {
            payload.number(1, REG_1);
            payload.number(2, base);
            payload.number(3, offset);
            payload.number(4, length as u32);
        })
    }

    fn set(self, register: u32, value: &[u8]) -> Self {
        self.expression("immediate", |immediate| {
            immediate.number(1, register);
            immediate.nest(2, |data| data.put(1, value));
        })
    }

    fn of(self, family: &Family) -> Self {
        // The numbers of NFPROTO_IPV4 and NFPROTO_IPV6 are those of the address families.
        self.meta(META_NFPROTO, family.number as u8)
    }

    fn to(self, family: &Family, prefix: &[u8]) -> Self {
        self.load(NETWORK_HEADER, family.offset, prefix.len()).equals(prefix)
    }

    fn protocol(self, number: c_int) -> Self {
        self.meta(META_L4PROTO, number as u8)
    }

    /// A TCP segment with SYN and without ACK.
    fn opens(self) -> Self {
        let flags = self.protocol(libc::IPPROTO_TCP).load(TRANSPORT_HEADER, 13, 1);
        let masked = flags.expression("bitwise", |bitwise| {
            bitwise.number(1, REG_1);
            bitwise.number(2, REG_1);
            bitwise.number(3, 1);
            bitwise.nest(4, |data| data.put(1, &[0x12]));
            bitwise.nest(5, |data| data.put(1, &[0]));
        });
        masked.equals(&[0x02])
    }

    /// A UDP datagram to a name server.
    fn asks(self) -> Self {
        self.protocol(libc::IPPROTO_UDP).load(TRANSPORT_HEADER, 2, 2).equals(&PORT.to_be_bytes())
    }

    fn caught_by(self, family: &Family) -> Self {
        let set = self.set(REG_1, family.gate).set(REG_2, &PORT.to_be_bytes());
        set.expression("tproxy", |tproxy| {
            tproxy.number(1, family.number as u32);
            tproxy.number(2, REG_1);
            tproxy.number(3, REG_2);
        })
    }

    fn verdict(self, code: u32) -> Self {
        self.expression("immediate", |immediate| {
            immediate.number(1, libc::NFT_REG_VERDICT as u32);
            immediate.nest(2, |data| data.nest(2, |verdict| verdict.number(1, code)));
        })
    }

    /// Logs, then continues with the next expression.
    fn noted(self) -> Self {
        let limited = self.expression("limit", |limit| {
            limit.put(1, &NOTED_PER_SECOND.to_be_bytes());
            limit.put(2, &1u64.to_be_bytes());
            limit.number(3, NOTED_PER_SECOND as u32);
        });
        limited.expression("log", |log| {
            log.put(1, &LOG_GROUP.to_be_bytes());
            log.number(3, NOTED_BYTES);
            // Report each packet at once, instead of batches of a hundred.
            log.put(4, &1u16.to_be_bytes());
        })
    }
}
