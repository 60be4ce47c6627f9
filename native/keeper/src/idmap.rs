//! Idmapped mounts: files of one host user appear as those of a user of the sandbox, and what is written there stays that host user's
//! (mount_setattr(2)). A mapping is a user namespace; one is made for the purpose and lives as long as the mount.

use std::fs::{self, File};
use std::os::fd::OwnedFd;

use nix::sched::CloneFlags;
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork, pipe};

use crate::fault::{At, Code, Fault, Outcome};
use crate::ids::RANGE;
use crate::tree::Tree;

const STEP: &str = "idmap";

/// A process in a user namespace that maps nothing yet. It takes a process to make one, and no time to begin: so it is begun early.
pub struct Unmapped {
    child: Pid,
    said: OwnedFd,
    go: OwnedFd,
}

pub struct IdMap(File);

impl Unmapped {
    pub fn begin() -> Outcome<Unmapped> {
        let (wait, go) = pipe().at(STEP, "pipe")?;
        let (said, say) = pipe().at(STEP, "pipe")?;
        // SAFETY: the child only makes system calls before it ends.
        match unsafe { fork() }.at(STEP, "fork")? {
            ForkResult::Child => {
                drop(go);
                let made = nix::sched::unshare(CloneFlags::CLONE_NEWUSER).is_ok();
                let told = nix::unistd::write(&say, &[u8::from(made)]);
                let _ended = nix::unistd::read(&wait, &mut [0u8; 1]);
                // SAFETY: ends the child without running the parent's exit handlers.
                unsafe { libc::_exit(i32::from(told.is_err())) }
            }
            ForkResult::Parent { child } => Ok(Unmapped { child, said, go }),
        }
    }

    /// The mapping, and the process that has no more to do.
    fn map(self, users: &str, groups: &str) -> Outcome<(IdMap, Ending)> {
        let mut made = [0u8; 1];
        nix::unistd::read(&self.said, &mut made).at(STEP, "helper")?;
        if made != [1] {
            return Err(Fault::new(Code::WallUnavailable, STEP, "no user namespace could be made"));
        }
        let dir = format!("/proc/{}", self.child);
        fs::write(format!("{dir}/uid_map"), users).at(STEP, "uid_map")?;
        fs::write(format!("{dir}/gid_map"), groups).at(STEP, "gid_map")?;
        let namespace = File::open(format!("{dir}/ns/user")).at(STEP, "user namespace")?;
        drop(self.go);
        Ok((IdMap(namespace), Ending(self.child)))
    }

    /// Ids stored as the sandbox numbers them, shown as the host does: the files have the same owners under whichever range they are used.
    pub fn map_range(self, base: u32) -> Outcome<(IdMap, Ending)> {
        let all = format!("0 {base} {RANGE}\n");
        self.map(&all, &all)
    }

    pub fn give_up(self) -> Outcome<()> {
        drop(self.go);
        Ending(self.child).wait()
    }
}

/// A child that ends by itself, and has to be waited for some time.
pub struct Ending(Pid);

impl Ending {
    pub fn wait(self) -> Outcome<()> {
        waitpid(self.0, None).map(|_| ()).at(STEP, "helper")
    }
}

impl IdMap {
    /// `from` as the file system stores it, `to` as the host numbers the sandbox's user: pairs of user and group. Nobody else of the file system has
    /// an id there.
    pub fn one(from: (u32, u32), to: (u32, u32)) -> Outcome<IdMap> {
        let (users, groups) = (format!("{} {} 1\n", from.0, to.0), format!("{} {} 1\n", from.1, to.1));
        let (map, ending) = Unmapped::begin()?.map(&users, &groups)?;
        ending.wait().map(|()| map)
    }

    pub fn apply(&self, tree: &Tree) -> std::io::Result<()> {
        tree.map_ids(&self.0)
    }
}
