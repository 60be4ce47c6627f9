//! Where connections from inside arrive: caught connections, the two proxies, the name server.

use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::time::Instant;

use nix::sys::socket::{SockFlag, SockaddrStorage, accept4, getsockname, setsockopt, sockopt};
use serde_json::json;

use super::addresses::{PORT, number_of};
use super::bounds::{What, bound_buffers};
use super::connection::{Connection, HEAD_PATIENCE, No, State, Way};
use super::datagram::{self, Asker};
use super::dns::{self, Code, Heard, MAX_QUESTION, Question};
use super::notes;
use super::proxy::{self, MAX_HEAD, Read};
use super::questions::MOST;
use super::serve::{Serve, watch, watch_failure};
use super::table::Token;
use super::target::Target;

/// How many are accepted or answered in one turn.
const AT_ONCE: usize = 128;
const FIRST_STREAM: usize = 3;

/// Who waits for the answer about a name.
pub struct NameAsker {
    question: Question,
    by: By,
}

enum By {
    Datagram(usize, Asker),
    Stream(Token),
}

impl Serve {
    /// A listener is ready; `index` is its position in `Listeners::all`.
    pub(super) fn called_at(&mut self, index: usize) {
        let streams = self.listeners.streams.len();
        match index {
            0 => notes::hear(&self.listeners.notes, |note| {
                self.refusals.count(if note.icmp { What::Icmp } else { What::Udp }, note.detail);
            }),
            1 => self.let_in(self.listeners.http.as_raw_fd(), |number, socket, _| {
                Connection::new(number, socket, Way::HttpProxy, State::HttpHead)
            }),
            2 => self.let_in(self.listeners.socks5.as_raw_fd(), |number, socket, _| {
                Connection::new(number, socket, Way::Socks5, State::SocksGreeting)
            }),
            index if index < FIRST_STREAM + streams => {
                self.let_in(self.listeners.streams[index - FIRST_STREAM].as_raw_fd(), caught);
            }
            index => self.read_datagrams(index - FIRST_STREAM - streams),
        }
    }

    fn let_in(&mut self, listener: i32, make: fn(u64, OwnedFd, SocketAddr) -> Connection) {
        for _ in 0..AT_ONCE {
            let socket = match accept4(listener, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK) {
                // SAFETY: just created, owned by nobody else.
                Ok(socket) => unsafe { OwnedFd::from_raw_fd(socket) },
                Err(nix::Error::EAGAIN) => return,
                Err(nix::Error::EINTR | nix::Error::ECONNABORTED) => continue,
                Err(_) => {
                    // Out of descriptors or memory. The connection stays queued; the pause prevents a busy loop.
                    std::thread::sleep(std::time::Duration::from_millis(5));
                    return;
                }
            };
            let Some(meant) = getsockname::<SockaddrStorage>(socket.as_raw_fd()).ok().as_ref().and_then(address_of)
            else {
                continue;
            };
            // The sender's own Nagle delay is enough.
            let _ = setsockopt(&socket, sockopt::TcpNoDelay, &true);
            bound_buffers(&socket, self.connections.len());
            self.last_number += 1;
            let connection = make(self.last_number, socket, meant);
            if self.connections.len() >= self.max_connections {
                connection.reset();
                self.refusals.count(What::TooMany, format!("more than {} connections at once", self.max_connections));
                continue;
            }
            let token = self.connections.add(connection);
            self.arrived(token);
        }
    }

    fn arrived(&mut self, token: Token) {
        let Some(connection) = self.connections.get(token) else { return };
        let direct = matches!(connection.state, State::Asking(_));
        // Until the host has decided, the client's bytes must not be read.
        let watch = if direct { watch_failure } else { watch };
        if !watch(&self.epoll, connection.client.socket.as_fd(), token) {
            self.connections.remove(token);
        } else if direct {
            self.wants_out(token);
        } else {
            self.advance(token);
        }
    }

    pub(super) fn read_http(&mut self, token: Token) {
        let Some(connection) = self.connections.get(token) else { return };
        let alive = connection.listen(MAX_HEAD);
        match proxy::http(&connection.said) {
            Read::More if alive => {}
            Read::More => drop(self.connections.remove(token)),
            Read::Wrong(why) => {
                connection.refuse(No::malformed(why));
                self.refusals.count(What::Proxy, format!("http: {why}"));
            }
            Read::Whole(request, length) => {
                if request.connect {
                    connection.way = Way::Connect;
                    connection.said.drain(..length);
                }
                connection.target = Some(request.target);
                connection.port = request.port;
                self.wants_out(token);
            }
        }
    }

    pub(super) fn read_socks(&mut self, token: Token) {
        let Some(connection) = self.connections.get(token) else { return };
        let alive = connection.listen(MAX_HEAD);
        if matches!(connection.state, State::SocksGreeting) {
            match proxy::socks_greeting(&connection.said) {
                Read::More if alive => return,
                Read::Whole(true, length) if connection.reply(&proxy::socks_answer(true)) => {
                    connection.said.drain(..length);
                    connection.state = State::SocksRequest;
                }
                Read::Whole(false, _) => {
                    connection.reply(&proxy::socks_answer(false));
                    connection.farewell();
                    return self.refusals.count(What::Proxy, "socks5: credentials are asked for, and there are none");
                }
                Read::Wrong(why) => {
                    self.connections.remove(token);
                    return self.refusals.count(What::Proxy, format!("socks5: {why}"));
                }
                _ => return drop(self.connections.remove(token)),
            }
        }
        match proxy::socks_request(&connection.said) {
            Read::More if alive => {}
            Read::Whole(Ok((target, port)), length) => {
                connection.said.drain(..length);
                connection.target = Some(target);
                connection.port = port;
                self.wants_out(token);
            }
            Read::Whole(Err(reply), _) => {
                connection.refuse(No { reply, ..No::malformed("") });
                self.refusals.count(What::Proxy, format!("socks5: {reply:?}"));
            }
            Read::Wrong(why) => {
                connection.refuse(No::malformed(why));
                self.refusals.count(What::Proxy, format!("socks5: {why}"));
            }
            Read::More => drop(self.connections.remove(token)),
        }
    }

