//! The sandbox's own disk, bounded in bytes and inodes by the file system itself.
//!
//! As root: a sparse copy of a formatted image on a loop device. The copy is unlinked at once and the device frees itself when the last mount is
//! gone, so that even a keeper killed without warning leaves nothing. Without root: tmpfs, which the memory limit counts.

use std::fs::{File, OpenOptions};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::mount::{MsFlags, mount};

use crate::fault::{At, Code, Fault, Outcome};
use crate::plan::Disk;

const STEP: &str = "disk";

// linux/loop.h
const LOOP_CTL_GET_FREE: libc::c_ulong = 0x4C82;
const LOOP_CONFIGURE: libc::c_ulong = 0x4C0A;
const LO_FLAGS_AUTOCLEAR: u32 = 4;
// fs/ext4: _IOR('X', 125, __u32); the flag drops what was not written yet.
const EXT4_IOC_SHUTDOWN: libc::c_ulong = 0x8004_587D;
const SHUTDOWN_WITHOUT_FLUSH: u32 = 2;

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

/// A disk before it is mounted; made outside of every namespace.
pub enum Prepared {
    Loop { device: String, _open: OwnedFd },
    Tmpfs { bytes: u64, inodes: u64 },
}

pub fn prepare(disk: &Disk, dir: &Path) -> Outcome<Prepared> {
    match disk {
        Disk::Tmpfs { bytes, inodes } => Ok(Prepared::Tmpfs { bytes: *bytes, inodes: *inodes }),
        Disk::Image { image, bytes, .. } => {
            let copy = dir.join("disk.img");
            let file = sparse_copy(Path::new(image), &copy, *bytes)?;
            std::fs::remove_file(&copy).at(STEP, copy.display())?;
            attach(&file)
        }
    }
}

fn sparse_copy(from: &Path, to: &Path, bytes: u64) -> Outcome<File> {
    let source = File::open(from).at(STEP, from.display())?;
    let length = source.metadata().at(STEP, from.display())?.len();
    if length != bytes {
        return Err(Fault::new(
            Code::LaunchFailed,
            STEP,
            format!("{} has {length} bytes, not {bytes}", from.display()),
        ));
    }
    let mut options = OpenOptions::new();
    let target = options.read(true).write(true).create_new(true).mode(0o600).open(to).at(STEP, to.display())?;
    target.set_len(length).at(STEP, to.display())?;
    let mut offset: libc::off_t = 0;
    let mut buffer = vec![0u8; 64 * 1024];
    loop {
        // SAFETY: lseek on descriptors we own.
        let data = unsafe { libc::lseek(source.as_raw_fd(), offset, libc::SEEK_DATA) };
        if data < 0 {
            return Ok(target); // ENXIO: no data after offset
        }
        // SAFETY: as above.
        let hole = unsafe { libc::lseek(source.as_raw_fd(), data, libc::SEEK_HOLE) };
        offset = data;
        while offset < hole {
            use std::os::unix::fs::FileExt;
            let length = buffer.len().min((hole - offset) as usize);
            source.read_exact_at(&mut buffer[..length], offset as u64).at(STEP, from.display())?;
            target.write_all_at(&buffer[..length], offset as u64).at(STEP, to.display())?;
            offset += length as libc::off_t;
        }
    }
}

fn attach(file: &File) -> Outcome<Prepared> {
    let control = File::options().read(true).write(true).open("/dev/loop-control");
    let control = control.coded(Code::WallUnavailable, STEP, "/dev/loop-control")?;
    // Another process may take the free number first: then ask again.
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
            return Ok(Prepared::Loop { device, _open: open.into() });
        }
        let error = std::io::Error::last_os_error();
        if error.raw_os_error() != Some(libc::EBUSY) {
            return Err(error).at(STEP, &device);
        }
    }
    Err(Fault::new(Code::LaunchFailed, STEP, "other processes took every free loop device"))
}

impl Prepared {
    /// Mounts it in the caller's mount namespace.
    pub fn mount(&self, target: &Path) -> Outcome<()> {
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        match self {
            Prepared::Loop { device, .. } => {
                mount(Some(device.as_str()), target, Some("ext4"), flags | MsFlags::MS_NOATIME, None::<&str>)
                    .at(STEP, device)
            }
            Prepared::Tmpfs { bytes, inodes } => {
                let options = format!("size={bytes},nr_inodes={inodes},mode=755");
                mount(Some("caisson"), target, Some("tmpfs"), flags, Some(options.as_str())).at(STEP, "tmpfs")
            }
        }
    }
}

/// A hold on the mounted disk from outside.
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

    /// Gives up what is not written yet: nobody will read it, and writing a gigabyte back would hold up the end. Best effort by nature: on
    /// tmpfs there is nothing to give up.
    pub fn discard(self) {
        let how = SHUTDOWN_WITHOUT_FLUSH;
        // SAFETY: the argument outlives the call; other file systems answer ENOTTY.
        unsafe { libc::ioctl(self.0.as_raw_fd(), EXT4_IOC_SHUTDOWN, &raw const how) };
    }
}

/// Opens a folder so that it can be handed to another process.
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
