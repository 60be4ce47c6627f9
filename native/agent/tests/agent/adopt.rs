use std::fs::OpenOptions;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;

use caisson_wire::Attach;
use caisson_wire::data::Channel;
use caisson_wire::open::Operation;

use crate::agent::Agent;
use crate::client::Said;

/// A process that falls to the agent as an orphan, with its output on named pipes: its pid and our ends of them.
fn orphan(agent: &Agent, script: &str) -> (u32, std::fs::File, std::fs::File) {
    let mut client = agent.connect();
    let pipes = ["out", "err"].map(|name| {
        let path = agent.home().join(name);
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
        OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).unwrap()
    });
    let said = client.shell(&format!("cd ~; (setsid sh -c '{script}' >out 2>err & echo $!)"));
    let [out, err] = pipes;
    (said.text(Channel::Stdout).trim().parse().unwrap(), out, err)
}

fn adopt(agent: &Agent, pid: u32, out: &std::fs::File, err: &std::fs::File) -> (String, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let descriptors = [out.as_raw_fd(), err.as_raw_fd(), theirs.as_raw_fd()];
    agent.tell(&format!(r#"{{"adopt":{{"pid":{pid}}}}}"#), &descriptors);
    (agent.hear(), ours)
}

#[test]
fn a_live_orphan_is_adopted_and_attached_to() {
    let agent = Agent::start();
    let (pid, out, err) = orphan(&agent, "echo out; while [ ! -e go ]; do sleep 0.01; done; echo err >&2; exit 11");
    let (answer, mut process_end) = adopt(&agent, pid, &out, &err);
    assert_eq!(answer, format!(r#"{{"adopted":{pid}}}"#));
    let mut client = agent.connect();
    let stream = client.open(Operation::Attach(Attach { pid }));
    let mut said = Said::default();
    client.until(stream, &mut said, |said| said.text(Channel::Stdout) == "out\n");
    process_end.write_all(b"a line\n").unwrap();
    client.until(stream, &mut said, |said| said.text(Channel::Control) == "a line\n");
    client.data(stream, Channel::Control, b"to it\n", false);
    let mut heard = [0; 6];
    std::io::Read::read_exact(&mut process_end, &mut heard).unwrap();
    assert_eq!(&heard, b"to it\n");
    drop(process_end);
    std::fs::write(agent.home().join("go"), "").unwrap();
    client.finish_into(stream, &mut said);
    assert_eq!((said.exit().code, said.text(Channel::Stderr)), (11, "err\n".into()));
}

#[test]
fn one_that_ended_before_is_adopted_with_its_end() {
    let agent = Agent::start();
    // Not before it is an orphan, or the shell that started it would be told of its end.
    let (pid, out, err) = orphan(&agent, "while [ ! -e go ]; do sleep 0.01; done; echo words; exit 12");
    std::fs::write(agent.home().join("go"), "").unwrap();
    while std::path::Path::new(&format!("/proc/{pid}")).exists() {
        std::thread::yield_now();
    }
    let (answer, _control) = adopt(&agent, pid, &out, &err);
    assert_eq!(answer, format!(r#"{{"adopted":{pid}}}"#));
    let said = agent.connect().ask(Operation::Attach(Attach { pid }));
    assert_eq!((said.exit().code, said.exit().unknown, said.text(Channel::Stdout)), (12, false, "words\n".into()));
}

#[test]
fn one_that_nobody_ever_saw_ended_in_an_unknown_way() {
    let agent = Agent::start();
    let (_, out, err) = orphan(&agent, "true");
    // Larger than any pid.
    let pid = 4_194_304 + 5;
    let (answer, _control) = adopt(&agent, pid, &out, &err);
    assert_eq!(answer, format!(r#"{{"adopted":{pid}}}"#));
    assert!(agent.connect().ask(Operation::Attach(Attach { pid })).exit().unknown);
}

#[test]
fn orders_that_make_no_sense_are_answered_with_an_error() {
    let agent = Agent::start();
    let (pid, out, err) = orphan(&agent, "sleep 1000");
    for bad in [r#"{"adopt":{"pid":7}}"#, r#"{"adopt":{"pid":7,"more":1}}"#, r#"{"forget":1}"#, "{"] {
        agent.tell(bad, &[]);
        assert!(agent.hear().starts_with(r#"{"error":""#), "{bad}");
    }
    assert!(adopt(&agent, pid, &out, &err).0.starts_with(r#"{"adopted":"#));
    assert!(adopt(&agent, pid, &out, &err).0.starts_with(r#"{"error":""#), "once is enough");
    assert_eq!(agent.connect().shell(&format!("kill -9 {pid}")).exit().code, 0);
}
