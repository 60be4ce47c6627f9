//! On which processor of the machine the agent speaks with the host. To wake another processor takes longer than what it is woken for, where it is emulated:
//! whoever carries a message stays on one, and the kernel has those answer there that were asked from there. Programs go where they like.

use std::sync::atomic::{AtomicBool, Ordering};

static STAYS: AtomicBool = AtomicBool::new(false);
const SETS: usize = 16;

/// This thread, on the first one, where that is so. It is faster, and nothing else: what cannot be had is not missed.
pub fn stay() {
    if !is_emulated() {
        return;
    }
    let mut first = [0u64; SETS];
    first[0] = 1;
    set(&first);
    STAYS.store(true, Ordering::Relaxed);
}

/// In the child of a fork: this process, on all of them. Signal-safe.
pub fn roam() {
    if STAYS.load(Ordering::Relaxed) {
        set(&[u64::MAX; SETS]);
    }
}

/// By what such a processor says of itself (target/i386/cpu.c of QEMU).
#[cfg(target_arch = "x86_64")]
fn is_emulated() -> bool {
    use core::arch::x86_64::__cpuid;
    const HYPERVISOR: u32 = 1 << 31;
    // Every x86-64 has the first; the other is there where the first says so.
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
    // SAFETY: as many bytes as the array has; 0 is the thread that calls.
    unsafe { libc::sched_setaffinity(0, size_of_val(processors), processors.as_ptr().cast()) };
}
