//! The 80-bit extended float of x86, in which Redis computes INCRBYFLOAT.
//!
//! Clients see its digits (0.1 + 0.2 is 0.3 because a 64-bit mantissa is rounded to 17 decimal
//! places), so it is emulated exactly: parsing rounds once, to nearest even, as `strtold` does;
//! addition rounds once; printing is exact (`%.17Lf` without trailing zeros). No host float takes
//! part.

use std::cmp::Ordering;

/// Longest text that is read, in bytes, as in Redis.
pub const TEXT_BYTES_MAX: usize = 5 * 1024 - 1;
/// Values reach up to, not including, two to this power.
const EXPONENT_MAX: i64 = 16384;
/// The smallest positive value is two to this power.
const EXPONENT_MIN: i64 = -16445;
/// Powers of ten and of two beyond which no text short enough is in range: its digits make up for
/// at most 10^5119 or 2^20476.
const REACH_TEN: i64 = 10_240;
const REACH_TWO: i64 = 40_960;
/// Decimal places of the printed form, and ten to their number.
const PLACES: usize = 17;
const PLACES_POWER: u128 = 10u128.pow(PLACES as u32);

/// A finite number: `mantissa * 2^exponent`, the mantissa's top bit set unless the value is zero.
/// Zero has no sign here: Redis never shows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Finite {
    negative: bool,
    mantissa: u64,
    exponent: i64,
}

/// What a text says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LongDouble {
    /// A number.
    Finite(Finite),
    /// `inf` or `infinity`.
    Infinite {
        /// Whether it is below all numbers.
        negative: bool,
    },
}

impl LongDouble {
    /// Reads what `strtold` reads to the end; none for anything else, for NaN, and for numbers that
    /// overflow, or underflow to zero.
    pub fn parse(text: &[u8]) -> Option<LongDouble> {
        if text.len() > TEXT_BYTES_MAX {
            return None;
        }
        let (negative, body) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            _ => (false, text),
        };
        if body.eq_ignore_ascii_case(b"inf") || body.eq_ignore_ascii_case(b"infinity") {
            return Some(LongDouble::Infinite { negative });
        }
        let number = match body {
            [b'0', b'x' | b'X', hex @ ..] => Digits::scan(hex, 16)?.round(negative),
            _ => Digits::scan(body, 10)?.round(negative),
        };
        number.map(LongDouble::Finite)
    }

    /// The number; none for infinities.
    pub fn finite(self) -> Option<Finite> {
        match self {
            LongDouble::Finite(number) => Some(number),
            LongDouble::Infinite { .. } => None,
        }
    }

    /// The sum; none where it is not a finite number.
    pub fn plus(self, other: LongDouble) -> Option<Finite> {
        match (self, other) {
            (LongDouble::Finite(a), LongDouble::Finite(b)) => a.plus(b),
            _ => None,
        }
    }

    /// The difference; none where it is not a finite number.
    pub fn minus(self, other: Finite) -> Option<Finite> {
        self.plus(LongDouble::Finite(other.negated()))
    }

    /// -1, 0 or 1.
    fn sign(&self) -> i8 {
        match self {
            LongDouble::Infinite { negative } if *negative => -1,
            LongDouble::Infinite { .. } => 1,
            LongDouble::Finite(number) => number.sign(),
        }
    }
}

impl PartialOrd for LongDouble {
    fn partial_cmp(&self, other: &LongDouble) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// From the lowest to the highest; there is no NaN.
impl Ord for LongDouble {
    fn cmp(&self, other: &LongDouble) -> Ordering {
        let magnitudes = match (self, other) {
            (LongDouble::Finite(a), LongDouble::Finite(b)) => a.magnitude_cmp(b),
            (LongDouble::Finite(_), LongDouble::Infinite { .. }) => Ordering::Less,
            (LongDouble::Infinite { .. }, LongDouble::Finite(_)) => Ordering::Greater,
            (LongDouble::Infinite { .. }, LongDouble::Infinite { .. }) => Ordering::Equal,
        };
        let of_one_sign = if self.sign() < 0 { magnitudes.reverse() } else { magnitudes };
        self.sign().cmp(&other.sign()).then(of_one_sign)
    }
}

impl From<f64> for Finite {
    /// The same number.
    ///
    /// # Panics
    /// When it is infinite or no number.
    fn from(number: f64) -> Finite {
        const FRACTION_BITS: u32 = f64::MANTISSA_DIGITS - 1;
        assert!(number.is_finite(), "infinity is no finite number");
        let bits = number.to_bits();
        let fraction = bits & ((1 << FRACTION_BITS) - 1);
        let (mantissa, exponent) = match bits >> FRACTION_BITS & 0x7ff {
            0 => (fraction, 1),
            exponent => (fraction | 1 << FRACTION_BITS, exponent as i64),
        };
        let exponent = exponent - 1023 - i64::from(FRACTION_BITS);
        let found = Finite::rounded(number.is_sign_negative(), u128::from(mantissa), exponent);
        found.expect("a double is within the range of a long double")
    }
}

impl Finite {
    /// Zero.
    pub const ZERO: Finite = Finite { negative: false, mantissa: 0, exponent: 0 };
    /// The largest number (`LDBL_MAX`).
    pub const MAX: Finite =
        Finite { negative: false, mantissa: u64::MAX, exponent: EXPONENT_MAX - 64 };

