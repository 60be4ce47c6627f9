//! The end of a sandbox: kills everything, removes everything that was made, and records why.

use std::fs;
use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};

use crate::audit::now_ms;
use crate::control::Reason;
use crate::disk;
use crate::fault::Outcome;
use crate::order::Sandbox;
use crate::plan::Kind;
use crate::watch::End;

/// Takes apart a sandbox, complete or not; safe on an empty one. Returns the resources its processes used. Failing to
/// keep a disk that was to be kept overrides the requested end reason.
pub fn take_apart(sandbox: &mut Sandbox, end: &mut End) -> (Option<u64>, Option<u64>) {
    let mut cpu_us = None;
    sandbox.beforehand.over();
    if let Some(cgroup) = &sandbox.cgroup {
        cgroup.let_die();
    }
    if let Some(first) = sandbox.first.take() {
        // Killing the first process of a pid namespace kills all of it, and reaping it waits for the others
        // (pid_namespaces(7)). A zygote has no pid namespace of its own, and no children.
        // SAFETY: our own child, not waited for yet; rusage is filled by the call.
        cpu_us = unsafe {
            libc::kill(first, libc::SIGKILL);
            let mut usage: libc::rusage = std::mem::zeroed();
            let waited = libc::wait4(first, std::ptr::null_mut(), 0, &raw mut usage);
            let us = |time: libc::timeval| time.tv_sec as u64 * 1_000_000 + time.tv_usec as u64;
            (waited == first).then(|| us(usage.ru_utime) + us(usage.ru_stime))
        };
    }
    // Its socket may still hold events from before the end.
    if let Some(mut trace) = sandbox.trace.take()
        && let Err(why) = trace.drain(&mut sandbox.audit)
    {
        eprintln!("caisson-keeper: the last commands of {}: {why}", sandbox.plan.id);
    }
    sandbox.leash = None;
    sandbox.gate = None;
    sandbox.listeners.clear();
    (sandbox.namespaces, sandbox.mounts) = (None, None);
    let kept = let_go_of_disk(sandbox, end.keep_disk.as_deref());
    let mut peak = None;
    if let Some(cgroup) = sandbox.cgroup.take() {
        let usage = cgroup.usage();
        peak = usage.peak_memory_bytes;
        cpu_us = usage.cpu_us.or(cpu_us);
        if !cgroup.remove() {
            eprintln!("caisson-keeper: a cgroup of {} could not be removed", sandbox.plan.id);
        }
    }
    sandbox.range = None;
    sandbox.control = None;
    if let Err(fault) = kept {
        end.reason = Reason::Crash;
        end.detail = format!("the disk could not be kept: {fault}");
        // The image is still in place, and the host may know what to do with it.
        return (peak, cpu_us);
    }
    let left = clear_folder(&sandbox.plan);
    if let Err(error) = left {
        eprintln!("caisson-keeper: {}: {error}", sandbox.plan.dir);
    }
    (peak, cpu_us)
}

fn let_go_of_disk(sandbox: &mut Sandbox, keep: Option<&Path>) -> Outcome<()> {
    let mounted = sandbox.mounted.take();
    let Some(to) = keep else {
        if let Some(mounted) = mounted {
            mounted.discard();
        }
        return Ok(());
    };
    // Unmounting would flush too, but only an explicit flush reports a failure.
    mounted.map_or(Ok(()), |mounted| mounted.flush())?;
    disk::move_out(sandbox.device.as_deref(), Path::new(&sandbox.plan.dir), to)
}

/// Removes what the keeper made in the state folder. A zygote's log stays, to explain why it ended.
fn clear_folder(plan: &crate::plan::Plan) -> std::io::Result<()> {
    let dir = Path::new(&plan.dir);
    if plan.kind == Kind::Sandbox || plan.is_mother() {
        return fs::remove_dir_all(dir);
    }
    for socket in [dir.join("keeper.sock").as_path(), Path::new(plan.serve.as_ref().map_or("", |serve| &serve.socket))]
    {
        fs::remove_file(socket)?;
    }
    Ok(())
}

/// Records the end where it outlives the keeper, and returns the event for the host.
pub fn record(sandbox: &mut Sandbox, end: &End, started_ms: u64, used: (Option<u64>, Option<u64>)) -> Value {
    let death = json!({
        "id": sandbox.plan.id,
        "reason": end.reason,
        "detail": end.detail,
        "startedMs": started_ms,
        "endedMs": now_ms(),
        "peakMemoryBytes": used.0,
        "cpuUs": used.1,
    });
    let fields =
        [("reason", death["reason"].clone()), ("detail", death["detail"].clone()), ("cpuUs", death["cpuUs"].clone())];
    sandbox.audit.count_refused();
    if let Err(error) = sandbox.audit.record("death", fields) {
        eprintln!("caisson-keeper: audit: {error}");
    }
    if let Err(error) = write_whole(Path::new(&sandbox.plan.death_record), &death) {
        eprintln!("caisson-keeper: {}: {error}", sandbox.plan.death_record);
    }
    json!({ "event": "death", "death": death })
}

/// Writes under a temporary name first, so that a reader finds the whole record or none.
fn write_whole(path: &Path, value: &Value) -> std::io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = fs::File::create(&beside)?;
    file.write_all(value.to_string().as_bytes())?;
    fs::rename(&beside, path)
}
