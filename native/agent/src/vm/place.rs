//! Pins the agent's communication with the host to one CPU of an emulated machine, where waking another CPU takes
//! longer than the work it is woken for. The thread that carries messages stays on one CPU, and the kernel wakes its
//! partners there. Programs may run anywhere.

use std::sync::atomic::{AtomicBool, Ordering};

static STAYS: AtomicBool = AtomicBool::new(false);
const SETS: usize = 16;

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
