//! The state of a machine, in a folder of the host: its memory (a file that it has been using all along, or a part of the stream), its devices, and its
//! disk, all of one moment.

use std::fs::{File, Permissions};
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::pipe2;

use super::stage::{DISK_FILE, STATE_FILE};
use super::{STEP, helm};
use crate::copy::whole_copy;
use crate::disk::image_in;
use crate::fault::{At, Code, Fault, Outcome};
use crate::order::Sandbox;
use crate::whole;

/// Of a stream, besides the memory of the machine: its devices, and eight bytes with each page.
const DEVICES_BYTES: u64 = 16 << 20;
/// Some hundreds of MiB on their way to a disk that may be busy.
const STREAM: Duration = Duration::from_secs(90);
const PIECE: usize = 1 << 20;

/// It stands still afterwards.
pub fn save(sandbox: &Sandbox, folder: &Path) -> Outcome<()> {
    helm::save(helm_of(sandbox)?, &state_in(folder)?, true)?;
    whole_copy(&image_in(Path::new(&sandbox.plan.dir)), &folder.join(DISK_FILE), &AtomicBool::new(false))
}

/// With all of its memory in one stream, and safe on the disk. It stands still afterwards; if it cannot be had, it goes on. QEMU is as little trusted as those
/// inside, so it has no file to write to: what it says is written down for it, up to what a machine of this size can have to say.
pub fn sleep(sandbox: &Sandbox, folder: &Path) -> Outcome<()> {
    let (helm, state) = (helm_of(sandbox)?, state_in(folder)?);
    let memory = sandbox.plan.machine.as_ref().map_or(0, |machine| machine.memory_bytes);
    let (stream, end) = pipe2(OFlag::O_CLOEXEC).at(STEP, "pipe")?;
    fcntl(&stream, FcntlArg::F_SETPIPE_SZ(PIECE as i32)).at(STEP, "pipe")?;
    helm::pour(helm, end)?;
    let caught = catch(stream, &state, memory + memory / 256 + DEVICES_BYTES);
    // With nobody at the other end of its stream it has failed, and goes on by itself.
    let poured = helm::poured(helm);
    let caught = caught.and_then(|()| state.sync_all().at(STEP, folder.display()));
    poured.and_then(|()| {
        let safe = caught.and_then(|()| whole::keep(folder, STATE_FILE, &image_in(Path::new(&sandbox.plan.dir))));
        if safe.is_err() {
            helm::go_on(helm)?;
        }
        safe
    })
}

fn catch(stream: OwnedFd, mut state: &File, most: u64) -> Outcome<()> {
    let (until, mut stream) = (Instant::now() + STREAM, File::from(stream));
    let failed = |why: &str| Err(Fault::new(Code::LaunchFailed, STEP, why));
    let (mut buffer, mut length) = (vec![0u8; PIECE], 0);
    loop {
        let left = until.saturating_duration_since(Instant::now()).as_millis();
        let patience = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        if poll(&mut [PollFd::new(stream.as_fd(), PollFlags::POLLIN)], patience).at(STEP, "its state")? == 0 {
            return failed("the state was not written in time");
        }
        let piece = stream.read(&mut buffer).at(STEP, "its state")?;
        length += piece as u64;
        if piece == 0 {
            return Ok(());
        }
        if length > most {
            return failed("its state is larger than such a machine can have");
        }
        state.write_all(&buffer[..piece]).at(STEP, "writing its state")?;
    }
}

fn helm_of(sandbox: &Sandbox) -> Outcome<&OwnedFd> {
    sandbox.helm.as_ref().ok_or_else(|| Fault::new(Code::LaunchFailed, STEP, "nobody is at its helm"))
}

/// To be read by whoever has the ids of the next machine, in a folder that is nobody's but root's.
fn state_in(folder: &Path) -> Outcome<File> {
    let path = folder.join(STATE_FILE);
    let made = File::options().write(true).create_new(true).mode(0o600).open(&path);
    made.and_then(|file| file.set_permissions(Permissions::from_mode(0o444)).map(|()| file)).at(STEP, path.display())
}
