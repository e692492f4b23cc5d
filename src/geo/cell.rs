//! Geohashes: the globe cut into cells, and the cells into numbers.
//!
//! A step halves the range of longitudes and that of latitudes. At step `s` each axis has `2^s`
//! cells, counted from west and from south, and a cell's number is made of the bits of both counts
//! in turn, the longitude's bit first: cells whose numbers begin alike lie in one larger cell.
//! A score is the number of a cell at step [`STEP_MAX`].

use std::ops::Range;

use super::point::{LATITUDE_MAX, LONGITUDE_MAX, Point};

/// The step of scores: 52 bits, which a double holds exactly.
pub const STEP_MAX: u32 = 26;

/// The highest latitude of the geohashes that other programs know.
const TEXT_LATITUDE_MAX: f64 = 90.0;
/// Characters of a geohash as a text.
const TEXT_CHARS: usize = 11;
const TEXT_ALPHABET: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";

/// A cell. The points at the highest longitude or latitude lie in cells of their own, one past
/// those that neighbours have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cell {
    longitude: u32,
    latitude: u32,
    step: u32,
}

impl Cell {
    /// The cell around a valid point.
    pub fn around(point: &Point, step: u32) -> Cell {
        Cell::in_frame(point, step, LATITUDE_MAX)
    }

    fn in_frame(point: &Point, step: u32, latitude_max: f64) -> Cell {
        let place = |at: f64, max: f64| ((at + max) / (max + max) * cells(step)) as u32;
        Cell {
            longitude: place(point.longitude, LONGITUDE_MAX),
            latitude: place(point.latitude, latitude_max),
            step,
        }
    }

    /// The cells of a step between two longitudes and two latitudes in degrees, which may lie
    /// beyond the ends of the globe; those of the highest longitude and latitude too.
    pub fn between(
        (west, east): (f64, f64),
        (south, north): (f64, f64),
        step: u32,
    ) -> impl Iterator<Item = Cell> {
        let count = 1i64 << step;
        let place = |at: f64, max: f64| ((at + max) / (max + max) * cells(step)).floor() as i64;
        let row = |latitude: f64| place(latitude, LATITUDE_MAX).clamp(0, count);
        let (first, last) = (place(west, LONGITUDE_MAX), place(east, LONGITUDE_MAX));
        // Around the globe once, then the column of the antimeridian if that is met.
        let columns = (first..=last.min(first + count - 1)).map(move |at| at.rem_euclid(count));
        let antimeridian = (first <= 0 || last >= count).then_some(count);
        let rows = row(south)..=row(north);
        columns.chain(antimeridian).flat_map(move |longitude| {
            let (longitude, step) = (longitude as u32, step);
            rows.clone().map(move |row| Cell { longitude, latitude: row as u32, step })
        })
    }

    /// The cell of any score: those beyond 64 bits are cut to them as x86 cuts them.
    fn of_score(score: f64) -> Cell {
        let bits = low_bits(score);
        Cell { longitude: gather(bits >> 1), latitude: gather(bits), step: STEP_MAX }
    }

    fn bits(&self) -> u64 {
        spread(self.longitude) << 1 | spread(self.latitude)
    }

    /// The scores of the points inside.
    pub fn scores(&self) -> Range<f64> {
        let unused_bits = 2 * (STEP_MAX - self.step);
        let bits = self.bits();
        (bits << unused_bits) as f64..((bits + 1) << unused_bits) as f64
    }

    /// Its neighbour, so many cells to the east and to the north. Both axes are closed to circles.
    pub fn neighbour(&self, east: i32, north: i32) -> Cell {
        let moved = |at: u32, by: i32| match by {
            0 => at,
            _ => at.wrapping_add_signed(by) & ((1 << self.step) - 1),
        };
        Cell {
            longitude: moved(self.longitude, east),
            latitude: moved(self.latitude, north),
            step: self.step,
        }
    }

    /// Its western and eastern end, in degrees.
    pub fn longitudes(&self) -> (f64, f64) {
        self.ends(self.longitude, LONGITUDE_MAX)
    }

    /// Its southern and northern end, in degrees.
    pub fn latitudes(&self) -> (f64, f64) {
        self.ends(self.latitude, LATITUDE_MAX)
    }

    fn ends(&self, at: u32, max: f64) -> (f64, f64) {
        let end = |at: u32| -max + f64::from(at) / cells(self.step) * (max + max);
        (end(at), end(at.wrapping_add(1)))
    }

    fn middle(&self) -> Point {
        let middle = |(low, high): (f64, f64), max: f64| ((low + high) / 2.0).clamp(-max, max);
        Point {
            longitude: middle(self.longitudes(), LONGITUDE_MAX),
            latitude: middle(self.latitudes(), LATITUDE_MAX),
        }
    }
}

/// The score of a valid point.
pub fn encode(point: &Point) -> f64 {
    Cell::around(point, STEP_MAX).bits() as f64
}

/// The point in the middle of the cell that a score means, whatever the score is.
pub fn decode(score: f64) -> Point {
    Cell::of_score(score).middle()
}

/// The geohash of a score as other programs write it. There are no bits for the last character.
pub fn text(score: f64) -> [u8; TEXT_CHARS] {
    let bits = Cell::in_frame(&decode(score), STEP_MAX, TEXT_LATITUDE_MAX).bits();
    let mut text = [TEXT_ALPHABET[0]; TEXT_CHARS];
    for (index, char) in text[..TEXT_CHARS - 1].iter_mut().enumerate() {
        *char = TEXT_ALPHABET[(bits >> (47 - 5 * index) & 31) as usize];
    }
    text
}

/// Cells of an axis.
fn cells(step: u32) -> f64 {
    f64::from(1u32 << step)
}

