//! Idmapped mounts: files of one host user appear as those of a user of the sandbox, and new files belong to that host
//! user (mount_setattr(2)). A mapping is a user namespace, created for the purpose, that lives as long as the mount.

use std::fs::{self, File};
use std::os::fd::OwnedFd;

use nix::sched::CloneFlags;
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork, pipe};

use crate::fault::{At, Code, Fault, Outcome};
use crate::ids::RANGE;
use crate::tree::Tree;

const STEP: &str = "idmap";

/// A process in a user namespace without a mapping yet. Creating one takes a fork, which needs nothing else to be
/// ready, so it is started early.
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

    /// Returns the mapping, and the helper process, which then ends.
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

    /// Maps ids as stored (the sandbox's numbering) to the sandbox's host range. Files thus keep their owners whichever
    /// range is used.
    pub fn map_range(self, base: u32) -> Outcome<(IdMap, Ending)> {
        let all = format!("0 {base} {RANGE}\n");
        self.map(&all, &all)
    }

    pub fn give_up(self) -> Outcome<()> {
        drop(self.go);
        Ending(self.child).wait()
    }
}

/// A child that ends by itself and has to be reaped at some point.
pub struct Ending(Pid);

impl Ending {
    pub fn wait(self) -> Outcome<()> {
        waitpid(self.0, None).map(|_| ()).at(STEP, "helper")
    }
}

impl IdMap {
    /// Maps a single user and group. `from`: the ids in the file system; `to`: the host ids of the sandbox's user. No
    /// other id of the file system is mapped.
    pub fn one(from: (u32, u32), to: (u32, u32)) -> Outcome<IdMap> {
        let (users, groups) = (format!("{} {} 1\n", from.0, to.0), format!("{} {} 1\n", from.1, to.1));
        let (map, ending) = Unmapped::begin()?.map(&users, &groups)?;
        ending.wait().map(|()| map)
    }

    pub fn apply(&self, tree: &Tree) -> std::io::Result<()> {
        tree.map_ids(&self.0)
    }
}
