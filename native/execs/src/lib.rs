//! Holds every execve back until it is allowed (seccomp_unotify(2)): by the keeper for a container, and for a machine,
//! which has its own kernel, by the agent inside. The arguments are read from the caller's memory, and another of its
//! threads may change them afterwards. So a record shows what was requested, and no wall depends on it.

pub mod filter;
mod memory;
mod told;

use std::io::{Error, Result};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use caisson_audit::is_secret;
use libc::sock_filter;

use memory::Memory;
pub use told::{MOST_TOLD_BYTES, is_told};

const NOTIF_RECV: libc::c_ulong = 0xC050_2100;
const NOTIF_SEND: libc::c_ulong = 0xC018_2101;
const NOTIF_ID_VALID: libc::c_ulong = 0x4008_2102;
const FLAG_CONTINUE: u32 = 1;
// linux/seccomp.h, since 5.19
const WAIT_KILLABLE: libc::c_ulong = 1 << 5;

const MAX_PATH: usize = 4096;
const MAX_ARGS: usize = 256;
const MAX_ARGS_BYTES: usize = 8192;
const MAX_VARIABLES: usize = 512;
const MAX_VARIABLES_BYTES: usize = 65_536;
const MAX_SECRETS_BYTES: usize = 32_768;

/// A process that waits for its execve.
pub struct Asked {
    /// Identifies this wait, unique for this listener.
    pub id: u64,
    /// In the listener's numbering.
    pub pid: u32,
    call: libc::seccomp_data,
}

/// A program about to be executed. `secrets`: values of variables whose names mark them as secret; `truncated`: there
/// were more arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exec {
    pub id: u64,
    pub pid: u32,
    pub path: Vec<u8>,
    pub argv: Vec<Vec<u8>>,
    pub truncated: bool,
    pub secrets: Vec<Vec<u8>>,
}

/// Installs the filter for this thread and whatever it starts. `killable`: once the listener has received a request,
/// signals no longer interrupt the wait, where the kernel supports that. Otherwise the same execve would be reported
/// again.
pub fn listen(filter: &[sock_filter], killable: bool) -> Result<OwnedFd> {
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
    let install = |flags: libc::c_ulong| {
        // SAFETY: the program outlives the call.
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program) }
    };
    let plain = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    let mut listener = install(if killable { plain | WAIT_KILLABLE } else { plain });
    if killable && listener < 0 && Error::last_os_error().raw_os_error() == Some(libc::EINVAL) {
        listener = install(plain);
    }
    if listener < 0 {
        return Err(Error::last_os_error());
    }
    // SAFETY: a new descriptor of ours.
    Ok(unsafe { OwnedFd::from_raw_fd(listener as i32) })
}

/// The next waiting process. None: it has died meanwhile, but others may come. An error: nobody can ask through this
/// descriptor any more.
pub fn next(listener: &OwnedFd) -> Result<Option<Asked>> {
    // SAFETY: all-zero is valid, and demanded by the kernel.
    let mut asked: libc::seccomp_notif = unsafe { std::mem::zeroed() };
    // SAFETY: the structure has the size that the number says.
    while unsafe { libc::ioctl(listener.as_raw_fd(), NOTIF_RECV, &raw mut asked) } != 0 {
        let error = Error::last_os_error();
        match error.raw_os_error() {
            // EINTR also occurs when this process is merely stopped (signal(7)); the asking process still waits.
            Some(libc::EINTR) => {}
            Some(libc::ENOENT | libc::EAGAIN) => return Ok(None),
            _ => return Err(error),
        }
    }
    Ok(Some(Asked { id: asked.id, pid: asked.pid, call: asked.data }))
}

/// An error: the asking process has died, and its number may belong to another one.
pub fn read(asked: &Asked, listener: &OwnedFd) -> Result<Exec> {
    let mut memory = Memory::of(asked.pid as libc::pid_t);
    let offset = usize::from(i64::from(asked.call.nr) == libc::SYS_execveat);
    let path = memory.string(asked.call.args[offset], MAX_PATH);
    let (argv, truncated) = memory.strings(asked.call.args[offset + 1], MAX_ARGS, MAX_ARGS_BYTES);
    let (variables, _) = memory.strings(asked.call.args[offset + 2], MAX_VARIABLES, MAX_VARIABLES_BYTES);
    // If the request is no longer valid, the memory may have been another process's.
    // SAFETY: reads one u64.
    if unsafe { libc::ioctl(listener.as_raw_fd(), NOTIF_ID_VALID, &raw const asked.id) } != 0 {
        return Err(std::io::ErrorKind::NotFound.into());
    }
    Ok(Exec { id: asked.id, pid: asked.pid, path, argv, truncated, secrets: secrets(&variables) })
}

