//! QEMU's other threads. In the mother, a signal stops each where it waits in the kernel, for good. In a twin, each is
//! recreated on its old stack and returns from that signal: to the thread, its wait was merely interrupted.

use std::arch::{asm, naked_asm};
use std::cell::UnsafeCell;
use std::ffi::{c_int, c_long, c_void};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use crate::call;

/// The last signal number; nobody else uses it.
const SIGNAL: c_int = 64;
/// QEMU has a thread per CPU, and a handful more.
const MOST: usize = 128;
/// For all threads to stop.
const PATIENCE: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_micros(200);
/// The `syscall` instruction.
const CALL: [u8; 2] = [0x0f, 0x05];
/// bits/rseq.h
const RSEQ_SIGNATURE: u32 = 0x5305_3053;
const RSEQ_BYTES: usize = 32;

// States of a place.
const FREE: u32 = 0;
const RUNS: u32 = 1;
const STANDS: u32 = 2;
const IS_BUSY: u32 = 3;

pub type Start = extern "C" fn(*mut c_void) -> *mut c_void;

/// What the C library tells the kernel about a thread.
#[derive(Clone, Copy)]
pub struct Thread {
    /// Its thread control block: the base of FS.
    own: usize,
    pub id: *mut c_int,
    robust_list: *mut c_void,
    robust_length: usize,
}

#[repr(C)]
struct Place {
    /// The saved stack pointer while stopped. Must be the first field: `stop` relies on it.
    stack: UnsafeCell<usize>,
    state: AtomicU32,
    thread: UnsafeCell<Thread>,
}

// SAFETY: only the thread that owns the place writes the cells, before it publishes that in `state`.
unsafe impl Sync for Place {}

static PLACES: [Place; MOST] = [const {
    Place {
        stack: UnsafeCell::new(0),
        state: AtomicU32::new(FREE),
        thread: UnsafeCell::new(Thread { own: 0, id: null_mut(), robust_list: null_mut(), robust_length: 0 }),
    }
}; MOST];
/// The number of threads, with or without a place.
static COUNT: AtomicUsize = AtomicUsize::new(0);
static IN_TWIN: AtomicBool = AtomicBool::new(false);

impl Thread {
    /// The calling thread. None where the kernel does not tell (native/zygote/src/moving.rs).
    pub fn of_this() -> Option<Thread> {
        let mut thread = Thread { own: own(), id: null_mut(), robust_list: null_mut(), robust_length: 0 };
        // SAFETY: the kernel writes to three places that are ours.
        let known = unsafe {
            let length = &raw mut thread.robust_length;
            libc::prctl(libc::PR_GET_TID_ADDRESS, &raw mut thread.id, 0, 0, 0) == 0
                && libc::syscall(libc::SYS_get_robust_list, 0, &raw mut thread.robust_list, length) == 0
        };
        (known && !thread.id.is_null()).then_some(thread)
    }

    /// Runs in a twin: registers what the kernel does not copy to a new thread.
    pub fn tell_kernel(&self) {
        // SAFETY: the list is this thread's.
        unsafe { libc::syscall(libc::SYS_set_robust_list, self.robust_list, self.robust_length) };
    }
}

/// A word that is this thread's alone, in a twin too.
pub fn own() -> usize {
    let own: usize;
    // SAFETY: the x86-64 thread ABI: the first word there is its own address.
    unsafe { asm!("mov {}, fs:0", out(reg) own, options(nostack, readonly)) };
    own
}

/// Wraps a thread's start function, so that the thread is registered.
pub fn known(start: Start, argument: *mut c_void) -> (Start, *mut c_void) {
    COUNT.fetch_add(1, SeqCst);
    (lives, Box::into_raw(Box::new((start, argument))).cast())
}

extern "C" fn lives(what: *mut c_void) -> *mut c_void {
    // SAFETY: created by `known`, for this thread alone.
    let (start, argument) = *unsafe { Box::from_raw(what.cast::<(Start, *mut c_void)>()) };
    let place = Thread::of_this().and_then(take_place);
    let result = start(argument);
    if let Some(place) = place {
        block(libc::SIG_BLOCK);
        place.state.store(FREE, SeqCst);
    }
    COUNT.fetch_sub(1, SeqCst);
    result
}

/// None is left: there are no twins as long as this thread lives.
fn take_place(thread: Thread) -> Option<&'static Place> {
    let free = |place: &&Place| place.state.compare_exchange(FREE, IS_BUSY, SeqCst, SeqCst).is_ok();
    let place = PLACES.iter().find(free)?;
    // SAFETY: nobody else has this place.
    unsafe { *place.thread.get() = thread };
    place.state.store(RUNS, SeqCst);
    // QEMU blocks all signals in its threads.
    block(libc::SIG_UNBLOCK);
    Some(place)
}

fn block(how: c_int) {
    // SAFETY: a set of our own.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, SIGNAL);
        libc::pthread_sigmask(how, &raw const set, null_mut());
    }
}

/// Installs the handler; from now on threads can be stopped.
pub fn listen() {
    let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) = on_signal;
    // SAFETY: a handler of the right type that calls only async-signal-safe functions.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
        libc::sigfillset(&raw mut action.sa_mask);
        libc::sigaction(SIGNAL, &raw const action, null_mut());
    }
}

