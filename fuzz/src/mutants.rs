//! Runs a fixed set of mutated seeds through every target. A fuzzer follows coverage, which differs
//! between its runs even under one seed; these inputs do not, so a failure is due to a change.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;

use firn::io::random::Random;

use crate::TARGETS;
use crate::corpus::inputs;

/// Mutants of each target; `engine_model` takes a hundred times as long for one as others.
const MUTANTS: u64 = 10_000;
const MUTANTS_OF_THE_MODEL: u64 = 500;
/// Most changes to one seed.
const CHANGES_MAX: u64 = 6;
/// Most bytes that one change inserts, repeats or removes.
const RANGE_BYTES_MAX: u64 = 64;
/// Where decoders draw their lines.
const NUMBERS: [u64; 10] =
    [0, 1, 0x7f, 0x80, 0xffff, 0x8000, u32::MAX as u64, 1 << 31, u64::MAX, 1 << 63];

#[test]
fn mutated_seeds_pass_every_target() {
    for (target, body) in TARGETS {
        let seeds = inputs(target).into_iter().map(|path| std::fs::read(path).unwrap());
        let seeds: Vec<Vec<u8>> = seeds.collect();
        let count = if target == "engine_model" { MUTANTS_OF_THE_MODEL } else { MUTANTS };
        for number in 0..count {
            let input = mutant(&seeds, number);
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| body(&input))) {
                println!("{}", keep(target, number, &input).display());
                resume_unwind(panic);
            }
        }
    }
}

/// Leaves an input where a fuzzer would leave it.
fn keep(target: &str, number: u64, input: &[u8]) -> PathBuf {
    let folder: PathBuf = [env!("CARGO_MANIFEST_DIR"), "artifacts", target].iter().collect();
    let path = folder.join(format!("mutant-{number}"));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(&path, input).unwrap();
    path
}

fn mutant(seeds: &[Vec<u8>], number: u64) -> Vec<u8> {
    let mut random = Random::new(number);
    let pick = |random: &mut Random| &seeds[random.below(seeds.len() as u64) as usize];
    let mut bytes = pick(&mut random).clone();
    for _ in 0..=random.below(CHANGES_MAX) {
        let at = random.below(bytes.len() as u64 + 1) as usize;
        let end = bytes.len().min(at + 1 + random.below(RANGE_BYTES_MAX) as usize);
        match random.below(7) {
            0 => bytes[at..].iter_mut().take(1).for_each(|byte| *byte ^= 1 << random.below(8)),
            1 => bytes[at..].iter_mut().take(1).for_each(|byte| *byte = random.next_u64() as u8),
            2 | 3 => {
                let number = NUMBERS[random.below(NUMBERS.len() as u64) as usize];
                let width = 1 << random.below(4);
                let places = bytes[at..].iter_mut().take(width);
                places.zip(number.to_le_bytes()).for_each(|(place, byte)| *place = byte);
            }
            4 => drop(bytes.drain(at..end)),
            5 => {
                let repeated = bytes[at..end].to_vec();
                bytes.splice(at..at, repeated);
            }
            _ => {
                let other = pick(&mut random);
                bytes.truncate(at);
                bytes.extend_from_slice(&other[at.min(other.len())..]);
            }
        }
    }
    bytes
}
