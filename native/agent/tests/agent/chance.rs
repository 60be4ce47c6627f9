//! Sequences that nobody thought of, the same in every run. Only frames that touch no file are drawn: there is no wall around this agent.

use caisson_wire::data::Channel;
use caisson_wire::open::Operation;
use caisson_wire::{Attach, Close, Control, Data, Frame, Metrics, PtySize, Start, Window, control, frame};
use std::io::{Read, Write};

use crate::agent::Agent;
use crate::client::{Client, Said, shell};

/// xorshift64*
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % bound
    }
}

fn operation(dice: &mut Dice) -> Operation {
    match dice.below(4) {
        0 => Operation::Metrics(Metrics {}),
        1 => Operation::Attach(Attach { pid: dice.below(1000) as u32 + 1_000_000_000 }),
        _ => Operation::Start(Start {
            stdin: dice.below(2) == 0,
            control_channel: dice.below(2) == 0,
            pty: (dice.below(4) == 0).then_some(PtySize { columns: dice.below(1 << 32) as u32, rows: 1 }),
            ..shell("head -c 100000 /dev/zero; cat")
        }),
    }
}

fn body(dice: &mut Dice) -> frame::Body {
    match dice.below(8) {
        0 => frame::Body::Window(Window { bytes: dice.below(1 << 32) as u32 }),
        1 => frame::Body::Close(Close::default()),
        2 => frame::Body::Control(Control { action: Some(control::Action::Signal(dice.below(66) as u32)) }),
        3 => frame::Body::Control(Control { action: Some(control::Action::CloseStdin(true)) }),
        4 => {
            let size = PtySize { columns: dice.below(500) as u32, rows: dice.below(1 << 32) as u32 };
            frame::Body::Control(Control { action: Some(control::Action::Resize(size)) })
        }
        _ => frame::Body::Data(Data {
            channel: [1, 1, 1, 4, 5, 5, 2, 9][dice.below(8) as usize],
            payload: vec![b'x'; dice.below(3000) as usize],
            at_us: 0,
            end: dice.below(16) == 0,
        }),
    }
}

#[test]
fn the_agent_survives_any_sequence_of_frames() {
    let agent = Agent::start();
    let mut dice = Dice(0x0dd_ba11_5eed);
    for _ in 0..150 {
        let mut client = agent.connect();
        let mut bytes = Vec::new();
        let mut opened = 1;
        for _ in 0..dice.below(60) {
            let fresh = dice.below(4) == 0;
            opened += u32::from(fresh);
            let (stream, body) = if fresh {
                let operation = Some(operation(&mut dice));
                (opened, frame::Body::Open(caisson_wire::Open { operation }))
            } else {
                (opened.saturating_sub(dice.below(3) as u32), body(&mut dice))
            };
            caisson_wire::encode(&Frame { stream, body: Some(body) }, &mut bytes);
        }
        // The connection may be closed before all of it is sent.
        let _ = client.socket.write_all(&bytes);
        let _ = client.socket.shutdown(std::net::Shutdown::Write);
        let _ = client.socket.read(&mut vec![0; 1 << dice.below(18)]);
    }
    let mut client = agent.connect();
    assert_eq!(client.shell("exit 5").exit().code, 5);
    assert!(agent.status_kib("RssAnon") < 16 * 1024, "{} KiB", agent.status_kib("RssAnon"));
}

#[test]
fn however_often_it_is_taken_over_no_byte_of_output_is_lost() {
    let agent = Agent::start();
    let mut clients = [agent.connect(), agent.connect()];
    let script = "i=0; while [ $i -lt 40 ]; do seq 1 1000; echo line $i >&3; i=$((i+1)); done";
    let (mut stream, mut said) = clients[0].started(Start { control_channel: true, ..shell(script) });
    let pid = said.pid();
    let (mut output, mut control) = (String::new(), String::new());
    let mut dice = Dice(77);
    for turn in 1.. {
        for _ in 0..dice.below(6) {
            if !clients[(turn + 1) % 2].step(stream, &mut said) {
                break;
            }
        }
        let next = &mut clients[turn % 2];
        let taking = next.open(Operation::Attach(Attach { pid }));
        if said.close.is_none() {
            clients[(turn + 1) % 2].finish_into(stream, &mut said);
        }
        output += &said.text(Channel::Stdout);
        control += &said.text(Channel::Control);
        if said.code().is_empty() {
            break;
        }
        assert_eq!(said.code(), "taken_over");
        (stream, said) = (taking, Said::default());
    }
    let numbers: Vec<&str> = output.lines().collect();
    assert_eq!(numbers.len(), 40_000);
    assert!(numbers.iter().enumerate().all(|(at, text)| *text == (at % 1000 + 1).to_string()));
    assert_eq!(control.lines().count(), 40);
}

#[test]
fn a_flood_on_one_connection_does_not_hold_up_another() {
    let agent = Agent::start();
    let mut flooded = agent.connect();
    let (stream, _) = flooded.started(Start { command: "yes".into(), ..Start::default() });
    let reader = std::thread::spawn(move || {
        let mut bytes = 0;
        while bytes < 200_000_000 {
            if let frame::Body::Data(data) = flooded.next(stream) {
                bytes += data.payload.len();
                flooded.grant(stream, data.payload.len() as u32);
            }
        }
        kill(&mut flooded, stream)
    });
    let mut client = agent.connect();
    let mut rounds = 0;
    while !reader.is_finished() {
        assert_eq!(client.shell("echo word").text(Channel::Stdout), "word\n");
        rounds += 1;
    }
    assert_eq!(reader.join().unwrap(), 9);
    assert!(rounds > 3, "{rounds} rounds beside 200 MB");
}

fn kill(client: &mut Client, stream: u32) -> u32 {
    client.control(stream, control::Action::Signal(9));
    client.finish(stream).exit().signal
}
