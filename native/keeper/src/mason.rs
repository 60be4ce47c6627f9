//! The mason: assembles the root while the builder creates the first process. It works in the builder's mount
//! namespace, with the builder's original rights. It reports to the keeper, hands the root to the first process, and
//! exits.

use std::fs::DirBuilder;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, fchown};
use std::path::{Path, PathBuf};

use caisson_zygote::message::send;
use nix::fcntl::{OFlag, open};
use nix::mount::{MsFlags, mount};
use nix::sys::stat::Mode;

use crate::digger;
use crate::disk;
use crate::engine;
use crate::fault::{At, Code, Fault, Outcome};
use crate::idmap::IdMap;
use crate::ids::NURSERY_FIRST;
use crate::machine::{self, Machine};
use crate::plan::{Disk, Kind, Plan};
use crate::root::{Owners, Stage};
use crate::say::Said;
use crate::tree::Tree;

const STEP: &str = "mason";

pub struct Mason<'a> {
    pub plan: &'a Plan,
    /// First host id of the sandbox's range; None without root.
    pub base: Option<u32>,
    /// The mapping to that range.
    pub map: Option<&'a IdMap>,
    pub single_id: bool,
    /// Where the disk arrives; None: the disk is memory.
    pub pit: Option<OwnedFd>,
    /// To the keeper.
    pub report: OwnedFd,
    /// To the first process.
    pub stands: OwnedFd,
}

impl Mason<'_> {
    /// Runs in the forked mason; does not return.
    pub fn run(&self) -> ! {
        let fault = self.steps().err();
        let told = fault.is_none_or(|fault| send(self.report.as_fd(), &Said::from(&fault).bytes(), &[]).is_ok());
        // SAFETY: ends the mason without the keeper's exit handlers.
        unsafe { libc::_exit(i32::from(!told)) }
    }

    fn steps(&self) -> Outcome<()> {
        let dir = Path::new(&self.plan.dir);
        let (root, disk_mount) = (dir.join("root"), dir.join("disk"));
        make_workplace(dir, [&root, &disk_mount, &dir.join("files")])?;
        let owners = self.owners();
        let stage = Stage {
            plan: self.plan,
            root: root.clone(),
            disk: disk_mount.clone(),
            owners,
            map: self.map,
            stored: self.map.filter(|_| matches!(self.plan.disk, Disk::Image { .. })),
        };
        // A machine mounts its disk itself.
        let (mounted, of_machine) = if self.plan.machine.is_none() {
            stage.begin()?;

            self.mount_disk(&disk_mount)?;
            (Some(stage.finish()?), None)
        } else {
            (None, Some(self.disk_of_machine(owners.root)?))
        };
        let start = match (&self.plan.engine, &self.plan.machine) {
            (Some(engine), Some(machine)) => machine::stage(self.plan, (machine, engine), &root, owners.root)?,
            (Some(engine), None) => engine::stage(self.plan, engine, &root, owners.root)?,
            (None, _) => root,
        };
        // Handed over by descriptor, because the path leads through folders that are closed to the first process's ids.
        let start = open(&start, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
            .at(STEP, start.display())?;
        let mounted: Vec<_> = mounted.iter().map(AsRawFd::as_raw_fd).collect();
        self.tell(&Said::Rooted {}, &mounted)?;
        let handed: Vec<_> =
            std::iter::once(start.as_raw_fd()).chain(of_machine.as_ref().map(AsRawFd::as_raw_fd)).collect();
        send(self.stands.as_fd(), &[1], &handed).at(STEP, "the first process")
    }

    fn mount_disk(&self, target: &Path) -> Outcome<()> {
        if let Disk::Tmpfs { bytes, inodes } = self.plan.disk {
            return disk::mount_memory(bytes, inodes, target);
        }
        Tree::from(self.fetch()?).attach(target).at(STEP, "the disk")
    }

    fn fetch(&self) -> Outcome<OwnedFd> {
        let missing = || Fault::new(Code::PlanInvalid, STEP, "a machine's disk is an image");
        self.pit.as_ref().ok_or_else(missing).and_then(digger::fetch)
    }

    /// A program that reopens the disk through its descriptor has only the rights of its ids.
    fn disk_of_machine(&self, owner: (u32, u32)) -> Outcome<OwnedFd> {
        let disk = self.fetch()?;
        if self.plan.machine.as_ref().is_some_and(Machine::opens_disk) {
            fchown(&disk, Some(owner.0), Some(owner.1)).at(STEP, "the disk")?;
        }
        Ok(disk)
    }

    fn tell(&self, said: &Said, fds: &[i32]) -> Outcome<()> {
        send(self.report.as_fd(), &said.bytes(), fds).at(STEP, "report")
    }

    fn owners(&self) -> Owners {
        match self.base {
            Some(base) => Owners { root: (base, base), user: (base + self.plan.user.uid, base + self.plan.user.gid) },
            // With a single id, that id is 0 within the builder's user namespace. A zygote started as root owns its
            // files by the first of its ids.
            None if self.single_id => Owners { root: (0, 0), user: (0, 0) },
            None => {
                debug_assert!(self.plan.kind == Kind::Zygote);
                Owners { root: (NURSERY_FIRST, NURSERY_FIRST), user: (NURSERY_FIRST, NURSERY_FIRST) }
            }
        }
    }
}

/// A tmpfs over the state folder, visible to nobody else. The same folders on a busy disk would cost milliseconds.
fn make_workplace(place: &Path, folders: [&PathBuf; 3]) -> Outcome<()> {
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).at(STEP, "private mounts")?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let options = Some("size=8m,nr_inodes=4096,mode=700");
    mount(Some("caisson"), place, Some("tmpfs"), flags, options).at(STEP, "tmpfs to work in")?;
    for folder in folders {
        DirBuilder::new().mode(0o700).create(folder).at(STEP, folder.display())?;
    }
    Ok(())
}
