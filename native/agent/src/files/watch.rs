//! Watch: reports changes in a directory by inotify(7), on request also in the directories below it.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use caisson_wire::file_event::Kind;
use caisson_wire::{Done, FileEvent, event, opened};
use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};
use nix::sys::statfs::{FUSE_SUPER_MAGIC, FsType, NFS_SUPER_MAGIC, SMB_SUPER_MAGIC, statfs};

use super::change::{Purpose, purpose_of};
use super::entry;
use crate::identity::Identity;
use crate::port::port;
use crate::refusal::{OrRefuse, Outcome, Refusal};
use crate::stream::Stream;
use crate::users::Names;

/// Watched directories per stream.
const MAX_WATCHES: usize = 8192;
/// Names found by scanning new directories before their events were read; beyond this, an overflow is reported.
const MAX_FOUND: usize = 65536;

/// linux/magic.h
const CIFS_MAGIC: FsType = FsType(0xff53_4d42);
const SMB2_MAGIC: FsType = FsType(0xfe53_4d42);

const CHANGES: AddWatchFlags = AddWatchFlags::IN_CREATE
    .union(AddWatchFlags::IN_MODIFY)
    .union(AddWatchFlags::IN_ATTRIB)
    .union(AddWatchFlags::IN_DELETE)
    .union(AddWatchFlags::IN_DELETE_SELF)
    .union(AddWatchFlags::IN_MOVED_FROM)
    .union(AddWatchFlags::IN_MOVED_TO)
    .union(AddWatchFlags::IN_ONLYDIR);

/// One directory: its watch, and its path relative to the watched root ("" for the root itself).
type Watched = (WatchDescriptor, PathBuf);

/// The result of scanning new directories.
#[derive(Default)]
struct Found {
    watched: Vec<Watched>,
    /// All entries found, relative to the watched root.
    names: Vec<PathBuf>,
    /// The scan hit a limit.
    cut: bool,
}

pub async fn run(stream: &Stream, identity: &Identity, path: String, request: caisson_wire::Watch) -> Outcome<()> {
    let root = PathBuf::from(path);
    if request.local_only {
        let root = root.clone();
        identity.run(move || refuse_remote(&root)).await?;
    }
    let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC).or_refuse(|| "inotify")?;
    let source = Arc::new(inotify);
    let mut watch = Watch {
        root,
        recursive: request.recursive,
        include_entry: request.include_entry,
        source,
        identity: identity.clone(),
        paths: HashMap::new(),
        announced: HashSet::new(),
        placing: None,
    };
    let found = watch.look(PathBuf::new(), 0).await?;
    if found.cut {
        return Err(Refusal::too_large(format_args!("more than {MAX_WATCHES} directories to watch")));
    }
    watch.paths.extend(found.watched);
    stream.opened(opened::Result::Done(Done {})).await?;
    watch.follow(stream).await
}

struct Watch {
    root: PathBuf,
    recursive: bool,
    include_entry: bool,
    source: Arc<Inotify>,
    identity: Identity,
    paths: HashMap<WatchDescriptor, PathBuf>,
    /// Found by a scan and already reported; the kernel may report them once more.
    announced: HashSet<PathBuf>,
    /// A temporary name was moved away; the event with the same cookie shows its new name.
    placing: Option<(u32, Purpose)>,
}

impl Watch {
    /// Runs until the watched directory is gone.
    async fn follow(&mut self, stream: &Stream) -> Outcome<()> {
        let watched = self.source.as_fd().try_clone_to_owned().and_then(port).or_refuse(|| "inotify")?;
        loop {
            let mut ready = watched.readable().await.or_refuse(|| "inotify")?;
            let events = match self.source.read_events() {
                Err(Errno::EAGAIN) => {
                    ready.clear_ready();
                    // All events from before the scan have been read.
                    self.announced.clear();
                    continue;
                }
                events => events.or_refuse(|| "inotify")?,
            };
            drop(ready);
            let mut last = None;
            for event in events {
                // Consecutive writes to one file count as one change.
                let same = (event.wd, event.mask, event.name.clone());
                if event.mask.contains(AddWatchFlags::IN_MODIFY) && last.as_ref() == Some(&same) {
                    continue;
                }
                last = Some(same);
                if self.handle(stream, event).await? {
                    return Ok(());
                }
            }
        }
    }

