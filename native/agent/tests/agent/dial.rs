use std::io::{Read, Write};
use std::net::TcpListener;

use caisson_wire::data::Channel;
use caisson_wire::open::Operation;
use caisson_wire::{Dial, Metrics, opened};

use crate::agent::Agent;
use crate::client::Said;

fn dial(host: &str, port: u16) -> Operation {
    Operation::Dial(Dial { port: port.into(), host: host.into() })
}

#[test]
fn a_port_is_relayed_both_ways_each_closing_on_its_own() {
    let agent = Agent::start();
    let mut client = agent.connect();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = client.open(dial("127.0.0.1", listener.local_addr().unwrap().port()));
    let server = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let mut question = String::new();
        socket.read_to_string(&mut question).unwrap();
        socket.write_all(&vec![b'a'; 3_000_000]).unwrap();
        question
    });
    let mut said = Said::default();
    client.data(stream, Channel::Tcp, b"ques", false);
    client.data(stream, Channel::Tcp, b"tion", true);
    client.finish_into(stream, &mut said);
    assert_eq!(server.join().unwrap(), "question");
    assert_eq!((said.bytes(Channel::Tcp).len(), said.code()), (3_000_000, ""));
}

#[test]
fn only_the_loopback_addresses_are_dialled() {
    let agent = Agent::start();
    let mut client = agent.connect();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    assert_eq!(client.ask(dial("127.0.0.1", free)).code(), "refused");
    for host in ["example.org", "10.0.0.1", "0.0.0.0", "127.0.0.2"] {
        assert_eq!(client.ask(dial(host, 80)).code(), "invalid");
    }
    assert_eq!(client.ask(Operation::Dial(Dial { port: 70000, host: String::new() })).code(), "invalid");
}

#[test]
fn metrics_count_processes_disk_and_time() {
    let agent = Agent::start();
    let mut client = agent.connect();
    client.shell("i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done");
    let said = client.ask(Operation::Metrics(Metrics {}));
    let Some(opened::Result::Metrics(metrics)) = said.opened else { panic!("{said:?}") };
    assert!(metrics.processes > 1 && metrics.cpu_used_us > 0 && metrics.memory_used_bytes > 100_000);
    assert!(metrics.disk_used_bytes < metrics.disk_total_bytes && metrics.disk_free_inodes > 0);
    assert_eq!(metrics.memory_total_bytes, 0);
}
