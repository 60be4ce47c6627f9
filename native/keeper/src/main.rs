//! The keeper: one small process per sandbox. It builds the wall, enforces the limits, records what the sandbox does,
//! ends it, and outlives whoever asked for it. `caisson-keeper run` reads a plan (one line of JSON) from standard
//! input; wire/keeper.ts defines the rest. `stock SOCKET` keeps waiting keepers that serve whoever connects. `try-gate`
//! tells whether this machine can run a gate, `try-trace` what a gVisor reports of what runs behind it, `try-witness`
//! who else could see what runs, `witness` how many programs one sandbox executes, and `sum` hashes a saved state.

mod agent;
mod alarm;
mod audit;
mod bind;
mod boot_id;
mod builder;
mod caps;
mod cgroup;
mod clock;
mod control;
mod copy;
mod descriptors;
mod devices;
mod digger;
mod disk;
mod end;
mod engine;
mod execs;
mod fault;
mod freezer;
mod gate;
mod ground;
mod hierarchy;
mod idmap;
mod ids;
mod inside;
mod landlock;
mod machine;
mod mason;
mod nursery;
mod order;
mod overlay;
mod plan;
mod program;
mod root;
mod say;
mod seccomp;
mod serving;
mod shields;
mod site;
mod spare_disk;
mod still;
mod stock;
mod sums;
mod swap;
mod syscalls;
mod tally;
mod tree;
mod watch;
mod weakened;
mod whole;
mod witness;

use std::io::Read;
use std::os::fd::OwnedFd;
use std::process::ExitCode;

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use serde_json::{Value, json};

use crate::control::{Connection, Reason};
use crate::fault::{At, Code, Fault, Outcome};
use crate::order::Sandbox;
use crate::plan::Plan;
use crate::stock::Beforehand;
use crate::watch::{End, Watch};

const MAX_PLAN: usize = 1024 * 1024;

fn main() -> ExitCode {
    #[cfg(feature = "weakened")]
    weakened::chosen();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let beforehand = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["run"] => Ok(Beforehand::begin()),
        ["stock", path] => stock::hold(path),
        ["sum", ..] => {
            return sums::of(&arguments[1..]).map_or_else(
                |fault| failed(&fault, None),
                |sums| {
                    println!("{sums}");
                    ExitCode::SUCCESS
                },
            );
        }
        ["try-trace", path] => return told(engine::trace::try_trace(path)),
        ["try-witness"] => return told(Ok(witness::offered())),
        ["witness", pid] => return told(witness::watch(pid)),
        ["try-gate"] => {
            return gate::trial::gate().map_or_else(|fault| failed(&fault, None), |()| ExitCode::SUCCESS);
        }
        _ => {
            eprintln!(
                "usage: caisson-keeper run < plan.json | stock SOCKET | sum FILE... | try-gate | try-trace SOCKET | try-witness | witness PID\n\nBuilds and keeps one sandbox; started by Caisson, not by hand."
            );
            return ExitCode::from(2);
        }
    };
    beforehand.map_or_else(|fault| failed(&fault, None), keep)
}

/// From the plan to the end of its sandbox.
fn keep(beforehand: Beforehand) -> ExitCode {
    let (line, left_over) = match read_plan() {
        Ok(read) => read,
        Err(fault) => return failed(&fault, None),
    };
    let started_ms = audit::now_ms();
    let sandbox = Plan::parse(&line).and_then(|plan| Sandbox::new(plan, beforehand));
    let mut sandbox = match sandbox {
        Ok(sandbox) => sandbox,
        Err(fault) => return failed(&fault, None),
    };
    let signals = match leave_the_parent() {
        Ok(signals) => signals,
        Err(fault) => return failed(&fault, None),
    };
    if let Err(fault) = sandbox.raise() {
        return failed(&fault, Some(sandbox));
    }
    let mut watch = match Watch::new(sandbox, Connection::standard(left_over), signals) {
        Ok(watch) => watch,
        // Its pieces were dropped with it; the first process dies with this process.
        Err(fault) => return failed(&fault, None),
    };
    watch.ready();
    // There may be hundreds of idle sandboxes: slack lets the kernel wake their keepers together. (Not earlier, because
    // children inherit it.)
    if let Err(error) = nix::sys::prctl::set_timerslack(50_000_000) {
        eprintln!("caisson-keeper: timer slack: {error}");
    }
    let (mut end, mut sandbox, mut connections) = watch.run();
    let used = end::take_apart(&mut sandbox, &mut end);
    let event = end::record(&mut sandbox, &end, started_ms, used);
    for connection in &mut connections {
        connection.say(&event);
    }
    ExitCode::SUCCESS
}

/// Prints the result as one line.
fn told(asked: Outcome<Value>) -> ExitCode {
    asked.map_or_else(
        |fault| failed(&fault, None),
        |told| {
            println!("{told}");
            ExitCode::SUCCESS
        },
    )
}

fn failed(fault: &Fault, sandbox: Option<Sandbox>) -> ExitCode {
    if let Some(mut sandbox) = sandbox {
        let mut end = End { reason: Reason::Crash, detail: String::new(), keep_disk: sandbox.taken.clone() };
        end::take_apart(&mut sandbox, &mut end);
        if !end.detail.is_empty() {
            eprintln!("caisson-keeper: {}", end.detail);
        }
    }
    let (step, message, hint) = (fault.step, &fault.message, &fault.hint);
    println!("{}", json!({ "event": "failed", "code": fault.code, "step": step, "message": message, "hint": hint }));
    ExitCode::FAILURE
}

/// The first line, and the bytes that arrived after it.
fn read_plan() -> Outcome<(String, Vec<u8>)> {
    let mut input = std::io::stdin().lock();
    let mut bytes = Vec::new();
    let mut buffer = vec![0u8; 64 * 1024];
    loop {
        if let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let left_over = bytes.split_off(end + 1);
            return String::from_utf8(bytes)
                .coded(Code::PlanInvalid, "plan", "not UTF-8")
                .map(|line| (line, left_over));
        }
        let length = input.read(&mut buffer).coded(Code::PlanInvalid, "plan", "standard input")?;
        if length == 0 || bytes.len() + length > MAX_PLAN {
            return Err(Fault::new(Code::PlanInvalid, "plan", "no line of at most 1 MiB on standard input"));
        }
        bytes.extend_from_slice(&buffer[..length]);
    }
}

/// Starts a new session, so that signals to the parent's terminal do not reach the keeper. The polite ones mean: end
/// the sandbox in order.
fn leave_the_parent() -> Outcome<OwnedFd> {
    // This fails for a process group leader, which is just as good.
    let _ = nix::unistd::setsid();
    let mut polite = SigSet::empty();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        polite.add(signal);
    }
    let signals =
        SignalFd::with_flags(&polite, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).at("signals", "signalfd")?;
    polite.thread_block().at("signals", "mask")?;
    // SAFETY: a plain setting: writing to a closed pipe becomes an error instead of killing the process.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    Ok(signals.into())
}
