//! Dials the target of a connection that may leave, through a proxy if the host says so.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Instant;

use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrStorage, connect, getsockopt, recv, send,
    setsockopt, socket, sockopt,
};

use super::bounds::bound_buffers;
use super::connection::{DIAL_PATIENCE, No, State, Why};
use super::introduction::{Credentials, Heard, Introduction, Proxy};
use super::link::Verdict;
use super::serve::{Serve, hear_out, watch};
use super::splice::End;
use super::table::Token;

/// A limit, however many addresses a proxy and a target have.
const MAX_HOPS: usize = 16;
const DEAD_PROXY: &str = "the sandbox's egress proxy cannot be reached";
const CLOSED_PROXY: &str = "the sandbox's egress proxy leads nowhere near it";

struct Hop {
    to: SocketAddr,
    /// The target to request from the proxy; None: `to` is the target itself.
    target: Option<SocketAddr>,
}

/// The addresses left to dial. The default is to dial only the host itself.
#[derive(Default)]
pub struct Dial {
    left: VecDeque<Hop>,
    now: Option<Hop>,
    credentials: Option<Credentials>,
    /// The handshake with the connected proxy, and the part of its next answer that has arrived.
    introduction: Option<(Introduction, Vec<u8>)>,
    /// The last failure that was not the target's fault.
    failure: Option<&'static str>,
}

impl Dial {
    pub fn new(addresses: &[IpAddr], port: u16, proxy: Option<Proxy>) -> Dial {
        let targets = addresses.iter().map(|address| SocketAddr::new(*address, port));
        let Some(Proxy { dial, port, credentials }) = proxy else {
            return Dial { left: targets.map(|to| Hop { to, target: None }).collect(), ..Dial::default() };
        };
        let to =
            |target| dial.iter().map(move |address| Hop { to: SocketAddr::new(*address, port), target: Some(target) });
        let left = targets.flat_map(to).take(MAX_HOPS).collect();
        Dial { left, credentials, failure: Some(DEAD_PROXY), ..Dial::default() }
    }

    fn no(&self) -> No {
        No { why: self.failure.unwrap_or(No::unreachable().why), ..No::unreachable() }
    }
}

impl Serve {
    /// Dials the next address; when none is left, the connection has failed.
    pub(super) fn dial_next(&mut self, token: Token) {
        let connections = self.connections.len();
        loop {
            let Some(connection) = self.connections.get(token) else { return };
            let State::Dialing(dial) = &mut connection.state else { return };
            connection.remote = None;
            dial.introduction = None;
            dial.now = dial.left.pop_front();
            let Some(Hop { to, .. }) = dial.now else {
                let no = dial.no();
                return self.unreachable(token, no);
            };
            let patience = if dial.left.is_empty() { DIAL_PATIENCE } else { DIAL_PATIENCE / 4 };
            connection.deadline = Some(Instant::now() + patience);
            let Ok(socket) = connecting(to, connections) else { continue };
            if !watch(&self.epoll, socket.as_fd(), token.remote()) {
                continue;
            }
            if let Some(connection) = self.connections.get(token) {
                let remote = connection.remote.insert(End::new(socket));
                remote.writable = false;
            }
            return;
        }
    }

    /// The dialled socket is ready.
    pub(super) fn dialled(&mut self, token: Token) {
        let Some(connection) = self.connections.get(token) else { return };
        if connection.verdict != Some(Verdict::Tunnel) {
            return self.dial_host(token);
        }
        let State::Dialing(dial) = &mut connection.state else { return };
        let Some(remote) = connection.remote.as_mut().filter(|remote| remote.writable) else { return };
        if dial.introduction.is_none() {
            if getsockopt(&remote.socket, sockopt::SocketError) != Ok(0) {
                return self.dial_next(token);
            }
            let Some(target) = dial.now.as_ref().and_then(|hop| hop.target) else { return self.opened(token) };
            let (introduction, greeting) = Introduction::begin(target, dial.credentials.clone());
            dial.introduction = Some((introduction, Vec::new()));
            if !said(remote, &greeting) {
                return self.dial_next(token);
            }
        }
        match introduced(dial, remote) {
            Some(Heard::Open) => self.opened(token),
            Some(Heard::Elsewhere) => {
                dial.failure = Some(CLOSED_PROXY);
                self.dial_next(token);
            }
            // The proxy's other addresses lead to the same proxy.
            Some(Heard::Wrong(why)) => {
                dial.failure = Some(why);
                dial.left.clear();
                self.dial_next(token);
            }
            _ => {}
        }
    }

    pub(super) fn dial_host(&mut self, token: Token) {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let dialled = socket(AddressFamily::Unix, SockType::Stream, flags, None)
            .and_then(|socket| connect(socket.as_raw_fd(), &self.inspect).map(|()| socket));
        match dialled {
            Ok(socket) if watch(&self.epoll, socket.as_fd(), token.remote()) => {
                if let Some(connection) = self.connections.get(token) {
                    connection.remote = Some(End::new(socket));
                }
                self.opened(token);
            }
            // The listener's queue is full, but it will accept more later.
            Err(nix::Error::EAGAIN) => self.again_later(token),
            _ => self.unreachable(token, No::unreachable()),
        }
    }

    fn opened(&mut self, token: Token) {
        if let Some(connection) = self.connections.get(token) {
            connection.opened(&self.sandbox);
            if !hear_out(&self.epoll, connection.client.socket.as_fd(), token) {
                return self.end(token, Why::Failed);
            }
        }
        self.advance(token);
    }
}

/// Continues the handshake. None: it has to wait. Reads not one byte beyond it, because what follows belongs to the
/// client.
fn introduced(dial: &mut Dial, remote: &mut End) -> Option<Heard> {
    let (introduction, heard) = dial.introduction.as_mut()?;
    loop {
        let mut buffer = [0u8; 512];
        let missing = introduction.wants() - heard.len();
        match recv(remote.socket.as_raw_fd(), &mut buffer[..missing], MsgFlags::MSG_DONTWAIT) {
            Ok(length @ 1..) => heard.extend_from_slice(&buffer[..length]),
            Err(nix::Error::EAGAIN) => return None,
            Err(nix::Error::EINTR) => {}
            _ => return Some(Heard::Elsewhere),
        }
        if heard.len() < introduction.wants() {
            continue;
        }
        match introduction.hear(heard) {
            Heard::More => {}
            Heard::Say(words) if said(remote, &words) => heard.clear(),
            Heard::Say(_) => return Some(Heard::Elsewhere),
            over => return Some(over),
        }
    }
}

/// A few hundred bytes fit into a fresh socket's buffer; if they do not, the socket is unusable.
fn said(remote: &End, words: &[u8]) -> bool {
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    send(remote.socket.as_raw_fd(), words, flags) == Ok(words.len())
}

fn connecting(to: SocketAddr, connections: usize) -> nix::Result<OwnedFd> {
    let family = if to.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(family, SockType::Stream, flags, SockProtocol::Tcp)?;
    setsockopt(&socket, sockopt::TcpNoDelay, &true)?;
    // Must precede connect, which announces the receive window.
    bound_buffers(&socket, connections);
    match connect(socket.as_raw_fd(), &SockaddrStorage::from(to)) {
        Ok(()) | Err(nix::Error::EINPROGRESS) => Ok(socket),
        Err(error) => Err(error),
    }
}
