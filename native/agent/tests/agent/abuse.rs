//! A host that breaks the rules of the wire loses its connection, and nobody else anything.

use std::io::{Read, Write};

use caisson_wire::data::Channel;
use caisson_wire::open::Operation;
use caisson_wire::{
    Close, Control, Data, Frame, Hello, INITIAL_WINDOW_BYTES, MAX_DATA_BYTES, MAX_FRAME_BYTES, MAX_STREAMS, Open,
    Opened, ReadFile, Start, WriteFile, control, frame,
};

use crate::agent::Agent;
use crate::client::{Client, Said, shell};

type Break = fn(&mut Client);

fn closed(client: &mut Client) -> bool {
    while client.receive().is_some() {}
    true
}

fn open(operation: Operation) -> frame::Body {
    frame::Body::Open(Open { operation: Some(operation) })
}

#[test]
fn bytes_that_are_no_frames_close_the_connection() {
    let agent = Agent::start();
    let hello = {
        let mut bytes = Vec::new();
        let body = Some(open(Operation::Hello(Hello { generation: 1 })));
        caisson_wire::encode(&Frame { stream: 1, body }, &mut bytes);
        bytes
    };
    let too_large = u32::to_le_bytes(MAX_FRAME_BYTES as u32 + 1).to_vec();
    let cases: [Vec<u8>; 6] = [
        [hello.clone(), too_large.clone()].concat(),
        too_large,
        vec![0xff; 100],
        [3u8, 0, 0, 0, 0xff, 0xff, 0xff].to_vec(),
        // A frame of nothing: no stream, no body.
        [0u8; 4].to_vec(),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
    ];
    for bytes in cases {
        let mut socket = agent.raw();
        socket.write_all(&bytes).unwrap();
        let mut rest = Vec::new();
        // A reset says the same.
        let _ = socket.read_to_end(&mut rest);
        assert!(rest.len() < 100);
    }
    assert_eq!(agent.connect().shell("exit 2").exit().code, 2);
}

#[test]
fn a_frame_that_never_ends_costs_no_more_than_a_frame() {
    let agent = Agent::start();
    let mut sockets = Vec::new();
    for _ in 0..60 {
        let mut socket = agent.raw();
        socket.write_all(&u32::to_le_bytes(MAX_FRAME_BYTES as u32)).unwrap();
        socket.write_all(&vec![0x0a; MAX_FRAME_BYTES - 1]).unwrap();
        sockets.push(socket);
    }
    let mut client = agent.connect();
    assert_eq!(client.shell("exit 2").exit().code, 2);
    assert!(agent.status_kib("VmRSS") < 60 * 400 + 8192);
    drop(sockets);
    drop(client);
}

#[test]
fn every_rule_that_is_broken_closes_the_connection() {
    let agent = Agent::start();
    let breaks: [(&str, Break); 13] = [
        ("a stream that was never opened", |client| client.grant(900, 1)),
        ("a number used before", |client| client.send(1, open(Operation::Start(shell("true"))))),
        ("stream 0", |client| client.send(0, open(Operation::Start(shell("true"))))),
        ("hello twice", |client| client.send(50, open(Operation::Hello(Hello { generation: 1 })))),
        ("open without operation", |client| client.send(50, frame::Body::Open(Open { operation: None }))),
        ("what only the agent sends", |client| client.send(1, frame::Body::Opened(Opened { result: None }))),
        ("signal 0", |client| {
            let stream = client.started(shell("sleep 1000")).0;
            client.control(stream, control::Action::Signal(0));
        }),
        ("signal 65", |client| {
            let stream = client.started(shell("sleep 1000")).0;
            client.control(stream, control::Action::Signal(65));
        }),
        ("an empty control", |client| {
            let stream = client.started(shell("sleep 1000")).0;
            client.send(stream, frame::Body::Control(Control { action: None }));
        }),
        ("data on a channel the stream has not", |client| {
            let stream = client.started(shell("sleep 1000")).0;
            client.data(stream, Channel::Control, b"x", false);
        }),
        ("data the agent sends", |client| {
            let stream = client.started(shell("sleep 1000")).0;
            client.data(stream, Channel::Stdout, b"x", false);
        }),
        ("control of a file", |client| {
            let stream = client.open(Operation::WriteFile(WriteFile { path: "x".into(), ..WriteFile::default() }));
            client.control(stream, control::Action::Signal(9));
        }),
        ("a payload over the limit", |client| {
            let stream = client.started(Start { stdin: true, ..shell("sleep 1000") }).0;
            client.data(stream, Channel::Stdin, &vec![0; MAX_DATA_BYTES + 1], false);
        }),
    ];
    for (what, break_it) in breaks {
        let mut client = agent.connect();
        break_it(&mut client);
        assert!(closed(&mut client), "{what}");
    }
    assert_eq!(agent.connect().shell("exit 2").exit().code, 2);
}

