//! An arena allocator for Python's small objects (PyObject_SetArenaAllocator). It keeps them side by side, so that they
//! lie on huge pages (huge.rs); by default Python would scatter them between the libraries. Python calls it under its
//! lock.

use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use libc::{c_void, size_t};

use crate::huge::SIZE;

/// The arena size that Python requests (ARENA_BITS of its obmalloc.c, 3.10 and later). Other sizes are mapped anywhere.
const ARENA: usize = 1 << 20;
const COUNT: usize = u64::BITS as usize;

static PLACE: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
static TAKEN: AtomicU64 = AtomicU64::new(0);

/// # Safety
/// Called by Python, one thread at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caisson_zygote_arena(_: *mut c_void, size: size_t) -> *mut c_void {
    let free = (!TAKEN.load(Ordering::Relaxed)).trailing_zeros() as usize;
    let place = if size == ARENA && free < COUNT { place() } else { null_mut() };
    if place.is_null() {
        return map(size);
    }
    TAKEN.fetch_or(1 << free, Ordering::Relaxed);
    // SAFETY: within the mapping.
    unsafe { place.byte_add(free * ARENA) }
}

/// # Safety
/// As above; `arena` came from `caisson_zygote_arena` or from Python's own allocator, which maps memory too.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caisson_zygote_arena_free(_: *mut c_void, arena: *mut c_void, size: size_t) {
    let place = PLACE.load(Ordering::Relaxed);
    let index = (arena as usize).wrapping_sub(place as usize) / ARENA;
    // SAFETY: Python returns it, and uses nothing in it any more.
    unsafe {
        if place.is_null() || index >= COUNT {
            libc::munmap(arena, size);
        } else {
            libc::madvise(arena, ARENA, libc::MADV_DONTNEED);
            TAKEN.fetch_and(!(1 << index), Ordering::Relaxed);
        }
    }
}

/// Mapped on the first call; null if that fails.
fn place() -> *mut c_void {
    let place = PLACE.load(Ordering::Relaxed);
    if !place.is_null() {
        return place;
    }
    let whole = map(COUNT * ARENA + SIZE);
    if whole.is_null() {
        return null_mut();
    }
    // SAFETY: at most one huge page further, within the mapping.
    let aligned = unsafe { whole.byte_add(whole.align_offset(SIZE)) };
    PLACE.store(aligned, Ordering::Relaxed);
    aligned
}

fn map(size: usize) -> *mut c_void {
    let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a fresh mapping.
    let mapped = unsafe { libc::mmap(null_mut(), size, libc::PROT_READ | libc::PROT_WRITE, kind, -1, 0) };
    if mapped == libc::MAP_FAILED { null_mut() } else { mapped }
}
