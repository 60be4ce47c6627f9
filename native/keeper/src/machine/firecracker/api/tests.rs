use std::os::unix::net::UnixListener;
use std::process::{Child, Command};

use serde_json::json;

use super::*;

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

fn answered(bytes: &[u8]) -> Result<Option<(u16, Vec<u8>)>, &'static str> {
    Answer::read(bytes).map(|answer| answer.map(|Answer { status, body }| (status, body)))
}

/// Reads a request to its end.
fn hear(other: &mut UnixStream) -> String {
    let mut heard = vec![0; 4096];
    let mut length = 0;
    while !heard[..length].ends_with(b"}") {
        let more = other.read(&mut heard[length..]).expect("a question");
        assert!(more > 0, "half a question");
        length += more;
    }
    String::from_utf8(heard[..length].to_vec()).expect("text")
}

/// Sends a request to a peer that replies with these bytes, whatever the request, and then hangs up.
fn told(bytes: &'static [u8]) -> Outcome<()> {
    let (stream, mut other) = UnixStream::pair().expect("a pair");
    let firecracker = std::thread::spawn(move || {
        // Closing with unread data would reset the connection instead (unix(7)).
        hear(&mut other);
        // The client may have read enough and closed.
        let _ = other.write_all(bytes);
    });
    let said = Api { stream }.put("/vsock", &json!({ "guest_cid": 3 }), soon());
    firecracker.join().expect("said");
    said
}

fn fault(bytes: &'static [u8]) -> String {
    told(bytes).expect_err("a fault").message
}

#[test]
fn an_answer_is_whole_or_awaited() {
    let done = b"HTTP/1.1 204 \r\nServer: Firecracker API\r\nConnection: keep-alive\r\n\r\n";
    for end in 0..done.len() {
        assert_eq!(answered(&done[..end]), Ok(None), "{end}");
    }
    assert_eq!(answered(done), Ok(Some((204, vec![]))));
    assert_eq!(answered(b"HTTP/1.1 400 \r\ncontent-LENGTH:2\r\n\r\n{"), Ok(None));
    assert_eq!(answered(b"HTTP/1.1 400 \r\ncontent-LENGTH:2\r\n\r\n{}"), Ok(Some((400, b"{}".to_vec()))));
}

#[test]
fn what_is_no_answer_is_refused_by_name() {
    for wrong in [
        &b"SSH-2.0-OpenSSH\r\n\r\n"[..],
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 204 \r\nno header\r\n\r\n",
        b"HTTP/1.1 204 \r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 204 \r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"HTTP/1.1 204 \r\nContent-Length: 70000\r\n\r\n",
        b"HTTP/1.1 204 \r\n\r\nHTTP/1.1 204 \r\n\r\n",
        b"\xFF\r\n\r\n",
    ] {
        assert!(answered(wrong).is_err(), "{}", String::from_utf8_lossy(wrong));
    }
}

#[test]
fn it_is_asked_in_its_own_words() {
    let (stream, mut other) = UnixStream::pair().expect("a pair");
    let firecracker = std::thread::spawn(move || {
        let heard = hear(&mut other);
        other.write_all(b"HTTP/1.1 204 \r\n\r\n").expect("answered");
        heard
    });
    let done = Api { stream }.put("/actions", &json!({ "action_type": "InstanceStart" }), soon());
    assert!(done.is_ok());
    let heard = firecracker.join().expect("heard");
    assert!(heard.starts_with("PUT /actions HTTP/1.1\r\n"), "{heard}");
    assert!(heard.ends_with("Content-Length: 31\r\n\r\n{\"action_type\":\"InstanceStart\"}"), "{heard}");
}

#[test]
fn a_refusal_is_told_with_its_reason_and_without_tricks() {
    assert!(told(b"HTTP/1.1 204 \r\n\r\n").is_ok());
    let refused = fault(b"HTTP/1.1 400 \r\nContent-Length: 38\r\n\r\n{\"fault_message\":\"no \\u001b[2J vsock\"}");
    assert_eq!(refused, "Firecracker refused PUT /vsock (400): no [2J vsock");
    assert!(fault(b"HTTP/1.1 500 \r\n\r\n").ends_with("(500): it does not say why"));
    assert!(fault(b"HTTP/1.1 400 \r\nContent-Length: 4\r\n\r\n{\"a\"").ends_with("it does not say why"));
}

#[test]
fn one_that_ends_or_says_too_much_is_told() {
    assert!(fault(b"").contains("ended instead of answering"));
    assert!(fault(b"HTTP/1.1 204").contains("ended instead of answering"));
    static LONG: [u8; 80_000] = [b'x'; 80_000];
    assert!(fault(&LONG).contains("says too much"));
}

#[test]
fn one_that_never_answers_is_not_waited_for_for_ever() {
    let (stream, _silent) = UnixStream::pair().expect("a pair");
    let until = Instant::now() + Duration::from_millis(20);
    let said = Api { stream }.put("/vsock", &json!({}), until).expect_err("a fault");
    assert!(said.message.contains("did not answer in time"), "{}", said.message);
}

fn child(program: &str, words: &[&str]) -> (Child, Pid) {
    let child = Command::new(program).args(words).spawn().expect("a child");
    let pid = Pid::from_raw(child.id() as i32);
    (child, pid)
}

#[test]
fn one_that_dies_at_its_start_is_noticed_and_one_that_listens_late_is_met() {
    let place = std::env::temp_dir().join(format!("caisson-api-{}", std::process::id()));
    let (_dead, pid) = child("/bin/false", &[]);
    let said = Api::reach(&place, pid, soon()).expect_err("a fault");
    assert!(said.message.contains("ended before it listened"), "{}", said.message);
    let (mut alive, pid) = child("/bin/sleep", &["600"]);
    let said = Api::reach(&place, pid, Instant::now()).expect_err("a fault");
    assert!(said.message.contains("did not begin to listen in time"), "{}", said.message);
    let listener = place.clone();
    let late = std::thread::spawn(move || UnixListener::bind(listener).expect("listens").accept().expect("met"));
    assert!(Api::reach(&place, pid, soon()).is_ok());
    late.join().expect("met");
    std::fs::remove_file(&place).expect("removed");
    alive.kill().and_then(|()| alive.wait()).expect("ended");
}
