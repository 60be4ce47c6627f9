//! A relay, and a stream at whose other end a test is the machine. (Both ends together: native/agent/src/vm/lines_tests.rs.)

use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::thread;

use caisson_zygote::message::send;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

use super::*;

fn leash() -> (OwnedFd, OwnedFd) {
    socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).unwrap()
}

/// Starts a relay in a thread. Returns the other end of its leash.
fn start(stream: UnixStream) -> (OwnedFd, thread::JoinHandle<io::Result<()>>) {
    let (ours, theirs) = leash();
    let relay = Relay::new(theirs, stream.into()).unwrap();
    (ours, thread::spawn(move || relay.run()))
}

/// The result of the host's relay for bytes that no relay would send.
fn judged(bytes: &[u8]) -> io::Result<()> {
    let (one, mut other) = UnixStream::pair().unwrap();
    let (host, relay) = start(one);
    let (_mine, given) = UnixStream::pair().unwrap();
    send(host.as_fd(), b"connect", &[given.as_raw_fd()]).unwrap();
    let mut opened = [0; frame::HEADER + 7];
    other.read_exact(&mut opened).unwrap();
    // The relay may have ended before it has read all of them.
    let _ = other.write_all(bytes);
    drop(other);
    relay.join().unwrap()
}

#[test]
fn a_guest_that_does_not_keep_to_it_ends_its_own_relay_and_nothing_else() {
    let frame = |kind, line, payload: &[u8]| {
        let mut bytes = Vec::new();
        encode(&mut bytes, kind, line, payload);
        bytes
    };
    for bad in [
        vec![0xff; 64],
        frame(Kind::Open, 2, b"x"),
        frame(Kind::Anew, 0, b""),
        frame(Kind::Data, 2, b"x"),
        frame(Kind::Data, 0, b"x"),
        frame(Kind::Credit, 1, b"xy"),
        frame(Kind::Credit, 1, &u32::MAX.to_le_bytes()),
        frame(Kind::Data, 1, &[0; frame::MAX_PAYLOAD]).repeat(1 + line::WINDOW / frame::MAX_PAYLOAD + 4),
    ] {
        assert!(judged(&bad).is_err(), "{:?}", &bad[..frame::HEADER.min(bad.len())]);
    }
    for good in [frame(Kind::Data, 1, b"x"), frame(Kind::Close, 1, b""), vec![1, 2, 3]] {
        judged(&good).unwrap();
    }
}

#[test]
fn a_guest_that_does_not_read_has_nothing_pile_up() {
    let (one, mut other) = UnixStream::pair().unwrap();
    let (host, relay) = start(one);
    let (mut mine, given) = UnixStream::pair().unwrap();
    send(host.as_fd(), b"connect", &[given.as_raw_fd()]).unwrap();
    // A reader takes each byte at once; each could cost a credit frame of thirteen bytes.
    const BYTES: usize = 600_000;
    let reader = thread::spawn(move || mine.read_exact(&mut [0; BYTES]).map(|()| mine));
    let mut byte = Vec::new();
    encode(&mut byte, Kind::Data, 1, b"x");
    let mut opened = [0; frame::HEADER + 7];
    other.read_exact(&mut opened).unwrap();
    other.write_all(&byte.repeat(BYTES)).unwrap();
    let _mine = reader.join().unwrap().unwrap();
    let (mut words, mut granted) = (0, 0);
    while granted + line::WORTH_TELLING <= BYTES {
        let mut word = [0; frame::HEADER + 4];
        other.read_exact(&mut word).unwrap();
        let (Frame { kind, payload, .. }, _) = frame::decode(&word).unwrap().unwrap();
        assert_eq!(kind, Kind::Credit);
        granted += u32::from_le_bytes(payload.try_into().unwrap()) as usize;
        words += 1;
    }
    assert!(granted <= BYTES && words <= BYTES / line::WORTH_TELLING, "{granted} in {words}");
    drop(host);
    relay.join().unwrap().unwrap();
}

#[test]
fn what_was_taken_is_told_in_large_pieces_and_never_lost() {
    let (one, mut other) = UnixStream::pair().unwrap();
    let (host, _relay) = start(one);
    let (mut mine, given) = UnixStream::pair().unwrap();
    send(host.as_fd(), b"connect", &[given.as_raw_fd()]).unwrap();
    drop(given);
    other.read_exact(&mut [0; frame::HEADER + 7]).unwrap();
    let piece = 1000;
    let mut taken = 0;
    let mut told = 0;
    while told == 0 {
        let mut bytes = Vec::new();
        encode(&mut bytes, Kind::Data, 1, &vec![0; piece]);
        other.write_all(&bytes).unwrap();
        mine.read_exact(&mut vec![0; piece]).unwrap();
        taken += piece;
        assert!(taken < line::WINDOW, "a window that nobody opens again");
        other
            .set_read_timeout(Some(std::time::Duration::from_millis(if taken < line::WINDOW / 4 { 1 } else { 60_000 })))
            .unwrap();
        let mut credit = [0; frame::HEADER + 4];
        match other.read(&mut credit[..1]) {
            Ok(1) => other.read_exact(&mut credit[1..]).unwrap(),
            _ => continue,
        }
        let (frame, _) = frame::decode(&credit).unwrap().unwrap();
        assert_eq!(frame.kind, Kind::Credit);
        told = u32::from_le_bytes(frame.payload.try_into().unwrap()) as usize;
    }
    assert!(taken > line::WINDOW / 8 && told == taken, "{told} of {taken}");
}
