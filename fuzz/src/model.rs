//! The engine against a naive model: the simulation of `tests/simulation`, with the fuzzer's bytes
//! as the source of its choices.

use std::cell::RefCell;

use crate::content;

// The simulation's own name, by which its other file refers to it.
#[allow(clippy::module_inception)]
#[path = "../../tests/simulation/model.rs"]
mod model;
#[path = "../../tests/simulation/world.rs"]
mod world;

use world::{Fault, Reached, World};

/// Steps between two choices of what goes wrong.
const STEPS: u64 = 12;
/// Rounds of one input.
const ROUNDS_MAX: usize = 40;

thread_local! {
    /// What is left of the input, last byte first.
    static CHOICES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Runs operations, faults, crashes and reopenings; the database must behave like the model.
pub fn engine_model(data: &[u8]) {
    run(data);
}

fn run(data: &[u8]) -> Reached {
    CHOICES.set(data.iter().rev().copied().collect());
    let mut choices = Choices::new(0);
    let mut world = World::driven_by(0, Choices::new(0));
    for _ in 0..ROUNDS_MAX {
        if CHOICES.with_borrow(Vec::is_empty) {
            break;
        }
        let (fault, end) = (choices.below(4), choices.below(3));
        let fault = [Fault::None, Fault::PowerCut, Fault::IoError, Fault::DiskFull][fault as usize];
        world.run(STEPS, fault);
        match (fault, end) {
            (Fault::None, 0) => world.kill(),
            (Fault::None, 1) => world.close_and_open(),
            _ => world.crash(),
        }
        world.check_everything();
    }
    world.reached
}

/// A source of choices that takes as few bytes for each as it can. When they have run out, a
/// generator goes on, so that every input ends.
pub struct Choices {
    rest: firn::io::random::Random,
}

impl Choices {
    fn new(seed: u64) -> Choices {
        Choices { rest: firn::io::random::Random::new(seed) }
    }

    fn byte() -> Option<u64> {
        CHOICES.with_borrow_mut(Vec::pop).map(u64::from)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        let bytes = (u64::BITS - (bound - 1).leading_zeros()).div_ceil(8);
        let mut value = 0;
        for _ in 0..bytes.max(1) {
            match Choices::byte() {
                Some(byte) => value = value << 8 | byte,
                None => return self.rest.below(bound),
            }
        }
        value % bound
    }

    pub fn chance(&mut self, numerator: u64, denominator: u64) -> bool {
        self.below(denominator) < numerator
    }

    pub fn next_u64(&mut self) -> u64 {
        match Choices::byte() {
            Some(byte) => firn::io::random::Random::new(byte).next_u64(),
            None => self.rest.next_u64(),
        }
    }
}

/// By chance hardly any input copies a collection that is there and large. Where this fails because
/// the model has changed, `operations` in `seeds.rs` needs others.
#[cfg(test)]
#[test]
fn committed_inputs_reach_stages_and_chunks_of_every_kind() {
    let mut all = Reached::default();
    for path in crate::corpus::inputs("engine_model") {
        let reached = run(&std::fs::read(&path).unwrap());
        all.add(&reached);
    }
    all.assert_all();
}
