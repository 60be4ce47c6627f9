//! One file, directory or link as the host sees it.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use caisson_wire::Entry;
use caisson_wire::entry::Kind;

use super::attributes;
use crate::refusal::{OrRefuse, Outcome};
use crate::users::Names;

/// `follow`: of what a link points to; the link's own target is given either way.
pub fn one(path: &str, follow: bool) -> Outcome<Entry> {
    let path = Path::new(path);
    let facts = if follow { std::fs::metadata(path) } else { std::fs::symlink_metadata(path) };
    Ok(of(path, &facts.or_refuse(|| path.display())?, &Names::load()))
}

pub fn of(path: &Path, facts: &Metadata, names: &Names) -> Entry {
    let kind = facts.file_type();
    let kind = match () {
        () if kind.is_symlink() => Kind::Symlink,
        () if kind.is_dir() => Kind::Directory,
        () if kind.is_file() => Kind::File,
        () => Kind::Other,
    };
    // Names that are not UTF-8 are shown with U+FFFD (wire/agent.proto).
    let target = std::fs::read_link(path).map(|target| target.to_string_lossy().into_owned());
    let modified_us = facts.mtime().saturating_mul(1_000_000).saturating_add(facts.mtime_nsec() / 1000);
    Entry {
        path: path.to_string_lossy().into_owned(),
        kind: kind.into(),
        size: facts.size(),
        mode: facts.mode() & 0o7777,
        owner: names.user(facts.uid()),
        group: names.group(facts.gid()),
        modified_us: u64::try_from(modified_us).unwrap_or(0),
        symlink_target: target.unwrap_or_default(),
        attributes: if matches!(kind, Kind::File | Kind::Directory) {
            attributes::get(path)
        } else {
            Default::default()
        },
    }
}
