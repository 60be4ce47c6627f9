use std::os::unix::fs::symlink;

use caisson_wire::open::Operation;
use caisson_wire::{Entry, ListDir, MakeDir, Move, Remove, event, opened};
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, mkdirat};

use crate::agent::Agent;
use crate::client::Client;
use crate::files::stat;

fn list(client: &mut Client, path: &str, depth: u32) -> Vec<Entry> {
    let said = client.ask(Operation::ListDir(ListDir { path: path.into(), depth, ..ListDir::default() }));
    assert_eq!(said.code(), "", "{said:?}");
    let Some(opened::Result::Entries(first)) = said.opened else { panic!("{:?}", said.opened) };
    let mut entries = first.entries;
    assert!(entries.len() <= 500);
    for event in said.events {
        let event::What::Entries(page) = event else { panic!("{event:?}") };
        assert!(page.entries.len() <= 500);
        entries.extend(page.entries);
    }
    entries
}

fn remove(path: &str) -> Operation {
    Operation::Remove(Remove { path: path.into(), ..Remove::default() })
}

fn rename(from: &str, to: &str) -> Operation {
    Operation::Move(Move { from: from.into(), to: to.into(), ..Move::default() })
}

fn make(path: &str) -> Operation {
    Operation::MakeDir(MakeDir { path: path.into(), ..MakeDir::default() })
}

#[test]
fn a_listing_is_in_order_and_as_deep_as_asked() {
    let agent = Agent::start();
    let mut client = agent.connect();
    let home = agent.home();
    std::fs::create_dir_all(home.join("b/inner/deep")).unwrap();
    std::fs::write(home.join("b/file"), "x").unwrap();
    std::fs::write(home.join("c"), "").unwrap();
    std::fs::create_dir(home.join("a")).unwrap();
    symlink("b", home.join("link")).unwrap();
    let shown = |entries: Vec<Entry>| -> Vec<String> {
        let prefix = format!("{}/", home.display());
        entries.iter().map(|entry| entry.path.strip_prefix(&prefix).unwrap().to_owned()).collect()
    };
    assert_eq!(shown(list(&mut client, "~", 1)), ["a", "b", "c", "link"]);
    assert_eq!(shown(list(&mut client, "~", 2)), ["a", "b", "b/file", "b/inner", "c", "link"]);
    assert_eq!(shown(list(&mut client, "~", 9)), ["a", "b", "b/file", "b/inner", "b/inner/deep", "c", "link"]);
    assert_eq!(list(&mut client, "link", 1).len(), 2, "a link to a directory can be listed, but is not entered");
    let not = client.ask(Operation::ListDir(ListDir { path: "c".into(), depth: 1, ..ListDir::default() }));
    assert_eq!(not.code(), "not_directory");
}

#[test]
fn many_names_come_in_pages_and_strange_ones_are_shown() {
    let agent = Agent::start();
    let mut client = agent.connect();
    for number in 0..1234 {
        std::fs::write(agent.home().join(format!("{number:04}-{}", "n".repeat(200))), "").unwrap();
    }
    let strange = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"z\xff\n");
    std::fs::write(agent.home().join(strange), "").unwrap();
    let entries = list(&mut client, "~", 1);
    assert_eq!(entries.len(), 1235);
    assert!(entries.is_sorted_by_key(|entry| &entry.path));
    assert!(entries[1234].path.ends_with("z\u{fffd}\n"));
}

#[test]
fn directories_are_made_with_parents_and_only_once() {
    let agent = Agent::start();
    let mut client = agent.connect();
    assert_eq!(client.ask(make("a/b/c")).code(), "");
    assert!(agent.home().join("a/b/c").is_dir());
    assert_eq!(client.ask(make("a/b/c")).code(), "exists");
    assert_eq!(client.ask(make("a/b/d")).code(), "");
    std::fs::write(agent.home().join("file"), "").unwrap();
    assert_eq!(client.ask(make("file")).code(), "exists");
    assert_eq!(client.ask(make("file/below")).code(), "not_directory");
    assert_eq!(client.ask(make("/")).code(), "exists");
}

#[test]
fn as_many_parents_as_a_path_can_name_are_made() {
    let agent = Agent::start();
    let mut client = agent.connect();
    assert_eq!(client.ask(make(&"d/".repeat(1900))).code(), "");
    assert_eq!(client.ask(make(&"d/".repeat(1900))).code(), "exists");
    assert_eq!(client.ask(remove("d")).code(), "");
}

