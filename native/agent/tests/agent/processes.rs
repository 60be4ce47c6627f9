use std::time::Instant;

use caisson_wire::data::Channel;
use caisson_wire::open::Operation;
use caisson_wire::{Attach, Close, Processes, Start, control, frame, opened};

use crate::agent::Agent;
use crate::client::{Said, shell};

#[test]
fn output_exit_code_and_close_come_in_order() {
    let agent = Agent::start();
    let mut client = agent.connect();
    let said = client.shell("echo out; echo err >&2; exit 7");
    assert_eq!((said.text(Channel::Stdout), said.text(Channel::Stderr)), ("out\n".into(), "err\n".into()));
    assert_eq!((said.exit().code, said.exit().signal, said.exit().unknown), (7, 0, false));
    assert_eq!(said.code(), "");
    assert!(said.pid() > 1);
}

#[test]
fn the_environment_is_whole_and_has_the_defaults() {
    let agent = Agent::start();
    let mut client = agent.connect();
    let mut start = Start { command: "env".into(), ..Start::default() };
    start.env.insert("COLOUR".into(), "gr=n".into());
    start.env.insert("SHELL".into(), "/bin/own".into());
    let said = client.ask(Operation::Start(start));
    let text = said.text(Channel::Stdout);
    let mut lines: Vec<_> = text.lines().map(|line| line.split_once('=').unwrap()).collect();
    lines.sort_unstable();
    let home = agent.home();
    let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let home = home.to_str().unwrap();
    let expected = [
        ("COLOUR", "gr=n"),
        ("HOME", home),
        ("LOGNAME", "user"),
        ("PATH", path),
        ("SHELL", "/bin/own"),
        ("USER", "user"),
    ];
    assert_eq!(lines, expected);
}

#[test]
fn a_child_has_its_standard_descriptors_and_no_others() {
    let agent = Agent::start();
    let mut client = agent.connect();
    let list = "ls /proc/$$/fd; ulimit -n; readlink /proc/$$/fd/0; grep -E '^Sig(Blk|Ign)' /proc/self/status; ps -o sid= -p $$; echo $$";
    let said = client.shell(list);
    let text = said.text(Channel::Stdout);
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    assert_eq!(lines[..5], ["0", "1", "2", "256", "/dev/null"], "{text}");
    assert!(lines[5].ends_with("0000000000000000") && lines[6].ends_with("0000000000000000"), "{text}");
    assert_eq!(lines[7], lines[8], "a session of its own");
    let said = client.ask(Operation::Start(Start { control_channel: true, ..shell("ls /proc/$$/fd") }));
    assert_eq!(said.text(Channel::Stdout), "0\n1\n2\n3\n");
}

#[test]
fn what_cannot_be_started_says_why() {
    let agent = Agent::start();
    let mut client = agent.connect();
    std::fs::write(agent.home().join("plain"), "text").unwrap();
    std::fs::write(agent.home().join("broken"), "\x7fno program").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(agent.home().join("broken"), mode).unwrap();
    let cases = [
        (Start { command: "no-such-program".into(), ..Start::default() }, "not_found"),
        (Start { command: "/no/such/program".into(), ..Start::default() }, "not_found"),
        (Start { command: "./plain".into(), ..Start::default() }, "denied"),
        (Start { command: "./broken".into(), ..Start::default() }, "invalid"),
        (Start { command: "/tmp".into(), ..Start::default() }, "not_found"),
        (Start { command: String::new(), ..Start::default() }, "invalid"),
        (Start { command: "a\0b".into(), ..Start::default() }, "invalid"),
        (Start { cwd: "/no/such/folder".into(), ..shell("touch ~/started") }, "not_found"),
        (Start { cwd: "plain".into(), ..shell("touch ~/started") }, "not_directory"),
        (Start { user: "root".into(), ..shell("true") }, "unsupported"),
        (Start { env: [("a=b".to_owned(), String::new())].into(), ..shell("true") }, "invalid"),
    ];
    for (start, code) in cases {
        let said = client.ask(Operation::Start(start.clone()));
        assert_eq!((said.code(), said.opened.is_none()), (code, true), "{start:?} {said:?}");
    }
    assert!(!agent.home().join("started").exists());
    assert_eq!(client.shell("exit 3").exit().code, 3, "and the agent goes on");
}

