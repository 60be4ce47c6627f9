//! A root that the sandbox's own root user can write to. One overlay holds all of it. The machine's /usr is at the
//! bottom. The template's ground is above it: what hides parts of /usr, and the rest of the root, below `.caisson`. On
//! top is a folder of the sandbox's own disk, so that the disk limit applies and changes are kept with the disk. Both
//! lower layers are idmapped: files of the host's root appear as files of the sandbox's root.
//!
//! The overlay's own marks are `trusted.` attributes, which nobody inside can read or write. No mark that refers to
//! another place is followed (`redirect_dir`, `metacopy`, `index`): lower layers may have changed while a disk was kept
//! (kernel: Documentation/filesystems/overlayfs.rst).

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use nix::mount::{MsFlags, mount};

use crate::fault::{At, Code, Fault, Outcome};
use crate::plan::SmallFile;
use crate::root::Stage;
use crate::tree::{NODEV, NOSUID, RDONLY, Tree};

const STEP: &str = "overlay";
/// Where the rest of the root is in the overlay (templates/ground.py).
const REST: &str = ".caisson";
const OPTIONS: &str = "lowerdir=ground:usr,upperdir=disk/over/upper,workdir=disk/over/work,\
    redirect_dir=nofollow,metacopy=off,index=off,nfs_export=off,xino=off";
/// Reserve inodes that nobody inside can use up. A mount needs some for a moment; without them nobody could enter a
/// full sandbox to make room.
const SPARE: usize = 8;
const MAX_MERGED: u64 = 64 * 1024;
const HINT: &str = "It takes Linux 5.19, and a /usr on ext4, xfs, btrfs or the like; a profile with \"root\": \"read-only\" does without.";

pub fn raise(stage: &Stage<'_>, ground: &str, usr: &str) -> Outcome<()> {
    let unmapped = || Fault::new(Code::WallUnavailable, STEP, "it takes root on the host, and a disk of its own");
    let map = stage.stored.ok_or_else(unmapped)?;
    let spare = stage.disk.join("over/spare");
    // Absent, or incomplete if there was no room.
    let _ = fs::remove_dir_all(&spare);
    own_layer(&stage.disk, &stage.plan.files)?;
    // Names in the mount options can be read inside, so they reveal nothing of the host.
    let layers = stage.disk.with_file_name("layers");
    folder(&layers)?;
    nix::unistd::chdir(&layers).at(STEP, layers.display())?;
    for (name, source, flags) in [
        ("ground", Path::new(ground), RDONLY | NOSUID | NODEV),
        ("usr", Path::new(usr), RDONLY | NOSUID | NODEV),
        ("disk", &stage.disk, NOSUID | NODEV),
    ] {
        let (place, tree) = (Path::new(name), Tree::open(source).at(STEP, source.display())?);
        let other = format!("{}: its file system cannot show other owners", source.display());
        map.apply(&tree).coded(Code::WallUnavailable, STEP, other).map_err(|fault| fault.hint(HINT))?;
        folder(place)?;
        tree.set(flags).and_then(|()| tree.attach(place)).at(STEP, source.display())?;
    }
    let all = Path::new("all");
    folder(all)?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOATIME;
    // The kernel accesses the layers with the ids and rights of whoever mounts.
    with_ids(stage.owners.root, || {
        mount(Some("caisson"), all, Some("overlay"), flags, Some(OPTIONS)).map_err(Into::into)
    })
    .coded(Code::WallUnavailable, STEP, "mount")
    .map_err(|fault| fault.hint(HINT))?;
    keep_spare(&spare);
    let at_usr = stage.root.join("usr");
    for (part, place) in [(&all.join(REST), &stage.root), (&all.to_path_buf(), &at_usr)] {
        let tree = Tree::open(part).at(STEP, part.display())?;
        tree.attach(place).at(STEP, place.display())?;
    }
    // This part is already visible under its own names.
    let (again, options) = (at_usr.join(REST), Some("size=4k,nr_inodes=1,mode=555"));
    mount(Some("caisson"), &again, Some("tmpfs"), flags | MsFlags::MS_RDONLY, options).at(STEP, again.display())
}