#[test]
fn moves_rename_and_replace_files() {
    let agent = Agent::start();
    let mut client = agent.connect();
    let home = agent.home();
    std::fs::write(home.join("one"), "1").unwrap();
    std::fs::write(home.join("two"), "2").unwrap();
    assert_eq!(client.ask(rename("one", "two")).code(), "");
    assert_eq!(std::fs::read_to_string(home.join("two")).unwrap(), "1");
    assert_eq!(client.ask(rename("one", "three")).code(), "not_found");
    assert_eq!(client.ask(rename("two", "new/folder/two")).code(), "");
    std::fs::create_dir_all(home.join("full/x")).unwrap();
    assert_eq!(client.ask(rename("new", "full")).code(), "exists");
    assert_eq!(client.ask(rename("new", "new/folder/below")).code(), "invalid");
    symlink("nowhere", home.join("link")).unwrap();
    assert_eq!(client.ask(rename("link", "moved")).code(), "");
    assert_eq!(stat(&mut client, "moved", false).symlink_target, "nowhere");
}

#[test]
fn moves_go_across_file_systems() {
    let agent = Agent::start();
    let mut client = agent.connect();
    let home = agent.home();
    std::fs::create_dir_all(home.join("tree/closed")).unwrap();
    std::fs::write(home.join("tree/closed/file"), vec![9; 300_000]).unwrap();
    symlink("closed", home.join("tree/link")).unwrap();
    let mode = |bits| <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(bits);
    std::fs::set_permissions(home.join("tree/closed/file"), mode(0o751)).unwrap();
    // Another file system than that of /tmp, or the same: the outcome is alike.
    let away = format!("/dev/shm/caisson-agent-{}", agent.process.id());
    assert_eq!(client.ask(rename("tree", &away)).code(), "");
    assert!(!home.join("tree").exists());
    assert_eq!(stat(&mut client, &format!("{away}/closed/file"), false).mode, 0o751);
    assert_eq!(client.ask(rename(&away, "back")).code(), "");
    assert!(!std::path::Path::new(&away).exists());
    assert_eq!(std::fs::read(home.join("back/closed/file")).unwrap(), vec![9; 300_000]);
    assert_eq!(std::fs::read_link(home.join("back/link")).unwrap().to_str(), Some("closed"));
}

#[test]
fn removal_takes_all_and_follows_no_link() {
    let agent = Agent::start();
    let mut client = agent.connect();
    let home = agent.home();
    std::fs::create_dir_all(home.join("keep/sub")).unwrap();
    std::fs::write(home.join("keep/file"), "").unwrap();
    std::fs::create_dir_all(home.join("tree/a/b")).unwrap();
    for number in 0..1500 {
        std::fs::write(home.join(format!("tree/a/{number}")), "").unwrap();
    }
    symlink(home.join("keep"), home.join("tree/a/b/link")).unwrap();
    symlink(home.join("keep"), home.join("link")).unwrap();
    assert_eq!(client.ask(remove("tree")).code(), "");
    assert_eq!(client.ask(remove("link")).code(), "");
    assert!(!home.join("tree").exists() && home.join("link").symlink_metadata().is_err());
    assert!(home.join("keep/sub").exists() && home.join("keep/file").exists());
    assert_eq!(client.ask(remove("tree")).code(), "", "what is not there is removed");
    assert_eq!(client.ask(remove("keep/file")).code(), "");
    let said = client.ask(remove("/proc"));
    assert!(["busy", "denied"].contains(&said.code()), "{said:?}");
}

#[test]
fn a_tree_deeper_than_any_path_can_be_removed() {
    let agent = Agent::start();
    let mut client = agent.connect();
    let mut below = nix::dir::Dir::open(&agent.home(), OFlag::O_DIRECTORY, Mode::empty()).unwrap();
    for name in std::iter::once("tree").chain(std::iter::repeat_n("d", 3000)) {
        mkdirat(&below, name, Mode::S_IRWXU).unwrap();
        openat(&below, "f", OFlag::O_CREAT | OFlag::O_WRONLY, Mode::S_IRWXU).unwrap();
        below = nix::dir::Dir::openat(&below, name, OFlag::O_DIRECTORY, Mode::empty()).unwrap();
    }
    // As far down as a path reaches.
    assert!(list(&mut client, "tree", u32::MAX).len() > 1000);
    assert_eq!(client.ask(remove("tree")).code(), "");
    assert!(!agent.home().join("tree").exists());
    assert!(agent.status_kib("VmRSS") < 16 * 1024);
}