extern "C" fn on_signal(_: c_int, _: *mut libc::siginfo_t, context: *mut c_void) {
    let own = own();
    // SAFETY: written before the state was.
    let is_ours = |place: &&Place| unsafe { place.state.load(SeqCst) != FREE && (*place.thread.get()).own == own };
    let Some(place) = PLACES.iter().find(is_ours).filter(|_| !IN_TWIN.load(SeqCst)) else { return };
    // SAFETY: the kernel's context of this signal.
    if !unsafe { waits(&*context.cast()) } {
        place.state.store(IS_BUSY, SeqCst);
        return;
    }
    // SAFETY: this thread's own place.
    unsafe { stop(place) };
    if IN_TWIN.load(SeqCst) {
        // SAFETY: as above.
        unsafe { (*place.thread.get()).tell_kernel() };
        tell_rseq();
    }
}

/// Whether it was in a blocking system call without a result yet: the call is restarted, or returns EINTR.
///
/// # Safety
/// `context` is that of a signal.
unsafe fn waits(context: &libc::ucontext_t) -> bool {
    let registers = &context.uc_mcontext.gregs;
    let at = registers[libc::REG_RIP as usize] as *const [u8; 2];
    let value = registers[libc::REG_RAX as usize];
    // SAFETY: there is code at this address and before it.
    let (ahead, behind) = unsafe { (*at, *at.byte_sub(CALL.len())) };
    let begins_again = ahead == CALL && [libc::SYS_futex, libc::SYS_poll, libc::SYS_ppoll].contains(&value);
    begins_again || behind == CALL && value == -i64::from(libc::EINTR)
}

unsafe extern "C" {
    static __rseq_offset: isize;
    static __rseq_size: u32;
}

/// Registers the area in which the C library looks up its current CPU.
fn tell_rseq() {
    // SAFETY: the C library's own area for this thread, with the size it states.
    unsafe {
        if __rseq_size != 0 {
            let area = own().wrapping_add_signed(__rseq_offset);
            libc::syscall(libc::SYS_rseq, area, RSEQ_BYTES, 0, RSEQ_SIGNATURE);
        }
    }
}

/// Returns when the mother resumes it, or in a twin, where `revive` jumps to the point that restores the registers.
///
/// # Safety
/// `place` is that of the calling thread.
#[unsafe(naked)]
unsafe extern "C" fn stop(place: *const Place) {
    naked_asm!(
        "push rbx", "push rbp", "push r12", "push r13", "push r14", "push r15",
        "mov [rdi], rsp",
        "sub rsp, 8",
        "call {stand}",
        "add rsp, 8",
        "pop r15", "pop r14", "pop r13", "pop r12", "pop rbp", "pop rbx",
        "ret",
        stand = sym stand,
    )
}

/// clone(2), in the order of its arguments. The new thread returns from the `stop` that left this stack.
///
/// # Safety
/// `stack` was left by `stop`, and nothing runs on it in this process.
#[unsafe(naked)]
unsafe extern "C" fn revive(flags: c_long, stack: usize, parents_id: *mut c_int, id: *mut c_int, own: usize) -> c_long {
    naked_asm!(
        "mov r10, rcx",
        "mov eax, {clone}",
        "syscall",
        "test rax, rax",
        "jnz 2f",
        "pop r15", "pop r14", "pop r13", "pop r12", "pop rbp", "pop rbx",
        "2:",
        "ret",
        clone = const libc::SYS_clone,
    )
}

extern "C" fn stand(place: &Place) {
    place.state.store(STANDS, SeqCst);
    while place.state.load(SeqCst) == STANDS {
        let wait = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
        // SAFETY: a word of ours.
        unsafe { libc::syscall(libc::SYS_futex, &raw const place.state, wait, STANDS, null_mut::<c_void>()) };
    }
}

fn living() -> impl Iterator<Item = &'static Place> {
    PLACES.iter().filter(|place| place.state.load(SeqCst) != FREE)
}

/// False: a thread is busy or unknown, and all resume.
pub fn stop_all() -> bool {
    let until = Instant::now() + PATIENCE;
    for place in living() {
        signal(place);
    }
    while Instant::now() < until {
        let stand = living().filter(|place| place.state.load(SeqCst) == STANDS).count();
        if stand == COUNT.load(SeqCst) && stand == living().count() {
            return true;
        }
        std::thread::sleep(LOOK);
        // It may be waiting by now.
        living().filter(|place| place.state.load(SeqCst) == IS_BUSY).for_each(signal);
    }
    for place in living() {
        place.state.store(RUNS, SeqCst);
        let wake = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
        // SAFETY: a word of ours.
        unsafe { libc::syscall(libc::SYS_futex, &raw const place.state, wake, 1) };
    }
    false
}

fn signal(place: &Place) {
    place.state.store(RUNS, SeqCst);
    // SAFETY: the C library keeps the id there; for an ended thread the call fails.
    unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), *(*place.thread.get()).id, SIGNAL) };
}

/// Runs in a twin. Creates threads as the C library does, because QEMU's filter allows no other way. False: not all.
pub fn revive_all() -> bool {
    const FLAGS: c_int = libc::CLONE_VM
        | libc::CLONE_FS
        | libc::CLONE_FILES
        | libc::CLONE_SIGHAND
        | libc::CLONE_THREAD
        | libc::CLONE_SYSVSEM
        | libc::CLONE_SETTLS
        | libc::CLONE_PARENT_SETTID
        | libc::CLONE_CHILD_CLEARTID;
    IN_TWIN.store(true, SeqCst);
    living().all(|place| {
        place.state.store(RUNS, SeqCst);
        // SAFETY: it was stopped, so its stack and control block are intact, and nobody uses them here.
        let made = unsafe {
            let thread = *place.thread.get();
            revive(FLAGS.into(), *place.stack.get(), thread.id, thread.id, thread.own)
        };
        call(made).is_some()
    })
}
