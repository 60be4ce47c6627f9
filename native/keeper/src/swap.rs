//! Keeps limited memory from growing in swap. The kernel counts swap together with memory (version 1) or separately
//! (version 2), if it counts swap at all (`swapaccount=0`, CONFIG_MEMCG_SWAP).

use std::fs;
use std::path::Path;

use crate::cgroup::write;
use crate::fault::{Code, Fault, Outcome};
use crate::hierarchy::Version;

const STEP: &str = "cgroup";
/// Only a header line if there is no swap; missing in a kernel without swap.
pub const SWAPS: &str = "/proc/swaps";

/// `dir`: a group whose memory limit is `bytes`. LIMIT_UNAVAILABLE where the kernel would let the group grow in swap.
pub fn bound(dir: &Path, version: Version, bytes: u64, swaps: &Path) -> Outcome<()> {
    let (counted, most) = match version {
        Version::One => ("memory.memsw.limit_in_bytes", bytes),
        Version::Two => ("memory.swap.max", 0),
    };
    if dir.join(counted).exists() {
        return write(dir, counted, most);
    }
    // With swappiness 0, a group at its limit reclaims files but never swaps (memory.rst of version 1).
    if version == Version::One && dir.join("memory.swappiness").exists() {
        return write(dir, "memory.swappiness", 0);
    }
    if fs::read_to_string(swaps).unwrap_or_default().lines().count() <= 1 {
        return Ok(());
    }
    let message =
        format!("memory: this machine swaps and does not count it: there is no {}", dir.join(counted).display());
    let hint = "Boot the kernel with `swapaccount=1`, or `swapoff -a`; or lift the limit: --memory none.";
    Err(Fault::new(Code::LimitUnavailable, STEP, message).hint(hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: &str = "Filename\tType\tSize\tUsed\tPriority\n";
    const ONE: &str = "Filename\tType\tSize\tUsed\tPriority\n/swapfile file 1048572 0 -2\n";

    /// Returns the final content of each of these files of a group.
    fn bounded(version: Version, files: &[&str], swaps: &str) -> Outcome<Vec<String>> {
        let dir =
            std::env::temp_dir().join(format!("caisson-swap-{}-{:?}", std::process::id(), std::thread::current().id()));
        fs::create_dir(&dir).unwrap();
        files.iter().for_each(|file| fs::write(dir.join(file), "").unwrap());
        fs::write(dir.join("swaps"), swaps).unwrap();
        let done = bound(&dir, version, 4096, &dir.join("swaps"));
        let read = files.iter().map(|file| fs::read_to_string(dir.join(file)).unwrap()).collect();
        fs::remove_dir_all(dir).unwrap();
        done.map(|()| read)
    }

    #[test]
    fn what_is_limited_in_memory_does_not_grow_in_swap() {
        let both = ["memory.memsw.limit_in_bytes", "memory.swappiness"];
        assert_eq!(bounded(Version::One, &both, ONE).unwrap(), ["4096", ""]);
        assert_eq!(bounded(Version::One, &both[1..], ONE).unwrap(), ["0"]);
        assert_eq!(bounded(Version::Two, &["memory.swap.max"], ONE).unwrap(), ["0"]);
        assert!(bounded(Version::Two, &[], NONE).is_ok() && bounded(Version::Two, &[], "").is_ok());
        for version in [Version::One, Version::Two] {
            let fault = bounded(version, &[], ONE).unwrap_err();
            assert!(fault.code == Code::LimitUnavailable && fault.message.contains("does not count it"));
        }
    }
}
