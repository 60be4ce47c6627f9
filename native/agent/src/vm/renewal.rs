//! What no machine may share with another that is started from the same image: chance, the time, a name.

use std::fs::File;
use std::os::fd::AsRawFd;

use super::{Machine, Outcome};

// linux/random.h: _IOW('R', 0x03, int[2])
const RNDADDENTROPY: libc::c_ulong = 0x4008_5203;
const SEED_BYTES: usize = 64;

#[repr(C)]
struct Entropy {
    bits: libc::c_int,
    bytes: libc::c_int,
    seed: [u8; SEED_BYTES],
}

pub fn renew(machine: &Machine) -> Outcome<()> {
    stir(&seed(&machine.seed)?)?;
    let time = libc::timespec {
        tv_sec: (machine.now_ns / 1_000_000_000) as libc::time_t,
        tv_nsec: (machine.now_ns % 1_000_000_000) as libc::c_long,
    };
    // SAFETY: the structure outlives the call.
    if unsafe { libc::clock_settime(libc::CLOCK_REALTIME, &raw const time) } != 0 {
        return Err(format!("clock: {}", std::io::Error::last_os_error()));
    }
    nix::unistd::sethostname(&machine.host_name).map_err(|error| format!("host name: {error}"))
}

/// All of it is as good as the host's own chance.
fn stir(seed: &[u8; SEED_BYTES]) -> Outcome<()> {
    let device = File::open("/dev/urandom").map_err(|error| format!("/dev/urandom: {error}"))?;
    let entropy = Entropy { bits: 8 * SEED_BYTES as i32, bytes: SEED_BYTES as i32, seed: *seed };
    // SAFETY: the structure is laid out as linux/random.h says and outlives the call.
    if unsafe { libc::ioctl(device.as_raw_fd(), RNDADDENTROPY, &raw const entropy) } != 0 {
        return Err(format!("chance: {}", std::io::Error::last_os_error()));
    }
    Ok(())
}

fn seed(digits: &str) -> Outcome<[u8; SEED_BYTES]> {
    let mut seed = [0; SEED_BYTES];
    if digits.len() != 2 * SEED_BYTES || !digits.is_ascii() {
        return Err(format!("chance: {SEED_BYTES} bytes are expected"));
    }
    for (at, byte) in seed.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).map_err(|error| format!("chance: {error}"))?;
    }
    Ok(seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_so_many_digits() {
        assert_eq!(seed(&"0f".repeat(SEED_BYTES)), Ok([15; SEED_BYTES]));
        assert!(seed("0f").is_err());
        assert!(seed(&"xy".repeat(SEED_BYTES)).is_err());
    }
}
