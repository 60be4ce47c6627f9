//! The root file system of a sandbox. It is assembled in a mount namespace of its own, outside the sandbox's user
//! namespace: what is read-only here is locked read-only for everyone inside (mount_namespaces(7)).

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};

use nix::mount::mount;

use crate::boot_id;
use crate::devices;
use crate::disk::{Mounted, hold};
use crate::fault::{At, Code, Fault, Outcome};
use crate::ground::Ground;
use crate::idmap::IdMap;
use crate::overlay;
use crate::plan::{Bind, Mode, Owner, Plan, Root};
use crate::shields;
use crate::tree::{NODEV, NOSUID, RDONLY, Tree};
use crate::weakened::{Step, is_without};

const STEP: &str = "root";
/// The wall's own places, which stay read-only even where the rest of the root is writable.
pub const OURS: [&str; 3] = ["caisson", "dev", "sys"];

/// The owners of what is created here, in host ids.
#[derive(Clone, Copy)]
pub struct Owners {
    pub root: (u32, u32),
    pub user: (u32, u32),
}

pub struct Stage<'a> {
    pub plan: &'a Plan,
    /// Where the new root is assembled.
    pub root: PathBuf,
    /// Where the disk is mounted, not visible from the new root.
    pub disk: PathBuf,
    pub owners: Owners,
    /// Maps the sandbox's ids to its host range.
    pub map: Option<&'a IdMap>,
    /// The same, if the disk stores the sandbox's ids.
    pub stored: Option<&'a IdMap>,
}

