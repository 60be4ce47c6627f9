//! Tests over a real socket, into a real record.

use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};

use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, connect, recv, send, socket, socketpair,
};

use super::super::{Heard, Trace, listener};
use super::{answered, asked, cloned, runs};
use crate::audit::Audit;

const PLENTY: u64 = 1 << 30;

/// A temporary folder of this test.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Place {
        let path = std::env::temp_dir().join(format!("caisson-trace-{}-{name}", std::process::id()));
        fs::create_dir_all(path.join("audit")).expect("a folder");
        Place(path)
    }

    fn log(&self) -> PathBuf {
        self.0.join("audit/audit.jsonl")
    }

    fn audit(&self, budget: u64) -> Audit {
        Audit::open(&self.log().to_string_lossy(), "s", budget).expect("a record")
    }

    fn execs(&self) -> usize {
        fs::read_to_string(self.log()).unwrap_or_default().matches(r#""kind":"exec""#).count()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// An engine that connects, sends these messages and closes.
fn engine(path: &Path, messages: Vec<Vec<u8>>) -> JoinHandle<()> {
    let path = path.to_path_buf();
    thread::spawn(move || {
        let end = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None).expect("a socket");
        connect(end.as_raw_fd(), &UnixAddr::new(&path).expect("a name")).expect("a listener");
        let say = |bytes: &[u8]| send(end.as_raw_fd(), bytes, MsgFlags::MSG_NOSIGNAL).is_ok();
        assert!(say(&[8, 1]) && recv(end.as_raw_fd(), &mut [0; 16], MsgFlags::empty()) == Ok(2));
        // A keeper that refuses a message closes the connection, and the next write fails.
        let _ = messages.iter().all(|message| say(message));
    })
}

/// Runs until the engine ends, or one of its messages is refused.
fn heard(place: &Place, audit: &mut Audit, messages: Vec<Vec<u8>>) -> Result<(), String> {
    let path = place.0.join("trace");
    let door = listener(&path.to_string_lossy()).expect("a listener");
    let talking = engine(&path, messages);
    let (other, _ours): (OwnedFd, OwnedFd) =
        socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).expect("a pair");
    let mut trace = Trace::begin(&door, &other).expect("it begins").expect("an engine");
    let over = loop {
        match trace.hear(audit) {
            Ok(Heard::Over) => break Ok(()),
            Ok(Heard::More) => {}
            Ok(Heard::Nothing) => thread::yield_now(),
            Err(why) => break Err(why),
        }
    };
    drop(trace);
    talking.join().expect("the engine");
    over
}

#[test]
fn nothing_is_missing_however_fast() {
    let place = Place::new("fast");
    let one = [cloned(1, 2, 2), asked(2), runs(2, &["true"]), answered(2, 0, 0)];
    let messages = one.iter().cycle().take(4 * 5000).cloned().collect();
    assert_eq!(heard(&place, &mut place.audit(PLENTY), messages), Ok(()));
    assert_eq!(place.execs(), 5000);
}

#[test]
fn what_is_malformed_or_more_than_it_may_be_ends_it() {
    let place = Place::new("refused");
    let long = "x".repeat(4000);
    let many = vec![runs(2, &[&long]); 40];
    let full = heard(&place, &mut place.audit(64 * 1024), many);
    assert_eq!(full, Err("they have filled what a sandbox may have of the record".into()));
    assert!(place.execs() < 20);
    for malformed in [
        vec![8, 0, 3, 0, 0, 0, 0],
        vec![200, 0, 3, 0, 0, 0, 0, 0],
        [vec![8, 0, 3, 0, 0, 0, 0, 0], vec![0x12, 0x7f]].concat(),
    ] {
        let again = Place::new("malformed");
        let why = heard(&again, &mut again.audit(PLENTY), vec![malformed]).expect_err("refused");
        assert!(why.starts_with("a malformed trace point: "), "{why}");
    }
}