#[test]
fn the_working_directory_is_home_or_what_was_asked_for() {
    let agent = Agent::start();
    let mut client = agent.connect();
    std::fs::create_dir(agent.home().join("sub")).unwrap();
    let home = agent.home().canonicalize().unwrap();
    let home = home.to_str().unwrap();
    for (cwd, expected) in
        [("", home.to_owned()), ("sub", format!("{home}/sub")), ("~/sub", format!("{home}/sub")), ("/", "/".into())]
    {
        let said = client.ask(Operation::Start(Start { cwd: cwd.into(), ..shell("pwd") }));
        assert_eq!(said.text(Channel::Stdout).trim(), expected);
    }
    // As a login does.
    std::fs::rename(agent.home(), agent.folder.join("away")).unwrap();
    assert_eq!(client.shell("pwd").text(Channel::Stdout), "/\n");
    std::fs::rename(agent.folder.join("away"), agent.home()).unwrap();
}

#[test]
fn signals_reach_the_whole_process_group() {
    let agent = Agent::start();
    let mut client = agent.connect();
    // The shell waits for a child that would hold the pipe open for long if the signal went to the shell alone.
    let (stream, mut said) = client.started(shell("sleep 1000 & echo ready; wait"));
    client.until(stream, &mut said, |said| said.text(Channel::Stdout) == "ready\n");
    client.control(stream, control::Action::Signal(15));
    client.finish_into(stream, &mut said);
    assert_eq!((said.exit().code, said.exit().signal), (0, 15));
    assert_eq!(client.shell("exit 0").exit().code, 0);
    let said = client.shell("kill -9 $$");
    assert_eq!((said.exit().code, said.exit().signal), (0, 9));
}

#[test]
fn standard_input_is_fed_and_closed() {
    let agent = Agent::start();
    let mut client = agent.connect();
    let (stream, mut said) = client.started(Start { stdin: true, ..shell("cat; echo done") });
    client.data(stream, Channel::Stdin, b"one ", false);
    client.until(stream, &mut said, |said| said.text(Channel::Stdout) == "one ");
    client.data(stream, Channel::Stdin, b"two", true);
    client.finish_into(stream, &mut said);
    assert_eq!(said.text(Channel::Stdout), "one twodone\n");

    let (stream, mut said) = client.started(Start { stdin: true, ..shell("cat; echo done") });
    client.control(stream, control::Action::CloseStdin(true));
    client.finish_into(stream, &mut said);
    assert_eq!(said.text(Channel::Stdout), "done\n");
}

#[test]
fn input_that_nobody_reads_any_more_is_dropped_and_its_credit_returned() {
    let agent = Agent::start();
    let mut client = agent.connect();
    let (stream, mut said) =
        client.started(Start { stdin: true, control_channel: false, ..shell("exec 0<&-; echo closed; sleep 1000") });
    client.until(stream, &mut said, |said| said.text(Channel::Stdout) == "closed\n");
    let mut credit = 1024 * 1024_usize;
    for _ in 0..64 {
        while credit < 65536 {
            if let frame::Body::Window(window) = client.next(stream) {
                credit += window.bytes as usize;
            }
        }
        client.data(stream, Channel::Stdin, &[b'x'; 65536], false);
        credit -= 65536;
    }
    client.control(stream, control::Action::Signal(9));
    client.finish_into(stream, &mut said);
    assert_eq!(said.exit().signal, 9);
}

#[test]
fn what_a_program_leaves_in_the_background_does_not_hold_the_exit() {
    let agent = Agent::start();
    let mut client = agent.connect();
    let begun = Instant::now();
    let said = client.shell("(sleep 1000; echo late) & echo $!; exit 4");
    assert_eq!(said.exit().code, 4);
    let pid: i32 = said.text(Channel::Stdout).trim().parse().unwrap();
    // One that never stops printing does not either, and goes on living.
    let said = client.shell("yes noise & echo $! >&2; exit 5");
    assert_eq!(said.exit().code, 5);
    let noisy: i32 = said.text(Channel::Stderr).trim().parse().unwrap();
    assert!(begun.elapsed().as_secs() < 900, "the sleep was not waited for");
    for pid in [pid, noisy] {
        let said = client.shell(&format!("kill -0 {pid} && kill -9 {pid}"));
        assert_eq!(said.exit().code, 0, "{said:?}");
    }
}

#[test]
fn orphans_are_reaped() {
    let agent = Agent::start();
    let mut client = agent.connect();
    let said = client.shell("for i in 1 2 3 4 5 6 7 8; do (sh -c 'sleep 0.05' &) ; done; sleep 0.5");
    assert_eq!(said.exit().code, 0);
    let children = format!("/proc/{0}/task/{0}/children", agent.process.id());
    while !std::fs::read_to_string(&children).unwrap().is_empty() {
        std::thread::yield_now();
    }
}

