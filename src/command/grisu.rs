//! The digits that Redis writes for a floating point number.
//!
//! Grisu2: Florian Loitsch, "Printing Floating-Point Numbers Quickly and Accurately with Integers"
//! (PLDI 2010). What it gives always reads back as the same number, and nearly always has the
//! fewest digits that do; where it has not, Redis shows the same digits too many.

/// Bits of an `f64` that hold its fraction.
const FRACTION_BITS: u32 = 52;
/// The bit in front of the fraction of a normal number.
const HIDDEN: u64 = 1 << FRACTION_BITS;
/// Exponent of the lowest bit of the fraction when the biased exponent is 0.
const EXPONENT_BIAS: i32 = 1023 + 52;
/// The power of ten of the first entry of [`POWERS`], and the distance to the next.
const POWER_FIRST: i32 = -348;
const POWER_STEP: i32 = 8;
/// Exponents that a product with a power of ten is brought to.
const EXPONENTS: std::ops::RangeInclusive<i32> = -60..=-32;

/// 64 bits of the powers of ten from 10^-348 to 10^340 in steps of eight, rounded to the nearest.
#[rustfmt::skip]
const POWERS: [u64; 87] = [
    0xfa8f_d5a0_081c_0288, 0xbaae_e17f_a23e_bf76, 0x8b16_fb20_3055_ac76, 0xcf42_894a_5dce_35ea,
    0x9a6b_b0aa_5565_3b2d, 0xe61a_cf03_3d1a_45df, 0xab70_fe17_c79a_c6ca, 0xff77_b1fc_bebc_dc4f,
    0xbe56_91ef_416b_d60c, 0x8dd0_1fad_907f_fc3c, 0xd351_5c28_3155_9a83, 0x9d71_ac8f_ada6_c9b5,
    0xea9c_2277_23ee_8bcb, 0xaecc_4991_4078_536d, 0x823c_1279_5db6_ce57, 0xc210_9436_4dfb_5637,
    0x9096_ea6f_3848_984f, 0xd774_85cb_2582_3ac7, 0xa086_cfcd_97bf_97f4, 0xef34_0a98_172a_ace5,
    0xb238_67fb_2a35_b28e, 0x84c8_d4df_d2c6_3f3b, 0xc5dd_4427_1ad3_cdba, 0x936b_9fce_bb25_c996,
    0xdbac_6c24_7d62_a584, 0xa3ab_6658_0d5f_daf6, 0xf3e2_f893_dec3_f126, 0xb5b5_ada8_aaff_80b8,
    0x8762_5f05_6c7c_4a8b, 0xc9bc_ff60_34c1_3053, 0x964e_858c_91ba_2655, 0xdff9_7724_7029_7ebd,
    0xa6df_bd9f_b8e5_b88f, 0xf8a9_5fcf_8874_7d94, 0xb944_7093_8fa8_9bcf, 0x8a08_f0f8_bf0f_156b,
    0xcdb0_2555_6531_31b6, 0x993f_e2c6_d07b_7fac, 0xe45c_10c4_2a2b_3b06, 0xaa24_2499_6973_92d3,
    0xfd87_b5f2_8300_ca0e, 0xbce5_0864_9211_1aeb, 0x8cbc_cc09_6f50_88cc, 0xd1b7_1758_e219_652c,
    0x9c40_0000_0000_0000, 0xe8d4_a510_0000_0000, 0xad78_ebc5_ac62_0000, 0x813f_3978_f894_0984,
    0xc097_ce7b_c907_15b3, 0x8f7e_32ce_7bea_5c70, 0xd5d2_38a4_abe9_8068, 0x9f4f_2726_179a_2245,
    0xed63_a231_d4c4_fb27, 0xb0de_6538_8cc8_ada8, 0x83c7_088e_1aab_65db, 0xc45d_1df9_4271_1d9a,
    0x924d_692c_a61b_e758, 0xda01_ee64_1a70_8dea, 0xa26d_a399_9aef_774a, 0xf209_787b_b47d_6b85,
    0xb454_e4a1_79dd_1877, 0x865b_8692_5b9b_c5c2, 0xc835_53c5_c896_5d3d, 0x952a_b45c_fa97_a0b3,
    0xde46_9fbd_99a0_5fe3, 0xa59b_c234_db39_8c25, 0xf6c6_9a72_a398_9f5c, 0xb7dc_bf53_54e9_bece,
    0x88fc_f317_f222_41e2, 0xcc20_ce9b_d35c_78a5, 0x9816_5af3_7b21_53df, 0xe2a0_b5dc_971f_303a,
    0xa8d9_d153_5ce3_b396, 0xfb9b_7cd9_a4a7_443c, 0xbb76_4c4c_a7a4_4410, 0x8bab_8eef_b640_9c1a,
    0xd01f_ef10_a657_842c, 0x9b10_a4e5_e991_3129, 0xe710_9bfb_a19c_0c9d, 0xac28_20d9_623b_f429,
    0x8044_4b5e_7aa7_cf85, 0xbf21_e440_03ac_dd2d, 0x8e67_9c2f_5e44_ff8f, 0xd433_179d_9c8c_b841,
    0x9e19_db92_b4e3_1ba9, 0xeb96_bf6e_badf_77d9, 0xaf87_023b_9bf0_ee6b,
];

