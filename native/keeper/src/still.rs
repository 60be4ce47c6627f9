//! Work on a sandbox that is held still, beside the loop: a freeze takes as long as its disk takes to be written back, a copy as long as it is large.

use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crate::copy::whole_copy;
use crate::disk::Mounted;
use crate::fault::{At, Code, Fault, Outcome};
use crate::freezer::Freezer;
use crate::machine::Settling;

const STEP: &str = "freezer";
const STACK: usize = 256 * 1024;

pub struct Wanted {
    pub freezer: Freezer,
    /// Of a machine that runs: it has been asked to write its disk back.
    pub settling: Option<Settling>,
    /// A disk of kind image: its file, and where this machine's kernel has it mounted.
    pub disk: Option<(Option<Mounted>, PathBuf)>,
    /// None: to be frozen, and to stay so.
    pub copy_to: Option<PathBuf>,
    /// It stands still already, and will afterwards.
    pub frozen: bool,
}

/// One piece of such work, under way.
pub struct Work {
    done: OwnedFd,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Outcome<()>>,
}

impl Work {
    pub fn begin(wanted: Wanted) -> Outcome<Work> {
        // SAFETY: eventfd returns a new descriptor, which is ours.
        let done = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
        if done < 0 {
            return Err(std::io::Error::last_os_error()).at(STEP, "eventfd");
        }
        // SAFETY: just made, owned by nobody else.
        let done = unsafe { OwnedFd::from_raw_fd(done) };
        let ring = done.try_clone().at(STEP, "dup")?;
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&stop);
        let thread = std::thread::Builder::new().stack_size(STACK).spawn(move || {
            let outcome = wanted.carry_out(&asked);
            let one = 1u64;
            // SAFETY: eight bytes of ours. It cannot be full: nobody else writes there.
            unsafe { libc::write(ring.as_raw_fd(), (&raw const one).cast(), size_of_val(&one)) };
            outcome
        });
        Ok(Work { done, stop, thread: thread.at(STEP, "a thread")? })
    }

    /// Readable when `finish` would not wait.
    pub fn done(&self) -> i32 {
        self.done.as_raw_fd()
    }

    pub fn finish(self) -> Outcome<()> {
        let lost = |_| Err(Fault::new(Code::LaunchFailed, STEP, "the thread broke off"));
        self.thread.join().unwrap_or_else(lost)
    }

    /// Nobody needs the result any more. Whatever was waited for is not; what is being written must be.
    pub fn give_up(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Wanted {
    fn carry_out(&self, stop: &AtomicBool) -> Outcome<()> {
        if let Some(settling) = &self.settling {
            settling.wait(stop)?;
        }
        if !self.frozen {
            self.freezer.freeze(stop)?;
        }
        let worked = self.on_disk(stop);
        let stays = if self.copy_to.is_some() { self.frozen } else { worked.is_ok() };
        if !stays {
            self.freezer.thaw()?;
        }
        worked
    }

    fn on_disk(&self, stop: &AtomicBool) -> Outcome<()> {
        let Some((mounted, image)) = &self.disk else { return Ok(()) };
        match mounted {
            Some(mounted) => mounted.settle(image)?,
            // The machine has written it back, as far as this machine's memory.
            None => File::open(image).and_then(|file| file.sync_all()).at(STEP, image.display())?,
        }
        self.copy_to.as_ref().map_or(Ok(()), |to| whole_copy(image, to, stop))
    }
}
