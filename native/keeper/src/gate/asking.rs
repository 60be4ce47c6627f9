//! From a connection that wants out to one that is out: the question, the host's word, and what is dialled.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Instant;

use nix::sys::socket::{
    AddressFamily, SockFlag, SockProtocol, SockType, SockaddrStorage, connect, getsockopt, setsockopt, socket, sockopt,
};

use super::connection::{DIAL_PATIENCE, FIRST_WORDS, No, State, Way, Why};
use super::link::{Answer, Verdict};
use super::questions::PATIENCE;
use super::serve::{Serve, watch};
use super::splice::End;
use super::table::Token;
use super::words::Speaks;

const NOT_ALLOWED: &str = "not allowed by the sandbox's network rules";

impl Serve {
    /// Its target is known. The question is asked now, or when those before it have been answered.
    pub(super) fn wants_out(&mut self, token: Token) {
        let Some(target) = self.connections.get(token).and_then(|connection| connection.target.take()) else { return };
        let target = self.named(target);
        let Some(connection) = self.connections.get(token) else { return };
        connection.target = Some(target);
        connection.state = State::Asking(None);
        connection.deadline = Some(Instant::now() + PATIENCE);
        self.waiting.push_back(token);
        self.ask_waiting();
    }

    /// As many as may be asked now.
    pub(super) fn ask_waiting(&mut self) {
        while self.may_ask()
            && let Some(asker) = self.waiting_names.pop_front()
        {
            self.questions.take(1);
            self.ask_name(asker);
        }
        while !self.asked_connects.is_full() && self.may_ask() {
            let Some(token) = self.waiting.pop_front() else { return };
            let seq = self.last_seq + 1;
            let Some(connection) = self.connections.get(token) else { continue };
            if !matches!(connection.state, State::Asking(None)) {
                continue;
            }
            self.questions.take(1);
            let question = connection.question(seq);
            connection.state = State::Asking(Some(seq));
            self.last_seq = seq;
            self.reach_host();
            if self.link.say(&question) {
                self.asked_connects.add(seq, token);
            } else {
                self.deny(token, "nobody can be asked: the airlock is not there");
            }
        }
    }

    /// Without a host it costs nothing to say no.
    fn may_ask(&mut self) -> bool {
        !self.link.is_up() || self.questions.level(Instant::now()) > 0
    }

    pub(super) fn hear_host(&mut self) {
        self.link.flush();
        let Ok(answers) = self.link.hear() else { return };
        for answer in answers {
            match answer {
                Answer::Name { seq, allowed } => {
                    if let Some(asker) = self.asked_names.take(seq) {
                        self.answer_name(asker, Some(allowed));
                    }
                }
                Answer::Connect { seq, verdict, dial } => {
                    if let Some(token) = self.asked_connects.take(seq) {
                        self.decided(token, verdict, &dial);
                    }
                }
                Answer::End { connections } => self.take_back(connections.as_deref()),
            }
        }
        self.ask_waiting();
    }

    /// These, or all.
    fn take_back(&mut self, numbers: Option<&[u64]>) {
        let meant = |number| numbers.is_none_or(|numbers| numbers.contains(&number));
        for token in self.connections.tokens(|connection| meant(connection.number)) {
            self.host_ends(token);
        }
    }

    fn host_ends(&mut self, token: Token) {
        let Some(connection) = self.connections.get(token) else { return };
        match connection.state {
            State::Dialing(_) | State::Open => self.end(token, Why::Host),
            State::Asking(Some(seq)) => {
                self.asked_connects.take(seq);
                self.deny(token, "the airlock took its word back");
            }
            _ => {}
        }
    }

    /// Whatever hung on it ends, and all that was asked is answered no.
    pub(super) fn host_is_gone(&mut self) {
        let waiting = std::mem::take(&mut self.waiting_names);
        for asker in self.asked_names.take_all().into_iter().chain(waiting) {
            self.answer_name(asker, None);
        }
        for token in self.connections.tokens(|_| true) {
            self.host_ends(token);
        }
        self.asked_connects.take_all();
        self.ask_waiting();
    }

