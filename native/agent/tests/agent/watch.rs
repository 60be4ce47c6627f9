use caisson_wire::file_event::Kind;
use caisson_wire::open::Operation;
use caisson_wire::{Close, Watch, event, frame};

use crate::agent::Agent;
use crate::client::{Client, Said};
use crate::files::{to, write};

fn begin(client: &mut Client, request: Watch) -> (u32, Said) {
    let stream = client.open(Operation::Watch(request));
    let mut said = Said::default();
    client.until(stream, &mut said, |said| said.opened.is_some());
    (stream, said)
}

fn seen(said: &Said) -> Vec<(Kind, String)> {
    let files = said.events.iter().map(|event| match event {
        event::What::File(file) => (file.kind(), file.name.clone()),
        other => panic!("{other:?}"),
    });
    files.collect()
}

fn has(said: &Said, kind: Kind, name: &str) -> bool {
    seen(said).contains(&(kind, name.to_owned()))
}

#[test]
fn changes_are_told_in_order() {
    let agent = Agent::start();
    let mut client = agent.connect();
    let (stream, mut said) = begin(&mut client, Watch { path: "~".into(), include_entry: true, ..Watch::default() });
    let home = agent.home();
    std::fs::write(home.join("file"), "text").unwrap();
    std::fs::rename(home.join("file"), home.join("renamed")).unwrap();
    std::fs::remove_file(home.join("renamed")).unwrap();
    client.until(stream, &mut said, |said| has(said, Kind::Remove, "renamed"));
    let kinds: Vec<_> = seen(&said);
    let expected = [
        (Kind::Create, "file".to_owned()),
        (Kind::Write, "file".to_owned()),
        (Kind::Rename, "file".to_owned()),
        (Kind::Create, "renamed".to_owned()),
        (Kind::Remove, "renamed".to_owned()),
    ];
    assert_eq!(kinds, expected);
    std::fs::write(home.join("stays"), "12345").unwrap();
    client.until(stream, &mut said, |said| has(said, Kind::Write, "stays"));
    let Some(event::What::File(last)) = said.events.last() else { panic!() };
    assert_eq!(last.entry.as_ref().unwrap().size, 5);
    client.send(stream, frame::Body::Close(Close::default()));
    client.finish_into(stream, &mut said);
    assert_eq!(said.code(), "cancelled");
}

#[test]
fn directories_made_later_are_followed_and_nothing_in_them_is_missed() {
    let agent = Agent::start();
    let mut client = agent.connect();
    std::fs::create_dir_all(agent.home().join("old/deep")).unwrap();
    let (stream, mut said) = begin(&mut client, Watch { path: "~".into(), recursive: true, ..Watch::default() });
    std::fs::write(agent.home().join("old/deep/file"), "").unwrap();
    client.until(stream, &mut said, |said| has(said, Kind::Create, "old/deep/file"));
    // As fast as a shell can: whichever way it is noticed, each is told of once.
    let made =
        client.shell("cd ~; for i in $(seq 100); do mkdir -p new/$i/below; : > new/$i/below/file; done; : > last");
    assert_eq!(made.exit().code, 0);
    client.until(stream, &mut said, |said| has(said, Kind::Create, "last"));
    let created: Vec<_> =
        seen(&said).into_iter().filter(|(kind, _)| *kind == Kind::Create).map(|(_, name)| name).collect();
    for number in 1..=100 {
        for name in [format!("new/{number}"), format!("new/{number}/below"), format!("new/{number}/below/file")] {
            assert_eq!(created.iter().filter(|other| **other == name).count(), 1, "{name}");
        }
    }
    std::fs::rename(agent.home().join("new/7"), agent.home().join("moved")).unwrap();
    client.until(stream, &mut said, |said| has(said, Kind::Create, "moved"));
    assert!(has(&said, Kind::Rename, "new/7"));
    std::fs::write(agent.home().join("moved/below/late"), "").unwrap();
    client.until(stream, &mut said, |said| has(said, Kind::Create, "moved/below/late"));
}

#[test]
fn the_end_of_the_watched_directory_ends_the_watch() {
    let agent = Agent::start();
    let mut client = agent.connect();
    std::fs::create_dir(agent.home().join("sub")).unwrap();
    let (stream, mut said) = begin(&mut client, Watch { path: "sub".into(), ..Watch::default() });
    std::fs::remove_dir(agent.home().join("sub")).unwrap();
    client.finish_into(stream, &mut said);
    assert_eq!((said.code(), seen(&said)), ("", vec![(Kind::Remove, String::new())]));
    for (path, code) in [("sub", "not_found"), ("/etc/passwd", "not_directory")] {
        let said = client.ask(Operation::Watch(Watch { path: path.into(), ..Watch::default() }));
        assert_eq!(said.code(), code);
    }
}

#[test]
fn a_flood_of_changes_ends_in_an_overflow_and_not_in_memory() {
    let agent = Agent::start();
    let mut client = agent.connect();
    let mut watcher = agent.connect();
    let (stream, mut said) = begin(&mut watcher, Watch { path: "~".into(), ..Watch::default() });
    // Nobody reads the watcher's connection meanwhile.
    let made = client.shell("cd ~; seq -f %f-a-name-of-some-length 15000 | xargs touch; find . -type f -delete");
    assert_eq!(made.exit().code, 0);
    assert!(agent.status_kib("VmRSS") < 16 * 1024);
    watcher.until(stream, &mut said, |said| has(said, Kind::Overflow, ""));
}

#[test]
fn a_write_of_the_hosts_is_seen_as_what_it_is() {
    let agent = Agent::start();
    let mut client = agent.connect();
    let mut writer = agent.connect();
    std::fs::write(agent.home().join("old"), "old").unwrap();
    let (stream, mut said) = begin(&mut client, Watch { path: "~".into(), recursive: true, ..Watch::default() });
    assert_eq!(write(&mut writer, to("old"), b"new").code(), "");
    assert_eq!(write(&mut writer, to("young"), b"new").code(), "");
    assert_eq!(write(&mut writer, to("folder/young"), b"new").code(), "");
    client.until(stream, &mut said, |said| has(said, Kind::Create, "folder/young"));
    std::fs::write(agent.home().join("last"), "").unwrap();
    client.until(stream, &mut said, |said| has(said, Kind::Create, "last"));
    let seen = seen(&said);
    assert_eq!(
        seen[..5],
        [
            (Kind::Write, "old".to_owned()),
            (Kind::Create, "young".to_owned()),
            (Kind::Chmod, "young".to_owned()),
            (Kind::Write, "young".to_owned()),
            (Kind::Create, "folder".to_owned()),
        ]
    );
    assert!(seen.iter().all(|(_, name)| !name.contains(".caisson")), "{seen:?}");
}

#[test]
fn only_what_this_kernel_changes_is_watched_when_asked() {
    let agent = Agent::start();
    let mut client = agent.connect();
    let (stream, mut said) = begin(&mut client, Watch { path: "~".into(), local_only: true, ..Watch::default() });
    assert!(said.opened.is_some());
    client.send(stream, frame::Body::Close(Close::default()));
    client.finish_into(stream, &mut said);
}
