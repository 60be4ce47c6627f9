//! Memory and process limits for the code inside, enforced by the machine's own kernel, which can tell which process
//! exceeded them. The size of the machine is the hard limit behind them.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use nix::sys::socket::{MsgFlags, send};

use super::nodes::{attach, folder, strict};
use super::{Machine, Outcome};

const GROUPS: &str = "/groups";
const BOX: &str = "/groups/box";
/// The agent's own threads and helpers.
const SPARE_PROCESSES: u64 = 8;

/// File, counter, and the name of the limit.
const COUNTED: [(&str, &str, &str); 2] = [("memory.events", "oom_kill ", "memory"), ("pids.events", "max ", "pids")];

/// Applies the limits to this process and all that it starts from now on; hits are reported on the leash.
pub fn hold(machine: &Machine, leash: &OwnedFd) -> Outcome<()> {
    folder(Path::new(GROUPS))?;
    attach("cgroup2", Path::new(GROUPS), strict(), None)?;
    write(Path::new(GROUPS), "cgroup.subtree_control", "+memory +pids")?;
    let group = Path::new(BOX);
    folder(group)?;
    write(group, "memory.max", &machine.memory_bytes.to_string())?;
    if let Some(most) = machine.processes {
        write(group, "pids.max", &(most + SPARE_PROCESSES).to_string())?;
    }
    write(group, "cgroup.procs", "0")?;
    let files: Vec<File> = COUNTED.iter().map(|(file, _, _)| open(group, file)).collect::<Outcome<_>>()?;
    let leash = leash.try_clone().map_err(|error| format!("leash: {error}"))?;
    let watch = move || watch(files, &leash);
    std::thread::Builder::new().name("bounds".into()).spawn(watch).map_err(|error| format!("bounds: {error}"))?;
    Ok(())
}

fn write(group: &Path, file: &str, value: &str) -> Outcome<()> {
    fs::write(group.join(file), value).map_err(|error| format!("{file}: {error}"))
}

fn open(group: &Path, file: &str) -> Outcome<File> {
    File::open(group.join(file)).map_err(|error| format!("{file}: {error}"))
}

fn watch(mut files: Vec<File>, leash: &OwnedFd) {
    let mut seen = [0; COUNTED.len()];
    loop {
        for (number, (_, key, name)) in COUNTED.iter().enumerate() {
            let now = count(&mut files[number], key);
            if now > seen[number] {
                seen[number] = now;
                let said = format!("{{\"limit\":\"{name}\"}}");
                // Fails only if the keeper is ending.
                let _ = send(leash.as_raw_fd(), said.as_bytes(), MsgFlags::MSG_NOSIGNAL);
            }
        }
        // The kernel reports changes since the last read of this descriptor (cgroup-v2.rst).
        let mut polls: Vec<libc::pollfd> = files
            .iter()
            .map(|file| libc::pollfd { fd: file.as_fd().as_raw_fd(), events: libc::POLLPRI, revents: 0 })
            .collect();
        // SAFETY: the array is ours and has the given length.
        unsafe { libc::poll(polls.as_mut_ptr(), polls.len() as libc::nfds_t, -1) };
    }
}

fn count(file: &mut File, key: &str) -> u64 {
    let mut text = String::new();
    let read = file.seek(SeekFrom::Start(0)).and_then(|_| file.read_to_string(&mut text));
    let found = text.lines().find_map(|line| line.strip_prefix(key)?.trim().parse().ok());
    read.ok().and(found).unwrap_or(0)
}