    /// The number with the other sign.
    pub const fn negated(self) -> Finite {
        Finite { negative: !self.negative && self.mantissa != 0, ..self }
    }

    fn sign(&self) -> i8 {
        match (self.mantissa, self.negative) {
            (0, _) => 0,
            (_, true) => -1,
            (_, false) => 1,
        }
    }

    /// The number of 128 bits `magnitude * 2^exponent`, of which the lowest bit may stand for a
    /// nonzero rest below it, rounded to nearest even; none when it overflows.
    fn rounded(negative: bool, magnitude: u128, exponent: i64) -> Option<Finite> {
        if magnitude == 0 {
            return Some(Finite::ZERO);
        }
        let excess = 64 - i64::from(magnitude.leading_zeros());
        let excess = excess.max(EXPONENT_MIN - exponent);
        let (kept, exponent) = if excess <= 0 {
            (magnitude, exponent)
        } else {
            (round_shift(magnitude, excess), exponent + excess)
        };
        if kept == 0 {
            return Some(Finite::ZERO);
        }
        // Rounding up may have carried into a 65th bit, which leaves zeros behind it.
        let shift = i64::from(kept.leading_zeros()) - 64;
        let mantissa = match shift {
            -1 => (kept >> 1) as u64,
            _ => (kept << shift) as u64,
        };
        let exponent = exponent - shift;
        (exponent + 64 <= EXPONENT_MAX).then_some(Finite { negative, mantissa, exponent })
    }

    fn plus(self, other: Finite) -> Option<Finite> {
        let (large, small) = match self.magnitude_cmp(&other) {
            Ordering::Less => (other, self),
            _ => (self, other),
        };
        if small.mantissa == 0 {
            return Some(large);
        }
        // 62 guard bits, and the lowest of them sticky: enough for one exact rounding.
        let guard = 62;
        let distance = large.exponent - small.exponent;
        let base = u128::from(large.mantissa) << guard;
        let moved = sticky_shift(u128::from(small.mantissa) << guard, distance);
        let sum = if large.negative == small.negative { base + moved } else { base - moved };
        Finite::rounded(large.negative, sum, large.exponent - guard)
    }

    fn magnitude_cmp(&self, other: &Finite) -> Ordering {
        match (self.mantissa, other.mantissa) {
            (0, b) => 0.cmp(&b),
            (_, 0) => Ordering::Greater,
            (a, b) => (self.exponent, a).cmp(&(other.exponent, b)),
        }
    }

