//! ListDir: pages of entries, each directory before its contents, sorted by the bytes of their names.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use caisson_wire::{Entries, Entry, event, opened};
use prost::Message;

use super::entry;
use crate::identity::Identity;
use crate::refusal::{Outcome, Refusal};
use crate::stream::Stream;
use crate::users::Names;

const PAGE_ENTRIES: usize = 500;
/// An entry has at most some 60 KiB (two paths and the attributes), so a page always fits into a frame.
const PAGE_BYTES: usize = 128 * 1024;
/// Names held at once for sorting; a directory with more is refused.
const MAX_HELD_BYTES: usize = 32 * 1024 * 1024;
const NAME_OVERHEAD: usize = 48;
/// PATH_MAX: a longer path could not be requested anyway.
const MAX_PATH_BYTES: usize = 4095;

/// Each page is a separate job on a file thread, so a reader that stalls occupies none.
pub async fn run(stream: &Stream, identity: &Identity, path: String, depth: u32) -> Outcome<()> {
    let mut walk = identity.run(move || Walk::start(Path::new(&path), depth.max(1))).await?;
    let mut first = true;
    loop {
        let (back, page) = identity
            .run(move || {
                let page = walk.page()?;
                Ok((walk, page))
            })
            .await?;
        walk = back;
        let more = !walk.levels.is_empty();
        let page = Entries { entries: page };
        if first {
            stream.opened(opened::Result::Entries(page)).await?;
        } else if !page.entries.is_empty() {
            stream.event(event::What::Entries(page)).await?;
        }
        first = false;
        if !more {
            return Ok(());
        }
    }
}

struct Walk {
    levels: Vec<Level>,
    depth: usize,
    names: Names,
    held_bytes: usize,
}

/// A directory, and its names that have not been shown yet, in reverse order.
struct Level {
    directory: PathBuf,
    names: Vec<OsString>,
}

impl Walk {
    fn start(path: &Path, depth: u32) -> Outcome<Walk> {
        let mut walk = Walk { levels: Vec::new(), depth: depth as usize, names: Names::load(), held_bytes: 0 };
        walk.enter(path.to_owned()).map_err(|refusal| refusal.or_io(path))?;
        Ok(walk)
    }

    fn enter(&mut self, directory: PathBuf) -> Result<(), Obstacle> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&directory).map_err(Obstacle::Io)? {
            let name = entry.map_err(Obstacle::Io)?.file_name();
            self.held_bytes += name.len() + NAME_OVERHEAD;
            if self.held_bytes > MAX_HELD_BYTES {
                return Err(Obstacle::TooMany);
            }
            names.push(name);
        }
        names.sort_unstable_by(|one, other| other.cmp(one));
        self.levels.push(Level { directory, names });
        Ok(())
    }

    fn page(&mut self) -> Outcome<Vec<Entry>> {
        let mut page = Vec::new();
        let mut bytes = 0;
        while let Some(level) = self.levels.last_mut() {
            let Some(name) = level.names.pop() else {
                self.levels.pop();
                continue;
            };
            self.held_bytes -= name.len() + NAME_OVERHEAD;
            let path = level.directory.join(name);
            // Skip what has disappeared meanwhile.
            let Ok(facts) = std::fs::symlink_metadata(&path) else { continue };
            let entry = entry::of(&path, &facts, &self.names);
            bytes += entry.encoded_len();
            page.push(entry);
            let deeper = facts.is_dir() && self.levels.len() < self.depth && path.as_os_str().len() <= MAX_PATH_BYTES;
            if deeper && let Err(Obstacle::TooMany) = self.enter(path) {
                return Err(too_many());
            }
            if page.len() >= PAGE_ENTRIES || bytes >= PAGE_BYTES {
                break;
            }
        }
        while self.levels.last().is_some_and(|level| level.names.is_empty()) {
            self.levels.pop();
        }
        Ok(page)
    }
}

enum Obstacle {
    /// Below the requested directory, an unreadable directory is shown as an entry without contents.
    Io(std::io::Error),
    TooMany,
}

impl Obstacle {
    fn or_io(self, path: &Path) -> Refusal {
        match self {
            Obstacle::Io(error) => Refusal::io(path.display(), &error),
            Obstacle::TooMany => too_many(),
        }
    }
}

fn too_many() -> Refusal {
    Refusal::too_large("too many names in one directory to put them in order")
}
