//! The fork ("dance"): into the sandbox's cgroups and pid namespace, as a child of the sandbox's PID 1, copying the
//! page tables only once.
//!
//! Copying the warm interpreter's page tables is the main cost of a fork, so it must happen once. Three processes are
//! needed all the same. The first joins the cgroups and sets the pid namespace for its children (it stays outside
//! itself). The second is inside that namespace, so that its orphan falls to the PID 1 there. The third is that orphan.
//! The first two share this process's memory (CLONE_VM | CLONE_VFORK) and cost nothing; each has its own stack, and its
//! parent sleeps until it has exited. The third is made by the C library's fork, and jumps back into the call of
//! `fork_into` on its own copy of this stack (getcontext(3), setcontext(3)). A spare, which has its own page tables
//! already, takes the same steps (moving.rs).

use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::{null_mut, read_volatile, write_volatile};

use libc::c_void;

use crate::request::{FD_PID, FIXED_FDS};

pub enum Forked {
    /// In the new process, which is in the pid namespace and cgroups, but in no other namespace yet.
    Child,
    Parent,
    Failed {
        step: u32,
        errno: i32,
    },
}

pub const STACK: usize = 256 * 1024;
const STEP_CGROUP: u32 = 1;
const STEP_PID: u32 = 2;
pub const STEP_CLONE: u32 = 3;
pub const STEP_FORK: u32 = 4;

pub type Third = unsafe fn(*mut Dance) -> libc::pid_t;

pub struct Dance {
    pid_namespace: i32,
    doors: *const OwnedFd,
    door_count: usize,
    inner_stack: *mut c_void,
    /// Where the third process resumes; the flag below tells it that it is the third.
    pub back: libc::ucontext_t,
    pub in_child: bool,
    pub failed_step: u32,
    pub errno: i32,
    /// Called by the second process to make the third. Returns its number or -1; does not return in the third.
    third: Third,
    /// Extra clone(2) flags for the second process.
    inner_flags: libc::c_int,
}

impl Dance {
    pub fn new(fds: &[OwnedFd], stacks: &Stacks, third: Third, inner_flags: libc::c_int) -> Dance {
        let doors = &fds[FIXED_FDS..];
        Dance {
            pid_namespace: fds[FD_PID].as_raw_fd(),
            doors: doors.as_ptr(),
            door_count: doors.len(),
            inner_stack: stacks.top_of(1),
            // SAFETY: all-zero is a valid ucontext_t to be filled by getcontext.
            back: unsafe { std::mem::zeroed() },
            in_child: false,
            failed_step: 0,
            errno: 0,
            third,
            inner_flags,
        }
    }
}

#[inline(never)]
pub fn fork_into(fds: &[OwnedFd], third: Third) -> Forked {
    let Some(stacks) = Stacks::map() else { return Forked::Failed { step: STEP_CLONE, errno: errno() } };
    let mut dance = Dance::new(fds, &stacks, third, 0);
    let dance: *mut Dance = &raw mut dance;
    // SAFETY: getcontext returns a second time, in the child only, on the child's copy of this very frame. Nothing
    // between the two returns popped the frame, because this process sleeps in clone(2) until both helpers have exited.
    // `in_child` is read volatile for that reason.
    unsafe {
        libc::getcontext(&raw mut (*dance).back);
        if read_volatile(&raw const (*dance).in_child) {
            return Forked::Child;
        }
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
        let outer = libc::clone(outer, stacks.top_of(0), flags, dance.cast());
        if outer < 0 {
            return Forked::Failed { step: STEP_CLONE, errno: errno() };
        }
        libc::waitpid(outer, null_mut(), 0);
        match read_volatile(&raw const (*dance).failed_step) {
            0 => Forked::Parent,
            step => Forked::Failed { step, errno: read_volatile(&raw const (*dance).errno) },
        }
    }
}

/// The third process gets a copy of all of this memory, including the sleeping caller's stack.
///
/// # Safety
/// Called by `inner` alone.
pub unsafe fn copy(dance: *mut Dance) -> libc::pid_t {
    // SAFETY: in the child, the frame that `back` refers to still exists.
    unsafe {
        let third = libc::fork();
        if third == 0 {
            write_volatile(&raw mut (*dance).in_child, true);
            libc::setcontext(&raw const (*dance).back);
            libc::_exit(127)
        }
        third
    }
}

/// The first process, still outside: joins the cgroups, and sets the pid namespace of its child.
pub(crate) extern "C" fn outer(argument: *mut c_void) -> libc::c_int {
    let dance: *mut Dance = argument.cast();
    // SAFETY: the caller of clone sleeps, so its frame lives, and nobody else accesses the structure meanwhile.
    unsafe {
        for index in 0..(*dance).door_count {
            let door = (*(*dance).doors.add(index)).as_raw_fd();
            if libc::write(door, c"0".as_ptr().cast(), 1) != 1 {
                return fail(dance, STEP_CGROUP);
            }
        }
        if libc::setns((*dance).pid_namespace, libc::CLONE_NEWPID) != 0 {
            return fail(dance, STEP_PID);
        }
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD | (*dance).inner_flags;
        let inner = libc::clone(inner, (*dance).inner_stack, flags, argument);
        if inner < 0 {
            return fail(dance, STEP_CLONE);
        }
        libc::waitpid(inner, null_mut(), 0);
    }
    0
}

/// The second process, inside the pid namespace: makes the third, and leaves it to PID 1.
extern "C" fn inner(argument: *mut c_void) -> libc::c_int {
    let dance: *mut Dance = argument.cast();
    // SAFETY: as in `outer`.
    unsafe { if ((*dance).third)(dance) < 0 { fail(dance, STEP_FORK) } else { 0 } }
}

fn fail(dance: *mut Dance, step: u32) -> libc::c_int {
    // SAFETY: only called by `outer` and `inner`, see there.
    unsafe {
        write_volatile(&raw mut (*dance).errno, errno());
        write_volatile(&raw mut (*dance).failed_step, step);
    }
    1
}

pub fn errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

/// Three stacks, unmapped again in the parent. In the child they remain as a few untouched pages.
pub struct Stacks(*mut c_void);

const STACKS: usize = 3;

impl Stacks {
    pub fn map() -> Option<Stacks> {
        let (access, kind) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK);
        // SAFETY: a fresh anonymous mapping.
        let address = unsafe { libc::mmap(null_mut(), STACKS * STACK, access, kind, -1, 0) };
        (address != libc::MAP_FAILED).then_some(Stacks(address))
    }

    /// Stacks grow down.
    pub fn top_of(&self, index: usize) -> *mut c_void {
        // SAFETY: within the mapping, or one past its end.
        unsafe { self.0.byte_add((index + 1) * STACK) }
    }
}

impl Drop for Stacks {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and both users of it have exited.
        unsafe { libc::munmap(self.0, STACKS * STACK) };
    }
}
