use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};

use caisson_wire::data::Channel;
use caisson_wire::entry::Kind;
use caisson_wire::open::Operation;
use caisson_wire::{Close, Entry, ReadFile, SetAttributes, Stat, WriteFile, frame, opened};

use crate::agent::Agent;
use crate::client::{Client, Said};

pub fn read(path: &str) -> Operation {
    Operation::ReadFile(ReadFile { path: path.into(), ..ReadFile::default() })
}

pub fn to(path: &str) -> WriteFile {
    WriteFile { path: path.into(), ..WriteFile::default() }
}

pub fn write(client: &mut Client, request: WriteFile, content: &[u8]) -> Said {
    let stream = client.open(Operation::WriteFile(request));
    let mut said = Said::default();
    while said.opened.is_none() && client.step(stream, &mut said) {}
    if said.close.is_none() {
        client.data(stream, Channel::File, content, true);
        client.finish_into(stream, &mut said);
    }
    said
}

pub fn stat(client: &mut Client, path: &str, follow: bool) -> Entry {
    let said = client.ask(Operation::Stat(Stat { path: path.into(), follow, ..Stat::default() }));
    match said.opened {
        Some(opened::Result::Entry(entry)) => entry,
        other => panic!("{path}: {other:?} {:?}", said.close),
    }
}

fn leftovers(agent: &Agent) -> Vec<String> {
    let entries = std::fs::read_dir(agent.home()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with(".caisson-")).collect()
}

#[test]
fn what_is_written_can_be_read_back() {
    let agent = Agent::start();
    let mut client = agent.connect();
    let content: Vec<u8> = (0..100_000u32).flat_map(u32::to_le_bytes).take(120_000).collect();
    assert_eq!(write(&mut client, to("new/folder/data"), &content).code(), "");
    let said = client.ask(read("~/new/folder/data"));
    assert_eq!(said.bytes(Channel::File), content);
    let Some(opened::Result::Entry(entry)) = &said.opened else { panic!("{said:?}") };
    assert_eq!((entry.size, entry.kind(), entry.mode), (120_000, Kind::File, 0o644));
    let part = ReadFile { path: "new/folder/data".into(), offset: 119_990, length: 5, ..ReadFile::default() };
    assert_eq!(client.ask(Operation::ReadFile(part.clone())).bytes(Channel::File), &content[119_990..119_995]);
    let past = ReadFile { offset: 119_998, length: 500, ..part.clone() };
    assert_eq!(client.ask(Operation::ReadFile(past)).bytes(Channel::File), &content[119_998..]);
    let beyond = ReadFile { offset: 1 << 40, ..part };
    assert_eq!(client.ask(Operation::ReadFile(beyond)).bytes(Channel::File), b"");
    // No size of its own, and contents all the same.
    assert!(client.ask(read("/proc/self/mounts")).bytes(Channel::File).len() > 10);
    assert_eq!(leftovers(&agent), [""; 0]);
}

#[test]
fn a_large_file_goes_both_ways_under_credit() {
    let agent = Agent::start();
    let mut client = agent.connect();
    let stream = client.open(Operation::WriteFile(to("large")));
    let block: Vec<u8> = (0..128 * 1024u32).map(|n| (n / 7) as u8).collect();
    let mut credit = 1024 * 1024;
    for _ in 0..256 {
        while credit < block.len() {
            if let frame::Body::Window(window) = client.next(stream) {
                credit += window.bytes as usize;
            }
        }
        client.data(stream, Channel::File, &block, false);
        credit -= block.len();
    }
    client.data(stream, Channel::File, &[], true);
    assert_eq!(client.finish(stream).code(), "");
    let said = client.ask(read("large"));
    assert!(said.bytes(Channel::File).chunks(block.len()).all(|chunk| chunk == block));
    assert_eq!(said.bytes(Channel::File).len(), 256 * block.len());
    assert!(agent.status_kib("VmRSS") < 16 * 1024);
}

#[test]
fn an_overwrite_keeps_the_mode_and_clears_the_attributes() {
    let agent = Agent::start();
    let mut client = agent.connect();
    let attributes = [("kind".to_owned(), "draft".to_owned()), ("ключ".to_owned(), "значение".to_owned())];
    let first = WriteFile { mode: 0o640, attributes: attributes.clone().into(), ..to("file") };
    assert_eq!(write(&mut client, first, b"one").code(), "");
    let entry = stat(&mut client, "file", false);
    assert_eq!((entry.mode, entry.attributes), (0o640, attributes.into()));
    let set = SetAttributes {
        path: "file".into(),
        attributes: [("more".into(), "x".into())].into(),
        ..SetAttributes::default()
    };
    assert_eq!(client.ask(Operation::SetAttributes(set)).code(), "");
    assert_eq!(stat(&mut client, "file", false).attributes.len(), 3);
    assert_eq!(write(&mut client, to("file"), b"two").code(), "");
    let entry = stat(&mut client, "file", false);
    assert_eq!((entry.mode, entry.attributes.len(), entry.size), (0o640, 0, 3));
    let bad = WriteFile { attributes: [("a\0b".into(), String::new())].into(), ..to("other") };
    assert_eq!(write(&mut client, bad, b"").code(), "invalid");
    assert!(!agent.home().join("other").exists());
}