    /// The human form: decimal digits without an exponent, at most 17 places, no trailing zeros.
    pub fn to_text(self) -> String {
        let mut text = String::new();
        if self.exponent >= 0 {
            let shifted = Natural::from(self.mantissa).shifted(self.exponent as usize);
            text = shifted.into_decimal();
        } else {
            // At most 64 + 57 bits; rounded at the last place.
            let scaled = u128::from(self.mantissa) * PLACES_POWER;
            let scaled = round_shift(scaled, -self.exponent);
            let (whole, places) = (scaled / PLACES_POWER, scaled % PLACES_POWER);
            text.push_str(&format!("{whole}.{places:0PLACES$}"));
            text.truncate(text.trim_end_matches('0').trim_end_matches('.').len());
        }
        if self.negative && text != "0" {
            text.insert(0, '-');
        }
        text
    }
}

/// `value / 2^shift`, rounded to nearest even; `shift` is positive.
fn round_shift(value: u128, shift: i64) -> u128 {
    if shift > 128 {
        return 0;
    }
    let kept = value.checked_shr(shift as u32).unwrap_or(0);
    let half = 1u128 << (shift - 1);
    let rest = value & (half | (half - 1));
    kept + u128::from(rest > half || rest == half && kept & 1 == 1)
}

/// `value / 2^shift` with the lowest bit set when anything was shifted out.
fn sticky_shift(value: u128, shift: i64) -> u128 {
    if shift > 127 {
        return u128::from(value != 0);
    }
    let kept = value >> shift;
    kept | u128::from(kept << shift != value)
}

/// Digits with a point and an exponent, as scanned.
struct Digits {
    number: Natural,
    /// Whether any digit stands for more than zero.
    is_zero: bool,
    radix: u32,
    /// Power of ten, or of two for hexadecimal digits.
    scale: i64,
}

impl Digits {
    fn scan(text: &[u8], radix: u32) -> Option<Digits> {
        let mut digits = Digits { number: Natural::from(0), is_zero: true, radix, scale: 0 };
        let per_digit = if radix == 16 { 4 } else { 1 };
        let (mut seen, mut point) = (false, false);
        let mut rest = text;
        while let [byte, tail @ ..] = rest {
            if let Some(digit) = (*byte as char).to_digit(radix) {
                digits.number.multiply_add(u64::from(radix), u64::from(digit));
                digits.is_zero &= digit == 0;
                digits.scale -= if point { per_digit } else { 0 };
                seen = true;
            } else if *byte == b'.' && !point {
                point = true;
            } else {
                break;
            }
            rest = tail;
        }
        let exponent = match (rest, radix) {
            ([], _) => 0,
            ([b'e' | b'E', power @ ..], 10) | ([b'p' | b'P', power @ ..], 16) => scan_power(power)?,
            _ => return None,
        };
        digits.scale += exponent;
        seen.then_some(digits)
    }

    /// The nearest number; none when it overflows or a nonzero text comes to zero.
    fn round(self, negative: bool) -> Option<Finite> {
        if self.is_zero {
            return Some(Finite::ZERO);
        }
        if self.scale.abs() > if self.radix == 10 { REACH_TEN } else { REACH_TWO } {
            return None;
        }
        let power = self.scale.unsigned_abs() as usize;
        let (number, divisor, exponent) = match (self.radix, self.scale >= 0) {
            (10, true) => (self.number.times_power_of_ten(power), Natural::from(1), 0),
            (10, false) => (self.number, Natural::from(1).times_power_of_ten(power), 0),
            _ => (self.number, Natural::from(1), self.scale),
        };
        let (quotient, at) = number.divided_bits(divisor);
        Finite::rounded(negative, quotient, at + exponent).filter(|found| found.mantissa != 0)
    }
}

/// A signed decimal power, held within bounds that no length of digits can make up for.
fn scan_power(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let power = digits
        .iter()
        .fold(0i64, |power, digit| (power * 10 + i64::from(digit - b'0')).min(1 << 40));
    Some(if negative { -power } else { power })
}

/// A natural number of any size: 64-bit limbs, lowest first, the last one not zero.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Natural(Vec<u64>);

impl From<u64> for Natural {
    fn from(value: u64) -> Natural {
        Natural(if value == 0 { vec![] } else { vec![value] })
    }
}

impl Natural {
    fn multiply_add(&mut self, factor: u64, addend: u64) {
        let mut carry = u128::from(addend);
        for limb in &mut self.0 {
            carry += u128::from(*limb) * u128::from(factor);
            *limb = carry as u64;
            carry >>= 64;
        }
        if carry != 0 {
            self.0.push(carry as u64);
        }
    }

    fn times_power_of_ten(mut self, power: usize) -> Natural {
        for _ in 0..power / 19 {
            self.multiply_add(10u64.pow(19), 0);
        }
        self.multiply_add(10u64.pow((power % 19) as u32), 0);
        self
    }

    fn bits(&self) -> usize {
        match self.0.last() {
            Some(top) => self.0.len() * 64 - top.leading_zeros() as usize,
            None => 0,
        }
    }

    fn shifted(&self, bits: usize) -> Natural {
        let mut limbs = vec![0; bits / 64];
        let shift = bits % 64;
        let mut carry = 0;
        for limb in &self.0 {
            limbs.push(limb << shift | carry);
            carry = limb.checked_shr(64 - shift as u32).unwrap_or(0);
        }
        if carry != 0 {
            limbs.push(carry);
        }
        Natural(limbs)
    }

    fn cmp(&self, other: &Natural) -> Ordering {
        let lens = self.0.len().cmp(&other.0.len());
        lens.then_with(|| self.0.iter().rev().cmp(other.0.iter().rev()))
    }