#[test]
fn a_closed_stream_leaves_the_process_and_another_can_attach() {
    let agent = Agent::start();
    let mut client = agent.connect();
    let (first, mut said) = client.started(Start {
        stdin: true,
        tag: "mine".into(),
        ..shell("echo one; read x; echo got $x; read y; exit 9")
    });
    let pid = said.pid();
    client.until(first, &mut said, |said| said.text(Channel::Stdout) == "one\n");
    client.send(first, frame::Body::Close(Close::default()));
    client.finish_into(first, &mut said);
    assert_eq!(said.code(), "cancelled");

    let listed = client.ask(Operation::Processes(Processes {}));
    let Some(opened::Result::Processes(list)) = listed.opened else { panic!("{listed:?}") };
    assert_eq!((list.processes[0].pid, list.processes[0].tag.as_str()), (pid, "mine"));
    assert_eq!(list.processes[0].command, "/bin/sh");

    // From another connection, and taken over from there.
    let mut other = agent.connect();
    let second = other.open(Operation::Attach(Attach { pid }));
    let mut said = Said::default();
    other.until(second, &mut said, |said| said.opened.is_some());
    other.data(second, Channel::Stdin, b"word\n", false);
    other.until(second, &mut said, |said| said.text(Channel::Stdout) == "got word\n");
    let third = client.open(Operation::Attach(Attach { pid }));
    other.finish_into(second, &mut said);
    assert_eq!(said.code(), "taken_over");
    client.data(third, Channel::Stdin, b"\n", false);
    assert_eq!(client.finish(third).exit().code, 9);
    assert_eq!(client.ask(Operation::Attach(Attach { pid })).code(), "not_found");
}

#[test]
fn an_end_that_nobody_heard_waits_for_the_next_to_attach() {
    let agent = Agent::start();
    let mut client = agent.connect();
    let (stream, mut said) = client.started(shell("while [ ! -e go ]; do sleep 0.01; done; echo words; exit 6"));
    let pid = said.pid();
    client.send(stream, frame::Body::Close(Close::default()));
    client.finish_into(stream, &mut said);
    assert_eq!(said.code(), "cancelled");
    std::fs::write(agent.home().join("go"), "").unwrap();
    while std::path::Path::new(&format!("/proc/{pid}")).exists() {
        std::thread::yield_now();
    }
    let said = client.ask(Operation::Attach(Attach { pid }));
    assert_eq!((said.exit().code, said.text(Channel::Stdout)), (6, "words\n".into()));
}

#[test]
fn ends_wait_for_a_host_that_comes_again_in_great_number() {
    let agent = Agent::start();
    let mut client = agent.connect();
    let script = |code: u32| format!("while [ ! -e go ]; do sleep 0.05; done; echo words {code}; exit {}", code % 251);
    let pids: Vec<u32> = (0..200).map(|code| client.started(shell(&script(code))).1.pid()).collect();
    // As a host that is killed: nobody says goodbye.
    drop(client);
    std::fs::write(agent.home().join("go"), "").unwrap();
    for pid in &pids {
        while std::path::Path::new(&format!("/proc/{pid}")).exists() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
    let mut client = agent.connect();
    let said: Vec<Said> = pids.iter().map(|pid| client.ask(Operation::Attach(Attach { pid: *pid }))).collect();
    let codes: Vec<u32> = said.iter().map(|said| said.exit().code as u32).collect();
    assert_eq!(codes, (0..200).map(|code| code % 251).collect::<Vec<_>>());
    let heard = said.iter().enumerate().filter(|(code, said)| said.text(Channel::Stdout) == format!("words {code}\n"));
    assert_eq!(heard.count(), 64);
    assert_eq!(client.ask(Operation::Attach(Attach { pid: pids[0] })).code(), "not_found");
}

#[test]
fn when_the_leash_goes_so_does_the_agent() {
    let mut agent = Agent::start();
    agent.let_go();
    assert_eq!(agent.process.wait().unwrap().code(), Some(0));
}

#[test]
fn a_configuration_with_an_unknown_field_is_refused() {
    let mut agent = Agent::without_config();
    agent.tell(
        r#"{"singleUser":true,"openFiles":64,"user":{"name":"u","uid":1,"gid":1,"home":"/"},"writable":[],"more":1}"#,
        &[],
    );
    assert_eq!(agent.process.wait().unwrap().code(), Some(1));
}
