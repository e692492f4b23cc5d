//! Brings memory into the processor's cache before it is needed, so that several ways from memory
//! overlap. A hint: it changes nothing, and does nothing where the processor has no such thing.

/// Bytes that come at once.
const LINE_BYTES: usize = 64;

/// Starts to bring the line at an address, whatever is there.
#[cfg(all(target_arch = "x86_64", not(miri)))]
#[allow(unsafe_code)]
#[inline]
pub fn prefetch_line(address: *const u8) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: a prefetch is a hint; it never faults, whatever the address.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) }
}

/// Starts to bring the line at an address, whatever is there.
#[cfg(not(all(target_arch = "x86_64", not(miri))))]
#[inline]
pub fn prefetch_line(_address: *const u8) {}

/// Starts to bring all lines of some bytes.
#[inline]
pub fn prefetch_bytes(bytes: &[u8]) {
    prefetch_lines(bytes.as_ptr(), bytes.len());
}

/// Starts to bring all lines of a value, but nothing that it points to.
#[inline]
pub fn prefetch_value<T>(value: &T) {
    prefetch_lines(std::ptr::from_ref(value).cast(), size_of::<T>());
}

fn prefetch_lines(start: *const u8, len: usize) {
    let skipped = start.addr() % LINE_BYTES;
    for at in (0..skipped + len).step_by(LINE_BYTES) {
        prefetch_line(start.wrapping_sub(skipped).wrapping_add(at));
    }
}