/// The integer of a score. C leaves open what becomes of one outside of 64 bits; this is what
/// compilers for x86 make of it.
fn low_bits(score: f64) -> u64 {
    const HALF: f64 = (1u64 << 63) as f64;
    let signed = |score: f64| {
        if (-HALF..HALF).contains(&score) { score as i64 as u64 } else { 1 << 63 }
    };
    if score >= HALF { signed(score - HALF) ^ 1 << 63 } else { signed(score) }
}

/// Puts a zero in front of each bit.
fn spread(bits: u32) -> u64 {
    let mut wide = u64::from(bits);
    wide = (wide | wide << 16) & 0x0000_ffff_0000_ffff;
    wide = (wide | wide << 8) & 0x00ff_00ff_00ff_00ff;
    wide = (wide | wide << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    wide = (wide | wide << 2) & 0x3333_3333_3333_3333;
    (wide | wide << 1) & 0x5555_5555_5555_5555
}

/// Takes every other bit, the lowest first: undoes [`spread`].
fn gather(bits: u64) -> u32 {
    let mut dense = bits & 0x5555_5555_5555_5555;
    dense = (dense | dense >> 1) & 0x3333_3333_3333_3333;
    dense = (dense | dense >> 2) & 0x0f0f_0f0f_0f0f_0f0f;
    dense = (dense | dense >> 4) & 0x00ff_00ff_00ff_00ff;
    dense = (dense | dense >> 8) & 0x0000_ffff_0000_ffff;
    (dense | dense >> 16) as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn point(longitude: f64, latitude: f64) -> Point {
        Point { longitude, latitude }
    }

    fn any_point() -> impl Strategy<Value = Point> {
        (-180.0..180.0, -LATITUDE_MAX..LATITUDE_MAX).prop_map(|(east, north)| point(east, north))
    }

    proptest! {
        #[test]
        fn a_point_comes_back_as_the_middle_of_its_cell(at in any_point()) {
            let score = encode(&at);
            let middle = decode(score);
            prop_assert!((middle.longitude - at.longitude).abs() < 360.0 / cells(STEP_MAX));
            prop_assert!((middle.latitude - at.latitude).abs() < 180.0 / cells(STEP_MAX));
            prop_assert_eq!(encode(&middle), score);
        }

        #[test]
        fn a_point_is_inside_of_its_cell_at_every_step(at in any_point(), step in 1..=STEP_MAX) {
            let cell = Cell::around(&at, step);
            prop_assert!(cell.scores().contains(&encode(&at)));
            let ((west, east), (south, north)) = (cell.longitudes(), cell.latitudes());
            // The ends are rounded.
            let margin = 1e-12;
            prop_assert!((west - margin..=east + margin).contains(&at.longitude));
            prop_assert!((south - margin..=north + margin).contains(&at.latitude));
        }

        #[test]
        fn neighbours_meet_at_their_ends(at in any_point(), step in 1..=STEP_MAX) {
            let cell = Cell::around(&at, step);
            for (east, north) in [(1, 0), (0, 1), (1, 1), (-1, 1)] {
                let other = cell.neighbour(east, north);
                prop_assert_eq!(other.neighbour(-east, -north), cell);
                prop_assert!(other.longitudes().1 <= LONGITUDE_MAX);
                prop_assert!(other.latitudes().1 <= LATITUDE_MAX);
                let (end, begin) = (cell.latitudes().1, other.latitudes().0);
                let wraps = end == LATITUDE_MAX && begin == -LATITUDE_MAX;
                prop_assert!(north == 0 || wraps || end == begin);
            }
            let (end, begin) = (cell.longitudes().1, cell.neighbour(1, 0).longitudes().0);
            prop_assert!(end == begin || end == 180.0 && begin == -180.0);
        }

        #[test]
        fn bits_are_spread_one_by_one(bits in any::<u32>(), noise in any::<u64>()) {
            let naive = (0..32).fold(0, |wide, at| wide | u64::from(bits >> at & 1) << (2 * at));
            prop_assert_eq!(spread(bits), naive);
            prop_assert_eq!(gather(naive | noise & 0xaaaa_aaaa_aaaa_aaaa), bits);
        }

        #[test]
        fn any_score_is_a_point(bits in any::<u64>()) {
            let score = f64::from_bits(bits);
            prop_assert!(decode(score).is_valid());
            prop_assert!(text(score).iter().all(|char| TEXT_ALPHABET.contains(char)));
        }
    }

    /// What a valkey-server 8.1 answers to GEOADD, ZSCORE and GEOHASH.
    #[test]
    fn scores_and_texts_are_those_of_redis() {
        let palermo = encode(&point(13.361389, 38.115556));
        assert_eq!(palermo, 3479099956230698.0);
        assert_eq!(&text(palermo), b"sqc8b49rny0");
        assert_eq!(encode(&point(-180.0, 0.0)), 1125899906842624.0);
        assert_eq!(encode(&point(180.0, 0.0)), 10133099161583616.0);
        assert_eq!(encode(&point(0.0, LATITUDE_MAX)), 6755399441055744.0);
    }

    /// What the same server, compiled for x86, makes of scores that are no places.
    #[test]
    fn scores_beyond_64_bits_are_cut_to_them() {
        assert_eq!(low_bits(0.9), 0);
        assert_eq!(low_bits(-1.0), u64::MAX);
        assert_eq!(low_bits(1.5e19), 15_000_000_000_000_000_000);
        assert_eq!(low_bits(1e20), 0);
        assert_eq!(low_bits(f64::INFINITY), 0);
        assert_eq!([low_bits(f64::NEG_INFINITY), low_bits(-1e30)], [1 << 63; 2]);
    }
}
