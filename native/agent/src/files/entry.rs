//! One file, directory or link as the host sees it.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use caisson_wire::Entry;
use caisson_wire::entry::Kind;

use super::attributes;
use crate::refusal::{OrRefuse, Outcome};
use crate::users::Names;

/// `follow`: describe what a link points to; the link's own target is given either way.
pub fn one(path: &str, follow: bool) -> Outcome<Entry> {
    let path = Path::new(path);
    let facts = if follow { std::fs::metadata(path) } else { std::fs::symlink_metadata(path) };
    Ok(of(path, &facts.or_refuse(|| path.display())?, &Names::load()))
}

pub fn of(path: &Path, facts: &Metadata, names: &Names) -> Entry {
    let kind = kind_of(facts);
    // Names that are not UTF-8 are shown with U+FFFD (wire/agent.proto).
    let target = std::fs::read_link(path).map(|target| target.to_string_lossy().into_owned());
    let leads_to = if kind == Kind::Symlink { end_of(path) } else { None };
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
        leads_to: leads_to.as_ref().map(|(end, _)| end.to_string_lossy().into_owned()).unwrap_or_default(),
        leads_to_kind: leads_to.as_ref().map_or(Kind::Unset, |(_, facts)| kind_of(facts)).into(),
        leads_to_mode: leads_to.map_or(0, |(_, facts)| facts.mode() & 0o7777),
    }
}

fn kind_of(facts: &Metadata) -> Kind {
    let kind = facts.file_type();
    match () {
        () if kind.is_symlink() => Kind::Symlink,
        () if kind.is_dir() => Kind::Directory,
        () if kind.is_file() => Kind::File,
        () => Kind::Other,
    }
}

/// The final target of a link, through all links on the way.
fn end_of(link: &Path) -> Option<(PathBuf, Metadata)> {
    let end = std::fs::canonicalize(link).ok()?;
    let facts = std::fs::symlink_metadata(&end).ok()?;
    Some((end, facts))
}
