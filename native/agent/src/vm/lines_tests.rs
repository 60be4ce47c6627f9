//! A machine's end of the stream, with a relay (native/relay) at the other, or with a test that writes to it.

use std::cell::{Cell, RefCell};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use caisson_relay::frame::{Kind, encode};
use caisson_relay::{Relay, WINDOW};
use nix::sys::socket::{AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, recv, send, sendmsg, socketpair};

use super::lines::Beginning;
use crate::vm::Line;

const CONNECT: &[u8] = br#"{"connect":{}}"#;

fn leash() -> (OwnedFd, OwnedFd) {
    socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).unwrap()
}

fn tell(leash: &OwnedFd, message: &[u8]) {
    send(leash.as_raw_fd(), message, MsgFlags::empty()).unwrap();
}

fn hear(leash: &OwnedFd) -> Vec<u8> {
    let mut buffer = vec![0; 1024];
    let length = recv(leash.as_raw_fd(), &mut buffer, MsgFlags::empty()).unwrap();
    buffer.truncate(length);
    buffer
}

/// A connection by way of the host's relay.
fn connect(host: &OwnedFd) -> UnixStream {
    let (mine, given) = UnixStream::pair().unwrap();
    let (parts, rights) = ([io::IoSlice::new(CONNECT)], [given.as_raw_fd()]);
    let rights = [ControlMessage::ScmRights(&rights)];
    sendmsg::<()>(host.as_raw_fd(), &parts, &rights, MsgFlags::empty(), None).unwrap();
    mine
}

/// Runs a machine's end in a thread, and gives each line to `welcome`. Returns the agent's end of the leash.
fn carry<W: Fn(Line) + 'static>(
    stream: UnixStream,
    welcome: impl FnOnce() -> W + Send + 'static,
) -> (OwnedFd, thread::JoinHandle<io::Result<()>>) {
    let (ours, theirs) = leash();
    let run = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let beginning = Beginning::new(stream.into(), theirs).unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, beginning.carry(welcome()))
    };
    (ours, thread::spawn(run))
}

/// Says back what it hears, until it is closed.
fn echo(line: Line) {
    tokio::task::spawn_local(async move {
        let mut heard = Vec::with_capacity(10_000);
        while line.receive(&mut heard).await > 0 {
            if line.send_all(&heard).await.is_err() {
                return;
            }
            heard.clear();
        }
    });
}

/// Never reads it.
fn keep(line: Line) {
    tokio::task::spawn_local(async move {
        std::future::pending::<()>().await;
        drop(line);
    });
}

fn frame(kind: Kind, line: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(&mut bytes, kind, line, payload);
    bytes
}

#[test]
fn messages_and_connections_cross_both_ways_and_end_on_both_sides() {
    let (one, other) = UnixStream::pair().unwrap();
    let (host, theirs) = leash();
    let relay = Relay::new(theirs, one.into()).unwrap();
    let relay = thread::spawn(move || relay.run());
    // The first is never read.
    let (agent, machine) = carry(other, || {
        let others = Cell::new(false);
        move |line| if others.replace(true) { echo(line) } else { keep(line) }
    });
    tell(&host, b"there");
    assert_eq!(hear(&agent), b"there");
    tell(&agent, b"back");
    assert_eq!(hear(&host), b"back");

    let bytes: Vec<u8> = (0..3_000_000u32).map(|number| (number % 251) as u8).collect();
    let mut unread = connect(&host);
    // A line that nobody reads does not block the others.
    let stuck = thread::spawn(move || unread.write_all(&vec![0; 4 * WINDOW]).is_err());
    let carried: Vec<_> = (0..3).map(|_| connect(&host)).collect();
    let carried = carried.into_iter().map(|mut mine| {
        let (sent, expected) = (bytes.clone(), bytes.clone());
        thread::spawn(move || {
            let mut reader = mine.try_clone().unwrap();
            let read = thread::spawn(move || {
                let mut back = vec![0; expected.len()];
                reader.read_exact(&mut back).unwrap();
                back == expected
            });
            mine.write_all(&sent).unwrap();
            read.join().unwrap()
        })
    });
    assert!(carried.collect::<Vec<_>>().into_iter().all(|one| one.join().unwrap()));

    drop(host);
    relay.join().unwrap().unwrap();
    machine.join().unwrap().unwrap();
    assert!(stuck.join().unwrap(), "who writes is told that nobody reads any more");
    assert!(hear(&agent).is_empty());
}

#[test]
fn a_line_that_is_dropped_is_closed_at_the_other_end() {
    let (one, other) = UnixStream::pair().unwrap();
    let (host, theirs) = leash();
    let relay = Relay::new(theirs, one.into()).unwrap();
    thread::spawn(move || relay.run());
    let (_agent, _machine) = carry(other, || drop::<Line>);
    assert_eq!(connect(&host).read(&mut [0]).unwrap(), 0);
}

/// The result for what no host's relay would send, after one line was opened.
fn judged(bytes: &[u8]) -> io::Result<()> {
    let (mut one, other) = UnixStream::pair().unwrap();
    let (_agent, machine) = carry(other, || keep);
    one.write_all(&frame(Kind::Open, 7, CONNECT)).unwrap();
    // It may have ended before it has read all of them.
    let _ = one.write_all(bytes);
    drop(one);
    machine.join().unwrap()
}

