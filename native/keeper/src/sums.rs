//! Hashes of saved states, which must match to the bit (host/sandbox/state-files.ts). A machine's memory is a large,
//! mostly empty file, so pages of zeros are not hashed: a hole and written zeros count alike.

use std::fs::File;
use std::path::Path;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::copy::each_piece;
use crate::fault::{At, Outcome};

const STEP: &str = "sum";
/// Zeros are skipped page by page, so that it does not matter where a hole begins.
pub const PAGE: usize = 4096;

/// Hashes by path.
pub fn of(paths: &[String]) -> Outcome<Value> {
    let sums = paths.iter().map(|path| Ok((path.clone(), Value::from(sum(Path::new(path))?))));
    Ok(Value::Object(sums.collect::<Outcome<Map<_, _>>>()?))
}

pub fn sum(path: &Path) -> Outcome<String> {
    let file = File::open(path).at(STEP, path.display())?;
    let length = file.metadata().at(STEP, path.display())?.len();
    let mut sum = Sum::of(length);
    each_piece(&file, path, |offset, bytes| {
        sum.add(offset, bytes);
        Ok(())
    })?;
    Ok(sum.said())
}

/// An incremental hash.
pub struct Sum(Sha256);

impl Sum {
    pub fn of(length: u64) -> Sum {
        Sum(Sha256::new_with_prefix(length.to_le_bytes()))
    }

    /// Call it in order; `offset` must be that of a page.
    pub fn add(&mut self, offset: u64, bytes: &[u8]) {
        for (number, page) in bytes.chunks(PAGE).enumerate().filter(|(_, page)| !is_empty(page)) {
            self.0.update((offset + (number * PAGE) as u64).to_le_bytes());
            self.0.update(page);
        }
    }

    pub fn said(self) -> String {
        self.0.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

pub fn is_empty(page: &[u8]) -> bool {
    // One comparison: a loop over bytes would take as long as the hash.
    *page == [0; PAGE][..page.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    #[test]
    fn holes_are_zeros_and_everything_else_counts() {
        let path = std::env::temp_dir().join(format!("caisson-sum-{}", std::process::id()));
        let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        let mut seen = Vec::new();
        let now = || sum(&path).unwrap();
        file.set_len(1 << 20).unwrap();
        seen.push(now());
        file.write_all_at(&[0; 8192], 4096).unwrap();
        assert_eq!(now(), seen[0]);
        for (offset, byte) in [(70_000, 1), (70_000, 2), (80_000, 2)] {
            file.write_all_at(&[byte], offset).unwrap();
            seen.push(now());
        }
        file.set_len((1 << 20) - 1).unwrap();
        seen.push(now());
        std::fs::remove_file(&path).unwrap();
        let all = seen.len();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), all);
    }
}