impl Stage<'_> {
    /// The part that does not need the disk.
    pub fn begin(&self) -> Outcome<()> {
        if self.is_overlay() {
            return Ok(());
        }
        self.memory(&self.root)?;
        self.frame()
    }

    /// The rest, once the disk is mounted.
    pub fn finish(&self) -> Outcome<Mounted> {
        if let Root::Overlay { ground, usr } = &self.plan.root {
            overlay::raise(self, ground, usr)?;
            for place in OURS.map(|name| self.root.join(name)) {
                self.folder(&place)?;
                self.memory(&place)?;
            }
            self.frame()?;
        }
        // Before the other binds, because some of them lie below.
        self.writable()?;
        for bind in &self.plan.binds[self.apart()..] {
            self.bind(bind)?;
        }
        self.bind(&Bind::ours(&self.plan.agent, "/caisson/agent"))?;
        if !self.is_overlay() {
            self.small_files()?;
        }
        if self.plan.engine.is_some() {
            return crate::engine::finish(self, &self.root).and_then(|()| hold(&self.disk).map(Mounted::new));
        }
        let read_only =
            if self.is_overlay() { OURS.map(|name| self.root.join(name)).into() } else { vec![self.root.clone()] };
        for place in read_only.into_iter().filter(|_| !is_without(Step::UnwritableRoot)) {
            crate::tree::set(&place, RDONLY).at(STEP, "read-only root")?;
        }
        hold(&self.disk).map(Mounted::new)
    }

    fn frame(&self) -> Outcome<()> {
        for link in &self.plan.symlinks {
            let path = match self.inside(&link.path) {
                // On a kept disk, somebody inside may have replaced a folder by something else. That stays as well.
                Err(fault) if self.is_overlay() && fault.code == Code::PlanInvalid => continue,
                found => found?,
            };
            if !self.is_overlay() || fs::symlink_metadata(&path).is_err() {
                self.make(&self.ground(&path), None, |path| symlink(&link.to, path))?;
            }
        }
        for bind in &self.plan.binds[..self.apart()] {
            self.bind(bind)?;
        }
        if self.plan.engine.is_some() {
            return Ok(());
        }
        devices::raise(self)?;
        boot_id::write(self)?;
        self.folder(&self.root.join("proc"))
    }

    /// The number of leading binds that are independent of the disk's folders.
    fn apart(&self) -> usize {
        let meets = |bind: &Bind, folder: &str| {
            let (one, other) = (Path::new(&bind.target), Path::new(folder));
            one.starts_with(other) || other.starts_with(one)
        };
        let on_disk = |bind: &Bind| self.plan.writable.iter().any(|writable| meets(bind, &writable.target));
        self.plan.binds.iter().position(on_disk).unwrap_or(self.plan.binds.len())
    }

    pub fn is_overlay(&self) -> bool {
        matches!(self.plan.root, Root::Overlay { .. })
    }

    fn memory(&self, place: &Path) -> Outcome<()> {
        let flags = crate::engine::flags_of_root(self.plan.engine.as_ref());
        let options = Some("size=8m,nr_inodes=4096,mode=755");
        mount(Some("caisson"), place, Some("tmpfs"), flags, options).at(STEP, "tmpfs for the root")?;
        self.own(place, Owner::Root)
    }

    /// The place of an inside path in the new root; creates its parents. They are ours or a bind's: a parent that is a
    /// link is refused.
    fn inside(&self, path: &str) -> Outcome<PathBuf> {
        let whole = self.root.join(path.trim_start_matches('/'));
        let mut parent = self.root.clone();
        for part in Path::new(path.trim_start_matches('/')).parent().into_iter().flat_map(Path::components) {
            parent.push(part);
            self.folder(&parent)?;
        }
        Ok(whole)
    }

    pub fn folder(&self, path: &Path) -> Outcome<()> {
        match fs::symlink_metadata(path) {
            Ok(found) if found.is_dir() => Ok(()),
            Ok(_) => Err(Fault::new(Code::PlanInvalid, STEP, format!("{} is in the way of a folder", path.display()))),
            Err(_) => {
                let make = |path: &Path| DirBuilder::new().mode(0o755).create(path);
                self.make(&self.ground(path), Some(Owner::Root), make)
            }
        }
    }

    /// Uses lchown, because somebody else may have put a link there if the folder is shared.
    pub fn own(&self, path: &Path, owner: Owner) -> Outcome<()> {
        let (uid, gid) = match owner {
            Owner::Root => self.owners.root,
            Owner::User => self.owners.user,
        };
        lchown(path, Some(uid), Some(gid)).at(STEP, path.display())
    }

    fn bind(&self, bind: &Bind) -> Outcome<()> {
        let source = Path::new(&bind.source);
        // From here on use the held tree: somebody in a sandbox with a parent folder may replace what is at the path.
        let tree = Tree::open(source).coded(Code::MountUnreadable, STEP, source.display())?;
        let found = tree.metadata().at(STEP, source.display())?;
        if let Some(inode) = &bind.inode {
            shields::same(&found, inode, &bind.source)?;
        }
        let target = self.inside(&bind.target)?;
        if found.is_dir() {
            self.folder(&target)?;
        } else if found.is_file() {
            match fs::symlink_metadata(&target) {
                Ok(there) if there.is_file() => {}
                Ok(_) => {
                    let message = format!("{} is in the way of a file", target.display());
                    return Err(Fault::new(Code::PlanInvalid, STEP, message));
                }
                Err(_) => drop(self.make(&self.ground(&target), None, |path| fs::File::create_new(path))?),
            }
        } else {
            return Err(Fault::new(
                Code::MountUnreadable,
                STEP,
                format!("{} is neither a folder nor a file", source.display()),
            ));
        }
        if let Some(owner) = bind.owned_by {
            self.show_as(owner, &tree, (found.uid(), found.gid()), source)?;
        }
        let read_only = if bind.mode == Mode::Ro { RDONLY } else { 0 };
        // Without an id mapping, its set-uid programs would run as a host user; with one, as the sandbox's root.
        let no_setuid = if bind.setuid { 0 } else { NOSUID };
        tree.set(read_only | no_setuid | NODEV).at(STEP, source.display())?;
        self.held(&target).and_then(|place| tree.cover(&place).at(STEP, target.display()))?;
        shields::raise(self, bind, &tree)
    }

    /// Files of the host's root that are to belong to the sandbox's root can use the existing mapping: the same ids, in
    /// the sandbox's range.
    fn show_as(&self, owner: Owner, tree: &Tree, found: (u32, u32), source: &Path) -> Outcome<()> {
        let applied = match (owner, self.map) {
            (Owner::Root, Some(map)) if found == (0, 0) => map.apply(tree),
            (Owner::Root, _) => IdMap::one(found, self.owners.root)?.apply(tree),
            (Owner::User, _) => IdMap::one(found, self.owners.user)?.apply(tree),
        };
        applied.at(STEP, format!("{}: its file system cannot show other owners", source.display()))
    }

    /// Files of this sandbox alone. A path that a bind already shows is covered by a bind of ours, because we must not
    /// write to that bind.
    fn small_files(&self) -> Outcome<()> {
        let folder = self.disk.with_file_name("files");
        for (number, file) in self.plan.files.iter().enumerate() {
            let target = self.inside(&file.path)?;
            let covered = target.exists();
            let ground = if covered { Ground::Ours(folder.join(number.to_string())) } else { self.ground(&target) };
            self.make(&ground, Some(Owner::Root), |path| {
                let mut open = OpenOptions::new().write(true).create_new(true).mode(file.mode).open(path)?;
                open.write_all(file.content.as_bytes())
            })?;
            if covered {
                let path = folder.join(number.to_string());
                let tree = Tree::open(&path).at(STEP, path.display())?;
                tree.set(RDONLY | NOSUID | NODEV).at(STEP, path.display())?;
                tree.attach(&target).at(STEP, target.display())?;
            }
        }
        Ok(())
    }

    /// A kept disk has its folders already, and its user may have changed their modes.
    fn writable(&self) -> Outcome<()> {
        for (number, writable) in self.plan.writable.iter().enumerate() {
            let source = self.disk.join(format!("w{number}"));
            if !fs::symlink_metadata(&source).is_ok_and(|found| found.is_dir()) {
                fs::create_dir(&source).at(STEP, source.display())?;
                fs::set_permissions(&source, fs::Permissions::from_mode(writable.mode)).at(STEP, source.display())?;
                self.own_stored(&source, writable.owner)?;
            }
            let target = self.inside(&writable.target)?;
            self.folder(&target)?;
            let tree = Tree::open(&source).at(STEP, source.display())?;
            if let Some(map) = self.stored {
                map.apply(&tree).at(STEP, source.display())?;
            }
            tree.attach(&target).at(STEP, target.display())?;
        }
        Ok(())
    }

    /// The disk stores the sandbox's own ids (see idmap.rs).
    pub fn own_stored(&self, path: &Path, owner: Owner) -> Outcome<()> {
        let user = &self.plan.user;
        match (self.stored, owner) {
            (None, _) => self.own(path, owner),
            (_, Owner::Root) => lchown(path, Some(0), Some(0)).at(STEP, path.display()),
            (_, Owner::User) => lchown(path, Some(user.uid), Some(user.gid)).at(STEP, path.display()),
        }
    }
}
