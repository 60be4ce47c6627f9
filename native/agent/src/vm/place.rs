//! Which CPU of an emulated machine runs what. The agent's threads that talk to the host stay on the first: waking
//! another CPU takes longer than what they do for each other. Programs may run anywhere, and are woken where they ran
//! last. The kernel would rather wake an interpreter on the CPU of the agent that has sent it something, but an emulated
//! CPU that changes to another process forgets where its pages are, and looks up thousands again.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Outcome, nodes};

static STAYS: AtomicBool = AtomicBool::new(false);
const SETS: usize = 16;

/// linux: kernel/sched/features.h
const WAKES_NEARBY: [&str; 2] = ["NO_WA_IDLE", "NO_WA_WEIGHT"];
const DEBUG: &str = "/debug";

/// Tells the kernel to wake a program where it ran last. It only improves speed, so failures are ignored; but the
/// kernel's debug files must be gone again.
pub fn keep_apart() -> Outcome<()> {
    let at = Path::new(DEBUG);
    if !is_emulated() || nodes::folder(at).is_err() || nodes::attach("debugfs", at, nodes::strict(), None).is_err() {
        return Ok(());
    }
    for feature in WAKES_NEARBY {
        let _ = fs::write(at.join("sched/features"), feature);
    }
    nix::mount::umount(at).map_err(|error| format!("{DEBUG}: {error}"))
}

/// Pins this thread to the first CPU of an emulated machine. It only improves speed, so failures are ignored.
pub fn stay() {
    if !is_emulated() {
        return;
    }
    let mut first = [0u64; SETS];
    first[0] = 1;
    set(&first);
    STAYS.store(true, Ordering::Relaxed);
}

/// In the child of a fork: unpins this process. Async-signal-safe.
pub fn roam() {
    if STAYS.load(Ordering::Relaxed) {
        set(&[u64::MAX; SETS]);
    }
}

/// By the CPU's own identification (target/i386/cpu.c of QEMU).
#[cfg(target_arch = "x86_64")]
fn is_emulated() -> bool {
    use core::arch::x86_64::__cpuid;
    const HYPERVISOR: u32 = 1 << 31;
    // Every x86-64 has the first leaf; it tells whether the second exists.
    if __cpuid(1).ecx & HYPERVISOR == 0 {
        return false;
    }
    let said = __cpuid(0x4000_0000);
    [said.ebx, said.ecx, said.edx].iter().flat_map(|word| word.to_le_bytes()).eq(*b"TCGTCGTCGTCG")
}

#[cfg(not(target_arch = "x86_64"))]
fn is_emulated() -> bool {
    false
}

fn set(processors: &[u64; SETS]) {
    // SAFETY: as many bytes as the array has; 0 is the calling thread.
    unsafe { libc::sched_setaffinity(0, size_of_val(processors), processors.as_ptr().cast()) };
}