    /// Subtracts what is not larger.
    fn subtract(&mut self, other: &Natural) {
        let mut borrow = false;
        for (index, limb) in self.0.iter_mut().enumerate() {
            let taken = other.0.get(index).copied().unwrap_or(0);
            let (value, under) = limb.overflowing_sub(taken);
            let (value, under_borrow) = value.overflowing_sub(u64::from(borrow));
            *limb = value;
            borrow = under || under_borrow;
        }
        assert!(!borrow, "subtraction of a larger number");
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }

    /// The quotient of two positive numbers as (q, e): q * 2^e, with at least 100 bits in q, the
    /// lowest of them set when the division left a rest. Bit by bit: the divisor has at most a few
    /// hundred limbs.
    fn divided_bits(self, divisor: Natural) -> (u128, i64) {
        let bits = 100;
        let lead = self.bits() as i64 - divisor.bits() as i64;
        let (mut rest, mut divisor) = match usize::try_from(lead) {
            Ok(lead) => (self, divisor.shifted(lead)),
            Err(_) => (self.shifted(lead.unsigned_abs() as usize), divisor),
        };
        if rest.cmp(&divisor) == Ordering::Less {
            rest = rest.shifted(1);
            divisor = divisor.shifted(0);
            return Natural::quotient_bits(rest, &divisor, bits, lead - 1);
        }
        Natural::quotient_bits(rest, &divisor, bits, lead)
    }

    /// `bits` bits of `rest / divisor`, which is at least one and below two, as (q, e).
    fn quotient_bits(mut rest: Natural, divisor: &Natural, bits: i64, lead: i64) -> (u128, i64) {
        let mut quotient = 0u128;
        for _ in 0..bits {
            quotient <<= 1;
            if rest.cmp(divisor) != Ordering::Less {
                rest.subtract(divisor);
                quotient |= 1;
            }
            rest = rest.shifted(1);
        }
        (quotient | u128::from(!rest.0.is_empty()), lead - (bits - 1))
    }

