//! The test program for an engine (host/walls/gvisor/trial.ts): whether it runs a program at all, and which everyday
//! system calls it refuses.

use std::ffi::{OsStr, OsString};
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Stdio};

/// Two commands for the observer: one that gVisor reports, and one whose arguments it cannot send, because they are not
/// UTF-8.
const COMMANDS: [&[u8]; 2] = [b"again", b"\xff"];

pub fn say() {
    let mut arguments = std::env::args_os();
    let program = arguments.next().unwrap_or_default();
    if arguments.nth(1).is_some() {
        return;
    }
    println!("hello from inside");
    if refuses_no_automount() {
        println!("statx refuses AT_NO_AUTOMOUNT");
    }
    COMMANDS.iter().for_each(|word| start(&program, OsStr::from_bytes(word)));
}

/// If this fails, the observer notices the missing command.
fn start(program: &OsString, word: &OsStr) {
    let child =
        Command::new(program).args([OsStr::new("hello"), word]).stdin(Stdio::null()).stdout(Stdio::null()).status();
    if let Err(error) = child {
        eprintln!("caisson-agent: hello: {error}");
    }
}

fn refuses_no_automount() -> bool {
    let mut found = MaybeUninit::<libc::statx>::uninit();
    let flags = libc::AT_NO_AUTOMOUNT;
    // SAFETY: the path ends with NUL, and the structure outlives the call.
    let result = unsafe { libc::statx(libc::AT_FDCWD, c"/".as_ptr(), flags, libc::STATX_TYPE, found.as_mut_ptr()) };
    result != 0
}
