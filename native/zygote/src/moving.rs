//! Moves a spare fork (spare.rs) into the sandbox's cgroups and pid namespace without copying its memory.
//!
//! The spare itself is the first of the three processes (dance.rs), on another stack. The third shares this memory and
//! takes over the stack that the first left. A moment later, when the other two have exited, it has both to itself.

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::ptr::{null_mut, read_volatile, write_volatile};

use libc::{c_int, c_void};

use crate::dance::{Dance, STACK, STEP_CLONE, Stacks, errno, outer};
use crate::message::send;
use crate::request::{Answer, bytes_of};

/// What the C library tells the kernel about a thread. The process that goes on is a different thread to the kernel.
#[derive(Clone, Copy)]
pub struct Thread {
    id: *mut c_int,
    robust_list: *mut c_void,
    robust_length: usize,
}

impl Thread {
    /// The calling thread. None where the kernel lacks PR_GET_TID_ADDRESS (prctl(2)), which is a build option.
    pub fn of_this() -> Option<Thread> {
        let mut thread = Thread { id: null_mut(), robust_list: null_mut(), robust_length: 0 };
        // SAFETY: the kernel writes to three places that are ours.
        let known = unsafe {
            let length = &raw mut thread.robust_length;
            libc::prctl(libc::PR_GET_TID_ADDRESS, &raw mut thread.id, 0, 0, 0) == 0
                && libc::syscall(libc::SYS_get_robust_list, 0, &raw mut thread.robust_list, length) == 0
        };
        (known && !thread.id.is_null()).then_some(thread)
    }
}

/// Lives on the heap, because its creator's stack is used by another process later.
#[repr(C)]
struct Move {
    dance: Dance,
    stack: *mut c_void,
    thread: Thread,
    /// Refers to the third process; it is handed to the zygote.
    pidfd: RawFd,
    outside: RawFd,
}

/// Returns in the third process only. Reports the result on `outside`, with a pidfd of the process that went on.
#[inline(never)]
pub fn move_into(fds: &[OwnedFd], thread: Thread, outside: BorrowedFd<'_>) {
    let Some(stacks) = Stacks::map() else { end(outside, Answer { errno: errno(), step: STEP_CLONE }, &[]) };
    // The second process opens the third's pidfd for the first, so they share one descriptor table.
    let dance = Dance::new(fds, &stacks, share, libc::CLONE_FILES);
    let stack = stacks.top_of(2);
    let moved = Box::leak(Box::new(Move { dance, stack, thread, pidfd: -1, outside: outside.as_raw_fd() }));
    let first_stack = stacks.top_of(0);
    // The helpers may still run on these stacks after the third process has returned from here.
    std::mem::forget(stacks);
    let moved: *mut Move = moved;
    // SAFETY: getcontext returns a second time, in the third process, on this very frame; this process has left the
    // frame for another stack, and never returns to it. `in_child` is read volatile for that reason.
    unsafe {
        libc::getcontext(&raw mut (*moved).dance.back);
        if read_volatile(&raw const (*moved).dance.in_child) {
            libc::syscall(libc::SYS_set_robust_list, thread.robust_list, thread.robust_length);
            return;
        }
        let mut away: libc::ucontext_t = std::mem::zeroed();
        libc::getcontext(&raw mut away);
        away.uc_stack.ss_sp = first_stack.byte_sub(STACK);
        away.uc_stack.ss_size = STACK;
        away.uc_link = null_mut();
        let leave: extern "C" fn(*mut Move) -> ! = leave;
        // A pointer argument is passed unchanged where registers have its size (makecontext(3), notes).
        let leave = std::mem::transmute::<extern "C" fn(*mut Move) -> !, extern "C" fn()>(leave);
        libc::makecontext(&raw mut away, leave, 1, moved);
        libc::setcontext(&raw const away);
        libc::_exit(127)
    }
}

/// The remaining steps of the process that was called, up to its exit.
extern "C" fn leave(moved: *mut Move) -> ! {
    // SAFETY: `moved` is never freed, and the third process does not write what is read here.
    unsafe {
        // Otherwise its exit would clear the word that holds the third's thread id (CLONE_CHILD_CLEARTID, clone(2)).
        libc::syscall(libc::SYS_set_tid_address, null_mut::<c_int>());
        outer(moved.cast());
        let answer = Answer { errno: (*moved).dance.errno, step: read_volatile(&raw const (*moved).dance.failed_step) };
        let pidfd = read_volatile(&raw const (*moved).pidfd);
        let outside = BorrowedFd::borrow_raw((*moved).outside);
        end(outside, answer, if answer.step == 0 { std::slice::from_ref(&pidfd) } else { &[] })
    }
}

fn end(outside: BorrowedFd<'_>, answer: Answer, pidfd: &[RawFd]) -> ! {
    // Fails if the zygote has ended, which must not end the processes that it forked.
    let _ = send(outside, bytes_of(&[answer]), pidfd);
    // SAFETY: ends this process without running the interpreter's exit handlers.
    unsafe { libc::_exit(0) }
}

/// Makes the third process.
///
/// # Safety
/// `dance` is the beginning of a `Move`.
unsafe fn share(dance: *mut Dance) -> libc::pid_t {
    let moved: *mut Move = dance.cast();
    let flags = libc::CLONE_VM | libc::CLONE_PIDFD | libc::CLONE_CHILD_SETTID | libc::CLONE_CHILD_CLEARTID;
    // SAFETY: the stack is unused, and the kernel writes only to places that are ours.
    unsafe {
        let Move { stack, thread, .. } = *moved;
        let pidfd = &raw mut (*moved).pidfd;
        libc::clone(third, stack, flags | libc::SIGCHLD, moved.cast(), pidfd, null_mut::<c_void>(), thread.id)
    }
}

extern "C" fn third(argument: *mut c_void) -> c_int {
    let moved: *mut Move = argument.cast();
    // SAFETY: the only user of the frame that `back` refers to has left it.
    unsafe {
        write_volatile(&raw mut (*moved).dance.in_child, true);
        libc::setcontext(&raw const (*moved).dance.back);
        libc::_exit(127)
    }
}
