//! The gate's event loop: a single thread that waits for the sandbox, the host and the dialled servers, and advances
//! every connection that can make progress.

use std::collections::VecDeque;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::socket::UnixAddr;

use super::bounds::{Bucket, Refusals};
use super::connection::{State, Why};
use super::doors::NameAsker;
use super::link::Link;
use super::names::Names;
use super::proxy::MAX_HEAD;
use super::questions::Questions;
use super::splice::{Pipes, Pumped};
use super::table::{Side, Table, Token};
use super::{Listeners, STEP};
use crate::fault::{At, Code, Fault, Outcome};
use crate::plan::{Network, Plan};

const EVENTS: usize = 256;

pub struct Serve {
    pub(super) sandbox: String,
    pub(super) inspect: UnixAddr,
    pub(super) max_connections: usize,
    pub(super) idle: Duration,
    orders: OwnedFd,
    /// The sandbox is frozen: no connection counts as idle.
    pub(super) still: bool,
    pub(super) listeners: Listeners,
    pub(super) epoll: Epoll,
    pub(super) link: Link,
    pub(super) names: Names,
    pub(super) connections: Table,
    /// The last numbers given to connections and questions.
    pub(super) last_number: u64,
    pub(super) last_seq: u64,
    pub(super) asked_names: Questions<NameAsker>,
    pub(super) asked_connects: Questions<Token>,
    pub(super) asked_more: Questions<Token>,
    /// Connections whose question has not been sent yet.
    pub(super) waiting: VecDeque<Token>,
    pub(super) waiting_names: VecDeque<NameAsker>,
    pub(super) questions: Bucket,
    pub(super) refusals: Refusals,
    bucket: Bucket,
    pipes: Pipes,
    pub(super) more: VecDeque<Token>,
    pub(super) throttled: Vec<Token>,
    pub(super) swept: Instant,
    /// When the host last received byte counts.
    pub(super) told: Instant,
}

