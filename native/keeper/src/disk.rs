//! The sandbox's own disk. The file system itself limits its bytes and inodes.
//!
//! As root: a sparse copy of a formatted image on a loop device, which detaches itself when the last mount is gone. The
//! copy keeps a name in the state folder, so that it can be kept, and found again after a power cut. Without root:
//! tmpfs, which counts towards the memory limit.

use std::fs::{self, File};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};

use crate::copy::{rename_new, sparse_copy};
use crate::fault::{At, Code, Fault, Outcome};
use crate::plan::Disk;
use crate::tree::{NOATIME, NODEV, NOSUID, Tree};
use crate::weakened::{Step, is_without};

const STEP: &str = "disk";

// linux/loop.h
const LOOP_CTL_GET_FREE: libc::c_ulong = 0x4C82;
const LOOP_CONFIGURE: libc::c_ulong = 0x4C0A;
const LO_FLAGS_AUTOCLEAR: u32 = 4;
// fs/ext4: _IOR('X', 125, __u32); the flag discards what was not written back yet.
const EXT4_IOC_SHUTDOWN: libc::c_ulong = 0x8004_587D;
const SHUTDOWN_WITHOUT_FLUSH: u32 = 2;
// linux/fs.h: _IOWR('X', 119, int) and 120
const FIFREEZE: libc::c_ulong = 0xC004_5877;
const FITHAW: libc::c_ulong = 0xC004_5878;
const DETACH_PATIENCE: Duration = Duration::from_secs(20);

#[repr(C)]
struct LoopInfo64 {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    sizelimit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    info: LoopInfo64,
    reserved: [u64; 8],
}

/// A disk before it is mounted, made outside of every namespace.
pub enum Prepared {
    Loop(Loop),
    /// The disk of a machine, which the machine's kernel mounts. The host's kernel never parses what was written there.
    File(File),
}

/// The loop device of an image. It detaches itself once this value and the file system on it are gone.
pub struct Loop {
    pub device: String,
    image: PathBuf,
    _open: OwnedFd,
}

/// The image of a live sandbox.
pub fn image_in(dir: &Path) -> PathBuf {
    dir.join("disk.img")
}

/// Moves an existing image into the state folder to start from it. Returns where it belongs until the sandbox stands.
pub fn take(disk: &Disk, dir: &Path) -> Outcome<Option<PathBuf>> {
    let Disk::Image { image, take: true, .. } = disk else { return Ok(None) };
    fs::rename(image, image_in(dir)).at(STEP, format!("taking {image}"))?;
    Ok(Some(image.into()))
}

/// Where an image goes at the end of its sandbox without a request.
pub fn returns_to(disk: &Disk) -> Option<&Path> {
    let Disk::Image { image, take: true, returns: true, .. } = disk else { return None };
    Some(Path::new(image))
}

/// None: the disk is memory, and needs no preparation. `saved`: for a machine that is restored, its disk at that time.
pub fn prepare(disk: &Disk, saved: Option<&Path>, dir: &Path, machine: bool) -> Outcome<Option<Prepared>> {
    let Disk::Image { image, take, bytes, .. } = disk else { return Ok(None) };
    let (image, own) = (saved.unwrap_or(Path::new(image)), image_in(dir));
    let file = if *take {
        expect_bytes(&own, *bytes)?;
        File::options().read(true).write(true).open(&own).at(STEP, own.display())?
    } else {
        copy(image, *bytes, &own)?
    };
    if machine { Ok(Some(Prepared::File(file))) } else { Loop::attach(&file, image).map(Prepared::Loop).map(Some) }
}

pub fn copy(image: &Path, bytes: u64, own: &Path) -> Outcome<File> {
    expect_bytes(image, bytes)?;
    sparse_copy(image, own, &AtomicBool::new(false))
}

fn expect_bytes(image: &Path, bytes: u64) -> Outcome<()> {
    let length = fs::metadata(image).at(STEP, image.display())?.len();
    if length == bytes {
        return Ok(());
    }
    let message = format!("{} has {length} bytes, not {bytes}", image.display());
    Err(Fault::new(Code::LaunchFailed, STEP, message))
}

impl Loop {
    pub fn attach(file: &File, image: &Path) -> Outcome<Loop> {
        let control = File::options().read(true).write(true).open("/dev/loop-control");
        let control = control.coded(Code::WallUnavailable, STEP, "/dev/loop-control")?;
        // Another process may take the free number first; then retry.
        for _ in 0..64 {
            // SAFETY: an ioctl without argument on a descriptor we own.
            let number = unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE) };
            if number < 0 {
                return Err(std::io::Error::last_os_error()).at(STEP, "no free loop device");
            }
            let device = format!("/dev/loop{number}");
            let open = File::options().read(true).write(true).open(&device).at(STEP, &device)?;
            // SAFETY: all-zero is a valid value of this plain C structure.
            let mut config: LoopConfig = unsafe { std::mem::zeroed() };
            config.fd = file.as_raw_fd() as u32;
            config.block_size = 4096;
            config.info.flags = LO_FLAGS_AUTOCLEAR;
            // SAFETY: the structure is laid out as linux/loop.h says and outlives the call.
            if unsafe { libc::ioctl(open.as_raw_fd(), LOOP_CONFIGURE, &raw const config) } == 0 {
                return Ok(Loop { device, image: image.to_path_buf(), _open: open.into() });
            }
            let error = std::io::Error::last_os_error();
            if error.raw_os_error() != Some(libc::EBUSY) {
                return Err(error).at(STEP, &device);
            }
        }
        Err(Fault::new(Code::LaunchFailed, STEP, "other processes took every free loop device"))
    }

    /// Returns its file system, detached: mounted nowhere yet.
    pub fn system(self) -> Outcome<OwnedFd> {
        // An image damaged by a power cut is not repaired: the error is reported, and the disk turns read-only.
        let options = [("source", Some(self.device.as_str())), ("errors", Some("remount-ro")), ("noinit_itable", None)];
        let no_setuid = if is_without(Step::SetUid) { 0 } else { NOSUID };
        Tree::of("ext4", &options, no_setuid | NODEV | NOATIME)
            .map(OwnedFd::from)
            .at(STEP, format!("{} cannot be mounted ({})", self.image.display(), self.device))
    }
}

