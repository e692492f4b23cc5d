//! Sizes: where the pieces of an entry's allocation stand, and what an allocation really takes.

/// Where the pieces of an entry's allocation stand, in bytes from its start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Shape {
    pub body_at: usize,
    pub key_at: usize,
    pub key_len: usize,
    pub value_len: usize,
}

impl Shape {
    /// The shape for a body of `body_len` bytes before the key and `value_len` bytes behind it.
    pub fn new(has_expiry: bool, key_len: usize, body_len: usize, value_len: usize) -> Shape {
        let body_at = access_at(has_expiry) + 4 + len_bytes(key_len);
        Shape { body_at, key_at: body_at + body_len, key_len, value_len }
    }

    /// Size of the allocation.
    pub fn bytes(&self) -> usize {
        size_class(self.key_at + self.key_len + self.value_len)
    }
}

/// Where the access word stands: behind the first word and the deadline.
pub(super) fn access_at(has_expiry: bool) -> usize {
    if has_expiry { 16 } else { 8 }
}

/// How many groups of 7 bits a length takes.
pub(super) fn len_bytes(len: usize) -> usize {
    match len {
        0..=0x7f => 1,
        0x80..=0x3fff => 2,
        0x4000..=0x1f_ffff => 3,
        0x20_0000..=0xfff_ffff => 4,
        _ => 5,
    }
}

/// Rounds up to what an allocator with four classes a doubling hands out.
pub fn size_class(bytes: usize) -> usize {
    if bytes <= 128 {
        return bytes.max(1).next_multiple_of(16);
    }
    let step = 1 << ((bytes - 1).ilog2() - 2);
    bytes.next_multiple_of(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_classes_are_the_allocators() {
        let classes: Vec<usize> = (1..=1024).map(size_class).collect();
        let mut distinct = classes.clone();
        distinct.dedup();
        assert_eq!(
            distinct,
            [
                16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 640, 768,
                896, 1024
            ]
        );
        assert!(classes.iter().zip(1..).all(|(class, bytes)| *class >= bytes));
    }

    #[test]
    fn a_short_key_and_value_share_96_bytes() {
        assert_eq!(Shape::new(false, 16, 1, 64).bytes(), 96);
        assert_eq!(Shape::new(true, 16, 1, 64).bytes(), 112);
    }
}
