//! Users and groups, by the sandbox's /etc/passwd and /etc/group. Both are untrusted input: sizes are bounded, and
//! malformed lines are skipped.

use std::collections::HashMap;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;

use crate::leash::Config;
use crate::refusal::{Outcome, Refusal};

const MAX_FILE_BYTES: u64 = 1024 * 1024;
const MAX_GROUPS: usize = 256;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub name: String,
    pub uid: u32,
    pub gid: u32,
    pub home: String,
    pub shell: String,
    /// Supplementary groups.
    pub groups: Vec<u32>,
}

/// The account of that name; empty means the ordinary user.
pub fn account(config: &Config, name: &str) -> Outcome<Account> {
    let ordinary = &config.user;
    let name = if name.is_empty() { &ordinary.name } else { name };
    if config.single_user && *name != ordinary.name {
        let only = &ordinary.name;
        return Err(Refusal::unsupported(format_args!(
            "user {name}: this sandbox has one user only, {only}; root on the host is needed for more"
        )));
    }
    let passwd = read("/etc/passwd");
    let listed = passwd.lines().filter_map(Account::parse).find(|account| account.name == *name);
    let mut account = match listed {
        Some(account) if account.name != ordinary.name => account,
        // For the ordinary user, the plan overrides the file.
        listed if *name == ordinary.name => Account {
            name: ordinary.name.clone(),
            uid: ordinary.uid,
            gid: ordinary.gid,
            home: ordinary.home.clone(),
            shell: listed.map_or_else(|| "/bin/bash".to_owned(), |account| account.shell),
            groups: Vec::new(),
        },
        _ => return Err(Refusal::no_user(format_args!("user {name}: not in /etc/passwd"))),
    };
    account.groups = groups_of(&read("/etc/group"), &account);
    Ok(account)
}

impl Account {
    fn parse(line: &str) -> Option<Account> {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, uid, gid, _, home, shell] = fields[..] else { return None };
        if name.is_empty() || !home.starts_with('/') || line.contains('\0') {
            return None;
        }
        let shell = if shell.is_empty() { "/bin/sh" } else { shell };
        let (uid, gid) = (number(uid)?, number(gid)?);
        Some(Account { name: name.into(), uid, gid, home: home.into(), shell: shell.into(), groups: Vec::new() })
    }
}

fn groups_of(file: &str, account: &Account) -> Vec<u32> {
    let mut groups = vec![account.gid];
    for line in file.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        let [_, _, gid, members] = fields[..] else { continue };
        let Some(gid) = number(gid) else { continue };
        if members.split(',').any(|member| member == account.name)
            && !groups.contains(&gid)
            && groups.len() < MAX_GROUPS
        {
            groups.push(gid);
        }
    }
    groups
}

/// Names for the numeric ids in a listing.
#[derive(Default)]
pub struct Names {
    users: HashMap<u32, String>,
    groups: HashMap<u32, String>,
}

impl Names {
    pub fn load() -> Names {
        let mut names = Names::default();
        for line in read("/etc/passwd").lines() {
            note(&mut names.users, line);
        }
        for line in read("/etc/group").lines() {
            note(&mut names.groups, line);
        }
        names
    }

    pub fn user(&self, uid: u32) -> String {
        self.users.get(&uid).cloned().unwrap_or_else(|| uid.to_string())
    }

    pub fn group(&self, gid: u32) -> String {
        self.groups.get(&gid).cloned().unwrap_or_else(|| gid.to_string())
    }
}

/// In both files the name is the first field and the number the third; the first line for a number counts.
fn note(names: &mut HashMap<u32, String>, line: &str) {
    let mut fields = line.split(':');
    let (Some(name), Some(id)) = (fields.next(), fields.nth(1)) else { return };
    // The name appears in every entry, so a long one would fill the pages.
    if let (Some(id), 1..=64) = (number(id), name.len()) {
        names.entry(id).or_insert_with(|| name.to_owned());
    }
}

/// Digits only: `parse` alone would accept a plus sign. The largest number is no id, because the kernel takes it for
/// "leave unchanged".
fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten().filter(|id| *id != u32::MAX)
}

/// Empty if it does not exist, is too large, or is not a regular file.
fn read(path: &str) -> String {
    let mut text = Vec::new();
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC;
    let Ok(file) = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path) else { return String::new() };
    let regular = file.metadata().is_ok_and(|facts| facts.is_file());
    if !regular || file.take(MAX_FILE_BYTES + 1).read_to_end(&mut text).is_err() || text.len() as u64 > MAX_FILE_BYTES {
        return String::new();
    }
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_seven_fields_and_plain_numbers() {
        let account = Account::parse("ada:x:1001:1002:Ada:/home/ada:/bin/bash").unwrap();
        assert_eq!((account.uid, account.gid, account.home.as_str()), (1001, 1002, "/home/ada"));
        for bad in [
            "",
            "ada",
            "ada:x:+1:1::/h:/s",
            "ada:x:1:1::h:/s",
            "ada:x:4294967295:1::/h:/s",
            "ada:x:-1:1::/h:/s",
            "ada:x:1:1::/h:/s:more",
            ":x:1:1::/h:/s",
        ] {
            assert_eq!(Account::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn groups_are_those_that_name_the_account() {
        let account = Account::parse("ada:x:1001:1002::/home/ada:").unwrap();
        let file =
            "wheel:x:10:root,ada\nbroken\nadam:x:11:adam\nown:x:1002:ada\nhuge:x:99999999999:ada\naudio:x:12:ada";
        assert_eq!(groups_of(file, &account), [1002, 10, 12]);
        assert_eq!(account.shell, "/bin/sh");
    }
}
