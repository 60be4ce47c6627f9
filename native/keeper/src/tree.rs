//! Mounts by descriptor: a detached copy is made, gets its flags, and only then is attached, so that it is never
//! visible without them. open_tree(2), mount_setattr(2), move_mount(2), fsopen(2).

use std::ffi::{CStr, CString};
use std::fs::{File, Metadata};
use std::io::{Error, Result};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

pub const RDONLY: u64 = libc::MOUNT_ATTR_RDONLY;
pub const NOSUID: u64 = libc::MOUNT_ATTR_NOSUID;
pub const NODEV: u64 = libc::MOUNT_ATTR_NODEV;
pub const NOEXEC: u64 = libc::MOUNT_ATTR_NOEXEC;
pub const NOATIME: u64 = libc::MOUNT_ATTR_NOATIME;

// linux/mount.h
const FSCONFIG_SET_FLAG: libc::c_uint = 0;
const FSCONFIG_SET_STRING: libc::c_uint = 1;
const FSCONFIG_CMD_CREATE: libc::c_uint = 6;
const CLOEXEC: libc::c_uint = 1;

pub struct Tree(OwnedFd);

impl Tree {
    /// A detached copy of the mounts at and below `path`. The last component may be a link, because the operator named
    /// it.
    pub fn open(path: &Path) -> Result<Tree> {
        let (path, flags) = (c(path)?, libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC | libc::AT_RECURSIVE as u32);
        // SAFETY: a NUL-terminated path; the result is checked.
        owned(unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), flags) }).map(Tree)
    }

    /// A new file system; each option has a value or none.
    pub fn of(kind: &str, options: &[(&str, Option<&str>)], flags: u64) -> Result<Tree> {
        let kind = CString::new(kind)?;
        // SAFETY: a NUL-terminated name; the result is checked.
        let context = owned(unsafe { libc::syscall(libc::SYS_fsopen, kind.as_ptr(), CLOEXEC) })?;
        for (name, value) in options {
            let (name, value) = (CString::new(*name)?, value.map(CString::new).transpose()?);
            let command = if value.is_some() { FSCONFIG_SET_STRING } else { FSCONFIG_SET_FLAG };
            configure(&context, command, name.as_ptr(), value.as_ref().map_or(std::ptr::null(), |text| text.as_ptr()))?;
        }
        configure(&context, FSCONFIG_CMD_CREATE, std::ptr::null(), std::ptr::null())?;
        // SAFETY: a descriptor we hold; the result is checked.
        owned(unsafe { libc::syscall(libc::SYS_fsmount, context.as_raw_fd(), CLOEXEC, flags) }).map(Tree)
    }

    /// A copy of the mounts at and below a place that is held open.
    pub fn at(place: &OwnedFd) -> Result<Tree> {
        let flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC | (libc::AT_RECURSIVE | libc::AT_EMPTY_PATH) as u32;
        // SAFETY: a descriptor we hold and an empty path; the result is checked.
        owned(unsafe { libc::syscall(libc::SYS_open_tree, place.as_raw_fd(), c"".as_ptr(), flags) }).map(Tree)
    }

    /// Opens a path below the top of an attached tree, including mounts added later. No part of the path may be a link.
    pub fn below(&self, path: &str) -> Result<OwnedFd> {
        // SAFETY: all-zero is a valid open_how.
        let mut how: libc::open_how = unsafe { std::mem::zeroed() };
        how.flags = (libc::O_PATH | libc::O_CLOEXEC | libc::O_NOFOLLOW) as u64;
        how.resolve = libc::RESOLVE_BENEATH | libc::RESOLVE_NO_SYMLINKS | libc::RESOLVE_NO_MAGICLINKS;
        let (path, size) = (c(Path::new(path))?, size_of::<libc::open_how>());
        // SAFETY: a NUL-terminated path and a structure that outlives the call and has the given size.
        owned(unsafe { libc::syscall(libc::SYS_openat2, self.0.as_raw_fd(), path.as_ptr(), &how, size) })
    }

    /// Attaches it on top of what is held, whatever its path refers to by now.
    pub fn cover(&self, place: &OwnedFd) -> Result<()> {
        const BOTH_EMPTY: u32 = 0x04 | 0x40;
        let (tree, place) = (self.0.as_raw_fd(), place.as_raw_fd());
        // SAFETY: descriptors we hold and empty paths.
        let result =
            unsafe { libc::syscall(libc::SYS_move_mount, tree, c"".as_ptr(), place, c"".as_ptr(), BOTH_EMPTY) };
        if result == 0 { Ok(()) } else { Err(Error::last_os_error()) }
    }

    /// The metadata of its top, whatever its path refers to by now.
    pub fn metadata(&self) -> Result<Metadata> {
        metadata(&self.0)
    }

    /// Adds flags to every mount of the tree.
    pub fn set(&self, flags: u64) -> Result<()> {
        set_attributes(self.0.as_raw_fd(), c"", &attributes(flags, None), libc::AT_RECURSIVE)
    }

    /// Applies an id mapping (see idmap.rs).
    pub fn map_ids(&self, user_namespace: &impl AsRawFd) -> Result<()> {
        let wanted = attributes(libc::MOUNT_ATTR_IDMAP, Some(user_namespace.as_raw_fd()));
        set_attributes(self.0.as_raw_fd(), c"", &wanted, 0)
    }

    pub fn attach(&self, target: &Path) -> Result<()> {
        const FROM_EMPTY_PATH: u32 = 4;
        let (target, tree) = (c(target)?, self.0.as_raw_fd());
        // SAFETY: NUL-terminated paths and a descriptor we hold.
        let result = unsafe {
            libc::syscall(libc::SYS_move_mount, tree, c"".as_ptr(), libc::AT_FDCWD, target.as_ptr(), FROM_EMPTY_PATH)
        };
        if result == 0 { Ok(()) } else { Err(Error::last_os_error()) }
    }

    /// Makes the top of the attached tree the working directory.
    pub fn enter(&self) -> Result<()> {
        // SAFETY: a descriptor we hold.
        if unsafe { libc::fchdir(self.0.as_raw_fd()) } == 0 { Ok(()) } else { Err(Error::last_os_error()) }
    }
}

