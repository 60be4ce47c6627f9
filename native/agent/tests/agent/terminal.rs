use caisson_wire::data::Channel;
use caisson_wire::{PtySize, Start, control};

use crate::agent::Agent;
use crate::client::shell;

fn on_terminal(script: &str) -> Start {
    Start { pty: Some(PtySize { columns: 80, rows: 24 }), ..shell(script) }
}

#[test]
fn a_terminal_has_a_size_and_controls_its_session() {
    let agent = Agent::start();
    let mut client = agent.connect();
    let (stream, mut said) = client.started(on_terminal(
        "stty size; tty; trap 'stty size' WINCH; echo ready; until read x; do :; done; read y; echo $y",
    ));
    client.until(stream, &mut said, |said| said.text(Channel::Pty).contains("ready"));
    assert!(said.text(Channel::Pty).starts_with("24 80\r\n"), "{said:?}");
    client.control(stream, control::Action::Resize(PtySize { columns: 132, rows: 50 }));
    client.until(stream, &mut said, |said| said.text(Channel::Pty).contains("50 132\r\n"));
    client.data(stream, Channel::Pty, b"a\nword\n", false);
    client.finish_into(stream, &mut said);
    assert!(said.text(Channel::Pty).ends_with("word\r\n"), "{said:?}");
    assert_eq!(said.exit().code, 0);
}

#[test]
fn the_interrupt_character_interrupts() {
    let agent = Agent::start();
    let mut client = agent.connect();
    let (stream, mut said) =
        client.started(on_terminal("trap 'exit 42' INT; echo ready; while :; do sleep 0.01; done"));
    client.until(stream, &mut said, |said| said.text(Channel::Pty).contains("ready"));
    client.data(stream, Channel::Pty, &[3], false);
    client.finish_into(stream, &mut said);
    assert_eq!(said.exit().code, 42);
}

#[test]
fn closing_the_input_types_end_of_transmission() {
    let agent = Agent::start();
    let mut client = agent.connect();
    let (stream, mut said) = client.started(on_terminal("cat; echo over"));
    client.data(stream, Channel::Pty, b"line\n", false);
    client.control(stream, control::Action::CloseStdin(true));
    client.finish_into(stream, &mut said);
    assert!(said.text(Channel::Pty).contains("over\r\n"), "{said:?}");
    assert_eq!(said.exit().code, 0);
}
