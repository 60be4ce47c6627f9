//! Start: from the host's request to a running process.

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use caisson_wire::{ProcessInfo, Start, Started, opened};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::unistd::pipe2;

use crate::agent::Agent;
use crate::child::{self, Launch, REPORT_BYTES, Step, aside, parse_report};
use crate::files::paths;
use crate::identity::Identity;
use crate::inbound::cells;
use crate::port::Slot;
use crate::process::{Ports, Process};
use crate::pump;
use crate::refusal::{OrRefuse, Outcome, Refusal};
use crate::stream::Stream;
use crate::terminal;
use crate::users::Account;

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The most bytes of a command line that a list of processes shows.
const SHOWN_BYTES: usize = 1024;

pub async fn run(agent: &Rc<Agent>, stream: &Stream, start: Start) -> Outcome<()> {
    let process = launch(agent, start).await?;
    stream.opened(opened::Result::Started(Started { pid: process.pid as u32 })).await?;
    pump::serve(agent, stream, &process).await
}

async fn launch(agent: &Rc<Agent>, start: Start) -> Outcome<Rc<Process>> {
    let identity = Identity::of(agent, &start.user)?;
    let account = (*identity.account).clone();
    let info = describe(&start, &account);
    let cwd = paths::resolve(if start.cwd.is_empty() { "~/" } else { &start.cwd }, &account.home)?;
    let (env, path) = environment(&start, &account)?;
    let candidates = candidates(&start.command, &path)?;
    let argv = [start.command.as_str()]
        .into_iter()
        .chain(start.args.iter().map(String::as_str))
        .map(text)
        .collect::<Outcome<_>>()?;

    let mut descriptors = Vec::with_capacity(4);
    let mut ports = if let Some(size) = &start.pty {
        let pair = terminal::open(&identity, cells(size.columns, size.rows))?;
        for _ in 0..3 {
            descriptors.push(pair.slave.try_clone().or_refuse(|| "terminal")?);
        }
        Ports { pty: Slot::new(pair.master).or_refuse(|| "terminal")?, has_terminal: true, ..Ports::default() }
    } else {
        let mut ports = Ports::default();
        if start.stdin {
            let (theirs, ours) = pipe()?;
            descriptors.push(theirs);
            ports.stdin = Slot::new(ours).or_refuse(|| "pipe")?;
        } else {
            descriptors.push(std::fs::File::open("/dev/null").or_refuse(|| "/dev/null")?.into());
        }
        for slot in [&mut ports.stdout, &mut ports.stderr] {
            let (ours, theirs) = pipe()?;
            descriptors.push(theirs);
            *slot = Slot::new(ours).or_refuse(|| "pipe")?;
        }
        ports
    };
    if start.control_channel {
        let pair = socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC);
        let (ours, theirs) = pair.or_refuse(|| "control channel")?;
        descriptors.push(theirs);
        ports.control = Slot::new(ours).or_refuse(|| "control channel")?;
    }
    let (report, theirs) = pipe()?;
    let launch = Launch {
        candidates,
        argv,
        env,
        cwd: text(&cwd)?,
        cwd_or_root: start.cwd.is_empty(),
        account: (!agent.config.single_user).then_some(account),
        open_files: agent.config.open_files,
        descriptors: descriptors.into_iter().map(aside).collect::<Outcome<_>>()?,
        terminal: start.pty.is_some(),
        report: aside(theirs)?,
    };
    let pid = child::fork(&launch)?;
    // Close our copies: as long as we hold them, no pipe would end.
    drop(launch);
    let process = Process::new(pid, ProcessInfo { pid: pid as u32, ..info }, ports);
    agent.processes.borrow_mut().add(process.clone());
    if let Some((step, errno)) = outcome(report).await? {
        agent.processes.borrow_mut().remove(&process);
        return Err(refusal(step, errno, &start.command, &cwd));
    }
    Ok(process)
}

fn pipe() -> Outcome<(OwnedFd, OwnedFd)> {
    pipe2(OFlag::O_CLOEXEC).or_refuse(|| "pipe")
}

/// Waits until the child has become the program (which closes its end of the pipe) or reports why not.
async fn outcome(report: OwnedFd) -> Outcome<Option<(Step, Errno)>> {
    let report = Slot::new(report).or_refuse(|| "pipe")?;
    let report = report.get().ok_or_else(|| Refusal::failed("pipe"))?;
    loop {
        let mut ready = report.readable().await.or_refuse(|| "pipe")?;
        let mut bytes = [0; REPORT_BYTES];
        let Ok(read) = ready.try_io(|port| Ok(nix::unistd::read(port.as_fd(), &mut bytes)?)) else { continue };
        return match read.or_refuse(|| "pipe")? {
            0 => Ok(None),
            // Smaller than a pipe's buffer, so it is written and read in one piece.
            _ => Ok(parse_report(bytes)),
        };
    }
}

fn refusal(step: Step, errno: Errno, command: &str, cwd: &str) -> Refusal {
    match step {
        Step::Cwd => Refusal::os(format_args!("working directory {cwd}"), errno),
        Step::Find if errno == Errno::ENOENT && !command.contains('/') => {
            Refusal::not_found(format_args!("{command}: not in PATH"))
        }
        Step::Find | Step::Exec => Refusal::os(command, errno),
        Step::Session | Step::Descriptors | Step::Terminal | Step::Limit | Step::User => {
            Refusal::failed(format_args!("{command}: step {step:?}: {}", errno.desc()))
        }
    }
}

fn text(text: &str) -> Outcome<CString> {
    CString::new(text).map_err(|_| Refusal::invalid("a NUL in a path, argument or variable"))
}

/// The environment for execve, and PATH.
fn environment(start: &Start, account: &Account) -> Outcome<(Vec<CString>, String)> {
    let mut env = start.env.clone();
    let defaults = [
        ("HOME", account.home.as_str()),
        ("USER", &account.name),
        ("LOGNAME", &account.name),
        ("SHELL", &account.shell),
        ("PATH", DEFAULT_PATH),
    ];
    for (name, value) in defaults {
        env.entry(name.to_owned()).or_insert_with(|| value.to_owned());
    }
    let path = env["PATH"].clone();
    let mut variables = Vec::with_capacity(env.len());
    for (name, value) in env {
        if name.is_empty() || name.contains('=') {
            return Err(Refusal::invalid(format_args!("{name:?} is not a name for a variable")));
        }
        variables.push(text(&format!("{name}={value}"))?);
    }
    Ok((variables, path))
}

/// With a slash: that path, relative to the working directory. Without: in each folder of PATH; an empty entry is the
/// working directory (POSIX).
fn candidates(command: &str, path: &str) -> Outcome<Vec<CString>> {
    if command.is_empty() {
        return Err(Refusal::invalid("no command"));
    }
    if command.contains('/') {
        return Ok(vec![text(command)?]);
    }
    path.split(':').map(|folder| text(&format!("{}/{command}", if folder.is_empty() { "." } else { folder }))).collect()
}

fn describe(start: &Start, account: &Account) -> ProcessInfo {
    let mut left = SHOWN_BYTES;
    let mut shown = |text: &str| {
        let end =
            text.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= left).last().unwrap_or(0);
        left -= end;
        text[..end].to_owned()
    };
    ProcessInfo {
        pid: 0,
        command: shown(&start.command),
        cwd: shown(if start.cwd.is_empty() { &account.home } else { &start.cwd }),
        tag: shown(&start.tag),
        user: account.name.clone(),
        pty: start.pty.is_some(),
        args: start.args.iter().take(64).map(|arg| shown(arg)).collect(),
    }
}
