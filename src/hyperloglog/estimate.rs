//! From registers to an estimate: Otmar Ertl, "New cardinality estimation algorithms for
//! HyperLogLog sketches", arXiv:1702.01284.

use super::hash::RUN_BITS;
use super::sketch::REGISTERS;

/// 0.5 / ln(2)
const ALPHA: f64 = 0.721_347_520_444_481_7;

/// How many registers have each value.
pub type Histogram = [u32; 64];

/// About how many different elements were added.
pub fn estimate(histogram: &Histogram) -> u64 {
    let count = REGISTERS as f64;
    let full = f64::from(histogram[RUN_BITS as usize + 1]);
    let mut sum = count * tau((count - full) / count);
    for &registers in histogram[1..=RUN_BITS as usize].iter().rev() {
        sum = (sum + f64::from(registers)) * 0.5;
    }
    sum += count * sigma(f64::from(histogram[0]) / count);
    (ALPHA * count * count / sum).round() as u64
}

fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z == before {
            return z;
        }
    }
}

fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if z == before {
            return z / 3.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::estimate;
    use crate::hyperloglog::sketch::REGISTERS;

    #[test]
    fn nothing_counts_nothing() {
        let mut histogram = [0; 64];
        histogram[0] = REGISTERS as u32;
        assert_eq!(estimate(&histogram), 0);
    }

    #[test]
    fn full_registers_count_without_bound() {
        let mut histogram = [0; 64];
        histogram[51] = REGISTERS as u32;
        assert_eq!(estimate(&histogram), u64::MAX);
        histogram = [0; 64];
        histogram[1] = 1;
        histogram[0] = REGISTERS as u32 - 1;
        assert_eq!(estimate(&histogram), 1);
    }
}
