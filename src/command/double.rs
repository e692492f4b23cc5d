//! Floating point numbers as Redis reads and writes them: scores, distances, increments.

use crate::resp::write::Reply;

use super::grisu;

/// Integers up to this are written without a point or an exponent.
const PLAIN_INTEGER_MAX: f64 = (i64::MAX / 2) as f64;

/// A short text that reads back as the same number, with Redis's digits and layout.
pub fn text(number: f64) -> String {
    if number.is_nan() {
        return "nan".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    if number == 0.0 {
        return if number.is_sign_negative() { "-0" } else { "0" }.to_owned();
    }
    if number.abs() <= PLAIN_INTEGER_MAX && number.trunc() == number {
        return (number as i64).to_string();
    }
    let (digits, exponent) = grisu::digits(number.abs());
    let sign = if number < 0.0 { "-" } else { "" };
    format!("{sign}{}", laid_out(&digits, exponent))
}

/// Replies with a number.
pub fn reply(reply: &mut Reply<'_>, number: f64) {
    reply.double_text(&text(number));
}

/// The text that C's `%.17g` gives.
pub fn seventeen_digits(number: f64) -> String {
    if !number.is_finite() {
        return text(number);
    }
    let scientific = format!("{number:.16e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trimmed = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    if (-4..17).contains(&exponent) {
        return trimmed(&format!("{number:.*}", (16 - exponent) as usize));
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", trimmed(mantissa), exponent.abs())
}

/// Plain where that needs few zeros, else with an exponent.
fn laid_out(digits: &str, power: i32) -> String {
    let count = digits.len() as i32;
    let exponent = power + count - 1;
    if power >= 0 && exponent.abs() < count + 7 {
        return format!("{digits}{}", "0".repeat(power as usize));
    }
    if power < 0 && (power > -7 || exponent.abs() < 4) {
        let point = count + power;
        return match point > 0 {
            true => format!("{}.{}", &digits[..point as usize], &digits[point as usize..]),
            false => format!("0.{}{digits}", "0".repeat(point.unsigned_abs() as usize)),
        };
    }
    let (first, rest) = digits.split_at(1);
    let point = if rest.is_empty() { "" } else { "." };
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{first}{point}{rest}e{sign}{}", exponent.abs())
}

/// Reads a number as Redis reads scores and increments: decimal or hexadecimal, `inf` with or
/// without a sign, nothing around it, no NaN.
pub fn parse(text: &[u8]) -> Option<f64> {
    let (number, is_exact) = read(text)?;
    is_exact.then_some(number)
}

/// Reads a number as Redis reads the end of a range of scores, with the leniency of C's `strtod`:
/// blanks in front, anything behind a zero byte, too large or too small a number, and nothing at
/// all, which is 0.
pub fn parse_end(text: &[u8]) -> Option<f64> {
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    if text.is_empty() {
        return Some(0.0);
    }
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r');
    let blanks = text.iter().take_while(|byte| is_blank(byte)).count();
    read(&text[blanks..]).map(|(number, _)| number)
}

/// A number without blanks around it, and whether it did not lose all it had: too large or too
/// small a text does.
fn read(text: &[u8]) -> Option<(f64, bool)> {
    let text = std::str::from_utf8(text).ok()?;
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let lower = unsigned.to_ascii_lowercase();
    let (number, is_exact) = match lower.as_str() {
        "inf" | "infinity" => (f64::INFINITY, true),
        word if word.starts_with("0x") => with_range(hexadecimal(&word[2..])?, &word[2..], 'p'),
        word if word.starts_with(|c: char| c.is_ascii_digit() || c == '.') => {
            with_range(word.parse().ok()?, word, 'e')
        }
        _ => return None,
    };
    Some((if text.starts_with('-') { -number } else { number }, is_exact))
}

fn with_range(number: f64, text: &str, exponent_mark: char) -> (f64, bool) {
    let mantissa = text.split(exponent_mark).next().unwrap_or_default();
    let is_zero = mantissa.chars().all(|c| c == '0' || c == '.');
    (number, number.is_finite() && (number != 0.0 || is_zero))
}

/// Hexadecimal digits with an optional point and a binary exponent.
fn hexadecimal(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text.split_once('p').unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut number = 0.0;
    for digit in whole.chars().chain(fraction.chars()) {
        number = number * 16.0 + f64::from(digit.to_digit(16)?);
    }
    let exponent: i32 = exponent.parse().ok()?;
    let exponent = exponent.checked_sub(4 * fraction.len() as i32)?;
    // In two steps: the power alone may be too small, or too large, for a double.
    Some(number * 2f64.powi(exponent / 2) * 2f64.powi(exponent - exponent / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a redis-server 8.0 answers to `ZADD z <number> a` and `ZSCORE z a`.
    #[test]
    fn numbers_are_written_as_redis_writes_them() {
        let cases = [
            (3.0, "3"),
            (-0.0, "-0"),
            (0.1, "0.1"),
            (1.5e-7, "1.5e-7"),
            (0.000_001, "0.000001"),
            (1e17, "100000000000000000"),
            (1e19, "1e+19"),
            (1.25e20, "1.25e+20"),
            (123_456_789_012_345_680_000.0, "123456789012345680000"),
            (0.000_123_45, "1.2345e-4"),
            (123.456, "123.456"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
        ];
        for (number, expected) in cases {
            assert_eq!(text(number), expected);
        }
    }

    #[test]
    fn seventeen_digits_are_those_of_c() {
        let cases = [
            (0.1, "0.10000000000000001"),
            (3.0, "3"),
            (1e17, "1e+17"),
            (1e16, "10000000000000000"),
            (0.000_05, "5.0000000000000002e-05"),
            (-2.5, "-2.5"),
        ];
        for (number, expected) in cases {
            assert_eq!(seventeen_digits(number), expected);
        }
    }

    #[test]
    fn what_redis_takes_for_a_number_is_read() {
        let good = [
            ("1", 1.0),
            ("-1.5e3", -1500.0),
            (".5", 0.5),
            ("5.", 5.0),
            ("+inf", f64::INFINITY),
            ("-INF", f64::NEG_INFINITY),
            ("Infinity", f64::INFINITY),
            ("0x10", 16.0),
            ("0e999", 0.0),
            ("0x1.8p1", 3.0),
            ("0x1.8p-1023", 1.5 * f64::MIN_POSITIVE / 2.0),
            ("0x1p-1074", 5e-324),
            ("0x0.0001p1030", 2f64.powi(1014)),
        ];
        for (text, number) in good {
            assert_eq!(parse(text.as_bytes()), Some(number), "{text}");
        }
        for text in [
            "", " 1", "1 ", "nan", "-nan", "1a", "--1", "+", ".", "0x", "e5", "1\0", "1e400",
            "1e-400",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn the_end_of_a_range_is_read_with_leniency() {
        let good = [
            ("", 0.0),
            (" \t\r1", 1.0),
            ("1e400", f64::INFINITY),
            ("-1e400", f64::NEG_INFINITY),
            ("1e-400", 0.0),
            ("1\0a", 1.0),
            ("\0", 0.0),
        ];
        for (text, number) in good {
            assert_eq!(parse_end(text.as_bytes()), Some(number), "{text:?}");
        }
        for text in [" ", "1 ", "+", "nan", "1a", "(1"] {
            assert_eq!(parse_end(text.as_bytes()), None, "{text:?}");
        }
    }
}
