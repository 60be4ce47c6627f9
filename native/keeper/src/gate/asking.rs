//! Decides whether a connection may leave: sends the question to the host, and acts on the verdict.

use std::net::IpAddr;
use std::os::fd::AsFd;
use std::time::Instant;

use serde_json::json;

use super::connection::{DIAL_PATIENCE, FIRST_WORDS, No, State, Way, Why};
use super::dialling::Dial;
use super::introduction::Proxy;
use super::link::{Answer, Verdict};
use super::questions::PATIENCE;
use super::serve::{Serve, hear_out};
use super::table::Token;
use super::words::Speaks;

const NOT_ALLOWED: &str = "not allowed by the sandbox's network rules";

impl Serve {
    /// The target is known. Asks now, or after the questions before it have been answered.
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

    /// Asks as many waiting questions as the limits allow.
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

    /// Without a host, every answer is no and costs nothing.
    fn may_ask(&mut self) -> bool {
        !self.link.is_up() || self.questions.level(Instant::now()) > 0
    }

    pub(super) fn hear_host(&mut self) {
        let Ok(answers) = self.link.hear() else { return };
        for answer in answers {
            match answer {
                Answer::Name { seq, allowed } => {
                    if let Some(asker) = self.asked_names.take(seq) {
                        self.answer_name(asker, Some(allowed));
                    }
                }
                Answer::Connect { seq, verdict, dial, proxy, most } => {
                    if let Some(token) = self.asked_connects.take(seq) {
                        if let Some(connection) = self.connections.get(token) {
                            connection.out.left = most.filter(|_| verdict == Verdict::Tunnel);
                        }
                        self.decided(token, verdict, &dial, proxy);
                    }
                }
                Answer::More { seq, most } => {
                    if let Some(token) = self.asked_more.take(seq) {
                        self.told_more(token, most);
                    }
                }
                Answer::End { connections } => self.take_back(connections.as_deref()),
            }
        }
        self.ask_waiting();
    }

    /// The connection has more to send than it was granted.
    pub(super) fn ask_more(&mut self, token: Token) {
        let Some(connection) = self.connections.get(token) else { return };
        if !connection.spent || connection.asks_more {
            return;
        }
        connection.asks_more = true;
        self.last_seq += 1;
        let question = json!({ "ask": "more", "seq": self.last_seq, "connection": connection.number });
        self.link.say(&question);
        self.asked_more.add(self.last_seq, token);
    }

    fn told_more(&mut self, token: Token, most: u64) {
        let Some(connection) = self.connections.get(token) else { return };
        if most == 0 {
            return self.end(token, Why::Budget);
        }
        connection.asks_more = false;
        connection.out.left = connection.out.left.map(|left| left.saturating_add(most));
        self.advance(token);
    }

    /// Revokes these connections, or all.
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

    /// Ends everything that depended on the host, and answers no to all open questions.
    pub(super) fn host_is_gone(&mut self) {
        let waiting = std::mem::take(&mut self.waiting_names);
        for asker in self.asked_names.take_all().into_iter().chain(waiting) {
            self.answer_name(asker, None);
        }
        for token in self.connections.tokens(|_| true) {
            self.host_ends(token);
        }
        self.asked_connects.take_all();
        self.asked_more.take_all();
        self.ask_waiting();
    }

    fn decided(&mut self, token: Token, verdict: Verdict, dial: &[IpAddr], proxy: Option<Proxy>) {
        let Some(connection) = self.connections.get(token) else { return };
        connection.verdict = Some(verdict);
        match (verdict, connection.way) {
            // One connection to a proxy may carry requests to many servers, and only the host can tell them apart.
            (Verdict::Deny, _) | (Verdict::Tunnel, Way::HttpProxy) | (Verdict::Refuse, Way::Socks5) => {
                connection.verdict = Some(Verdict::Deny);
                self.deny(token, NOT_ALLOWED);
            }
            (Verdict::Tunnel, _) => {
                connection.state = State::Dialing(Box::new(Dial::new(dial, connection.port, proxy)));
                self.dial_next(token);
            }
            (Verdict::Refuse, Way::Direct) => self.deny(token, NOT_ALLOWED),
            (Verdict::Inspect | Verdict::Refuse, _) => self.hand_to_host(token),
        }
    }

    fn hand_to_host(&mut self, token: Token) {
        let Some(connection) = self.connections.get(token) else { return };
        connection.state = State::Dialing(Box::default());
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
            if !hear_out(&self.epoll, connection.client.socket.as_fd(), token) {
                return self.end(token, Why::Failed);
            }
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

    pub(super) fn unreachable(&mut self, token: Token, no: No) {
        let Some(connection) = self.connections.get(token) else { return };
        if let Some(closed) = connection.closed(Why::Failed) {
            self.link.tell(&closed);
        }
        // The host was to send the refusal but cannot be reached, so the gate sends it.
        let was_refused = connection.verdict == Some(Verdict::Refuse);
        connection.verdict = None;
        self.say_no(token, if was_refused { No::denied(NOT_ALLOWED) } else { no });
    }
}
