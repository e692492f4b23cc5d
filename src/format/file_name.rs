//! Names of files: one way to write each, and nothing else is read as one.

use crate::types::{EPOCH_MAX, LSN_MAX, Lsn};

/// Folder of the log.
pub const LOG_FOLDER: &str = "log";
/// Folder of the parts.
pub const PART_FOLDER: &str = "parts";

/// Highest number of a fragment that a segment may begin with; no frame has as many.
const FIRST_FRAGMENT_MAX: u64 = 1 << 31;

/// Identity of a log segment, in the order of the log.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SegmentName {
    /// Raised by every recovery.
    pub epoch: u32,
    /// LSN of the first data fragment that the segment may hold.
    pub first_lsn: Lsn,
    /// Which fragment of that frame it is: 0, or more when a frame goes on from the segment before.
    pub first_fragment: u32,
}

impl SegmentName {
    /// `<epoch>-<first LSN>.log`, with `_<fragment>` before the dot when a frame goes on.
    pub fn encode(&self) -> String {
        let (epoch, lsn) = (self.epoch, self.first_lsn);
        match self.first_fragment {
            0 => format!("{epoch:08x}-{lsn:016x}.log"),
            fragment => format!("{epoch:08x}-{lsn:016x}_{fragment:08x}.log"),
        }
    }

    /// Reads what [`SegmentName::encode`] writes.
    pub fn decode(name: &str) -> Option<SegmentName> {
        let (epoch, rest) = name.strip_suffix(".log")?.split_once('-')?;
        let (lsn, fragment) = match rest.split_once('_') {
            Some((lsn, fragment)) => (lsn, Some(fragment)),
            None => (rest, None),
        };
        let first_fragment = match fragment {
            Some(digits) => {
                hex(digits, 8).filter(|fragment| (1..=FIRST_FRAGMENT_MAX).contains(fragment))?
            }
            None => 0,
        };
        Some(SegmentName {
            epoch: hex(epoch, 8).filter(|&epoch| epoch <= EPOCH_MAX.into())? as u32,
            first_lsn: hex(lsn, 16).filter(|lsn| (1..=LSN_MAX).contains(lsn))?,
            first_fragment: first_fragment as u32,
        })
    }
}

/// `<number>.spare`: log space ready for use, zeroed or recycled, without a place in the log.
pub fn encode_spare(number: u64) -> String {
    format!("{number:016x}.spare")
}

/// Reads what [`encode_spare`] writes.
pub fn decode_spare(name: &str) -> Option<u64> {
    hex(name.strip_suffix(".spare")?, 16)
}

/// `<number>.new`: log space that is still being prepared; worthless after a crash.
pub fn encode_unfinished(number: u64) -> String {
    format!("{number:016x}.new")
}

/// Reads what [`encode_unfinished`] writes.
pub fn decode_unfinished(name: &str) -> Option<u64> {
    hex(name.strip_suffix(".new")?, 16)
}

/// `<id>.part`
pub fn encode_part(id: u64) -> String {
    format!("{id:016x}.part")
}

/// Reads what [`encode_part`] writes.
pub fn decode_part(name: &str) -> Option<u64> {
    hex(name.strip_suffix(".part")?, 16)
}

/// `MANIFEST-<generation>`
pub fn encode_manifest(generation: u64) -> String {
    format!("MANIFEST-{generation:016x}")
}

/// Reads what [`encode_manifest`] writes.
pub fn decode_manifest(name: &str) -> Option<u64> {
    hex(name.strip_prefix("MANIFEST-")?, 16)
}

/// Exactly `width` lower-case hexadecimal digits.
fn hex(digits: &str, width: usize) -> Option<u64> {
    let valid = digits.len() == width
        && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    valid.then(|| u64::from_str_radix(digits, 16).expect("only digits"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(epoch: u32, first_lsn: Lsn, first_fragment: u32) -> SegmentName {
        SegmentName { epoch, first_lsn, first_fragment }
    }

    #[test]
    fn names_read_back_and_sort_like_the_log() {
        let names = [
            name(1, 5, 0),
            name(1, 5, 1),
            name(1, 6, 0),
            name(2, 3, 0),
            name(EPOCH_MAX, LSN_MAX, 9),
        ];
        assert_eq!(names[0].encode(), "00000001-0000000000000005.log");
        assert_eq!(names[1].encode(), "00000001-0000000000000005_00000001.log");
        let texts: Vec<String> = names.iter().map(SegmentName::encode).collect();
        assert!(texts.is_sorted() && names.is_sorted());
        for (name, text) in names.iter().zip(&texts) {
            assert_eq!(SegmentName::decode(text), Some(*name));
        }
    }

    #[test]
    fn only_the_exact_form_is_a_name() {
        for text in [
            "",
            ".log",
            "1-1.log",
            "00000001-0000000000000005",
            "0000000A-0000000000000005.log",
            "00000001-0000000000000005.log.tmp",
            "+0000001-0000000000000005.log",
            "80000001-0000000000000005.log",
            "00000001-0080000000000001.log",
            "00000001-0000000000000005_80000001.log",
            "00000001-0000000000000005_00000000.log",
            "00000001-0000000000000005_.log",
            "00000001-0000000000000000.log",
        ] {
            assert_eq!(SegmentName::decode(text), None, "{text}");
        }
        assert_eq!(decode_part("000000000000002a.part"), Some(42));
        assert_eq!(decode_part("2a.part"), None);
        assert_eq!(decode_manifest(&encode_manifest(7)), Some(7));
        assert_eq!(decode_manifest("MANIFEST-7"), None);
        assert_eq!(decode_spare(&encode_spare(7)), Some(7));
        assert_eq!(decode_unfinished(&encode_unfinished(7)), Some(7));
        assert_eq!(decode_unfinished(&encode_spare(7)), None);
    }
}
