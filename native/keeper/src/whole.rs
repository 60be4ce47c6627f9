//! The final file beside a saved memory: it certifies that the memory is complete, and names the disk that belongs to
//! it. A state without this file was not completely written (host/sandbox/asleep.ts).

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::fault::{At, Outcome};

const STEP: &str = "whole";

/// By file name.
pub type Sums = Map<String, Value>;

/// `disk`: nobody writes to it any more. Its modification time proves later that it has not changed since the memory
/// was saved.
pub fn keep(folder: &Path, sums: &Sums, disk: &Path) -> Outcome<()> {
    let found = fs::metadata(disk).at(STEP, disk.display())?;
    let changed = format!("{}.{:09}", found.mtime(), found.mtime_nsec());
    write(folder, &json!({ "sums": sums, "disk": { "bytes": found.len(), "changed": changed } }))
}

/// Here the disk is one of the hashed files.
pub fn keep_with_disk(folder: &Path, sums: &Sums) -> Outcome<()> {
    write(folder, &json!({ "sums": sums }))
}

fn write(folder: &Path, whole: &Value) -> Outcome<()> {
    let (draft, place) = (folder.join("whole.partial"), folder.join("whole.json"));
    let written = File::create_new(&draft).and_then(|mut file| {
        file.write_all(whole.to_string().as_bytes())?;
        file.sync_all()?;
        fs::rename(&draft, &place)?;
        File::open(folder)?.sync_all()
    });
    written.at(STEP, place.display())
}
