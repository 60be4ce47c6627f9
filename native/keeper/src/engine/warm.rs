//! Warm state: an engine has written a sandbox with a warm interpreter to a file, and other sandboxes are restored from
//! it. The state contains only the template's data and ours. A restored sandbox gets a name of its own before anybody
//! is let in.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, chown};
use std::path::Path;
use std::time::Duration;

use caisson_zygote::message::send;
use nix::sched::{CloneFlags, setns};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork, pipe2};
use serde::Deserialize;
use serde_json::json;

use super::{Engine, Held, PROGRAM, STATE, STEP, attach};
use crate::agent;
use crate::fault::{At, Code, Fault, Outcome};
use crate::machine;
use crate::order::Sandbox;
use crate::plan::Plan;
use crate::program::Program;
use crate::say::Said;
use crate::tree::{NODEV, NOEXEC, NOSUID, RDONLY};

/// The folder that holds the state, in the engine's own root.
const IMAGE: &str = "image";
/// Saving a large state takes a second; a busy disk takes longer.
const SAVE_SECONDS: u32 = 60;
/// Connections of a host that has gone end at once; an emulated machine takes longer to notice.
const SETTLE: Duration = Duration::from_secs(30);
const MAX_WORDS: u64 = 4096;

/// `folder` is a path on the host.
#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "lowercase", deny_unknown_fields)]
pub enum Warm {
    /// Write the state there on request.
    Save { folder: String },
    /// Restore from there. `pid`: the warm interpreter's number inside, if there is one. `mother`: the state folder of
    /// a machine that was restored from the same state and now forks itself (native/twins).
    Restore {
        folder: String,
        pid: Option<u32>,
        #[serde(default)]
        mother: Option<String>,
    },
    /// Resume the same sandbox, which went to sleep there.
    Wake { folder: String },
}

impl Warm {
    /// Whether the sandbox resumes from a saved state, its own or another's.
    pub fn takes_state(&self) -> bool {
        matches!(self, Warm::Restore { .. } | Warm::Wake { .. })
    }
}

/// Capabilities on top of the plan's, until the sandbox has its own name. The agent then gives them up; before that,
/// only the template runs inside.
pub const NAMING: [&str; 2] = ["SYS_ADMIN", "SETPCAP"];

pub fn stage(engine: &Engine, place: &Path, owner: (u32, u32)) -> Outcome<()> {
    let Some(warm) = &engine.warm else { return Ok(()) };
    let target = place.join(IMAGE);
    std::fs::DirBuilder::new().mode(0o700).create(&target).at(STEP, target.display())?;
    let strict = NOSUID | NODEV | NOEXEC;
    match warm {
        Warm::Save { folder } => {
            chown(folder, Some(owner.0), Some(owner.1)).at(STEP, folder)?;
            attach(Path::new(folder), &target, strict)
        }
        Warm::Restore { folder, .. } | Warm::Wake { folder } => attach(Path::new(folder), &target, strict | RDONLY),
    }
}

/// The first part of the engine's command line.
pub fn verb(engine: &Engine) -> Vec<String> {
    match engine.warm {
        Some(Warm::Restore { .. } | Warm::Wake { .. }) => vec!["restore".into(), format!("--image-path=/{IMAGE}")],
        _ => vec!["run".into()],
    }
}

impl Held {
    /// The agent was greeted before its state was saved; now it takes on its own identity.
    pub fn rename(&self, leash: &OwnedFd, plan: &Plan, wakes: bool) -> Outcome<()> {
        let message = match plan.machine {
            Some(_) => json!({ "renew": machine::describe(plan, wakes)? }),
            None => json!({ "rename": { "hostName": plan.host_name } }),
        };
        let tell = |message: serde_json::Value| {
            send(leash.as_fd(), message.to_string().as_bytes(), &[]).at("leash", "rename")?;
            agent::hear_ready(leash)
        };
        tell(message)?;
        // The time that it was told before is outdated by now.
        plan.machine.as_ref().map_or(Ok(()), |_| tell(json!({ "clock": { "nowNs": machine::now_ns()? } })))
    }
}

/// Writes the state of a sandbox to the folder that its plan names. This ends the engine.
pub fn save(sandbox: &mut Sandbox) -> Outcome<()> {
    let failed = |message: String| Fault::new(Code::LaunchFailed, STEP, message);
    let wanted = sandbox.plan.engine.as_ref().and_then(|engine| engine.warm.as_ref());
    let Some(Warm::Save { folder }) = wanted else {
        return Err(failed("its plan names no folder to save it to".into()));
    };
    let (first, folder) = (sandbox.first.unwrap_or(0), folder.clone());
    settle(sandbox)?;
    if sandbox.plan.machine.is_some() {
        return machine::save(sandbox, Path::new(&folder));
    }
    let doors = sandbox.cgroup.as_ref().map_or(Ok(Vec::new()), crate::cgroup::Cgroup::doors)?;
    let open = |name| File::open(format!("/proc/{first}/ns/{name}")).at(STEP, name);
    let namespaces: Vec<File> =
        ["mnt", "net", "ipc", "uts", "pid", "user"].into_iter().map(open).collect::<Outcome<_>>()?;
    let (words, log) = pipe2(nix::fcntl::OFlag::O_CLOEXEC).at(STEP, "pipe")?;
    // SAFETY: one thread; the child uses what it copied and ends without returning.
    match unsafe { fork() }.at(STEP, "fork")? {
        ForkResult::Child => {
            let said = log.try_clone();
            let code = match enter(&namespaces, &doors).and_then(|()| run(&sandbox.plan.id, log)) {
                Ok(code) => code,
                Err(fault) => {
                    let _ = said.map(|said| nix::unistd::write(said, fault.to_string().as_bytes()));
                    1
                }
            };
            // SAFETY: ends the copy without the keeper's exit handlers.
            unsafe { libc::_exit(code) }
        }
        ForkResult::Parent { child } => {
            drop(log);
            let mut said = String::new();
            let heard = File::from(words).take(MAX_WORDS).read_to_string(&mut said);
            match waitpid(child, None).at(STEP, "wait")? {
                WaitStatus::Exited(_, 0) => Ok(()),
                _ if heard.is_ok() && !said.trim().is_empty() => Err(failed(format!("checkpoint: {}", said.trim()))),
                ended => Err(failed(format!("checkpoint: {ended:?}"))),
            }
        }
    }
}

