//! Renews what machines started from the same image must not share: random state, the time, names.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd};

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

use super::{Machine, Outcome, network, root};

// linux/random.h: _IOW('R', 0x03, int[2])
const RNDADDENTROPY: libc::c_ulong = 0x4008_5203;
// linux/random.h: _IO('R', 0x07)
const RNDRESEEDCRNG: libc::c_ulong = 0x5207;
const SEED_BYTES: usize = 64;

#[repr(C)]
struct Entropy {
    bits: libc::c_int,
    bytes: libc::c_int,
    seed: [u8; SEED_BYTES],
}

pub fn renew(machine: &Machine) -> Outcome<()> {
    stir(&seed(&machine.seed)?)?;
    set_clock(machine.now_ns)?;
    nix::unistd::sethostname(&machine.host_name).map_err(|error| format!("host name: {error}"))
}

pub fn set_clock(now_ns: u64) -> Outcome<()> {
    let time = libc::timespec {
        tv_sec: (now_ns / 1_000_000_000) as libc::time_t,
        tv_nsec: (now_ns % 1_000_000_000) as libc::c_long,
    };
    // SAFETY: the structure outlives the call.
    if unsafe { libc::clock_settime(libc::CLOCK_REALTIME, &raw const time) } != 0 {
        return Err(format!("clock: {}", std::io::Error::last_os_error()));
    }
    Ok(())
}

/// Rewrites, in a restored machine, the files with its identity, which were made for another (root.rs).
pub fn rename(machine: &Machine, files: &File) -> Outcome<()> {
    network::rename(machine)?;
    let (boot, shown) = root::BOOT;
    if let Some(id) = &machine.boot_id {
        rewrite(files, boot, shown, &format!("{id}\n"))?;
    }
    let mut rewritten = machine.files.iter().enumerate();
    rewritten.try_for_each(|(number, file)| rewrite(files, &number.to_string(), &file.path, &file.content))
}

fn rewrite(files: &File, name: &str, shown: &str, content: &str) -> Outcome<()> {
    let flags = OFlag::O_WRONLY | OFlag::O_TRUNC | OFlag::O_CLOEXEC;
    let open = openat(files.as_fd(), name, flags, Mode::empty()).map_err(|error| format!("{shown}: {error}"))?;
    File::from(open).write_all(content.as_bytes()).map_err(|error| format!("{shown}: {error}"))
}

/// All of the seed counts as entropy, because it is the host's randomness. It goes into the kernel's pool; without the
/// second call, the generator would only be reseeded within a minute.
fn stir(seed: &[u8; SEED_BYTES]) -> Outcome<()> {
    let device = File::open("/dev/urandom").map_err(|error| format!("/dev/urandom: {error}"))?;
    let entropy = Entropy { bits: 8 * SEED_BYTES as i32, bytes: SEED_BYTES as i32, seed: *seed };
    // SAFETY: the structure is laid out as linux/random.h says and outlives the call.
    let stirred = unsafe {
        libc::ioctl(device.as_raw_fd(), RNDADDENTROPY, &raw const entropy) == 0
            && libc::ioctl(device.as_raw_fd(), RNDRESEEDCRNG, 0) == 0
    };
    if !stirred {
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
