//! Integers as Redis reads them: canonical decimal, nothing else; and what they and other texts
//! take in one of its listpacks.

/// Longest decimal form of an `i64`, in bytes.
const INTEGER_BYTES_MAX: usize = 20;

/// Parses the one canonical decimal form of an `i64`: no blank, plus sign, leading zero or `-0`.
pub fn parse_integer(text: &[u8]) -> Option<i64> {
    if text.is_empty() || text.len() > INTEGER_BYTES_MAX {
        return None;
    }
    let (negative, digits) = match text[0] {
        b'-' => (true, &text[1..]),
        _ => (false, text),
    };
    match digits {
        b"0" if !negative => return Some(0),
        [b'1'..=b'9', ..] => {}
        _ => return None,
    }
    let mut magnitude: u64 = 0;
    for &digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        magnitude = magnitude.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
    }
    match negative {
        false => i64::try_from(magnitude).ok(),
        true => 0i64.checked_sub_unsigned(magnitude),
    }
}

/// Bytes of an element in a listpack.
pub fn listpack_bytes(element: &[u8]) -> u64 {
    if let Some(number) = parse_integer(element) {
        return listpack_number_bytes(number);
    }
    with_back(match element.len() as u64 {
        len @ ..64 => len + 1,
        len @ ..4096 => len + 2,
        len => len + 5,
    })
}

/// Bytes of an integer in a listpack.
pub fn listpack_number_bytes(number: i64) -> u64 {
    with_back(match number {
        0..=127 => 1,
        -4096..=4095 => 2,
        -0x8000..=0x7fff => 3,
        -0x80_0000..=0x7f_ffff => 4,
        -0x8000_0000..=0x7fff_ffff => 5,
        _ => 9,
    })
}

/// Bytes of an element with its length behind it.
fn with_back(body: u64) -> u64 {
    let back = match body {
        ..=127 => 1,
        128..16_383 => 2,
        16_383..2_097_151 => 3,
        2_097_151..268_435_455 => 4,
        _ => 5,
    };
    body + back
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_the_canonical_form_is_an_integer() {
        let bad = [
            "",
            "-",
            "+1",
            " 1",
            "1 ",
            "01",
            "-0",
            "-01",
            "1.0",
            "9223372036854775808",
            "-9223372036854775809",
            "18446744073709551616",
            "99999999999999999999",
            "1\0",
        ];
        for text in bad {
            assert_eq!(parse_integer(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(parse_integer(b"0"), Some(0));
        assert_eq!(parse_integer(b"9223372036854775807"), Some(i64::MAX));
        assert_eq!(parse_integer(b"-9223372036854775808"), Some(i64::MIN));
    }

    #[test]
    fn numbers_take_fewer_bytes_than_their_digits() {
        let cases: [(&str, u64); 12] = [
            ("0", 2),
            ("127", 2),
            ("128", 3),
            ("-1", 3),
            ("4095", 3),
            ("4096", 4),
            ("-32768", 4),
            ("32768", 5),
            ("8388608", 6),
            ("2147483648", 10),
            ("-9223372036854775808", 10),
            ("007", 5),
        ];
        for (element, bytes) in cases {
            assert_eq!(listpack_bytes(element.as_bytes()), bytes, "{element}");
        }
    }

    proptest! {
        #[test]
        fn every_integer_comes_back(number: i64) {
            prop_assert_eq!(parse_integer(number.to_string().as_bytes()), Some(number));
        }

        #[test]
        fn what_is_accepted_is_what_would_be_printed(text in "[-+ 0-9]{0,22}") {
            let model = text.parse::<i64>().ok().filter(|n| n.to_string() == text);
            prop_assert_eq!(parse_integer(text.as_bytes()), model);
        }
    }
}
