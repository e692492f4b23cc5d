//! What a string is compared with before a command changes it: IFEQ, IFNE, IFDEQ, IFDNE.

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::value::string::StringRef;

use super::args::Args;
use super::spec::Failure;

/// Length of a digest in its text form, in bytes.
const DIGEST_TEXT_BYTES: usize = 16;

/// A condition on the string that a key holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Comparison<'a> {
    /// Whether the digests are compared, and not the strings.
    by_digest: bool,
    /// Whether it holds where they are equal.
    equal: bool,
    /// The string or digest to compare with.
    operand: &'a [u8],
}

impl<'a> Comparison<'a> {
    /// The word at `index` and the argument behind it.
    pub fn at(args: &Args<'a>, index: usize) -> Option<Comparison<'a>> {
        let words = [
            ("IFEQ", false, true),
            ("IFNE", false, false),
            ("IFDEQ", true, true),
            ("IFDNE", true, false),
        ];
        let (_, by_digest, equal) = words.into_iter().find(|word| args.is(index, word.0))?;
        let has_operand = index + 1 < args.len();
        has_operand.then(|| Comparison { by_digest, equal, operand: args.get(index + 1) })
    }

    /// The condition to equal a string.
    pub fn equal_to(operand: &'a [u8]) -> Comparison<'a> {
        Comparison { by_digest: false, equal: true, operand }
    }

    /// Whether both begin with the same word.
    pub fn is_like(&self, other: &Comparison<'_>) -> bool {
        (self.by_digest, self.equal) == (other.by_digest, other.equal)
    }

    /// Whether it holds for a key that is not there: nothing differs from everything.
    pub fn holds_for_none(&self) -> bool {
        !self.equal
    }

    /// Whether it holds for a string.
    pub fn holds(&self, value: StringRef<'_>) -> Result<bool, Failure> {
        let are_equal = match self.by_digest {
            false => equals(value, self.operand),
            true if self.operand.len() != DIGEST_TEXT_BYTES => {
                return Err(Failure::text("ERR must be exactly 16 hexadecimal characters"));
            }
            true => digest_text(value).as_bytes().eq_ignore_ascii_case(self.operand),
        };
        Ok(are_equal == self.equal)
    }
}

/// The digest of a string, XXH3 with 64 bits and without a seed, in hexadecimal digits.
pub fn digest_text(value: StringRef<'_>) -> String {
    let digest = match value.flat() {
        Some(bytes) => xxh3_64(bytes),
        None => {
            let mut state = Xxh3::new();
            value.pieces(0, value.len()).for_each(|piece| state.update(piece));
            state.digest()
        }
    };
    format!("{digest:0DIGEST_TEXT_BYTES$x}")
}

fn equals(value: StringRef<'_>, bytes: &[u8]) -> bool {
    if value.len() != bytes.len() as u64 {
        return false;
    }
    let mut rest = bytes;
    value.pieces(0, value.len()).all(|piece| {
        let (front, behind) = rest.split_at(piece.len());
        rest = behind;
        piece == front
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::value::string::PagedString;

    fn flat(bytes: &[u8]) -> StringRef<'_> {
        StringRef::Flat { bytes, shared: None, raw: false }
    }

    /// The vectors are Redis's: of its documentation, and of client libraries that hash themselves.
    #[test]
    fn digests_are_those_of_redis() {
        assert_eq!(digest_text(flat(b"Hello world")), "b6acb9d84a38ff74");
        assert_eq!(digest_text(flat(b"")), "2d06800538d394c2");
    }

    #[test]
    fn pages_have_the_digest_of_flat_bytes_and_compare_as_they() {
        let bytes: Bytes = (0..200_000u32).map(|i| (i % 251) as u8).collect();
        let paged = PagedString::from_bytes(bytes.clone());
        let paged = StringRef::Paged(&paged);
        assert_eq!(digest_text(paged), digest_text(flat(&bytes)));
        assert!(equals(paged, &bytes));
        let mut other = bytes.to_vec();
        *other.last_mut().unwrap() ^= 1;
        assert!(!equals(paged, &other));
        assert!(!equals(paged, &bytes[1..]));
    }
}