/// Stops the machine for good, and lets it fork itself into the sandboxes of whoever asks.
pub fn serve(sandbox: &mut Sandbox) -> Outcome<()> {
    if !sandbox.plan.is_mother() {
        return Err(Fault::new(Code::LaunchFailed, STEP, "it is not one that others are forked from"));
    }
    settle(sandbox)?;
    machine::serve(sandbox)
}

/// As `save`, but for a sandbox in use, and only for that sandbox itself.
pub fn sleep(sandbox: &mut Sandbox, folder: &Path) -> Outcome<()> {
    refuse_memory(sandbox)?;
    settle(sandbox)?;
    machine::sleep(sandbox, folder)
}

/// As `sleep`, but including the disk and for other sandboxes; the sandbox then continues. `lasts`: the snapshot is
/// kept until it is deleted, not only until the sandboxes it was made for exist.
pub fn snapshot(sandbox: &mut Sandbox, folder: &Path, lasts: bool) -> Outcome<()> {
    refuse_memory(sandbox)?;
    settle(sandbox)?;
    machine::snapshot(sandbox, folder, lasts)?;
    // The machine was stopped, and so was its clock.
    let leash = sandbox.leash.as_ref().ok_or_else(|| Fault::new(Code::LaunchFailed, STEP, "no leash"))?;
    let clock = json!({ "clock": { "nowNs": machine::now_ns()? } });
    send(leash.as_fd(), clock.to_string().as_bytes(), &[]).at("leash", "clock")?;
    heard_ready(sandbox)
}

fn refuse_memory(sandbox: &Sandbox) -> Outcome<()> {
    if sandbox.plan.machine.is_some() {
        return Ok(());
    }
    Err(Fault::new(Code::WallUnavailable, STEP, "behind this wall memory is not written to a disk"))
}

/// A host descriptor that came over the leash cannot be saved. The agent answers once it holds none.
fn settle(sandbox: &mut Sandbox) -> Outcome<()> {
    let leash = sandbox.leash.as_ref().ok_or_else(|| Fault::new(Code::LaunchFailed, STEP, "no leash"))?;
    send(leash.as_fd(), json!({ "settle": {} }).to_string().as_bytes(), &[]).at("leash", "settle")?;
    heard_ready(sandbox)
}

fn heard_ready(sandbox: &mut Sandbox) -> Outcome<()> {
    match sandbox.hear_within(SETTLE)? {
        Said::Ready(true) => Ok(()),
        _ => Err(Fault::new(Code::LaunchFailed, STEP, "it said something else than that it is ready")),
    }
}

/// Enters where the engine runs, with the ids of the sandbox's first process: root of the sandbox's ids and of no
/// others.
fn enter(namespaces: &[File], doors: &[OwnedFd]) -> Outcome<()> {
    for door in doors {
        nix::unistd::write(door, b"0").at(STEP, "joining the cgroup")?;
    }
    for namespace in namespaces {
        setns(namespace, CloneFlags::empty()).at(STEP, "its namespaces")?;
    }
    nix::unistd::setgroups(&[]).at(STEP, "groups")?;
    nix::unistd::setresgid(0.into(), 0.into(), 0.into()).at(STEP, "group")?;
    nix::unistd::setresuid(0.into(), 0.into(), 0.into()).at(STEP, "user")
}

/// Runs the engine in a further child, because only children are born in the pid namespace just entered. Returns its
/// exit code.
fn run(id: &str, log: OwnedFd) -> Outcome<i32> {
    // SAFETY: still one thread.
    match unsafe { fork() }.at(STEP, "fork")? {
        ForkResult::Child => {
            // SAFETY: plain settings of this process: it ends with its parent, and after its time.
            unsafe {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0);
                libc::alarm(SAVE_SECONDS);
                libc::sigprocmask(
                    libc::SIG_SETMASK,
                    &raw const *nix::sys::signal::SigSet::empty().as_ref(),
                    std::ptr::null_mut(),
                );
            }
            let null: OwnedFd = File::open("/dev/null").at(STEP, "/dev/null")?.into();
            let out = null.try_clone().at(STEP, "dup")?;
            let argv = [
                format!("/{PROGRAM}"),
                format!("--root=/{STATE}"),
                "checkpoint".into(),
                format!("--image-path=/{IMAGE}"),
                id.to_string(),
            ];
            let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
            match Program::new(&argv, std::iter::empty(), vec![null, out, log])?.exec()? {}
        }
        ForkResult::Parent { child } => {
            drop(log);
            Ok(if matches!(waitpid(child, None), Ok(WaitStatus::Exited(_, 0))) { 0 } else { 1 })
        }
    }
}
