//! How background work gives way to commands: it works in slices and rests as long as it worked,
//! so that it never takes more than half a core for long.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::background::CLOSE;
use super::core::Core;

/// Work in a row, in microseconds.
const SLICE_US: u64 = 500;
/// Longest rest: what took longer waited for the disk.
const REST_US_MAX: u64 = 4 * SLICE_US;

/// Whether somebody waits for the end of the work.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Haste {
    /// As fast as it goes.
    Awaited,
    /// In the background.
    Idle,
}

/// Rests between slices of background work.
pub struct Pacer<'c> {
    core: &'c Core,
    rests: bool,
    since_us: u64,
}

impl<'c> Pacer<'c> {
    /// Starts a slice. Without background threads nobody could use the rests, so there are none.
    pub fn start(core: &'c Core, haste: Haste) -> Pacer<'c> {
        let rests = haste == Haste::Idle && core.options.background;
        Pacer { core, rests, since_us: core.clock.monotonic_us() }
    }

    /// Between two steps of the work; no lock may be held. Rests when the slice is used up, unless
    /// writers wait for what the work will release, or the engine closes.
    pub fn step(&mut self) {
        if !self.rests {
            return;
        }
        let worked_us = self.core.clock.monotonic_us().saturating_sub(self.since_us);
        if worked_us < SLICE_US {
            return;
        }
        let core = self.core;
        if core.log.is_full() || core.throttle.is_over() || core.closing.load(Relaxed) {
            return;
        }
        core.news.wait(CLOSE, Duration::from_micros(worked_us.min(REST_US_MAX)));
        self.since_us = core.clock.monotonic_us();
    }
}