/// Continues the execve, or refuses it with EPERM.
pub fn answer(listener: &OwnedFd, id: u64, allowed: bool) {
    #[repr(C)]
    struct Answer {
        id: u64,
        value: i64,
        error: i32,
        flags: u32,
    }
    let (error, flags) = if allowed { (0, FLAG_CONTINUE) } else { (-libc::EPERM, 0) };
    let answer = Answer { id, value: 0, error, flags };
    // SAFETY: the structure has the size that the number says. ENOENT: the asking process died meanwhile.
    unsafe { libc::ioctl(listener.as_raw_fd(), NOTIF_SEND, &raw const answer) };
}

/// The values of the variables (`NAME=value`) whose names mark them as secret, as many as fit into one message.
pub fn secrets(variables: &[impl AsRef<[u8]>]) -> Vec<Vec<u8>> {
    let mut left = MAX_SECRETS_BYTES;
    let value_of = |one: &_| {
        let (name, value) = std::str::from_utf8(AsRef::<[u8]>::as_ref(one)).ok()?.split_once('=')?;
        if !is_secret(name) {
            return None;
        }
        left = left.checked_sub(value.len() + 1)?;
        Some(value.as_bytes().to_vec())
    };
    variables.iter().filter_map(value_of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_variables_the_values_of_those_are_kept_whose_names_say_secret() {
        let given = ["PATH=/bin", "API_TOKEN=abcdefgh", "EMPTY", "DB_PASSWORD=a=b"].map(|one| one.as_bytes().to_vec());
        assert_eq!(secrets(&given), [b"abcdefgh".to_vec(), b"a=b".to_vec()]);
    }

    #[test]
    fn no_more_of_them_than_a_message_holds() {
        let one = [b"A_TOKEN=".to_vec(), vec![b'x'; 20_000]].concat();
        assert_eq!(secrets(&vec![one; 5]).len(), 1);
    }

    /// Tests itself: a child asks, and this process answers.
    #[test]
    fn who_asks_is_heard_and_goes_on_or_is_refused() {
        use std::os::unix::process::CommandExt;
        use std::process::Command;
        for allowed in [true, false] {
            let (mine, theirs) = std::os::unix::net::UnixStream::pair().expect("a pair");
            let mut command = Command::new("/bin/true");
            command.arg("one");
            // SAFETY: only system calls between fork and exec.
            unsafe {
                command.pre_exec(move || {
                    libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
                    let listener = listen(&filter::execs(), true)?;
                    hand_over(theirs.as_raw_fd(), listener.as_raw_fd());
                    Ok(())
                });
            }
            let waiting = std::thread::spawn(move || command.status());
            let listener = taken(mine.as_raw_fd());
            let asked = next(&listener).expect("somebody").expect("alive");
            let exec = read(&asked, &listener).expect("alive");
            assert_eq!((exec.path.as_slice(), exec.argv.len(), exec.truncated), (&b"/bin/true"[..], 2, false));
            answer(&listener, asked.id, allowed);
            let ended = waiting.join().expect("a thread");
            assert_eq!(ended.map(|status| status.success()).unwrap_or(false), allowed);
        }
    }

    const SPACE: usize = 64;

    fn message(part: &mut libc::iovec, control: &mut [u64; SPACE / 8]) -> libc::msghdr {
        // SAFETY: all-zero is a valid msghdr.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        (message.msg_iov, message.msg_iovlen) = (part, 1);
        (message.msg_control, message.msg_controllen) = (control.as_mut_ptr().cast(), SPACE as _);
        message
    }

    fn hand_over(socket: i32, fd: i32) {
        let (mut byte, mut control) = ([0u8], [0u64; SPACE / 8]);
        let mut part = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
        let mut message = message(&mut part, &mut control);
        // SAFETY: the control buffer is ours and large enough for one descriptor.
        unsafe {
            message.msg_controllen = libc::CMSG_SPACE(4) as _;
            let header = libc::CMSG_FIRSTHDR(&raw const message);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = libc::CMSG_LEN(4) as _;
            libc::CMSG_DATA(header).cast::<i32>().write_unaligned(fd);
            assert_eq!(libc::sendmsg(socket, &raw const message, 0), 1);
        }
    }

    fn taken(socket: i32) -> OwnedFd {
        let (mut byte, mut control) = ([0u8], [0u64; SPACE / 8]);
        let mut part = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
        let mut message = message(&mut part, &mut control);
        // SAFETY: as above; the descriptor is new and ours.
        unsafe {
            assert_eq!(libc::recvmsg(socket, &raw mut message, libc::MSG_CMSG_CLOEXEC), 1);
            OwnedFd::from_raw_fd(
                libc::CMSG_DATA(libc::CMSG_FIRSTHDR(&raw const message)).cast::<i32>().read_unaligned(),
            )
        }
    }
}