#[test]
fn appending_adds_to_the_end() {
    let agent = Agent::start();
    let mut client = agent.connect();
    for word in ["one ", "two ", "three"] {
        let request = WriteFile { append: true, ..to("log") };
        assert_eq!(write(&mut client, request, word.as_bytes()).code(), "");
    }
    assert_eq!(std::fs::read_to_string(agent.home().join("log")).unwrap(), "one two three");
}

#[test]
fn a_reader_never_sees_half_a_file_and_a_cut_write_leaves_nothing() {
    let agent = Agent::start();
    let mut client = agent.connect();
    write(&mut client, to("file"), b"old");
    let stream = client.open(Operation::WriteFile(to("file")));
    client.data(stream, Channel::File, b"half of the new", false);
    assert_eq!(client.ask(read("file")).bytes(Channel::File), b"old");
    client.send(stream, frame::Body::Close(Close::default()));
    assert_eq!(client.finish(stream).code(), "cancelled");
    assert_eq!(client.ask(read("file")).bytes(Channel::File), b"old");
    assert_eq!(leftovers(&agent), [""; 0]);

    // The same when the connection is cut.
    let mut other = agent.connect();
    let stream = other.open(Operation::WriteFile(to("file")));
    other.data(stream, Channel::File, b"half", false);
    let mut said = Said::default();
    other.until(stream, &mut said, |said| said.opened.is_some());
    assert_eq!(leftovers(&agent).len(), 1);
    drop(other);
    while !leftovers(&agent).is_empty() {
        std::thread::yield_now();
    }
    assert_eq!(client.ask(read("file")).bytes(Channel::File), b"old");
}

#[test]
fn links_inside_work_in_both_directions() {
    let agent = Agent::start();
    let mut client = agent.connect();
    let home = agent.home();
    std::fs::create_dir(home.join("real")).unwrap();
    symlink("real", home.join("folder")).unwrap();
    symlink("folder/../real/target", home.join("link")).unwrap();
    assert_eq!(write(&mut client, to("link"), b"through").code(), "");
    assert_eq!(std::fs::read(home.join("real/target")).unwrap(), b"through");
    assert!(home.join("link").symlink_metadata().unwrap().is_symlink());
    assert_eq!(client.ask(read("folder/target")).bytes(Channel::File), b"through");
    let entry = stat(&mut client, "link", false);
    assert_eq!((entry.kind(), entry.symlink_target.as_str()), (Kind::Symlink, "folder/../real/target"));
    let end = std::fs::canonicalize(home.join("real/target")).unwrap();
    assert_eq!((entry.leads_to.as_str(), entry.leads_to_kind()), (end.to_str().unwrap(), Kind::File));
    assert_eq!(entry.leads_to_mode, 0o644);
    assert_eq!((stat(&mut client, "link", true).kind(), stat(&mut client, "link", true).size), (Kind::File, 7));
    symlink("loop", home.join("loop")).unwrap();
    let entry = stat(&mut client, "loop", false);
    assert_eq!((entry.leads_to.as_str(), entry.leads_to_kind()), ("", Kind::Unset));
    assert_eq!(client.ask(read("loop")).code(), "invalid");
    assert_eq!(write(&mut client, to("loop"), b"").code(), "invalid");
}

#[test]
fn pipes_devices_and_sockets_are_refused_and_never_waited_for() {
    let agent = Agent::start();
    let mut client = agent.connect();
    let pipe = agent.home().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::from_bits_truncate(0o666)).unwrap();
    symlink("pipe", agent.home().join("link")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(agent.home().join("socket")).unwrap();
    for path in ["pipe", "link", "socket", "/dev/zero", "/dev/null", "/dev/tty"] {
        assert_eq!(client.ask(read(path)).code(), "special_file", "{path}");
        for append in [false, true] {
            let said = write(&mut client, WriteFile { append, ..to(path) }, b"x");
            assert_eq!(said.code(), "special_file", "{path}");
        }
    }
    assert!(pipe.metadata().unwrap().file_type().is_fifo());
    assert_eq!(stat(&mut client, "pipe", false).kind(), Kind::Other);
    assert_eq!(client.ask(read("~")).code(), "is_directory");
    assert_eq!(write(&mut client, to("/tmp"), b"").code(), "is_directory");
}

