//! LOLWUT: a snow crystal, another one each time.

use crate::admin::{command, integer};
use crate::command::spec::{Arg, ArgKind, Failure, Group, Spec, flag};
use crate::info::{FIRN_VERSION, REDIS_VERSION};
use crate::session::call::SessionCall;
use crate::session::table::SessionCommand;

/// The family.
pub const COMMANDS: &[SessionCommand] = &[command(
    Spec {
        name: "lolwut",
        arity: -1,
        flags: flag::READONLY | flag::FAST,
        group: Group::Server,
        since: "5.0.0",
        summary: "Draws a snow crystal and tells the version.",
        args: &[Arg::new("version", ArgKind::Integer).behind("VERSION").optional()],
        ..Spec::EMPTY
    },
    lolwut,
)];

/// Rows from the middle of a crystal to its tip.
const RADIUS: i32 = 10;
/// A character is twice as high as wide, and an arm at 60 degrees is steeper than one at 0.
const COLUMNS_PER_ROW: f64 = 2.0;

fn lolwut(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    let versioned = call.args.len() > 2 && call.args.is(1, "VERSION");
    if versioned && integer(call, 2).is_none() {
        return Err(Failure::NotInteger);
    }
    let mut seed = [0; 8];
    // Without randomness it is the same crystal again, which is no failure.
    let _ = getrandom::fill(&mut seed);
    let crystal = crystal(u64::from_le_bytes(seed));
    let text = format!("{crystal}\nFirn {FIRN_VERSION}, Redis ver. {REDIS_VERSION}\n");
    call.reply.verbatim("txt", &text);
    Ok(())
}

/// A canvas of characters around a middle.
struct Canvas(Vec<Vec<char>>);

impl Canvas {
    fn new() -> Canvas {
        let rows = 2 * RADIUS as usize + 1;
        let columns = (2.0 * f64::from(RADIUS) * COLUMNS_PER_ROW) as usize + 1;
        Canvas(vec![vec![' '; columns]; rows])
    }

    /// Sets the point at these coordinates; the middle is (0, 0), `y` goes down.
    fn set(&mut self, x: f64, y: f64, letter: char) {
        let row = y.round() as i32 + RADIUS;
        let column = ((x + f64::from(RADIUS)) * COLUMNS_PER_ROW).round() as i32;
        let line = usize::try_from(row).ok().and_then(|row| self.0.get_mut(row));
        let Some(line) = line else { return };
        let cell = usize::try_from(column).ok().and_then(|column| line.get_mut(column));
        if let Some(cell) = cell {
            *cell = letter;
        }
    }

    fn text(&self) -> String {
        let lines = self.0.iter().map(|line| {
            let line: String = line.iter().collect();
            format!("{}\n", line.trim_end())
        });
        lines.collect()
    }
}

/// Draws the crystal of a seed: six equal arms, with twigs where the seed has a bit.
fn crystal(seed: u64) -> String {
    let mut canvas = Canvas::new();
    for arm in 0..6 {
        let angle = f64::from(arm) * 60f64.to_radians();
        let along = |from: (f64, f64), angle: f64, length: f64| {
            (from.0 + length * angle.sin(), from.1 - length * angle.cos())
        };
        for radius in 1..=RADIUS {
            let stem = along((0.0, 0.0), angle, f64::from(radius));
            canvas.set(stem.0, stem.1, if radius == RADIUS { '*' } else { ':' });
            let bits = seed >> (5 * radius as u32);
            let length = if bits & 1 == 1 { (bits >> 1 & 3) as i32 + 1 } else { 0 };
            for side in [-60f64, 60.0] {
                for step in 1..=length.min(RADIUS - radius) {
                    let twig = along(stem, angle + side.to_radians(), f64::from(step));
                    canvas.set(twig.0, twig.1, if bits >> 3 & 1 == 1 { '*' } else { '.' });
                }
            }
        }
    }
    canvas.set(0.0, 0.0, '#');
    canvas.text()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_seed_gives_a_crystal_of_one_size_with_six_arms() {
        for seed in [0, 1, u64::MAX, 0x1234_5678_9abc_def0] {
            let crystal = crystal(seed);
            let lines: Vec<&str> = crystal.lines().collect();
            assert_eq!(lines.len(), 21);
            assert!(lines.iter().all(|line| line.len() <= 41));
            let middle = [0, 10, 20].map(|row: usize| lines[row].chars().nth(20));
            assert_eq!(middle, [Some('*'), Some('#'), Some('*')]);
        }
        assert_ne!(crystal(1 << 20), crystal(1 << 25));
    }
}
