//! Where the agent is root: everything happens as the user it is done for.

use std::os::unix::fs::MetadataExt;

use caisson_wire::data::Channel;
use caisson_wire::open::Operation;
use caisson_wire::{ReadFile, Remove, Start, WriteFile};

use crate::agent::Agent;
use crate::client::shell;
use crate::files::{stat, write};

/// None, with the reason said, for a test run that is not root's.
fn rooted() -> Option<Agent> {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("not proven here: only root can act for other users");
        return None;
    }
    let agent = Agent::with_config(|folder| {
        let home = folder.join("home");
        std::os::unix::fs::chown(&home, Some(1000), Some(1000)).unwrap();
        std::fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        serde_json::json!({
            "singleUser": false, "openFiles": 256, "writable": [home],
            "user": { "name": "user", "uid": 1000, "gid": 1000, "home": home },
        })
    });
    Some(agent)
}

#[test]
fn processes_run_as_the_user_they_are_started_for() {
    let Some(agent) = rooted() else { return };
    let mut client = agent.connect();
    let said = client.shell("id -u; id -g; id -G; grep -E '^Cap(Eff|Prm|Amb)' /proc/self/status | cut -f2 | sort -u");
    assert_eq!(said.text(Channel::Stdout), "1000\n1000\n1000\n0000000000000000\n");
    let said = client.ask(Operation::Start(Start { user: "root".into(), ..shell("id -u; echo $HOME $USER") }));
    assert_eq!(said.text(Channel::Stdout), "0\n/root root\n");
    let said = client.ask(Operation::Start(Start { user: "nosuchuser".into(), ..shell("id") }));
    assert_eq!(said.code(), "no_user");
    let said =
        client.ask(Operation::Start(Start { pty: Some(Default::default()), ..shell("stat -c %u $(tty); : > $(tty)") }));
    assert_eq!((said.text(Channel::Pty).as_str(), said.exit().code), ("1000\r\n", 0));
}

#[test]
fn files_are_touched_with_the_users_rights_only() {
    let Some(agent) = rooted() else { return };
    let mut client = agent.connect();
    let secret = agent.folder.join("secret");
    std::fs::write(&secret, "secret").unwrap();
    std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    std::os::unix::fs::symlink(&secret, agent.home().join("link")).unwrap();
    let path = secret.to_str().unwrap().to_owned();
    let link = agent.home().join("link").to_str().unwrap().to_owned();
    for path in [path.as_str(), &link] {
        let read = ReadFile { path: path.into(), ..ReadFile::default() };
        assert_eq!(client.ask(Operation::ReadFile(read.clone())).code(), "denied");
        let as_root = ReadFile { user: "root".into(), ..read };
        assert_eq!(client.ask(Operation::ReadFile(as_root)).bytes(Channel::File), b"secret");
        for append in [false, true] {
            let request = WriteFile { path: path.into(), append, ..WriteFile::default() };
            assert_eq!(write(&mut client, request, b"x").code(), "denied");
        }
    }
    let remove = Remove { path: path.clone(), ..Remove::default() };
    assert_eq!(client.ask(Operation::Remove(remove)).code(), "denied");
    assert_eq!(std::fs::read_to_string(&secret).unwrap(), "secret");
    let request = WriteFile { path: "mine/file".into(), ..WriteFile::default() };
    assert_eq!(write(&mut client, request, b"x").code(), "");
    let facts = std::fs::metadata(agent.home().join("mine/file")).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&facts), 1000);
}

#[test]
fn an_overwrite_keeps_the_owner() {
    let Some(agent) = rooted() else { return };
    let mut client = agent.connect();
    let shared = agent.home().join("shared");
    std::fs::write(&shared, "of root, for all").unwrap();
    std::fs::set_permissions(&shared, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    let request = WriteFile { path: "shared".into(), ..WriteFile::default() };
    assert_eq!(write(&mut client, request, b"new").code(), "");
    assert_eq!(
        (stat(&mut client, "shared", false).owner.as_str(), stat(&mut client, "shared", false).size),
        ("root", 3)
    );
    let own = WriteFile { path: "own".into(), mode: 0o600, ..WriteFile::default() };
    write(&mut client, own.clone(), b"one");
    let by_root = WriteFile { user: "root".into(), mode: 0, path: "own".into(), ..WriteFile::default() };
    write(&mut client, WriteFile { path: agent.home().join("own").to_str().unwrap().into(), ..by_root }, b"two");
    let facts = std::fs::metadata(agent.home().join("own")).unwrap();
    assert_eq!((std::os::unix::fs::MetadataExt::uid(&facts), facts.len()), (1000, 3));
}

#[test]
fn an_overwrite_that_is_to_own_takes_the_file() {
    let Some(agent) = rooted() else { return };
    let mut client = agent.connect();
    let path = agent.home().join("own").to_str().unwrap().to_owned();
    let own = WriteFile { path, mode: 0o640, own: true, ..WriteFile::default() };
    write(&mut client, own.clone(), b"one");
    write(&mut client, WriteFile { user: "root".into(), mode: 0, ..own }, b"two");
    let facts = std::fs::metadata(agent.home().join("own")).unwrap();
    assert_eq!((facts.uid(), facts.gid(), facts.mode() & 0o777, facts.len()), (0, 0, 0o640, 3));
}