    fn into_decimal(mut self) -> String {
        let base = u128::from(10u64.pow(19));
        let mut groups = vec![];
        while !self.0.is_empty() {
            let mut rest = 0u128;
            for limb in self.0.iter_mut().rev() {
                let value = rest << 64 | u128::from(*limb);
                *limb = (value / base) as u64;
                rest = value % base;
            }
            groups.push(rest);
            while self.0.last() == Some(&0) {
                self.0.pop();
            }
        }
        let mut text = groups.pop().unwrap_or(0).to_string();
        let rest = groups.iter().rev().map(|group| format!("{group:019}"));
        text.extend(rest);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(of: &str) -> Option<String> {
        match LongDouble::parse(of.as_bytes())? {
            LongDouble::Finite(number) => Some(number.to_text()),
            LongDouble::Infinite { negative: false } => Some("inf".to_string()),
            LongDouble::Infinite { negative: true } => Some("-inf".to_string()),
        }
    }

    fn sum(a: &str, b: &str) -> Option<String> {
        let parse = |text: &str| LongDouble::parse(text.as_bytes()).unwrap();
        parse(a).plus(parse(b)).map(Finite::to_text)
    }

    #[test]
    fn texts_print_as_redis_prints_them() {
        for (of, want) in [
            ("0", "0"),
            ("-0", "0"),
            ("0.0e999999999999", "0"),
            ("3.0e3", "3000"),
            ("+1.5", "1.5"),
            (".5", "0.5"),
            ("5.", "5"),
            ("0x10", "16"),
            ("0X1P-3", "0.125"),
            ("0x.8", "0.5"),
            ("1e17", "100000000000000000"),
            ("1e-30", "0"),
            ("-1e-30", "0"),
            ("1e-4940", "0"),
            ("1e30", "1000000000000000000024696061952"),
            ("12345678901234567890123", "12345678901234567889920"),
            ("-0.0000001", "-0.0000001"),
            ("INFinity", "inf"),
            ("-inf", "-inf"),
            (
                "1e100",
                "9999999999999999999669353532207342619498699019828496079271391541752018669482\
                 644324418977840117055488",
            ),
        ] {
            assert_eq!(text(of).as_deref(), Some(want), "{of}");
        }
        assert_eq!(text("1e4932").unwrap().len(), 4933);
        assert_eq!(text("1.18973149535723176502e4932").unwrap().len(), 4933);
    }

    #[test]
    fn what_is_no_number_is_refused() {
        let bad = [
            "",
            " 1",
            "1 ",
            "abc",
            "nan",
            "nan(1)",
            "1e",
            "1e+",
            "0x",
            "0x.",
            ".",
            "-",
            "+-1",
            "1.2.3",
            "1e5000",
            "-1e5000",
            "1e-5000",
            "1\0",
            "0x1p",
            "1p3",
            "1e99999999999999999999",
            "1.19e4932",
        ];
        for of in bad {
            assert_eq!(text(of), None, "{of:?}");
        }
        assert_eq!(text(&"1".repeat(TEXT_BYTES_MAX + 1)), None);
        assert_eq!(text(&format!("0.{}", "1".repeat(4000))).unwrap(), "0.11111111111111111");
    }

    #[test]
    fn sums_round_as_the_hardware_rounds() {
        for (a, b, want) in [
            ("0.1", "0.2", "0.3"),
            ("3.0e3", "200", "3200"),
            ("1e30", "1", "1000000000000000000024696061952"),
            ("1", "-1", "0"),
            ("10.5", "0.1", "10.6"),
            ("5.0e3", "2.0e2", "5200"),
            ("1e-30", "1", "1"),
            ("18446744073709551615", "1", "18446744073709551616"),
            ("18446744073709551616", "1", "18446744073709551616"),
            ("18446744073709551616", "3", "18446744073709551620"),
            ("18446744073709551616", "-1", "18446744073709551615"),
            ("18446744073709551616", "-0.25", "18446744073709551616"),
        ] {
            assert_eq!(sum(a, b).as_deref(), Some(want), "{a} + {b}");
            assert_eq!(sum(b, a).as_deref(), Some(want), "{b} + {a}");
        }
        assert_eq!(sum("1e4932", "1e4932"), None);
        assert_eq!(sum("inf", "1"), None);
    }

    #[test]
    fn numbers_are_ordered_and_turned_around() {
        let order = ["-inf", "-1e4932", "-2", "-1.5", "-1e-4940", "0", "0x1p-16445", "1", "1.5"];
        let order = order.into_iter().chain(["1e18", "1.18973149535723176502e4932", "inf"]);
        let order: Vec<_> = order.map(|of| LongDouble::parse(of.as_bytes()).unwrap()).collect();
        for (a, left) in order.iter().enumerate() {
            for (b, right) in order.iter().enumerate() {
                assert_eq!(left.cmp(right), a.cmp(&b), "{left:?} {right:?}");
            }
        }
        assert_eq!(order[10], LongDouble::Finite(Finite::MAX));
        assert_eq!(LongDouble::parse(b"-0"), LongDouble::parse(b"0"));
        let number = |of: &str| LongDouble::parse(of.as_bytes()).and_then(LongDouble::finite);
        let difference = |a, b| {
            let difference = LongDouble::Finite(number(a)?).minus(number(b)?);
            difference.map(Finite::to_text)
        };
        assert_eq!(difference("42.5", "10").as_deref(), Some("32.5"));
        assert_eq!(difference("0", "0").as_deref(), Some("0"));
        assert_eq!(difference("-1e4932", "1e4932"), None);
        assert_eq!(Finite::ZERO.negated(), Finite::ZERO);
    }

    proptest! {
        #[test]
        fn doubles_keep_their_digits(
            number in prop_oneof![-1e9..1e9f64, -1.0..1.0f64, -1e-15..1e-15, Just(5e-324)],
        ) {
            let exact = format!("{number:.17}");
            let exact = exact.trim_end_matches('0').trim_end_matches('.');
            let exact = if exact == "-0" { "0" } else { exact };
            prop_assert_eq!(Finite::from(number).to_text(), exact);
        }

        #[test]
        fn integers_are_exact(a in -(1i64 << 62)..1 << 62, b in -(1i64 << 62)..1 << 62) {
            prop_assert_eq!(sum(&a.to_string(), &b.to_string()), Some((a + b).to_string()));
        }

        #[test]
        fn doubles_print_as_the_standard_library_prints_them(bits: u64) {
            let double = f64::from_bits(bits);
            prop_assume!(double.is_finite());
            let want = format!("{double:.17}");
            let want = want.trim_end_matches('0').trim_end_matches('.');
            let want = if want == "-0" { "0" } else { want };
            // An exact decimal expansion, so that parsing rounds nothing away.
            let exact = format!("{double:.1100}");
            prop_assert_eq!(text(&exact).unwrap_or("0".into()), want);
        }

        #[test]
        fn printed_numbers_read_back_as_themselves(
            a in -1_000_000_000i64..1_000_000_000,
            places in 0u32..9,
        ) {
            let decimal = format!("{a}e-{places}");
            let once = text(&decimal).unwrap();
            prop_assert_eq!(text(&once).unwrap(), once.clone());
            prop_assert_eq!(once.parse::<f64>().unwrap(), decimal.parse::<f64>().unwrap());
        }
    }
}
