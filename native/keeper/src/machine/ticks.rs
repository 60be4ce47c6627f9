//! Measures this CPU's counter frequency, because the kernel of an emulated machine has no clock to calibrate it by.

use crate::fault::Outcome;

/// Of the time stamp counter.
#[cfg(target_arch = "x86_64")]
pub fn per_millisecond() -> Outcome<u64> {
    use std::time::{Duration, Instant};
    // SAFETY: reads a register that every x86-64 has.
    let count = || (Instant::now(), unsafe { core::arch::x86_64::_rdtsc() });
    let (begun, first) = count();
    // A clock reading is off by a microsecond at most, so the result by one part in ten thousand.
    std::thread::sleep(Duration::from_millis(10));
    let (ended, last) = count();
    Ok((u128::from(last - first) * 1_000_000 / (ended - begun).as_nanos().max(1)) as u64)
}

#[cfg(not(target_arch = "x86_64"))]
pub fn per_millisecond() -> Outcome<u64> {
    use crate::fault::{Code, Fault};
    Err(Fault::new(Code::WallUnavailable, super::STEP, "machines are built for x86-64 only"))
}