/// A number `fraction * 2^exponent`.
#[derive(Clone, Copy)]
struct Float {
    fraction: u64,
    exponent: i32,
}

impl Float {
    /// Of a positive finite number.
    fn of(number: f64) -> Float {
        let bits = number.to_bits();
        let (fraction, biased) = (bits & (HIDDEN - 1), (bits >> FRACTION_BITS) as i32);
        match biased {
            0 => Float { fraction, exponent: 1 - EXPONENT_BIAS },
            _ => Float { fraction: fraction | HIDDEN, exponent: biased - EXPONENT_BIAS },
        }
    }

    /// The same with its highest bit set.
    fn normalized(self) -> Float {
        let shift = self.fraction.leading_zeros();
        Float { fraction: self.fraction << shift, exponent: self.exponent - shift as i32 }
    }

    /// The middles between this number and its two neighbours, with the exponent of the upper.
    fn boundaries(self) -> (Float, Float) {
        let upper = Float { fraction: (self.fraction << 1) + 1, exponent: self.exponent - 1 };
        let upper = upper.normalized();
        // Below a power of two the neighbours are closer.
        let shift = if self.fraction == HIDDEN { 2 } else { 1 };
        let (lower, exponent) = ((self.fraction << shift) - 1, self.exponent - shift);
        let lower = lower << (exponent - upper.exponent);
        (Float { fraction: lower, exponent: upper.exponent }, upper)
    }

    /// The upper half of the product, rounded.
    fn times(self, other: Float) -> Float {
        let product = u128::from(self.fraction) * u128::from(other.fraction) + (1 << 63);
        Float { fraction: (product >> 64) as u64, exponent: self.exponent + other.exponent + 64 }
    }
}

/// A power of ten that brings a number of this exponent into [`EXPONENTS`], and which one it is.
fn power_for(exponent: i32) -> (Float, i32) {
    // Where two entries would do, this guess is near the one that Redis takes.
    let guess = (f64::from(-(exponent + POWERS.len() as i32)) * std::f64::consts::LOG10_2) as i32;
    let mut index = (guess - POWER_FIRST) / POWER_STEP;
    loop {
        let power = POWER_FIRST + POWER_STEP * index;
        // log2(10) in 65536ths.
        let float =
            Float { fraction: POWERS[index as usize], exponent: ((power * 217_706) >> 16) - 63 };
        let reached = exponent + float.exponent + 64;
        if EXPONENTS.contains(&reached) {
            return (float, power);
        }
        index += if reached < *EXPONENTS.start() { 1 } else { -1 };
    }
}

