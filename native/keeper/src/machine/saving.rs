//! Saves the state of a machine to a folder of the host: its memory, devices and disk, all of the same moment. QEMU is
//! no more trusted than the code inside, so it gets no host file to write to. It writes its device state to a memfd,
//! and its memory is read from the process, at the size that the plan gave it.

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

/// A few dozen KiB in practice; a well-behaved machine never exceeds this.
const MOST_DEVICES_BYTES: u64 = 16 << 20;

/// For sandboxes that are restored from it: its memory has been in their file from the start. The machine stays
/// stopped.
pub fn save(sandbox: &Sandbox, folder: &Path) -> Outcome<()> {
    stand(sandbox, folder)?;
    whole_copy(&image_in(Path::new(&sandbox.plan.dir)), &folder.join(DISK_FILE), &AtomicBool::new(false))
}

/// Syncs the state to disk, except for the machine's own disk, which is kept beside it. The machine stays stopped; on
/// failure it resumes.
pub fn sleep(sandbox: &Sandbox, folder: &Path) -> Outcome<()> {
    let address = stand(sandbox, folder)?;
    let asleep = remember(sandbox, address, folder, true)
        .and_then(|sums| whole::keep(folder, &sums, &image_in(Path::new(&sandbox.plan.dir))));
    if asleep.is_err() {
        helm::go_on(helm_of(sandbox)?)?;
    }
    asleep
}

/// Saves the state with a copy of its disk, for other sandboxes, and resumes it. `lasts`: the files are synced, and
/// their hashes recorded.
pub fn snapshot(sandbox: &Sandbox, folder: &Path, lasts: bool) -> Outcome<()> {
    let address = stand(sandbox, folder)?;
    let (image, copy) = (image_in(Path::new(&sandbox.plan.dir)), folder.join(DISK_FILE));
    let taken = remember(sandbox, address, folder, lasts)
        .and_then(|sums| sparse_copy(&image, &copy, &AtomicBool::new(false)).map(|file| (sums, file)));
    helm::go_on(helm_of(sandbox)?)?;
    let (mut sums, file) = taken?;
    if lasts {
        // The machine already runs again, so this delays nobody.
        file.sync_all().at(STEP, copy.display())?;
        sums.insert(DISK_FILE.into(), sums::sum(&copy)?.into());
        whole::keep_with_disk(folder, &sums)?;
    }
    Ok(())
}

/// Stops the machine and saves its device state. Returns the address at which its memory begins.
fn stand(sandbox: &Sandbox, folder: &Path) -> Outcome<u64> {
    let helm = helm_of(sandbox)?;
    // This memory is charged to QEMU. The descriptor is write-only, so QEMU cannot read from it.
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

/// Readable for the ids of the next machine; the folder itself belongs to root.
fn new_file(folder: &Path, name: &str) -> Outcome<File> {
    let path = folder.join(name);
    let made = File::options().write(true).create_new(true).mode(0o600).open(&path);
    made.and_then(|file| file.set_permissions(Permissions::from_mode(0o444)).map(|()| file)).at(STEP, path.display())
}