    fn read_datagrams(&mut self, index: usize) {
        let mut buffer = [0u8; MAX_QUESTION + 1];
        for _ in 0..AT_ONCE {
            let Some((length, asker)) = datagram::receive(&self.listeners.datagrams[index], &mut buffer) else {
                return;
            };
            self.heard_question(&buffer[..length], By::Datagram(index, asker));
        }
    }

    /// Answers one question after the other. A message longer than a question can be ends the conversation.
    pub(super) fn read_dns(&mut self, token: Token) {
        let Some(connection) = self.connections.get(token) else { return };
        let alive = connection.listen(2 + MAX_QUESTION);
        let length = connection.said.first_chunk::<2>().map(|length| usize::from(u16::from_be_bytes(*length)));
        match length {
            Some(length) if length > MAX_QUESTION => {
                self.connections.remove(token);
                self.refusals.count(What::Dns, "a question of more than 1024 bytes");
            }
            Some(length) if connection.said.len() >= 2 + length => {
                let message: Vec<u8> = connection.said.drain(..2 + length).skip(2).collect();
                connection.state = State::Dns(true);
                connection.deadline = Some(Instant::now() + HEAD_PATIENCE);
                self.heard_question(&message, By::Stream(token));
            }
            _ if alive => {}
            _ => drop(self.connections.remove(token)),
        }
    }

    fn heard_question(&mut self, message: &[u8], by: By) {
        match dns::hear(message) {
            Heard::Nothing => self.answer(&by, None),
            Heard::Local(bytes) => self.answer(&by, Some(&bytes)),
            Heard::Refused(bytes, why) => {
                self.refusals.count(What::Dns, why);
                self.answer(&by, Some(&bytes));
            }
            Heard::Question(question) => {
                if self.asked_names.len() + self.waiting_names.len() >= MOST {
                    self.refusals.count(What::TooMany, "more than 256 questions for names at once");
                    return self.answer(&by, Some(&question.answer(Code::ServFail)));
                }
                self.waiting_names.push_back(NameAsker { question, by });
                self.ask_waiting();
            }
        }
    }

    pub(super) fn ask_name(&mut self, asker: NameAsker) {
        self.last_seq += 1;
        let seq = self.last_seq;
        let Question { name, kind, .. } = &asker.question;
        let said = json!({ "ask": "name", "seq": seq, "name": name, "type": kind.word() });
        self.reach_host();
        if self.link.say(&said) {
            self.asked_names.add(seq, asker);
        } else {
            self.answer_name(asker, None);
        }
    }

    /// None: no host has decided.
    pub(super) fn answer_name(&mut self, asker: NameAsker, allowed: Option<bool>) {
        let NameAsker { question, by } = asker;
        let bytes = match allowed {
            Some(true) => question.allowed(self.names.give(&question.name)),
            Some(false) => question.answer(Code::NxDomain),
            None => question.answer(Code::ServFail),
        };
        self.answer(&by, Some(&bytes));
    }

    fn answer(&mut self, by: &By, bytes: Option<&[u8]>) {
        match (by, bytes) {
            (By::Datagram(index, asker), Some(bytes)) => {
                datagram::answer(&self.listeners.datagrams[*index], asker, bytes)
            }
            (By::Datagram(..), None) => {}
            (By::Stream(token), bytes) => {
                let Some(connection) = self.connections.get(*token) else { return };
                let framed = bytes.map(|bytes| [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat());
                if framed.is_none_or(|framed| !connection.reply(&framed)) {
                    self.connections.remove(*token);
                    return;
                }
                connection.state = State::Dns(false);
                // Not processed here: a series of questions answered at once would recurse as deeply.
                self.again_soon(*token);
            }
        }
    }

    /// Replaces an address that was handed out for a name by that name.
    pub(super) fn named(&mut self, target: Target) -> Target {
        let Target::Address(address) = &target else { return target };
        number_of(*address).and_then(|number| self.names.name_of(number)).map_or(target, Target::Name)
    }
}

fn caught(number: u64, socket: OwnedFd, meant: SocketAddr) -> Connection {
    // DNS over TCP, to whatever address.
    if meant.port() == PORT {
        return Connection::new(number, socket, Way::Direct, State::Dns(false));
    }
    let mut connection = Connection::new(number, socket, Way::Direct, State::Asking(None));
    connection.target = Some(Target::of(meant.ip()));
    connection.port = meant.port();
    connection
}

fn address_of(storage: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = storage.as_sockaddr_in().map(|address| SocketAddr::from((address.ip(), address.port())));
    v4.or_else(|| storage.as_sockaddr_in6().map(|address| SocketAddr::from((address.ip(), address.port()))))
}