#[test]
fn a_host_that_does_not_keep_to_it_ends_the_machine() {
    for bad in [
        vec![0xff; 64],
        frame(Kind::Open, 7, CONNECT),
        frame(Kind::Open, 6, CONNECT),
        frame(Kind::Open, 8, br#"{"goOn":{}}"#),
        frame(Kind::Data, 8, b"x"),
        frame(Kind::Data, 0, b"x"),
        frame(Kind::Credit, 7, b"xy"),
        frame(Kind::Credit, 7, &1u32.to_le_bytes()),
        frame(Kind::Data, 7, &[0; 32 * 1024]).repeat(1 + WINDOW / (32 * 1024)),
    ] {
        assert!(judged(&bad).is_err(), "{:?}", &bad[..9]);
    }
    for good in [frame(Kind::Data, 7, b"x"), frame(Kind::Close, 7, b""), frame(Kind::Close, 3, b""), vec![1, 2, 3]] {
        judged(&good).unwrap();
    }
}

#[test]
fn a_machine_that_was_restored_starts_over_with_whoever_speaks_first() {
    let (mut host, other) = UnixStream::pair().unwrap();
    let (agent, machine) = carry(other, || {
        let former = RefCell::new(None);
        move |line: Line| {
            let before = former.borrow_mut().take();
            let Some(before) = before else {
                *former.borrow_mut() = Some(line);
                return;
            };
            tokio::task::spawn_local(async move {
                // The one that was open before has ended, with what was left of it, and owes nobody anything.
                let (mut left, mut more) = (Vec::with_capacity(WINDOW), Vec::with_capacity(1));
                let ended = before.receive(&mut left).await == WINDOW - 1 && before.receive(&mut more).await == 0;
                let closed = before.send_all(b"x").await.is_err();
                drop(before);
                line.send_all(if ended && closed { b"anew" } else { b"no" }).await.unwrap();
                line.receive(&mut more).await;
            });
        }
    });
    host.write_all(&frame(Kind::Open, 7, CONNECT)).unwrap();
    for _ in 0..3 {
        host.write_all(&frame(Kind::Data, 7, &[0; WINDOW / 4])).unwrap();
    }
    host.write_all(&frame(Kind::Data, 7, &[0; WINDOW / 4 - 1])).unwrap();
    host.write_all(&frame(Kind::Anew, 0, b"")).unwrap();
    host.write_all(&frame(Kind::Open, 7, CONNECT)).unwrap();
    let mut said = vec![0; frame(Kind::Data, 7, b"anew").len()];
    host.read_exact(&mut said).unwrap();
    assert_eq!(said, frame(Kind::Data, 7, b"anew"));
    tell(&agent, b"on");
    let mut said = vec![0; frame(Kind::Message, 0, b"on").len()];
    host.read_exact(&mut said).unwrap();
    assert_eq!(said, frame(Kind::Message, 0, b"on"), "the number is the new one's, which nobody has closed");
    drop(host);
    machine.join().unwrap().unwrap();
}

#[test]
fn a_host_that_does_not_read_stops_who_writes_and_nothing_is_lost() {
    const ALL: usize = 3 * WINDOW;
    let (mut host, other) = UnixStream::pair().unwrap();
    let (done, is_done) = std::sync::mpsc::channel();
    let (_agent, machine) = carry(other, || {
        move |line| {
            let done = done.clone();
            tokio::task::spawn_local(async move {
                line.send_all(&[7; ALL]).await.unwrap();
                done.send(()).unwrap();
            });
        }
    });
    for line in 1..=8 {
        host.write_all(&frame(Kind::Open, line, CONNECT)).unwrap();
    }
    assert!(is_done.recv_timeout(Duration::from_millis(100)).is_err(), "none has credit for all");
    let (mut heard, mut buffer, mut taken) = (Vec::new(), vec![0; 64 * 1024], 0);
    while taken < 8 * ALL {
        let length = host.read(&mut buffer).unwrap();
        heard.extend_from_slice(&buffer[..length]);
        let mut used = 0;
        while let Some((frame, length)) = caisson_relay::frame::decode(&heard[used..]).unwrap() {
            used += length;
            if frame.kind == Kind::Data {
                assert!(frame.payload.iter().all(|byte| *byte == 7));
                taken += frame.payload.len();
                let credit = u32::try_from(frame.payload.len()).unwrap().to_le_bytes();
                host.write_all(&self::frame(Kind::Credit, frame.line, &credit)).unwrap();
            }
        }
        heard.drain(..used);
    }
    for _ in 0..8 {
        is_done.recv().unwrap();
    }
    drop(host);
    machine.join().unwrap().unwrap();
    assert_eq!(taken, 8 * ALL);
}

#[test]
fn before_there_is_a_loop_messages_are_brought_one_at_a_time_and_what_follows_is_kept() {
    let (mut host, other) = UnixStream::pair().unwrap();
    let (agent, theirs) = leash();
    let mut beginning = Beginning::new(other.into(), theirs).unwrap();
    let all = [frame(Kind::Message, 0, b"one"), frame(Kind::Message, 0, b"two"), frame(Kind::Message, 0, b"three")];
    host.write_all(&all.concat()).unwrap();
    beginning.bring_message().unwrap();
    assert_eq!(hear(&agent), b"one");
    beginning.bring_message().unwrap();
    assert_eq!(hear(&agent), b"two");
    drop(host);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, beginning.carry(drop)).unwrap();
    assert_eq!(hear(&agent), b"three");

    let (mut host, other) = UnixStream::pair().unwrap();
    let mut beginning = Beginning::new(other.into(), leash().1).unwrap();
    host.write_all(&frame(Kind::Open, 1, CONNECT)).unwrap();
    assert!(beginning.bring_message().is_err());
    drop(host);
    assert_eq!(beginning.bring_message().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
}
