//! What was warmed, on huge pages: a fork then copies an entry for 2 MiB where it copied 512 of them, which takes a tenth of the time, at its end too.
//! A page that a fork changes is still a small one of its own: the kernel splits the entry (do_huge_pmd_wp_page), not the memory.

pub const SIZE: usize = 2 << 20;
/// How far from one of our own addresses a mapping of this process may be.
const REACH: usize = 1 << 30;
const COLLAPSE: libc::c_int = 25;

/// The kernel is asked for every place where something may be mapped, and refuses where nothing is (madvise(2), MADV_COLLAPSE, Linux 6.1): there is no
/// /proc here to look it up. Where it cannot be had, forks take longer.
pub fn gather() {
    // SAFETY: sbrk(0) only asks.
    let heap = unsafe { libc::sbrk(0) } as usize;
    let libraries = gather as *const () as usize;
    for middle in [heap, libraries] {
        let from = middle.saturating_sub(REACH) / SIZE;
        let to = middle.saturating_add(REACH) / SIZE;
        for place in from..to {
            // SAFETY: the contents stay what they are, whatever lies there.
            unsafe { libc::madvise((place * SIZE) as *mut libc::c_void, SIZE, COLLAPSE) };
        }
    }
}