/// Digits of a positive finite number, and the power of ten behind the last of them.
pub fn digits(number: f64) -> (String, i32) {
    let float = Float::of(number);
    let (lower, upper) = float.boundaries();
    let (power_float, power) = power_for(upper.exponent);
    let middle = float.normalized().times(power_float);
    let (lower, upper) = (lower.times(power_float), upper.times(power_float));
    // The products may be off by one.
    let (low, high) = (lower.fraction + 1, upper.fraction - 1);
    let mut found = Digits { text: Vec::new(), to_middle: high - middle.fraction };
    let behind = found.generate(high, high - low, -upper.exponent);
    let text = found.text.iter().map(|digit| char::from(b'0' + digit)).collect();
    (text, behind - power)
}

struct Digits {
    text: Vec<u8>,
    /// How far the number is below the upper end of what reads back as it.
    to_middle: u64,
}

impl Digits {
    /// Writes digits of `high`, with `shift` bits behind the point, until what is left is below
    /// `delta`; the power of ten behind them.
    fn generate(&mut self, high: u64, mut delta: u64, shift: i32) -> i32 {
        let one = 1u64 << shift;
        let (mut whole, mut part) = (high >> shift, high & (one - 1));
        for behind in (0..10).rev() {
            let unit = 10u64.pow(behind);
            self.push(whole / unit);
            whole %= unit;
            let rest = (whole << shift) + part;
            if rest <= delta {
                self.approach(delta, rest, unit << shift, self.to_middle);
                return behind as i32;
            }
        }
        let (mut behind, mut scale) = (0, 1u64);
        loop {
            part *= 10;
            delta *= 10;
            scale = scale.wrapping_mul(10);
            behind -= 1;
            self.push(part >> shift);
            part &= one - 1;
            if part < delta {
                self.approach(delta, part, one, self.to_middle.wrapping_mul(scale));
                return behind;
            }
        }
    }

    fn push(&mut self, digit: u64) {
        if digit > 0 || !self.text.is_empty() {
            self.text.push(digit as u8);
        }
    }

    /// Lowers the last digit while that comes closer to the number.
    fn approach(&mut self, delta: u64, mut rest: u64, unit: u64, middle: u64) {
        let Some(last) = self.text.last_mut() else {
            return;
        };
        while rest < middle
            && delta - rest >= unit
            && (rest + unit < middle || middle - rest > rest + unit - middle)
        {
            *last -= 1;
            rest += unit;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a valkey-server 8.1 answers, where it is not the nearest of the shortest.
    #[test]
    fn digits_are_those_of_redis() {
        let cases = [
            (516_413.704_874_78, "51641370487478003", -11),
            (415.997_204_779_957_4, "41599720477995743", -14),
            (1_558_067_102_839_732.2, "15580671028397322", -1),
            (2.808_279_646_180_71e-115, "28082796461807102", -131),
            (112_464_077_317_182.12, "11246407731718212", -2),
            (3.681_910_860_021_187_7e189, "36819108600211878", 173),
            (1.412_639_395_282_87e-18, "14126393952828699", -34),
            (0.1, "1", -1),
            (0.3, "3", -1),
            (5e-324, "5", -324),
            (f64::MAX, "17976931348623157", 292),
        ];
        for (number, text, power) in cases {
            assert_eq!(digits(number), (text.to_owned(), power), "{number:e}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn digits_read_back_as_the_number(bits in any::<u64>()) {
            let number = f64::from_bits(bits).abs();
            prop_assume!(number.is_finite() && number > 0.0);
            let (text, power) = digits(number);
            prop_assert_eq!(format!("{text}e{power}").parse::<f64>().unwrap(), number);
            prop_assert!(text.len() <= 17 && !text.starts_with('0'));
        }
    }
}
