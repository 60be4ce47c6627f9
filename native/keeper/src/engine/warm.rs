//! Warm state: a sandbox with a warm interpreter that an engine has written to a file, and that others are restored from. What it was made of is the
//! template's and ours, nobody else's; who is restored gets a name of its own before anybody is let in.

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

/// Of the engine's own root: the folder that holds the state.
const IMAGE: &str = "image";
/// A second for a large one; a disk that is busy takes longer.
const SAVE_SECONDS: u32 = 60;
/// Connections of a host that has gone end at once; an emulated machine takes longer to notice.
const SETTLE: Duration = Duration::from_secs(30);
const MAX_WORDS: u64 = 4096;

/// `folder`: of the host.
#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "lowercase", deny_unknown_fields)]
pub enum Warm {
    /// To be written there when it is asked for.
    Save { folder: String },
    /// From there. `pid`: the warm interpreter's, inside, where there is one. `mother`: the state folder of a machine that was restored from there too, and
    /// forks itself (native/twins).
    Restore {
        folder: String,
        pid: Option<u32>,
        #[serde(default)]
        mother: Option<String>,
    },
    /// The same sandbox, that went to sleep there.
    Wake { folder: String },
}

impl Warm {
    /// Whether it goes on from what another, or the same, has left.
    pub fn takes_state(&self) -> bool {
        matches!(self, Warm::Restore { .. } | Warm::Wake { .. })
    }
}

/// Besides those of the plan, until it has its own name: the agent gives them up then, and before that nobody is inside but the template.
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

/// Of the engine's command line: how it begins.
pub fn verb(engine: &Engine) -> Vec<String> {
    match engine.warm {
        Some(Warm::Restore { .. } | Warm::Wake { .. }) => vec!["restore".into(), format!("--image-path=/{IMAGE}")],
        _ => vec!["run".into()],
    }
}

impl Held {
    /// The agent has been greeted when its state was saved; now it takes on who it is.
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
        // What it was told before is old by now.
        plan.machine.as_ref().map_or(Ok(()), |_| tell(json!({ "clock": { "nowNs": machine::now_ns()? } })))
    }
}

/// Writes the state of a sandbox to the folder that its plan names. The engine ends with it.
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

/// The machine stands still from now on, and forks itself into the sandboxes of whoever asks.
pub fn serve(sandbox: &mut Sandbox) -> Outcome<()> {
    if !sandbox.plan.is_mother() {
        return Err(Fault::new(Code::LaunchFailed, STEP, "it is not one that others are forked from"));
    }
    settle(sandbox)?;
    machine::serve(sandbox)
}

/// As `save`, of a sandbox that somebody uses, for itself and nobody else.
pub fn sleep(sandbox: &mut Sandbox, folder: &Path) -> Outcome<()> {
    refuse_memory(sandbox)?;
    settle(sandbox)?;
    machine::sleep(sandbox, folder)
}

/// As `sleep`, with its disk, for others; it goes on afterwards. `lasts`: until it is deleted, and not only until those are there that it is for.
pub fn snapshot(sandbox: &mut Sandbox, folder: &Path, lasts: bool) -> Outcome<()> {
    refuse_memory(sandbox)?;
    settle(sandbox)?;
    machine::snapshot(sandbox, folder, lasts)?;
    // It has stood still, and its clock with it.
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

/// A descriptor of the host's that came over the leash cannot be saved: the agent answers when it has none any more.
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

/// As the first process of the sandbox, where the engine is: as root of its ids, and of nobody else's.
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

/// A further process, because only children are born in the new namespace of processes. The exit code.
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
