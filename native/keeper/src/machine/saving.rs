//! The state of a machine, in a folder of the host: its memory (a file that it has been using all along), its devices, and its disk, all of one moment.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use super::stage::{DISK_FILE, STATE_FILE};
use super::{STEP, helm};
use crate::copy::whole_copy;
use crate::disk::image_in;
use crate::fault::{At, Code, Fault, Outcome};
use crate::order::Sandbox;

/// It stands still afterwards.
pub fn save(sandbox: &Sandbox, folder: &Path) -> Outcome<()> {
    let missing = || Fault::new(Code::LaunchFailed, STEP, "nobody is at its helm");
    let helm = sandbox.helm.as_ref().ok_or_else(missing)?;
    let path = folder.join(STATE_FILE);
    let state = File::options().write(true).create_new(true).mode(0o600).open(&path).at(STEP, path.display())?;
    helm::save(helm, &state, true)?;
    whole_copy(&image_in(Path::new(&sandbox.plan.dir)), &folder.join(DISK_FILE), &AtomicBool::new(false))
}
