//! How bytes, times and errors are written for people and programs.

use std::fmt::Write;

use crate::error::Error;

/// Bytes of a value that a line shows.
const SHOWN_BYTES: usize = 64;

/// Bytes in quotes, escaped as redis-cli does it: printable ASCII as it is, else `\n`, `\xhh` and
/// the like.
pub fn quoted(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() + 2);
    out.push('"');
    for &byte in bytes {
        match byte {
            b'\\' | b'"' => out.extend(['\\', byte as char]),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            7 => out.push_str("\\a"),
            8 => out.push_str("\\b"),
            b' '..=b'~' => out.push(byte as char),
            _ => put(&mut out, format_args!("\\x{byte:02x}")),
        }
    }
    out.push('"');
    out
}

/// Reads what [`quoted`] writes; none when it is not that.
pub fn unquoted(text: &[u8]) -> Option<Vec<u8>> {
    let mut inner = text.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let mut out = Vec::with_capacity(inner.len());
    while let Some((&first, rest)) = inner.split_first() {
        inner = rest;
        if first == b'"' {
            return None;
        }
        if first != b'\\' {
            out.push(first);
            continue;
        }
        let (&escape, rest) = inner.split_first()?;
        inner = rest;
        out.push(match escape {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'a' => 7,
            b'b' => 8,
            b'x' => {
                let digits = std::str::from_utf8(inner.get(..2)?).ok()?;
                inner = &inner[2..];
                u8::from_str_radix(digits, 16).ok()?
            }
            other => other,
        });
    }
    Some(out)
}

/// The start of a value in quotes, and its length where that is not all.
pub fn abbreviated(bytes: &[u8]) -> String {
    match bytes.get(..SHOWN_BYTES) {
        Some(start) if bytes.len() > SHOWN_BYTES => {
            format!("{}... ({} bytes)", quoted(start), bytes.len())
        }
        _ => quoted(bytes),
    }
}

/// A JSON string.
pub fn json(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if u32::from(c) < 0x20 || c == '\x7f' => {
                put(&mut out, format_args!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A member of a JSON object: `"name":"..."`, or `"name_base64":"..."` when it is not UTF-8.
pub fn json_bytes(name: &str, bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => format!("\"{name}\":{}", json(text)),
        Err(_) => format!("\"{name}_base64\":\"{}\"", base64(bytes)),
    }
}

/// A CSV field (RFC 4180).
pub fn csv(text: &str) -> String {
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}

/// Base64 (RFC 4648) with padding.
pub fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |index: usize| u32::from(group.get(index).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            match digit <= group.len() {
                true => out.push(DIGITS[(bits >> (18 - 6 * digit)) as usize & 63] as char),
                false => out.push('='),
            }
        }
    }
    out
}

/// Unix milliseconds as an ISO 8601 time in UTC. Years beyond 9999 stay a number.
pub fn time(ms: u64) -> String {
    const DAY_MS: u64 = 86_400_000;
    let (days, ms_of_day) = (ms / DAY_MS, ms % DAY_MS);
    // Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days: years begin
    // in March, eras of 400 years are all alike.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let leaps = day_of_era / 1_460 + day_of_era / 146_096 - day_of_era / 36_524;
    let year_of_era = (day_of_era - leaps) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    if year > 9999 {
        return format!("{ms} ms");
    }
    let (hour, minute) = (ms_of_day / 3_600_000, ms_of_day / 60_000 % 60);
    let (second, milli) = (ms_of_day / 1000 % 60, ms_of_day % 1000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

/// A size for people.
pub fn size(bytes: u64) -> String {
    let units = [(1u64 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => format!("{:.1} {name}", bytes as f64 / *unit as f64),
        None => format!("{bytes} bytes"),
    }
}

/// What is damaged: file, offset and LSN range, without advice.
pub fn problem(error: &Error) -> String {
    let Error::Corrupt { path, offset, lost, reason } = error else {
        return error.to_string();
    };
    let lost = match lost {
        Some((first, last)) if first == last => format!("; lost: LSN {first}"),
        Some((first, last)) => format!("; lost: LSN {first} to {last}"),
        None => String::new(),
    };
    format!("{} byte {offset}: {reason}{lost}", path.display())
}

fn put(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    out.write_fmt(arguments).expect("writing to a string does not fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_survives_quoting() {
        let all: Vec<u8> = (0..=255).collect();
        let text = quoted(&all);
        assert!(text.is_ascii() && !text.contains('\n'));
        assert_eq!(unquoted(text.as_bytes()), Some(all));
        assert_eq!(quoted(b"a\"\\\n\x00\xff"), r#""a\"\\\n\x00\xff""#);
        for bad in ["", "\"", "a", "\"a", "\"\\\"", "\"\\x1\"", "\"a\"b\""] {
            assert_eq!(unquoted(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn json_and_csv_escape_what_would_end_them() {
        assert_eq!(json("a\"\\\n\u{1}\u{e9}"), "\"a\\\"\\\\\\n\\u0001\u{e9}\"");
        assert_eq!(json_bytes("key", b"\xff"), "\"key_base64\":\"/w==\"");
        assert_eq!(json_bytes("key", b"k"), "\"key\":\"k\"");
        assert_eq!(csv("a,\"b\"\n"), "\"a,\"\"b\"\"\n\"");
        assert_eq!(csv("plain"), "plain");
    }

    #[test]
    fn base64_matches_the_vectors_of_its_specification() {
        let vectors = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ];
        for (bytes, text) in vectors {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        assert_eq!(time(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(time(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(time(1_700_000_000_123), "2023-11-14T22:13:20.123Z");
        assert_eq!(time(253_402_300_799_999), "9999-12-31T23:59:59.999Z");
        assert_eq!(time(u64::MAX), format!("{} ms", u64::MAX));
    }

    #[test]
    fn long_values_are_cut_and_say_so() {
        assert_eq!(abbreviated(b"short"), "\"short\"");
        assert!(abbreviated(&[b'x'; 65]).ends_with("x\"... (65 bytes)"));
        assert_eq!(size(5), "5 bytes");
        assert_eq!(size(3 << 19), "1.5 MiB");
    }
}
