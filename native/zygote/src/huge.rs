//! Moves warm memory to huge pages. A fork then copies one page table entry for 2 MiB instead of 512, which takes a
//! tenth of the time, and so does its exit. A page that a fork changes is still a small copy: the kernel splits the
//! entry (do_huge_pmd_wp_page), not the memory.

pub const SIZE: usize = 2 << 20;
/// The largest distance of a mapping of this process from one of our own addresses.
const REACH: usize = 1 << 30;
const COLLAPSE: libc::c_int = 25;

/// Tries every place where something may be mapped; the kernel refuses where nothing is (madvise(2), MADV_COLLAPSE,
/// Linux 6.1). There is no /proc here to look up the mappings. Where this is unavailable, forks take longer.
pub fn gather() {
    // SAFETY: sbrk(0) only queries.
    let heap = unsafe { libc::sbrk(0) } as usize;
    let libraries = gather as *const () as usize;
    for middle in [heap, libraries] {
        let from = middle.saturating_sub(REACH) / SIZE;
        let to = middle.saturating_add(REACH) / SIZE;
        for place in from..to {
            // SAFETY: the contents are preserved, whatever they are.
            unsafe { libc::madvise((place * SIZE) as *mut libc::c_void, SIZE, COLLAPSE) };
        }
    }
}