/// The top layer, as on the disk, where ids are the sandbox's own. Nobody uses it yet, but on a kept disk somebody may
/// have replaced folders by links.
fn own_layer(disk: &Path, files: &[SmallFile]) -> Outcome<()> {
    let over = disk.join("over");
    let rest = over.join("upper").join(REST);
    let etc = rest.join("etc");
    let kept = fs::symlink_metadata(&over).is_ok();
    if !kept {
        for path in [&over, &over.join("upper"), &over.join("work"), &rest, &etc] {
            folder(path)?;
        }
    }
    // Removed, or replaced by a link: recreate it, so that the template's files show through.
    if !fs::symlink_metadata(&etc).is_ok_and(|found| found.is_dir()) {
        give_way(&etc).at(STEP, "/etc")?;
        folder(&etc)?;
    }
    for file in files {
        let path = etc.join(Path::new(&file.path).file_name().unwrap_or_default());
        match write_own(&path, file) {
            // Mount without these files, so that somebody can enter and make room.
            Err(error) if kept && error.kind() == ErrorKind::StorageFull => give_way(&path).at(STEP, &file.path)?,
            written => written.at(STEP, &file.path)?,
        }
    }
    Ok(())
}

/// Creates as many as there is room for.
fn keep_spare(place: &Path) {
    if fs::create_dir(place).is_ok() {
        let _ = (0..SPARE).try_for_each(|number| File::create_new(place.join(number.to_string())).map(drop));
    }
}

/// Moves away what somebody inside has put in our place. A folder is renamed, and keeps its contents.
fn give_way(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(found) if !found.is_dir() => fs::remove_file(path),
        Ok(_) => {
            let aside = (1..).map(|number| path.with_added_extension(format!("before-{number}")));
            let mut free = aside.filter(|path| fs::symlink_metadata(path).is_err());
            free.next().map_or(Ok(()), |free| fs::rename(path, free))
        }
    }
}

fn write_own(path: &Path, file: &SmallFile) -> io::Result<()> {
    let theirs = match &file.mark {
        Some(mark) => lines_without(path, mark)?,
        None => String::new(),
    };
    give_way(path)?;
    let mut open = OpenOptions::new().write(true).create_new(true).mode(file.mode).open(path)?;
    open.write_all(file.content.as_bytes())?;
    open.write_all(theirs.as_bytes())
}

/// Reads a small file that somebody inside may have made. Links are not followed, and of a long file nothing is kept.
fn lines_without(path: &Path, mark: &str) -> io::Result<String> {
    let open = match OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path) {
        Ok(open) if open.metadata()?.is_file() => open,
        _ => return Ok(String::new()),
    };
    Ok(without(open, mark).unwrap_or_default())
}

fn without(file: File, mark: &str) -> Option<String> {
    let mut text = String::new();
    let length = file.take(MAX_MERGED + 1).read_to_string(&mut text).ok()?;
    let theirs = text.lines().filter(|line| !line.ends_with(mark)).map(|line| format!("{line}\n")).collect();
    (length as u64 <= MAX_MERGED).then_some(theirs)
}

fn folder(path: &Path) -> Outcome<()> {
    DirBuilder::new().mode(0o755).create(path).at(STEP, path.display())
}

/// Does something in the overlay as the sandbox's root, but with all rights of this process: its own ids could not be
/// stored there.
pub fn with_ids<T>((uid, gid): (u32, u32), work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    secure_bits(libc::SECBIT_NO_SETUID_FIXUP)?;
    // SAFETY: plain calls on our own thread, the only one; they cannot fail for the host's root.
    unsafe {
        libc::setfsgid(gid);
        libc::setfsuid(uid);
    }
    let done = work();
    // SAFETY: as above.
    unsafe {
        libc::setfsuid(0);
        libc::setfsgid(0);
    }
    secure_bits(0)?;
    done
}

/// With NO_SETUID_FIXUP, capabilities over files survive a change of fsuid (capabilities(7)).
pub fn secure_bits(bits: libc::c_int) -> io::Result<()> {
    // SAFETY: no pointers.
    if unsafe { libc::prctl(libc::PR_SET_SECUREBITS, bits) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::without;
    use std::fs::{self, File};

    #[test]
    fn of_a_kept_file_the_lines_that_are_not_ours_stay() {
        let path = std::env::temp_dir().join(format!("caisson-marked-{}", std::process::id()));
        fs::write(&path, "127.0.0.1 localhost old # mine\n10.0.0.1 db\n\n::1 localhost # mine").unwrap();
        assert_eq!(without(File::open(&path).unwrap(), "# mine"), Some("10.0.0.1 db\n\n".into()));
        fs::write(&path, vec![b'x'; 70_000]).unwrap();
        assert_eq!(without(File::open(&path).unwrap(), "# mine"), None);
        fs::remove_file(path).unwrap();
    }
}
