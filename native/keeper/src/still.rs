//! Work that needs a frozen sandbox, in a thread beside the main loop: freezing lasts until the disk is written back,
//! and a copy takes as long as its size demands.

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
    /// For a running machine, which was asked to write its disk back.
    pub settling: Option<Settling>,
    /// A disk of kind image: its mount on the host, if any, and its file.
    pub disk: Option<(Option<Mounted>, PathBuf)>,
    /// None: freeze, and stay frozen.
    pub copy_to: Option<PathBuf>,
    /// It is frozen already, and stays so.
    pub frozen: bool,
}

/// One such piece of work in progress.
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
        // SAFETY: just created, owned by nobody else.
        let done = unsafe { OwnedFd::from_raw_fd(done) };
        let ring = done.try_clone().at(STEP, "dup")?;
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&stop);
        let thread = std::thread::Builder::new().stack_size(STACK).spawn(move || {
            let outcome = wanted.carry_out(&asked);
            let one = 1u64;
            // SAFETY: eight bytes of ours. It cannot block: nobody else writes to the eventfd.
            unsafe { libc::write(ring.as_raw_fd(), (&raw const one).cast(), size_of_val(&one)) };
            outcome
        });
        Ok(Work { done, stop, thread: thread.at(STEP, "a thread")? })
    }

    /// Readable once `finish` would not block.
    pub fn done(&self) -> i32 {
        self.done.as_raw_fd()
    }

    pub fn finish(self) -> Outcome<()> {
        let lost = |_| Err(Fault::new(Code::LaunchFailed, STEP, "the thread broke off"));
        self.thread.join().unwrap_or_else(lost)
    }

    /// Nobody needs the result any more. Waits end early; a write in progress is completed.
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
            // The machine has flushed it, but only into the host's page cache.
            None => File::open(image).and_then(|file| file.sync_all()).at(STEP, image.display())?,
        }
        self.copy_to.as_ref().map_or(Ok(()), |to| whole_copy(image, to, stop))
    }
}