#[test]
fn hello_comes_first() {
    let agent = Agent::start();
    let mut socket = agent.raw();
    let mut bytes = Vec::new();
    caisson_wire::encode(
        &Frame { stream: 1, body: Some(open(Operation::Start(shell("touch ~/started")))) },
        &mut bytes,
    );
    socket.write_all(&bytes).unwrap();
    assert_eq!(socket.read(&mut [0; 10]).unwrap(), 0);
    assert!(!agent.home().join("started").exists());
}

#[test]
fn a_host_that_overruns_its_credit_is_cut_off() {
    let agent = Agent::start();
    let mut client = agent.connect();
    let (stream, _) = client.started(Start { stdin: true, ..shell("sleep 1000") });
    let block = vec![0; MAX_DATA_BYTES];
    // One pipe full is taken, and its credit not yet returned.
    for _ in 0..INITIAL_WINDOW_BYTES / MAX_DATA_BYTES {
        client.data(stream, Channel::Stdin, &block, false);
    }
    let mut said = client.shell("exit 2");
    assert_eq!(said.exit().code, 2, "all of the credit may be used");
    client.data(stream, Channel::Stdin, &[0], false);
    assert!(closed(&mut client));
    said = agent.connect().shell("exit 3");
    assert_eq!(said.exit().code, 3);
}

#[test]
fn small_payloads_cost_little_more_than_their_bytes() {
    let agent = Agent::start();
    let mut client = agent.connect();
    let (stream, mut said) = client.started(Start { stdin: true, ..shell("sleep 1000") });
    let mut bytes = Vec::new();
    let one = Data { channel: Channel::Stdin.into(), payload: vec![1], at_us: 0, end: false };
    let empty = Data { payload: Vec::new(), ..one.clone() };
    for _ in 0..300_000 {
        caisson_wire::encode(&Frame { stream, body: Some(frame::Body::Data(one.clone())) }, &mut bytes);
        caisson_wire::encode(&Frame { stream, body: Some(frame::Body::Data(empty.clone())) }, &mut bytes);
    }
    client.socket.write_all(&bytes).unwrap();
    client.shell("true");
    assert!(agent.status_kib("VmRSS") < 8 * 1024, "{} KiB", agent.status_kib("VmRSS"));
    client.control(stream, control::Action::Signal(9));
    client.finish_into(stream, &mut said);
}

#[test]
fn streams_are_bounded_and_free_their_place_with_the_close() {
    let agent = Agent::start();
    let mut client = agent.connect();
    let streams: Vec<_> = (0..MAX_STREAMS)
        .map(|_| client.open(Operation::WriteFile(WriteFile { path: "x".into(), ..WriteFile::default() })))
        .collect();
    for stream in &streams {
        client.send(*stream, frame::Body::Close(Close::default()));
        let mut said = Said::default();
        client.finish_into(*stream, &mut said);
    }
    let streams: Vec<_> = (0..MAX_STREAMS)
        .map(|_| client.open(Operation::WriteFile(WriteFile { path: "x".into(), ..WriteFile::default() })))
        .collect();
    assert_eq!(streams.len(), MAX_STREAMS);
    client.open(Operation::Processes(caisson_wire::Processes {}));
    assert!(closed(&mut client));
}

#[test]
fn connections_are_bounded_and_free_their_place() {
    let agent = Agent::start();
    let many: Vec<_> = (0..64).map(|_| agent.connect()).collect();
    let mut one_more = agent.raw();
    assert_eq!(one_more.read(&mut [0; 10]).unwrap(), 0);
    drop(many);
    loop {
        let mut socket = agent.raw();
        let mut bytes = Vec::new();
        caisson_wire::encode(
            &Frame { stream: 1, body: Some(open(Operation::Hello(Hello { generation: 1 }))) },
            &mut bytes,
        );
        if socket.write_all(&bytes).is_ok() && socket.read(&mut [0; 10]).is_ok_and(|count| count > 0) {
            break;
        }
    }
}

#[test]
fn where_no_process_can_be_made_the_agent_says_so_and_lives() {
    let agent = Agent::start_crowded();
    let mut client = agent.connect();
    let read = |path: &str| Operation::ReadFile(ReadFile { path: path.into(), ..ReadFile::default() });
    assert_eq!(client.shell("true").code(), "busy");
    assert_eq!(client.ask(read("/etc/passwd")).code(), "busy");
    assert_eq!(client.ask(Operation::Processes(caisson_wire::Processes {})).code(), "");
}

#[test]
fn an_idle_agent_is_small() {
    let agent = Agent::start();
    agent.connect().shell("true");
    // Pages of the program itself are shared between all agents of a machine.
    assert!(agent.status_kib("RssAnon") < 1024, "{} KiB", agent.status_kib("RssAnon"));
}
