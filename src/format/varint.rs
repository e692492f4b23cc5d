//! LEB128 for u64: seven bits a byte, lowest first, the high bit set on all but the last byte.
//!
//! Only the shortest form is valid, so that every value has one encoding.

use crate::error::DecodeError;

/// Longest encoding, in bytes.
pub const BYTES_MAX: usize = 10;

/// Appends `value`.
pub fn encode(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a number of up to 128 bits, in the same form.
pub fn encode_wide(mut value: u128, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// As [`decode`], for a number of up to 128 bits.
///
/// # Errors
/// The bytes end too early, the form is not the shortest, or the value exceeds 128 bits.
pub fn decode_wide(bytes: &[u8]) -> Result<(u128, usize), DecodeError> {
    let mut value = 0u128;
    for (index, &byte) in bytes.iter().enumerate() {
        let bits = u128::from(byte & 0x7f);
        let shift = 7 * index as u32;
        if shift >= u128::BITS || (bits << shift) >> shift != bits {
            return Err(DecodeError::new(index as u64, "varint exceeds 128 bits"));
        }
        value |= bits << shift;
        if byte < 0x80 {
            if byte == 0 && index > 0 {
                return Err(DecodeError::new(index as u64, "varint is not in its shortest form"));
            }
            return Ok((value, index + 1));
        }
    }
    Err(DecodeError::new(bytes.len() as u64, "varint is cut short"))
}

/// Bytes that [`encode`] appends.
pub fn encoded_len(value: u64) -> usize {
    let bits = u64::BITS - (value | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

/// The value at the start of `bytes`, and its length in bytes.
///
/// # Errors
/// The bytes end too early, the form is not the shortest, or the value exceeds 64 bits.
#[inline]
pub fn decode(bytes: &[u8]) -> Result<(u64, usize), DecodeError> {
    match bytes.first_chunk() {
        Some(chunk) => match decode_word(u64::from_le_bytes(*chunk)) {
            Some(decoded) => Ok(decoded),
            None => decode_bytewise(bytes),
        },
        None => decode_bytewise(bytes),
    }
}

/// Decodes a valid encoding that ends within the eight bytes of `word`, all bytes at once.
#[inline]
fn decode_word(word: u64) -> Option<(u64, usize)> {
    let ends = !word & 0x8080_8080_8080_8080;
    if ends == 0 {
        return None;
    }
    let bits = ends.trailing_zeros() + 1;
    let last = (word >> (bits - 8)) as u8;
    if last == 0 && bits > 8 {
        return None;
    }
    // Groups of 7 bits move together: into 14, then 28, then 56.
    let mut value = word & (u64::MAX >> (64 - bits)) & 0x7f7f_7f7f_7f7f_7f7f;
    value = (value & 0x007f_007f_007f_007f) | ((value & 0x7f00_7f00_7f00_7f00) >> 1);
    value = (value & 0x0000_3fff_0000_3fff) | ((value & 0x3fff_0000_3fff_0000) >> 2);
    value = (value & 0x0000_0000_0fff_ffff) | ((value & 0x0fff_ffff_0000_0000) >> 4);
    Some((value, bits as usize / 8))
}

fn decode_bytewise(bytes: &[u8]) -> Result<(u64, usize), DecodeError> {
    let mut value = 0u64;
    for (index, &byte) in bytes.iter().take(BYTES_MAX).enumerate() {
        let bits = u64::from(byte & 0x7f);
        if index == BYTES_MAX - 1 && byte > 1 {
            return Err(DecodeError::new(index as u64, "varint exceeds 64 bits"));
        }
        value |= bits << (7 * index);
        if byte < 0x80 {
            if byte == 0 && index > 0 {
                return Err(DecodeError::new(index as u64, "varint is not in its shortest form"));
            }
            return Ok((value, index + 1));
        }
    }
    Err(DecodeError::new(bytes.len() as u64, "varint is cut short"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_encoded_decodes_to_itself(value: u64, shift in 0u32..64) {
            let value = value >> shift;
            let mut bytes = Vec::new();
            encode(value, &mut bytes);
            prop_assert_eq!(bytes.len(), encoded_len(value));
            prop_assert_eq!(decode(&bytes).unwrap(), (value, bytes.len()));
            prop_assert!(decode(&bytes[..bytes.len() - 1]).is_err());
            bytes.extend_from_slice(&[0xff; 9]);
            prop_assert_eq!(decode(&bytes), decode_bytewise(&bytes));
        }

        #[test]
        fn wide_numbers_decode_to_themselves(value: u128, shift in 0u32..128) {
            let value = value >> shift;
            let mut bytes = Vec::new();
            encode_wide(value, &mut bytes);
            prop_assert_eq!(decode_wide(&bytes).unwrap(), (value, bytes.len()));
            prop_assert!(decode_wide(&bytes[..bytes.len() - 1]).is_err());
            if let Ok(value) = u64::try_from(value) {
                let mut narrow = Vec::new();
                encode(value, &mut narrow);
                prop_assert_eq!(narrow, bytes);
            }
        }

        #[test]
        fn what_decodes_is_the_only_encoding(bytes: [u8; 12]) {
            if let Ok((value, len)) = decode(&bytes) {
                let mut again = Vec::new();
                encode(value, &mut again);
                prop_assert_eq!(&bytes[..len], &again[..]);
            }
            prop_assert_eq!(decode(&bytes), decode_bytewise(&bytes));
        }
    }

    #[test]
    fn longer_forms_and_overflow_are_errors() {
        assert_eq!(decode(&[0x80, 0x00]).unwrap_err().reason, "varint is not in its shortest form");
        let mut most = [0xff; 10];
        most[9] = 1;
        assert_eq!(decode(&most).unwrap(), (u64::MAX, 10));
        most[9] = 2;
        assert_eq!(decode(&most).unwrap_err().reason, "varint exceeds 64 bits");
        assert!(decode(&[0xff; 20]).is_err());
        assert!(decode_wide(&[0x80, 0x00]).is_err());
        let mut most = [0xff; 19];
        most[18] = 3;
        assert_eq!(decode_wide(&most).unwrap(), (u128::MAX, 19));
        most[18] = 4;
        assert_eq!(decode_wide(&most).unwrap_err().reason, "varint exceeds 128 bits");
        assert!(decode_wide(&[0xff; 30]).is_err());
    }
}
