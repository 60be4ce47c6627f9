//! A part of the host that the sandbox sees, as in wire/plan.ts.

use serde::Deserialize;

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    Ro,
    Rw,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Owner {
    Root,
    User,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Bind {
    pub source: String,
    pub target: String,
    pub mode: Mode,
    pub owned_by: Option<Owner>,
    #[serde(default)]
    pub setuid: bool,
    #[serde(default)]
    pub live: bool,
    pub inode: Option<String>,
    #[serde(default)]
    pub shields: Vec<Shield>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shield {
    pub path: String,
    pub inode: String,
    #[serde(rename = "as")]
    pub kind: ShieldKind,
    #[serde(default)]
    pub content: String,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum ShieldKind {
    Pinned,
    Fixed,
    Covered,
}

impl Bind {
    /// A read-only file of Caisson's own.
    pub fn ours(source: &str, target: &str) -> Bind {
        let (source, target) = (source.into(), target.into());
        let (owned_by, inode, shields) = (None, None, Vec::new());
        Bind { source, target, mode: Mode::Ro, owned_by, setuid: false, live: false, inode, shields }
    }

    pub fn wrong_shield(&self) -> Option<&str> {
        self.shields.iter().map(|shield| shield.path.as_str()).find(|path| !is_plain(path))
    }
}

pub fn is_plain(relative: &str) -> bool {
    relative.split('/').all(|part| !matches!(part, "" | "." | "..")) && !relative.contains('\0')
}
