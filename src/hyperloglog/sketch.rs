//! A HyperLogLog in the bytes of Redis's string.
//!
//! ```text
//! "HYLL", encoding (0 dense, 1 sparse), 3 bytes of 0,
//! estimate (u64 LE; the highest bit tells that it is out of date), registers
//! registers = 16384 values of six bits, from the lowest bit on (dense) | runs (sparse.rs)
//! ```

use super::estimate::{Histogram, estimate};
use super::hash::register_of;
use super::sparse::{self, Set};

/// Number of registers.
pub const REGISTERS: usize = 1 << 14;
/// Bytes in front of the registers.
pub const HEADER_BYTES: usize = 16;
/// Bytes of the dense form.
pub const DENSE_BYTES: usize = HEADER_BYTES + REGISTERS * VALUE_BITS / 8;

const MAGIC: &[u8] = b"HYLL";
const ENCODING_AT: usize = 4;
const ESTIMATE_AT: usize = 8;
const OUT_OF_DATE: u64 = 1 << 63;
const VALUE_BITS: usize = 6;
const VALUE_MASK: u16 = (1 << VALUE_BITS) - 1;

/// The bytes are no HyperLogLog, and it shows only when their registers are read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Corrupted;

/// How registers are kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// All, six bits each.
    Dense,
    /// As runs.
    Sparse,
}

/// Values of all registers, a byte each.
pub struct Registers(Vec<u8>);

impl Default for Registers {
    fn default() -> Registers {
        Registers(vec![0; REGISTERS])
    }
}

impl Registers {
    /// The values.
    pub fn values(&self) -> &[u8] {
        &self.0
    }

    /// Raises each value to what it is in a sketch.
    pub fn merge(&mut self, sketch: &Sketch) -> Result<(), Corrupted> {
        if sketch.form() == Form::Dense {
            for (index, own) in self.0.iter_mut().enumerate() {
                *own = sketch.dense(index).max(*own);
            }
            return Ok(());
        }
        let mut left = &mut self.0[..];
        for run in sparse::runs(&sketch.bytes) {
            let (own, behind) = left.split_at_mut_checked(run.len).ok_or(Corrupted)?;
            own.iter_mut().for_each(|own| *own = run.value.max(*own));
            left = behind;
        }
        if left.is_empty() { Ok(()) } else { Err(Corrupted) }
    }

    /// About how many different elements were added.
    pub fn estimate(&self) -> u64 {
        let mut histogram: Histogram = [0; 64];
        self.0.iter().for_each(|&value| histogram[usize::from(value) & 63] += 1);
        estimate(&histogram)
    }
}

/// A HyperLogLog.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sketch {
    bytes: Vec<u8>,
}

impl Sketch {
    /// An empty one, sparse.
    pub fn new() -> Sketch {
        let mut bytes = [MAGIC, &[1, 0, 0, 0], &[0; 8]].concat();
        sparse::empty(&mut bytes);
        Sketch { bytes }
    }

    /// Reads a string; none where it is no HyperLogLog.
    pub fn from_bytes(bytes: Vec<u8>) -> Option<Sketch> {
        let form = (bytes.len() >= HEADER_BYTES && bytes.starts_with(MAGIC))
            .then(|| bytes[ENCODING_AT])
            .filter(|&encoding| encoding <= 1)?;
        (form == 1 || bytes.len() == DENSE_BYTES).then_some(Sketch { bytes })
    }

    /// The string.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How registers are kept.
    pub fn form(&self) -> Form {
        if self.bytes[ENCODING_AT] == 0 { Form::Dense } else { Form::Sparse }
    }

    /// Adds an element to a sketch that stays sparse up to `sparse_max` bytes; whether that changed
    /// a register.
    pub fn add(&mut self, element: &[u8], sparse_max: usize) -> Result<bool, Corrupted> {
        let (index, value) = register_of(element);
        self.raise(index, value, sparse_max)
    }

    /// Raises the value of a register; whether it was lower.
    pub fn raise(&mut self, index: usize, value: u8, sparse_max: usize) -> Result<bool, Corrupted> {
        if self.form() == Form::Sparse {
            match sparse::raise(&mut self.bytes, index, value, sparse_max)? {
                Set::Unchanged => return Ok(false),
                Set::Changed => return Ok(true),
                Set::TooLarge => {
                    self.make_dense()?;
                }
            }
        }
        let raised = value > self.dense(index);
        if raised {
            self.set_dense(index, value);
        }
        Ok(raised)
    }

    /// The registers.
    pub fn registers(&self) -> Result<Registers, Corrupted> {
        let mut registers = Registers::default();
        registers.merge(self)?;
        Ok(registers)
    }

    /// Goes over to the dense form; whether it was sparse.
    pub fn make_dense(&mut self) -> Result<bool, Corrupted> {
        if self.form() == Form::Dense {
            return Ok(false);
        }
        let registers = self.registers()?;
        self.bytes.truncate(HEADER_BYTES);
        self.bytes.resize(DENSE_BYTES, 0);
        self.bytes[ENCODING_AT] = 0;
        self.set_all(&registers);
        Ok(true)
    }

    /// Gives a dense sketch these registers.
    pub fn set_all(&mut self, registers: &Registers) {
        for (index, &value) in registers.values().iter().enumerate() {
            self.set_dense(index, value);
        }
    }

