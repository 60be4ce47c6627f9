//! The state of a machine, in a folder of the host: its memory, its devices, and its disk, all of one moment. QEMU is as little trusted as those inside, so it
//! has no file of the host's to write to: what its devices are it writes into memory, and its own is read where it lies, as large as it was made.

use std::fs::{File, Permissions};
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::atomic::AtomicBool;

use nix::sys::memfd::{MFdFlags, memfd_create};

use super::recall::recall;
use super::stage::{DISK_FILE, MEMORY_FILE, STATE_FILE};
use super::{STEP, helm};
use crate::copy::{sparse_copy, whole_copy};
use crate::disk::image_in;
use crate::fault::{At, Code, Fault, Outcome};
use crate::order::Sandbox;
use crate::sums;
use crate::whole::{self, Sums};

/// A few dozen KiB; not larger than this in a machine that means well.
const MOST_DEVICES_BYTES: u64 = 16 << 20;

/// For those that are restored from it: its memory has been in a file of theirs all along. It stands still afterwards.
pub fn save(sandbox: &Sandbox, folder: &Path) -> Outcome<()> {
    stand(sandbox, folder)?;
    whole_copy(&image_in(Path::new(&sandbox.plan.dir)), &folder.join(DISK_FILE), &AtomicBool::new(false))
}

/// Safe on the disk, but for its own disk, which is to be kept beside it. It stands still afterwards; if it cannot be had, it goes on.
pub fn sleep(sandbox: &Sandbox, folder: &Path) -> Outcome<()> {
    let address = stand(sandbox, folder)?;
    let asleep = remember(sandbox, address, folder, true)
        .and_then(|sums| whole::keep(folder, &sums, &image_in(Path::new(&sandbox.plan.dir))));
    if asleep.is_err() {
        helm::go_on(helm_of(sandbox)?)?;
    }
    asleep
}

/// With a copy of its disk, for others. It goes on afterwards. `lasts`: it is to be safe on the host's disk, and known again.
pub fn snapshot(sandbox: &Sandbox, folder: &Path, lasts: bool) -> Outcome<()> {
    let address = stand(sandbox, folder)?;
    let (image, copy) = (image_in(Path::new(&sandbox.plan.dir)), folder.join(DISK_FILE));
    let taken = remember(sandbox, address, folder, lasts)
        .and_then(|sums| sparse_copy(&image, &copy, &AtomicBool::new(false)).map(|file| (sums, file)));
    helm::go_on(helm_of(sandbox)?)?;
    let (mut sums, file) = taken?;
    if lasts {
        // Nobody stands still for this.
        file.sync_all().at(STEP, copy.display())?;
        sums.insert(DISK_FILE.into(), sums::sum(&copy)?.into());
        whole::keep_with_disk(folder, &sums)?;
    }
    Ok(())
}

/// It stands still, with its devices written there; where its memory begins.
fn stand(sandbox: &Sandbox, folder: &Path) -> Outcome<u64> {
    let helm = helm_of(sandbox)?;
    // Memory, which counts as QEMU's own. It takes no file that could be read.
    let said = File::from(memfd_create("devices", MFdFlags::MFD_CLOEXEC).at(STEP, "memory")?);
    let theirs = format!("/proc/self/fd/{}", said.as_raw_fd());
    let address = helm::stand(helm, &File::options().write(true).open(&theirs).at(STEP, &theirs)?)?;
    let written = devices(&said).and_then(|devices| {
        let mut state = new_file(folder, STATE_FILE)?;
        state.write_all(&devices).and_then(|()| state.sync_all()).at(STEP, folder.display())
    });
    if written.is_err() {
        helm::go_on(helm)?;
    }
    written.map(|()| address)
}

fn devices(said: &File) -> Outcome<Vec<u8>> {
    let mut devices = Vec::new();
    said.take(MOST_DEVICES_BYTES + 1).read_to_end(&mut devices).at(STEP, "its devices")?;
    if devices.len() as u64 > MOST_DEVICES_BYTES {
        return Err(Fault::new(Code::LaunchFailed, STEP, "its devices are larger than such a machine can have"));
    }
    Ok(devices)
}

fn remember(sandbox: &Sandbox, address: u64, folder: &Path, lasts: bool) -> Outcome<Sums> {
    let memory = new_file(folder, MEMORY_FILE)?;
    let bytes = sandbox.plan.machine.as_ref().map_or(0, |machine| machine.memory_bytes);
    let first = sandbox.first.unwrap_or(0);
    let sum = recall(first, (address, bytes), sandbox.before.as_ref(), &memory, lasts)?;
    let Some(sum) = sum else { return Ok(Sums::new()) };
    memory.sync_all().at(STEP, folder.display())?;
    Ok([(MEMORY_FILE, sum), (STATE_FILE, sums::sum(&folder.join(STATE_FILE))?)]
        .map(|(name, sum)| (name.into(), sum.into()))
        .into_iter()
        .collect())
}

pub fn helm_of(sandbox: &Sandbox) -> Outcome<&OwnedFd> {
    sandbox.helm.as_ref().ok_or_else(|| Fault::new(Code::LaunchFailed, STEP, "nobody is at its helm"))
}

/// To be read by whoever has the ids of the next machine, in a folder that is nobody's but root's.
fn new_file(folder: &Path, name: &str) -> Outcome<File> {
    let path = folder.join(name);
    let made = File::options().write(true).create_new(true).mode(0o600).open(&path);
    made.and_then(|file| file.set_permissions(Permissions::from_mode(0o444)).map(|()| file)).at(STEP, path.display())
}