impl Serve {
    pub fn new(plan: &Plan, listeners: Listeners, orders: OwnedFd) -> Outcome<Serve> {
        let Network::Gate { airlock, inspect, max_connections, bytes_per_second, idle_ms, .. } = &plan.network else {
            return Err(Fault::new(Code::LaunchFailed, STEP, "the plan has none"));
        };
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).at(STEP, "epoll")?;
        for (index, listener) in listeners.all().enumerate() {
            let event = EpollEvent::new(EpollFlags::EPOLLIN, Token::listener(index).0);
            epoll.add(listener, event).at(STEP, "epoll")?;
        }
        epoll.add(&orders, EpollEvent::new(EpollFlags::EPOLLIN, Token::ORDERS.0)).at(STEP, "epoll")?;
        Ok(Serve {
            sandbox: plan.id.clone(),
            inspect: UnixAddr::new(inspect.as_str()).at(STEP, inspect)?,
            max_connections: *max_connections as usize,
            idle: Duration::from_millis(*idle_ms),
            orders,
            still: false,
            listeners,
            epoll,
            link: Link::new(airlock, &plan.id).at(STEP, airlock)?,
            names: Names::default(),
            connections: Table::default(),
            last_number: 0,
            last_seq: 0,
            asked_names: Questions::default(),
            asked_connects: Questions::default(),
            asked_more: Questions::default(),
            waiting: VecDeque::new(),
            waiting_names: VecDeque::new(),
            questions: Bucket::of_questions(),
            refusals: Refusals::default(),
            bucket: Bucket::of_bytes(*bytes_per_second),
            pipes: Pipes::default(),
            more: VecDeque::new(),
            throttled: Vec::new(),
            swept: Instant::now(),
            told: Instant::now(),
        })
    }

    /// Runs until the keeper ends it.
    pub fn run(mut self) -> Outcome<()> {
        let mut events = [EpollEvent::empty(); EVENTS];
        self.reach_host();
        loop {
            let timeout = self.timeout();
            let count = match self.epoll.wait(&mut events, timeout) {
                Ok(count) => count,
                Err(nix::Error::EINTR) => 0,
                Err(error) => return Err(error).at(STEP, "epoll"),
            };
            let losses = self.link.losses;
            for event in &events[..count] {
                self.woke(Token(event.data()), event.events());
            }
            self.keep_time();
            self.move_on();
            if losses != self.link.losses {
                self.host_is_gone();
            }
        }
    }

    fn woke(&mut self, token: Token, events: EpollFlags) {
        if token == Token::LINK {
            self.hear_host();
            return;
        }
        if token == Token::ORDERS {
            self.hear_orders();
            return;
        }
        if let Some(index) = token.as_listener() {
            self.called_at(index);
            return;
        }
        let over = events.intersects(EpollFlags::EPOLLERR | EpollFlags::EPOLLHUP);
        let Some(connection) = self.connections.get(token) else { return };
        let end = match token.side() {
            Side::Client => Some(&mut connection.client),
            Side::Remote => connection.remote.as_mut(),
        };
        if let Some(end) = end {
            end.readable |= over || events.intersects(EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP);
            end.writable |= over || events.contains(EpollFlags::EPOLLOUT);
        }
        if over && token.side() == Side::Client && !connection.is_open() {
            self.end(token, Why::Failed);
            return;
        }
        self.advance(token);
    }

    fn hear_orders(&mut self) {
        let mut orders = [0u8; 64];
        if let Ok(length @ 1..) = nix::unistd::read(&self.orders, &mut orders) {
            self.still = orders[length - 1] != 0;
            let now = Instant::now();
            self.connections.all().for_each(|connection| connection.active = now);
        }
    }

    /// Lets a connection do what it can do now.
    pub(super) fn advance(&mut self, token: Token) {
        let Some(connection) = self.connections.get(token) else { return };
        match connection.state {
            State::HttpHead => self.read_http(token),
            State::SocksGreeting | State::SocksRequest => self.read_socks(token),
            State::Dns(false) => self.read_dns(token),
            State::Dns(true) | State::Asking(_) => {}
            State::Dialing(_) => self.dialled(token),
            State::Open => self.pump(token),
            State::Refused(_) => self.hear_first_words(token),
            State::Farewell => {
                let heard = connection.listen(MAX_HEAD);
                connection.said.clear();
                if !heard {
                    self.connections.remove(token);
                }
            }
        }
    }

    fn pump(&mut self, token: Token) {
        let allowance = self.bucket.level(Instant::now());
        let Some(connection) = self.connections.get(token) else { return };
        match connection.pump(&mut self.pipes, allowance) {
            Ok((pumped, moved)) => {
                self.bucket.take(moved);
                match pumped {
                    Pumped::Waits | Pumped::Spent => {}
                    Pumped::More => self.again_soon(token),
                    Pumped::Throttled => self.again_later(token),
                    Pumped::Done => self.end(token, Why::Done),
                }
                self.ask_more(token);
            }
            Err(_) => self.end(token, Why::Failed),
        }
    }

    /// Advances the connections that had more than one turn's worth, once each.
    fn move_on(&mut self) {
        for _ in 0..self.more.len() {
            if let Some(token) = self.more.pop_front() {
                self.again(token);
            }
        }
    }

    /// Queues it until the others have had their turn.
    pub(super) fn again_soon(&mut self, token: Token) {
        if self.connections.get(token).is_some_and(|connection| !std::mem::replace(&mut connection.queued, true)) {
            self.more.push_back(token);
        }
    }

    /// Queues it for a moment later.
    pub(super) fn again_later(&mut self, token: Token) {
        if self.connections.get(token).is_some_and(|connection| !std::mem::replace(&mut connection.queued, true)) {
            self.throttled.push(token);
        }
    }

    pub(super) fn again(&mut self, token: Token) {
        if let Some(connection) = self.connections.get(token) {
            connection.queued = false;
            self.advance(token);
        }
    }

    pub(super) fn end(&mut self, token: Token, why: Why) {
        let Some(connection) = self.connections.remove(token) else { return };
        if why != Why::Done {
            connection.reset();
        }
        if let State::Asking(Some(seq)) = connection.state {
            self.asked_connects.take(seq);
        }
        if let Some(closed) = connection.closed(why) {
            self.link.tell(&closed);
        }
        if self.connections.is_empty() {
            self.pipes.clear();
        }
    }

    pub(super) fn reach_host(&mut self) {
        if self.link.connect()
            && let Some(socket) = self.link.socket()
        {
            // If the link were not watched, only an unanswered question would reveal a dead host. EPOLLOUT is left out
            // because it would fire after each question.
            let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLET;
            let _ = self.epoll.add(socket, EpollEvent::new(flags, Token::LINK.0));
        }
    }
}

/// Edge-triggered: an event is reported once, and the reader continues until EAGAIN.
const ANYTHING: EpollFlags =
    EpollFlags::EPOLLIN.union(EpollFlags::EPOLLOUT).union(EpollFlags::EPOLLRDHUP).union(EpollFlags::EPOLLET);

pub fn watch(epoll: &Epoll, socket: BorrowedFd<'_>, token: Token) -> bool {
    epoll.add(socket, EpollEvent::new(ANYTHING, token.0)).is_ok()
}

/// For a socket that must not be read yet: reports only errors.
pub fn watch_failure(epoll: &Epoll, socket: BorrowedFd<'_>, token: Token) -> bool {
    epoll.add(socket, EpollEvent::new(EpollFlags::EPOLLET, token.0)).is_ok()
}

/// From now on the client is read; bytes that arrived before are reported again.
pub fn hear_out(epoll: &Epoll, client: BorrowedFd<'_>, token: Token) -> bool {
    epoll.modify(client, &mut EpollEvent::new(ANYTHING, token.client().0)).is_ok()
}
