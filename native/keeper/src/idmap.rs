//! Idmapped mounts: files of one host user appear as those of a user of the sandbox, and what is written there stays that host user's
//! (mount_setattr(2)). A mapping is a user namespace; one is made for the purpose and lives as long as the mount.

use std::fs::{self, File};

use nix::sched::CloneFlags;
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, fork, pipe};

use crate::fault::{At, Outcome};
use crate::ids::RANGE;
use crate::tree::Tree;

const STEP: &str = "idmap";

pub struct IdMap(File);

impl IdMap {
    /// `from` as the file system stores it, `to` as the host numbers the sandbox's user: pairs of user and group. Nobody else of the file system has
    /// an id there.
    pub fn one(from: (u32, u32), to: (u32, u32)) -> Outcome<IdMap> {
        IdMap::new(&format!("{} {} 1\n", from.0, to.0), &format!("{} {} 1\n", from.1, to.1))
    }

    /// Ids stored as the sandbox numbers them, shown as the host does: the files have the same owners under whichever range they are used.
    pub fn range(base: u32) -> Outcome<IdMap> {
        let all = format!("0 {base} {RANGE}\n");
        IdMap::new(&all, &all)
    }

    fn new(users: &str, groups: &str) -> Outcome<IdMap> {
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
            ForkResult::Parent { child } => {
                drop(say);
                let mut made = [0u8; 1];
                let read = nix::unistd::read(&said, &mut made).at(STEP, "helper");
                let map = read.and_then(|_| {
                    let dir = format!("/proc/{child}");
                    fs::write(format!("{dir}/uid_map"), users).at(STEP, "uid_map")?;
                    fs::write(format!("{dir}/gid_map"), groups).at(STEP, "gid_map")?;
                    File::open(format!("{dir}/ns/user")).at(STEP, "user namespace")
                });
                drop(go);
                waitpid(child, None).at(STEP, "helper")?;
                map.map(IdMap)
            }
        }
    }

    pub fn apply(&self, tree: &Tree) -> std::io::Result<()> {
        tree.map_ids(&self.0)
    }
}
