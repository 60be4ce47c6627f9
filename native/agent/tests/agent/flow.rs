use caisson_wire::data::Channel;
use caisson_wire::open::Operation;
use caisson_wire::{INITIAL_WINDOW_BYTES, Start, frame};

use crate::agent::Agent;
use crate::client::{Said, shell};

/// Takes what comes without giving credit back, until nothing more can.
fn starve(client: &mut crate::client::Client, stream: u32) -> usize {
    let mut bytes = 0;
    while bytes < INITIAL_WINDOW_BYTES {
        if let frame::Body::Data(data) = client.next(stream) {
            bytes += data.payload.len();
        }
    }
    bytes
}

#[test]
fn a_stalled_reader_stalls_its_own_stream_only_and_costs_no_memory() {
    let agent = Agent::start();
    let mut client = agent.connect();
    let flood = Start {
        command: "sh".into(),
        args: vec!["-c".into(), "yes aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa".into()],
        ..Start::default()
    };
    let stalled: Vec<u32> = (0..8).map(|_| client.open(Operation::Start(flood.clone()))).collect();
    for stream in &stalled {
        assert_eq!(starve(&mut client, *stream), INITIAL_WINDOW_BYTES, "not a byte more than there was credit for");
    }
    let said = client.shell("seq 1 200000");
    assert_eq!(said.text(Channel::Stdout).lines().count(), 200_000);
    assert!(agent.status_kib("VmRSS") < 16 * 1024, "{} KiB", agent.status_kib("VmRSS"));
    for stream in stalled {
        client.control(stream, caisson_wire::control::Action::Signal(9));
        // What was in the pipe when it died is still owed.
        client.grant(stream, INITIAL_WINDOW_BYTES as u32);
        assert_eq!(client.finish(stream).exit().signal, 9);
    }
}

#[test]
fn a_flood_of_output_arrives_whole() {
    let agent = Agent::start();
    let mut client = agent.connect();
    let said = client.shell("head -c 50000000 /dev/zero; echo end >&2");
    assert_eq!(said.bytes(Channel::Stdout).len(), 50_000_000);
    assert_eq!(said.text(Channel::Stderr), "end\n");
}

#[test]
fn what_was_printed_before_a_control_line_comes_before_it() {
    let agent = Agent::start();
    let mut client = agent.connect();
    let script = "i=0; while [ $i -lt 500 ]; do echo out $i; echo err $i >&2; echo line $i >&3; i=$((i+1)); done";
    let said = client.ask(Operation::Start(Start { control_channel: true, ..shell(script) }));
    let (mut out, mut err, mut lines) = (String::new(), String::new(), String::new());
    for (channel, bytes) in &said.order {
        let text = std::str::from_utf8(bytes).unwrap();
        match channel {
            Channel::Stdout => out += text,
            Channel::Stderr => err += text,
            Channel::Control => {
                lines += text;
                let Some(last) = lines.lines().last() else { continue };
                let number = last.strip_prefix("line ").unwrap();
                for (said, word) in [(&out, "out"), (&err, "err")] {
                    assert!(said.contains(&format!("{word} {number}\n")), "control line {number} came before {word}");
                }
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(lines.lines().count(), 500);
}

#[test]
fn a_thread_that_never_stops_printing_does_not_hold_control_back() {
    let agent = Agent::start();
    let mut client = agent.connect();
    let script = "yes & echo line >&3; read x <&3; kill $!; echo $x >&3";
    let stream = client.open(Operation::Start(Start { control_channel: true, ..shell(script) }));
    let mut said = Said::default();
    client.until(stream, &mut said, |said| said.text(Channel::Control) == "line\n");
    client.data(stream, Channel::Control, b"word\n", false);
    client.until(stream, &mut said, |said| said.text(Channel::Control) == "line\nword\n");
    client.finish_into(stream, &mut said);
    assert_eq!(said.exit().code, 0);
}

#[test]
fn input_larger_than_all_buffers_goes_through_with_credit() {
    let agent = Agent::start();
    let mut client = agent.connect();
    let (stream, mut said) = client.started(Start { stdin: true, ..shell("sleep 0.2; sha256sum") });
    let block = [7u8; 65536];
    let mut credit = INITIAL_WINDOW_BYTES;
    for _ in 0..160 {
        while credit < block.len() {
            match client.next(stream) {
                frame::Body::Window(window) => credit += window.bytes as usize,
                other => panic!("{other:?}"),
            }
        }
        client.data(stream, Channel::Stdin, &block, false);
        credit -= block.len();
    }
    client.data(stream, Channel::Stdin, &[], true);
    client.finish_into(stream, &mut said);
    let reference = client.shell("head -c 10485760 /dev/zero | tr '\\0' '\\7' | sha256sum");
    assert_eq!(said.text(Channel::Stdout), reference.text(Channel::Stdout));
}