#[test]
fn the_kernels_own_files_are_not_written() {
    let agent = Agent::start();
    let mut client = agent.connect();
    symlink("/proc/self/mem", agent.home().join("memory")).unwrap();
    symlink("/proc/self/comm", agent.home().join("name")).unwrap();
    for path in ["memory", "name", "/proc/self/oom_score_adj"] {
        for append in [false, true] {
            let said = write(&mut client, WriteFile { append, ..to(path) }, b"x");
            assert!(["special_file", "denied", "not_found"].contains(&said.code()), "{path}: {said:?}");
        }
    }
    let name = std::fs::read_to_string(format!("/proc/{}/comm", agent.process.id())).unwrap();
    assert_eq!(name, "caisson-agent\n");
}

#[test]
fn refusals_have_codes() {
    let agent = Agent::start();
    let mut client = agent.connect();
    std::fs::write(agent.home().join("file"), "").unwrap();
    assert_eq!(client.ask(read("missing")).code(), "not_found");
    assert_eq!(client.ask(read("file/below")).code(), "not_directory");
    assert_eq!(client.ask(read("")).code(), "invalid");
    assert_eq!(client.ask(read("a\0b")).code(), "invalid");
    assert_eq!(client.ask(read(&"x".repeat(300))).code(), "invalid");
    assert_eq!(client.ask(read(&"x/".repeat(5000))).code(), "invalid");
    assert_eq!(write(&mut client, to("file/below"), b"").code(), "not_directory");
    assert_eq!(write(&mut client, WriteFile { mode: 0o10000, ..to("new") }, b"").code(), "invalid");
    assert_eq!(client.ask(Operation::Stat(Stat { path: "missing".into(), ..Stat::default() })).code(), "not_found");
}

#[test]
fn a_full_disk_is_said_and_leaves_nothing_behind() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("not proven here: mounting a small file system needs root");
        return;
    }
    let agent = Agent::with_config(|folder| {
        let home = folder.join("home");
        std::fs::create_dir_all(home.join("small")).unwrap();
        serde_json::json!({
            "singleUser": true, "openFiles": 256, "writable": [home, home.join("small")],
            "user": { "name": "user", "uid": 0, "gid": 0, "home": home },
        })
    });
    let small = agent.home().join("small");
    let options = "size=1m,nr_inodes=16";
    nix::mount::mount(Some("small"), &small, Some("tmpfs"), nix::mount::MsFlags::empty(), Some(options)).unwrap();
    let mut client = agent.connect();
    let stream = client.open(Operation::WriteFile(to("small/file")));
    let mut said = Said::default();
    client.until(stream, &mut said, |said| said.opened.is_some());
    std::fs::write(small.join("ballast"), vec![0; 600 * 1024]).unwrap();
    for _ in 0..8 {
        client.data(stream, Channel::File, &[1; 128 * 1024], false);
    }
    client.finish_into(stream, &mut said);
    let left = std::fs::read_dir(&small).unwrap().count();
    let filled = client.shell("cat /dev/zero > ~/small/all 2>&1; exit 1");
    let emptied = client.shell("rm ~/small/all; exit 1");
    let many = client.shell("for i in $(seq 20); do : > ~/small/$i; done 2>&1; exit 1");
    nix::mount::umount(&small).unwrap();
    assert_eq!((said.code(), left), ("no_space", 1));
    assert!(filled.exit().disk_full && many.exit().disk_full && !emptied.exit().disk_full);
}

#[test]
fn modes_and_owner_are_kept_by_name() {
    let agent = Agent::start();
    let mut client = agent.connect();
    write(&mut client, WriteFile { mode: 0o700, ..to("tool") }, b"#!/bin/sh\necho run\n");
    let facts = agent.home().join("tool").metadata().unwrap();
    assert_eq!(facts.permissions().mode() & 0o7777, 0o700);
    let said = client.ask(Operation::Start(caisson_wire::Start { command: "~/tool".into(), ..Default::default() }));
    assert_eq!(said.code(), "not_found", "a command is no path of the host's: no home in it");
    let said = client.ask(Operation::Start(caisson_wire::Start { command: "./tool".into(), ..Default::default() }));
    assert_eq!(said.text(Channel::Stdout), "run\n");
    let entry = stat(&mut client, "tool", false);
    if facts.uid() == 0 {
        assert_eq!((entry.owner.as_str(), entry.group.as_str()), ("root", "root"));
    } else {
        assert!(!entry.owner.is_empty());
    }
    assert_eq!(entry.modified_us / 1_000_000, facts.mtime() as u64);
}