    /// True: the watched directory is gone.
    async fn handle(&mut self, stream: &Stream, event: InotifyEvent) -> Outcome<bool> {
        let mask = event.mask;
        if mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
            self.report(stream, Kind::Overflow, PathBuf::new()).await?;
            return Ok(false);
        }
        if mask.contains(AddWatchFlags::IN_IGNORED) {
            let gone = self.paths.remove(&event.wd);
            return Ok(gone.is_some_and(|path| path.as_os_str().is_empty()));
        }
        // An event of a directory that was moved away and is no longer below the root.
        let Some(directory) = self.paths.get(&event.wd) else { return Ok(false) };
        let Some(name) = event.name else {
            let root = directory.as_os_str().is_empty();
            if root && mask.contains(AddWatchFlags::IN_DELETE_SELF) {
                self.report(stream, Kind::Remove, PathBuf::new()).await?;
            }
            return Ok(false);
        };
        if let Some(purpose) = purpose_of(&name) {
            if mask.contains(AddWatchFlags::IN_MOVED_FROM) {
                self.placing = Some((event.cookie, purpose));
            }
            return Ok(false);
        }
        let path = directory.join(name);
        let placed = self.placing.take_if(|(cookie, _)| *cookie == event.cookie).map(|(_, purpose)| purpose);
        let is_directory = mask.contains(AddWatchFlags::IN_ISDIR);
        let appeared = mask.intersects(AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO);
        let kind = match () {
            () if placed == Some(Purpose::Replace) => Kind::Write,
            () if appeared => Kind::Create,
            () if mask.contains(AddWatchFlags::IN_MODIFY) => Kind::Write,
            () if mask.contains(AddWatchFlags::IN_ATTRIB) => Kind::Chmod,
            () if mask.contains(AddWatchFlags::IN_DELETE) => Kind::Remove,
            () if mask.contains(AddWatchFlags::IN_MOVED_FROM) => Kind::Rename,
            () => return Ok(false),
        };
        if kind == Kind::Rename && is_directory {
            self.leave(&path);
        }
        if !(appeared && self.announced.remove(&path)) {
            self.report(stream, kind, path.clone()).await?;
        }
        if placed == Some(Purpose::Create) {
            // The same events as for a file that is opened, chowned and then written, so that clients that count events
            // see no difference.
            self.report(stream, Kind::Chmod, path.clone()).await?;
            self.report(stream, Kind::Write, path.clone()).await?;
        }
        if appeared && is_directory && self.recursive {
            self.enter(stream, path).await?;
        }
        Ok(false)
    }

    /// A directory is watched first and scanned afterwards, so that nothing created in between is missed.
    async fn enter(&mut self, stream: &Stream, path: PathBuf) -> Outcome<()> {
        // It may already be gone again, or unreadable for the user; then there is nothing to follow.
        let Ok(found) = self.look(path, self.paths.len()).await else { return Ok(()) };
        self.paths.extend(found.watched);
        if found.cut {
            self.report(stream, Kind::Overflow, PathBuf::new()).await?;
        }
        for name in found.names {
            if self.announced.len() < MAX_FOUND && self.announced.insert(name.clone()) {
                self.report(stream, Kind::Create, name).await?;
            }
        }
        Ok(())
    }

    fn leave(&mut self, path: &Path) {
        let inotify = &self.source;
        self.paths.retain(|watch, directory| {
            let below = directory.starts_with(path);
            if below {
                // Fails if the directory was deleted meanwhile, which also removed the watch.
                let _ = inotify.rm_watch(*watch);
            }
            !below
        });
    }

    async fn report(&self, stream: &Stream, kind: Kind, path: PathBuf) -> Outcome<()> {
        let name = path.to_string_lossy().into_owned();
        let whole = self.root.join(&path);
        let wanted = self.include_entry && matches!(kind, Kind::Create | Kind::Write | Kind::Chmod);
        let entry = if wanted {
            let look = move || {
                Ok(std::fs::symlink_metadata(&whole).ok().map(|facts| entry::of(&whole, &facts, &Names::load())))
            };
            self.identity.run(look).await?
        } else {
            None
        };
        stream.event(event::What::File(FileEvent { kind: kind.into(), name, entry })).await
    }

    async fn look(&self, path: PathBuf, already: usize) -> Outcome<Found> {
        let (root, source, recursive) = (self.root.clone(), self.source.clone(), self.recursive);
        self.identity.run(move || look(&source, &root, path, recursive, already)).await
    }
}

/// inotify does not report changes that other machines make.
fn refuse_remote(path: &Path) -> Outcome<()> {
    let kind = statfs(path).or_refuse(|| path.display())?.filesystem_type();
    if [NFS_SUPER_MAGIC, SMB_SUPER_MAGIC, FUSE_SUPER_MAGIC, CIFS_MAGIC, SMB2_MAGIC].contains(&kind) {
        return Err(Refusal::invalid(format_args!("{}: on a network mount", path.display())));
    }
    Ok(())
}

fn look(source: &Inotify, root: &Path, path: PathBuf, recursive: bool, already: usize) -> Outcome<Found> {
    let mut found = Found::default();
    let mut waiting = vec![path.clone()];
    while let Some(directory) = waiting.pop() {
        if already + found.watched.len() >= MAX_WATCHES {
            found.cut = true;
            break;
        }
        let whole = root.join(&directory);
        let first = directory == path;
        // Links below the root are not followed, but the root itself may be one.
        let flags = if directory.as_os_str().is_empty() { CHANGES } else { CHANGES | AddWatchFlags::IN_DONT_FOLLOW };
        match source.add_watch(&whole, flags) {
            Ok(watch) => found.watched.push((watch, directory.clone())),
            Err(Errno::ENOSPC) => {
                found.cut = true;
                break;
            }
            Err(errno) if first => return Err(Refusal::os(whole.display(), errno)),
            Err(_) => continue,
        }
        if !recursive {
            break;
        }
        for entry in std::fs::read_dir(&whole).into_iter().flatten().flatten() {
            let name: OsString = entry.file_name();
            if purpose_of(&name).is_some() {
                continue;
            }
            if found.names.len() >= MAX_FOUND {
                found.cut = true;
                break;
            }
            found.names.push(directory.join(name));
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                waiting.push(directory.join(entry.file_name()));
            }
        }
    }
    Ok(found)
}