    fn decided(&mut self, token: Token, verdict: Verdict, dial: &[String]) {
        let Some(connection) = self.connections.get(token) else { return };
        connection.verdict = Some(verdict);
        match (verdict, connection.way) {
            // One connection to a proxy may carry requests to many servers: only the host can tell them apart.
            (Verdict::Deny, _) | (Verdict::Tunnel, Way::HttpProxy) | (Verdict::Refuse, Way::Socks5) => {
                connection.verdict = Some(Verdict::Deny);
                self.deny(token, NOT_ALLOWED);
            }
            (Verdict::Tunnel, _) => {
                let addresses: Result<VecDeque<IpAddr>, _> = dial.iter().map(|address| address.parse()).collect();
                connection.state = State::Dialing(addresses.unwrap_or_default());
                self.dial_next(token);
            }
            (Verdict::Refuse, Way::Direct) => self.deny(token, NOT_ALLOWED),
            (Verdict::Inspect | Verdict::Refuse, _) => self.hand_to_host(token),
        }
    }

    fn hand_to_host(&mut self, token: Token) {
        let Some(connection) = self.connections.get(token) else { return };
        connection.state = State::Dialing(VecDeque::new());
        connection.deadline = Some(Instant::now() + DIAL_PATIENCE);
        self.dial_host(token);
    }

    pub(super) fn deny(&mut self, token: Token, why: &'static str) {
        self.say_no(token, No::denied(why));
    }

    fn say_no(&mut self, token: Token, no: No) {
        let Some(connection) = self.connections.get(token) else { return };
        if connection.way == Way::Direct {
            connection.state = State::Refused(no);
            connection.deadline = Some(Instant::now() + FIRST_WORDS);
            return self.hear_first_words(token);
        }
        if !connection.refuse(no) {
            self.connections.remove(token);
        }
    }

    pub(super) fn hear_first_words(&mut self, token: Token) {
        let Some(connection) = self.connections.get(token) else { return };
        let State::Refused(no) = connection.state else { return };
        match (connection.first_words(), connection.verdict) {
            (Some(Speaks::Unclear), _) => {}
            (Some(Speaks::Http1 | Speaks::Http2), Some(Verdict::Refuse)) => self.hand_to_host(token),
            (Some(Speaks::Http1), _) => drop(connection.refuse(no)),
            _ => self.end(token, Why::Failed),
        }
    }

    fn unreachable(&mut self, token: Token) {
        let Some(connection) = self.connections.get(token) else { return };
        if let Some(closed) = connection.closed(Why::Failed) {
            self.link.tell(&closed);
        }
        // Who was to say no cannot: the gate does.
        let was_refused = connection.verdict == Some(Verdict::Refuse);
        connection.verdict = None;
        self.say_no(token, if was_refused { No::denied(NOT_ALLOWED) } else { No::unreachable() });
    }

    /// The next of the addresses; without one, it has failed.
    pub(super) fn dial_next(&mut self, token: Token) {
        loop {
            let Some(connection) = self.connections.get(token) else { return };
            let State::Dialing(addresses) = &mut connection.state else { return };
            connection.remote = None;
            let port = connection.port;
            let Some(address) = addresses.pop_front() else { return self.unreachable(token) };
            let patience = if addresses.is_empty() { DIAL_PATIENCE } else { DIAL_PATIENCE / 4 };
            connection.deadline = Some(Instant::now() + patience);
            let Ok(socket) = dial(address, port) else { continue };
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

    /// The socket that was dialled has something to say.
    pub(super) fn dialled(&mut self, token: Token) {
        let Some(connection) = self.connections.get(token) else { return };
        if connection.verdict != Some(Verdict::Tunnel) {
            return self.dial_host(token);
        }
        let Some(remote) = connection.remote.as_ref().filter(|remote| remote.writable) else { return };
        match getsockopt(&remote.socket, sockopt::SocketError) {
            Ok(0) => self.opened(token),
            _ => self.dial_next(token),
        }
    }

    fn dial_host(&mut self, token: Token) {
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
            // Its queue is full: it has not come to the others yet.
            Err(nix::Error::EAGAIN) => self.again_later(token),
            _ => self.unreachable(token),
        }
    }

    fn opened(&mut self, token: Token) {
        if let Some(connection) = self.connections.get(token) {
            connection.opened(&self.sandbox);
        }
        self.advance(token);
    }
}

fn dial(address: IpAddr, port: u16) -> nix::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(family, SockType::Stream, flags, SockProtocol::Tcp)?;
    setsockopt(&socket, sockopt::TcpNoDelay, &true)?;
    match connect(socket.as_raw_fd(), &SockaddrStorage::from(std::net::SocketAddr::new(address, port))) {
        Ok(()) | Err(nix::Error::EINPROGRESS) => Ok(socket),
        Err(error) => Err(error),
    }
}
