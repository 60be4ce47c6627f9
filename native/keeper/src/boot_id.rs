//! The content of /proc/sys/kernel/random/boot_id inside. Each sandbox has its own version 4 UUID, which inside.rs
//! mounts over the host's.

use std::fs;

use crate::fault::{At, Outcome};
use crate::plan::Owner;
use crate::root::Stage;

/// Relative to the sandbox's root.
pub const PLACE: &str = "caisson/boot_id";

pub fn write(stage: &Stage) -> Outcome<()> {
    let path = stage.root.join(PLACE);
    fs::write(&path, fresh()?).at("root", path.display())?;
    stage.own(&path, Owner::Root)
}

pub fn fresh() -> Outcome<String> {
    let mut random = [0u8; 16];
    // SAFETY: the buffer is ours and has the given length.
    if unsafe { libc::getrandom(random.as_mut_ptr().cast(), random.len(), 0) } != 16 {
        return Err(std::io::Error::last_os_error()).at("boot id", "getrandom");
    }
    Ok(uuid(random))
}

fn uuid(mut random: [u8; 16]) -> String {
    random[6] = random[6] & 0x0F | 0x40;
    random[8] = random[8] & 0x3F | 0x80;
    let part = |from: usize, to: usize| random[from..to].iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    format!("{}-{}-{}-{}-{}\n", part(0, 4), part(4, 6), part(6, 8), part(8, 10), part(10, 16))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_boot_id_is_a_uuid_as_the_kernel_writes_them() {
        assert_eq!(super::uuid([0xff; 16]), "ffffffff-ffff-4fff-bfff-ffffffffffff\n");
        assert_eq!(super::uuid([0; 16]), "00000000-0000-4000-8000-000000000000\n");
    }
}