    /// The estimate that is kept, if it is up to date.
    pub fn kept_estimate(&self) -> Option<u64> {
        let bytes = &self.bytes[ESTIMATE_AT..HEADER_BYTES];
        let kept = bytes.iter().rev().fold(0, |kept: u64, &byte| kept << 8 | u64::from(byte));
        (kept & OUT_OF_DATE == 0).then_some(kept)
    }

    /// Where the kept estimate stands in the string, and its bytes.
    pub fn estimate_to_keep(estimate: u64) -> (u64, [u8; 8]) {
        (ESTIMATE_AT as u64, estimate.to_le_bytes())
    }

    /// Tells that the kept estimate is out of date.
    pub fn outdate(&mut self) {
        self.bytes[HEADER_BYTES - 1] |= (OUT_OF_DATE >> 56) as u8;
    }

    /// The value of a register of a dense sketch.
    fn dense(&self, index: usize) -> u8 {
        let (at, shift) = place(index);
        let low = u16::from(self.bytes[at]);
        let high = u16::from(self.bytes.get(at + 1).copied().unwrap_or(0));
        ((high << 8 | low) >> shift & VALUE_MASK) as u8
    }

    fn set_dense(&mut self, index: usize, value: u8) {
        let (at, shift) = place(index);
        let (mask, value) = (VALUE_MASK << shift, u16::from(value) << shift);
        self.bytes[at] = self.bytes[at] & !mask as u8 | value as u8;
        if let Some(next) = self.bytes.get_mut(at + 1) {
            *next = *next & !(mask >> 8) as u8 | (value >> 8) as u8;
        }
    }
}

impl Default for Sketch {
    fn default() -> Sketch {
        Sketch::new()
    }
}

/// The byte with the lowest bit of a register, and which bit that is.
fn place(index: usize) -> (usize, usize) {
    let bit = index * VALUE_BITS;
    (HEADER_BYTES + bit / 8, bit % 8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn dense_registers_are_those_of_an_array(
            steps in prop::collection::vec((0..REGISTERS, 0..64u8), 0..300),
        ) {
            let mut sketch = Sketch::new();
            sketch.make_dense().unwrap();
            let mut model = vec![0; REGISTERS];
            for (index, value) in steps.into_iter().chain([(REGISTERS - 1, 63), (0, 63)]) {
                prop_assert_eq!(sketch.raise(index, value, 0), Ok(value > model[index]));
                model[index] = value.max(model[index]);
            }
            prop_assert_eq!(sketch.bytes().len(), DENSE_BYTES);
            let registers = sketch.registers().unwrap();
            prop_assert_eq!(registers.values(), &model[..]);
        }
    }

    #[test]
    fn both_forms_count_alike_and_about_right() {
        let (mut sparse, mut dense) = (Sketch::new(), Sketch::new());
        dense.make_dense().unwrap();
        for number in 1..=20_000_u64 {
            let element = number.to_le_bytes();
            let changed = sparse.add(&element, 3000);
            assert_eq!(changed, dense.add(&element, 3000));
            if [1, 10, 100, 1000, 10_000, 20_000].contains(&number) {
                let counts = [&sparse, &dense].map(|s| s.registers().unwrap().estimate());
                assert_eq!(counts[0], counts[1]);
                let error = counts[0].abs_diff(number);
                assert!(error <= number / 30, "{number}: {counts:?}");
            }
            assert_eq!(sparse.form() == Form::Sparse, sparse.bytes().len() <= 3000);
        }
        assert_eq!(sparse.form(), Form::Dense);
        assert_eq!(sparse.bytes()[HEADER_BYTES..], dense.bytes()[HEADER_BYTES..]);
    }

    #[test]
    fn only_the_right_bytes_are_a_sketch() {
        let new = Sketch::new().bytes().to_vec();
        assert_eq!(new, b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\0\x7f\xff");
        assert!(Sketch::from_bytes(new.clone()).is_some());
        for cut in 0..HEADER_BYTES {
            assert_eq!(Sketch::from_bytes(new[..cut].to_vec()), None);
        }
        for (at, byte) in [(0, b'h'), (3, b'l'), (4, 0), (4, 2)] {
            let mut other = new.clone();
            other[at] = byte;
            assert_eq!(Sketch::from_bytes(other), None, "{at}");
        }
    }

    #[test]
    fn runs_must_be_all_registers() {
        for rest in [&b""[..], b"\x7f\xfe", b"\x7f\xff\x00", b"\x7f\xfe\x81", b"\x7f"] {
            let bytes = [&Sketch::new().bytes()[..HEADER_BYTES], rest].concat();
            let mut sketch = Sketch::from_bytes(bytes).unwrap();
            assert!(sketch.registers().is_err(), "{rest:?}");
            assert!(sketch.make_dense().is_err(), "{rest:?}");
        }
    }

    #[test]
    fn an_estimate_is_kept_until_it_is_out_of_date() {
        let mut sketch = Sketch::new();
        assert_eq!(sketch.kept_estimate(), Some(0));
        sketch.outdate();
        assert_eq!(sketch.kept_estimate(), None);
        assert_eq!(sketch.bytes()[15], 0x80);
    }
}
