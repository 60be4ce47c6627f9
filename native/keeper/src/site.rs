//! The site: digger, builder and mason at work in parallel, as the keeper sees them.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use caisson_zygote::message::receive;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork};

use crate::builder::Builder;
use crate::cgroup::Cgroup;
use crate::clock::Laps;
use crate::digger::Digger;
use crate::disk::Mounted;
use crate::engine;
use crate::fault::{At, Code, Fault, Outcome};
use crate::inside::Inside;
use crate::mason::Mason;
use crate::nursery::{Child, Namespaces, Nursery};
use crate::order::Sandbox;
use crate::plan::{Kind, Plan};
use crate::say::Said;
use crate::spare_disk::SpareDisk;

pub struct Site {
    builder: Pid,
    report: OwnedFd,
    digger: Option<Digger>,
}

/// The digger's work, which starts before anything else is created.
pub struct Ground {
    report: OwnedFd,
    /// The report socket's end for the other workers.
    told: OwnedFd,
    digger: Option<Digger>,
}

impl Ground {
    pub fn break_up(plan: &Plan, cgroup: Option<&Cgroup>, spare: Option<SpareDisk>) -> Outcome<Ground> {
        let (report, told) = pair()?;
        let doors = cgroup.map_or(Ok(Vec::new()), Cgroup::doors)?;
        let digger = Digger::begin(plan, spare, &told, &doors)?;
        Ok(Ground { report, told, digger })
    }
}

fn pair() -> Outcome<(OwnedFd, OwnedFd)> {
    socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).at("builder", "socketpair")
}

impl Site {
    /// Call it when all have succeeded.
    pub fn leave(self) -> Outcome<()> {
        drop(self.digger);
        waitpid(self.builder, None).map(|_| ()).at("builder", "wait")
    }

    /// After a failure: closing the report socket makes all of them exit.
    pub fn clear(self) {
        drop(self.report);
        let _ended = waitpid(self.builder, None);
    }
}

impl Sandbox {
    pub fn begin_building(&mut self, ground: Ground, listener: OwnedFd, nursery: Option<&Nursery>) -> Outcome<Site> {
        let twin = self.expect_twin()?;
        let dir = Path::new(&self.plan.dir);
        let log = match self.plan.kind {
            Kind::Zygote if self.engine.is_none() => {
                Some(File::create(dir.join("zygote.log")).at("state folder", "zygote.log")?.into())
            }
            _ => self.engine.as_mut().and_then(engine::Held::take_log),
        };
        let Ground { report, told: builders_report, mut digger } = ground;
        let pit = digger.as_mut().and_then(Digger::pit);
        let ((leash, firsts_leash), (stands, firsts_stands)) = (pair()?, pair()?);
        let masons_report = builders_report.try_clone().at("builder", "dup")?;
        let doors = self.cgroup.as_ref().map_or(Ok(Vec::new()), Cgroup::doors)?;
        let nursery = nursery.map(|nursery| nursery.user_namespace.try_clone().at("builder", "dup")).transpose()?;
        // SAFETY: one thread; the child uses what it copied and ends without returning.
        match unsafe { fork() }.at("builder", "fork")? {
            ForkResult::Child => {
                drop(report);
                let (plan, single_id) = (&self.plan, self.single_id);
                let notify = plan.asks_before_exec();
                let (leash_of_first, stands_for_first) = (firsts_leash, firsts_stands);
                let inside = Inside {
                    plan,
                    leash: leash_of_first,
                    stands: stands_for_first,
                    listener,
                    filter: &self.filter,
                    notify,
                    single_id,
                    twin,
                    log,
                };
                let range = self.range.as_ref().map(|range| (range.number, range.base()));
                let (base, map) = (range.map(|(_, base)| base), self.map.as_ref());
                let mason = Mason { plan, base, map, single_id, pit, report: masons_report, stands };
                Builder { plan, range, nursery, doors, mason, report: builders_report, inside, leash }.run()
            }
            ForkResult::Parent { child } => {
                self.leash = Some(leash);
                Ok(Site { builder: child, report, digger })
            }
        }
    }

    /// Follows the parallel work. The zygote's forks are requested as soon as they have a namespace.
    pub fn watch_building(&mut self, site: &Site, nursery: Option<&Nursery>, clock: &mut Laps) -> Outcome<Vec<Child>> {
        let (mut children, mut rooted) = (Vec::new(), false);
        while self.first.is_none() || !rooted {
            let mut buffer = [0u8; 8192];
            let (length, mut fds) = receive(site.report.as_fd(), &mut buffer).at("builder", "report")?;
            match (Said::read(&buffer[..length], "builder")?, fds.pop()) {
                (Said::Attached { device }, None) => self.device = device,
                (Said::Rooted {}, disk) if disk.is_some() != self.plan.machine.is_some() => {
                    self.mounted = disk.map(Mounted::new);
                    rooted = true;
                }
                (Said::Cloned { pid }, None) => {
                    self.first = Some(pid);
                    let leash = self.leash.as_ref();
                    let of = || Namespaces::of(pid).map_err(|fault| Said::instead_of(fault, &site.report, leash));
                    self.namespaces = (self.plan.kind == Kind::Sandbox).then(of).transpose()?;
                    self.step(clock, "namespaces");
                    nursery.map_or(Ok(()), |nursery| self.ask_for_twin(nursery))?;
                    children = nursery.map_or(Ok(Vec::new()), |nursery| self.ask_for_forks(nursery))?;
                }
                _ => return Err(Fault::new(Code::LaunchFailed, "builder", "it said something else than agreed")),
            }
        }
        Ok(children)
    }
}