impl Prepared {
    pub fn device(&self) -> Option<String> {
        if let Prepared::Loop(of) = self { Some(of.device.clone()) } else { None }
    }

    /// What is handed on: the file system, or a machine's file.
    pub fn ready(self) -> Outcome<OwnedFd> {
        match self {
            Prepared::Loop(of) => of.system(),
            Prepared::File(file) => Ok(file.into()),
        }
    }
}

/// Mounts memory in place of a disk.
pub fn mount_memory(bytes: u64, inodes: u64, target: &Path) -> Outcome<()> {
    let options = format!("size={bytes},nr_inodes={inodes},mode=755");
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("caisson"), target, Some("tmpfs"), flags, Some(options.as_str())).at(STEP, "tmpfs")
}

/// A reference to the mounted disk from outside the sandbox.
pub struct Mounted(OwnedFd);

impl AsRawFd for Mounted {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.0.as_raw_fd()
    }
}

impl Mounted {
    pub fn new(root: OwnedFd) -> Mounted {
        Mounted(root)
    }

    /// Discards what is not written back yet: nobody will read it, and writing back a gigabyte would delay the end.
    /// Best effort; on tmpfs it does nothing.
    pub fn discard(&self) {
        let how = SHUTDOWN_WITHOUT_FLUSH;
        // SAFETY: the argument outlives the call; other file systems answer ENOTTY.
        unsafe { libc::ioctl(self.0.as_raw_fd(), EXT4_IOC_SHUTDOWN, &raw const how) };
    }

    pub fn try_clone(&self) -> Outcome<Mounted> {
        self.0.try_clone().map(Mounted).at(STEP, "dup")
    }

    pub fn flush(&self) -> Outcome<()> {
        // SAFETY: no pointers.
        if unsafe { libc::syncfs(self.0.as_raw_fd()) } == 0 {
            return Ok(());
        }
        Err(std::io::Error::last_os_error()).at(STEP, "writing it back")
    }

    /// Makes the image complete on the host's disk once nobody writes any more. Freezing the file system waits for all
    /// writes in flight. It is thawed at once, because a file system left frozen would hold its device for ever if the
    /// keeper died (fs/super.c).
    pub fn settle(&self, image: &Path) -> Outcome<()> {
        for (request, what) in [(FIFREEZE, "FIFREEZE"), (FITHAW, "FITHAW")] {
            // SAFETY: neither reads its argument.
            if unsafe { libc::ioctl(self.0.as_raw_fd(), request, 0) } != 0 {
                return Err(std::io::Error::last_os_error()).at(STEP, what);
            }
        }
        File::open(image).and_then(|file| file.sync_all()).at(STEP, image.display())
    }
}

/// Moves an image out of the state folder once its file system is unmounted and fully written. `device`: the loop
/// device, if it got one.
pub fn move_out(device: Option<&str>, dir: &Path, to: &Path) -> Outcome<()> {
    // The path as the kernel names it.
    let (image, until) = (image_in(&dir.canonicalize().at(STEP, dir.display())?), Instant::now() + DETACH_PATIENCE);
    let device = device.unwrap_or("/dev/none");
    let backing = PathBuf::from(device.replace("/dev/", "/sys/block/")).join("loop/backing_file");
    // The kernel finishes an unmount at some later time without any signal. This file disappears when the device is
    // free.
    while fs::read_to_string(&backing).is_ok_and(|path| Path::new(path.trim_end()) == image) {
        if Instant::now() > until {
            return Err(Fault::new(Code::LaunchFailed, STEP, format!("{device} is not given back")));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    File::open(&image).and_then(|file| file.sync_all()).at(STEP, image.display())?;
    rename_new(&image, to)?;
    File::open(to.parent().unwrap_or(Path::new("/"))).and_then(|dir| dir.sync_all()).at(STEP, to.display())
}

/// Refuses early a place to which `move_out` or a copy could not write, while the caller can still be told.
pub fn refuse_place(dir: &Path, to: &Path) -> Outcome<()> {
    let refuse = |why: &str| Err(Fault::new(Code::PlanInvalid, STEP, format!("{}: {why}", to.display())));
    if to.symlink_metadata().is_ok() {
        return refuse("is there already");
    }
    let device = |path: &Path| fs::metadata(path).at(STEP, path.display()).map(|found| found.dev());
    match to.parent() {
        Some(parent) if device(parent)? == device(dir)? => Ok(()),
        _ => refuse("is not on the file system of the state folder"),
    }
}

/// Opens a folder to hand it to another process.
pub fn hold(path: &Path) -> Outcome<OwnedFd> {
    let path = std::ffi::CString::new(path.as_os_str().as_encoded_bytes()).at(STEP, "path")?;
    // SAFETY: a NUL-terminated path; the descriptor is ours from here on.
    let fd = unsafe { libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC) };
    if fd < 0 {
        return Err(std::io::Error::last_os_error()).at(STEP, "the mounted disk");
    }
    // SAFETY: just opened, owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