impl From<OwnedFd> for Tree {
    fn from(tree: OwnedFd) -> Tree {
        Tree(tree)
    }
}

impl From<Tree> for OwnedFd {
    fn from(tree: Tree) -> OwnedFd {
        tree.0
    }
}

fn owned(result: libc::c_long) -> Result<OwnedFd> {
    if result < 0 {
        return Err(Error::last_os_error());
    }
    // SAFETY: just opened, owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(result as i32) })
}

fn configure(
    context: &OwnedFd,
    command: libc::c_uint,
    name: *const libc::c_char,
    value: *const libc::c_char,
) -> Result<()> {
    // SAFETY: a descriptor we hold, and texts that are NUL-terminated or absent.
    let result = unsafe { libc::syscall(libc::SYS_fsconfig, context.as_raw_fd(), command, name, value, 0) };
    if result == 0 { Ok(()) } else { Err(Error::last_os_error()) }
}

/// The metadata of what is held.
pub fn metadata(held: &OwnedFd) -> Result<Metadata> {
    File::from(held.try_clone()?).metadata()
}

/// `device:inode`.
pub fn inode(found: &Metadata) -> String {
    format!("{}:{}", found.dev(), found.ino())
}

/// Adds flags to the one mount at `path`.
pub fn set(path: &Path, flags: u64) -> Result<()> {
    set_attributes(libc::AT_FDCWD, &c(path)?, &attributes(flags, None), 0)
}

fn attributes(set: u64, user_namespace: Option<i32>) -> libc::mount_attr {
    // SAFETY: all-zero is a valid mount_attr.
    let mut wanted: libc::mount_attr = unsafe { std::mem::zeroed() };
    wanted.attr_set = set;
    wanted.userns_fd = user_namespace.unwrap_or(0) as u64;
    wanted
}

fn set_attributes(dir: i32, path: &CStr, wanted: &libc::mount_attr, recursive: i32) -> Result<()> {
    let (flags, size) = (libc::AT_EMPTY_PATH | recursive, size_of::<libc::mount_attr>());
    // SAFETY: the structure outlives the call and has the given size.
    let result = unsafe { libc::syscall(libc::SYS_mount_setattr, dir, path.as_ptr(), flags, wanted as *const _, size) };
    if result == 0 { Ok(()) } else { Err(Error::last_os_error()) }
}

fn c(path: &Path) -> Result<CString> {
    CString::new(path.as_os_str().as_encoded_bytes()).map_err(Error::other)
}
