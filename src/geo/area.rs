//! The area of a search: a circle or a box around a point, and the cells that cover it.
//!
//! The step is chosen so that a cell is about as large as the area; then the cell around the middle
//! and its eight neighbours cover it, or those of the step before, with cells twice as large. Near
//! the poles Redis loses members by that, and on the antimeridian: cells that it leaves out follow.

use std::f64::consts::{FRAC_PI_2, PI};

use smallvec::SmallVec;

use super::cell::{Cell, STEP_MAX};
use super::point::{EARTH_RADIUS_METERS, LATITUDE_MAX, Point, degrees, radians};

/// Half the length of the equator, as Mercator's projection draws it.
const HALF_EQUATOR_METERS: f64 = 20_037_726.37;
/// Beyond these latitudes, cells are so narrow that larger ones are taken.
const NARROW_FROM_LATITUDE: f64 = 66.0;
const NARROWER_FROM_LATITUDE: f64 = 80.0;

/// How much the ends of an area are moved outwards for what is rounded, in degrees and as a part.
const MARGIN: f64 = 1e-9;

/// More than what a distance is rounded by; near the other side of the globe it is decimeters.
const ROUNDED_METERS: f64 = 1.0;

/// Cells around one, to the east and to the north, in the order in which they are searched.
const NEIGHBOURS: [(i32, i32); 8] =
    [(0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1)];

/// What is searched around the middle, in meters.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Shape {
    /// Everything so near.
    Circle {
        /// From the middle to the edge.
        radius: f64,
    },
    /// Everything between two latitudes that is so near along its own latitude.
    Box {
        /// From west to east.
        width: f64,
        /// From south to north.
        height: f64,
    },
}

/// An area on the globe.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Area {
    /// Its middle.
    pub middle: Point,
    /// Its shape.
    pub shape: Shape,
}

/// The ends of an area in degrees as Redis estimates them: beyond a pole, west and east are not
/// where they should be, or NaN.
struct Bounds {
    west: f64,
    east: f64,
    south: f64,
    north: f64,
}

impl Area {
    /// Meters from the middle to a point inside.
    pub fn distance_inside(&self, point: &Point) -> Option<f64> {
        match self.shape {
            Shape::Circle { radius } => {
                // Most of what lies outside does so by its latitude alone, which takes no sine.
                if self.middle.meters_north_to(point) > radius + ROUNDED_METERS {
                    return None;
                }
                let distance = self.middle.meters_to(point);
                (distance <= radius).then_some(distance)
            }
            Shape::Box { width, height } => {
                let beside = Point { longitude: self.middle.longitude, ..*point };
                let is_inside = self.middle.meters_north_to(point) <= height / 2.0
                    && point.meters_to(&beside) <= width / 2.0;
                is_inside.then(|| self.middle.meters_to(point))
            }
        }
    }

    /// Distinct cells that cover the area: those that Redis searches in its order, then others.
    pub fn cells(&self) -> SmallVec<[Cell; 9]> {
        let (mut found, step) = self.cells_of_redis();
        let (longitudes, latitudes) = self.ends();
        for cell in Cell::between(longitudes, latitudes, step) {
            if !found.contains(&cell) {
                found.push(cell);
            }
        }
        found
    }

    /// Up to nine cells that nearly always cover the area, and their step.
    fn cells_of_redis(&self) -> (SmallVec<[Cell; 9]>, u32) {
        let bounds = self.bounds();
        let mut step = self.step();
        if step > 1 && !bounds.are_covered_around(&Cell::around(&self.middle, step)) {
            step -= 1;
        }
        let own = Cell::around(&self.middle, step);
        let mut found = SmallVec::from_slice(&[own]);
        for (east, north) in NEIGHBOURS {
            let cell = own.neighbour(east, north);
            // At step 1 the neighbours of both sides are the same.
            let is_known = found[1..].last() == Some(&cell);
            let is_needed = step == 1 || !bounds.end_before(&own, east, north);
            if is_needed && !is_known {
                found.push(cell);
            }
        }
        (found, step)
    }

    /// The longitudes and latitudes between which the area lies; they may lie beyond the ends of
    /// the globe.
    fn ends(&self) -> ((f64, f64), (f64, f64)) {
        let latitude = radians(self.middle.latitude).abs();
        let (east, north) = match self.shape {
            Shape::Circle { radius } => {
                let angle = radius / EARTH_RADIUS_METERS;
                let reaches_pole = latitude + angle >= FRAC_PI_2;
                (if reaches_pole { PI } else { (angle.sin() / latitude.cos()).asin() }, angle)
            }
            Shape::Box { width, height } => {
                let angle = height / 2.0 / EARTH_RADIUS_METERS;
                // A parallel bends the more the nearer it is to a pole.
                let edge = (latitude + angle).min(radians(LATITUDE_MAX));
                let quarter = (width / 4.0 / EARTH_RADIUS_METERS).min(FRAC_PI_2);
                let half_sine = (quarter.sin() / edge.cos()).min(1.0);
                (2.0 * half_sine.asin(), angle)
            }
        };
        let Point { longitude, latitude } = self.middle;
        let [east, north] = [east, north].map(|angle| degrees(angle) * (1.0 + MARGIN) + MARGIN);
        ((longitude - east, longitude + east), (latitude - north, latitude + north))
    }

    /// The step at which a cell and its neighbours cover the area nearly everywhere.
    fn step(&self) -> u32 {
        let mut reach = match self.shape {
            Shape::Circle { radius } => radius,
            Shape::Box { width, height } => {
                let (east, north) = (width / 2.0, height / 2.0);
                (east * east + north * north).sqrt()
            }
        };
        if reach == 0.0 {
            return STEP_MAX;
        }
        let mut step = -1;
        while reach < HALF_EQUATOR_METERS {
            reach *= 2.0;
            step += 1;
        }
        let latitude = self.middle.latitude.abs();
        step -= i32::from(latitude > NARROW_FROM_LATITUDE);
        step -= i32::from(latitude > NARROWER_FROM_LATITUDE);
        step.clamp(1, STEP_MAX as i32) as u32
    }

    fn bounds(&self) -> Bounds {
        let (to_side, to_top) = match self.shape {
            Shape::Circle { radius } => (radius, radius),
            Shape::Box { width, height } => (width / 2.0, height / 2.0),
        };
        let Point { longitude, latitude } = self.middle;
        let north = degrees(to_top / EARTH_RADIUS_METERS);
        // The edge that is nearer to a pole spans the most degrees.
        let edge = if latitude < 0.0 { latitude - north } else { latitude + north };
        let east = degrees(to_side / EARTH_RADIUS_METERS / radians(edge).cos());
        Bounds {
            west: longitude - east,
            east: longitude + east,
            south: latitude - north,
            north: latitude + north,
        }
    }
}

impl Bounds {
    /// Whether the neighbours on the four sides of a cell reach them.
    fn are_covered_around(&self, cell: &Cell) -> bool {
        let misses = cell.neighbour(0, 1).latitudes().1 < self.north
            || cell.neighbour(0, -1).latitudes().0 > self.south
            || cell.neighbour(1, 0).longitudes().1 < self.east
            || cell.neighbour(-1, 0).longitudes().0 > self.west;
        !misses
    }

    /// Whether they end inside a cell, so that this neighbour of it is not needed.
    fn end_before(&self, cell: &Cell, east: i32, north: i32) -> bool {
        let ((west_end, east_end), (south_end, north_end)) = (cell.longitudes(), cell.latitudes());
        north > 0 && north_end > self.north
            || north < 0 && south_end < self.south
            || east > 0 && east_end > self.east
            || east < 0 && west_end < self.west
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::cell;
    use super::*;

    /// Points anywhere, and more of them near the poles and the antimeridian.
    fn point() -> impl Strategy<Value = Point> {
        let longitude = prop_oneof![
            4 => -180.0..180.0, 2 => 179.0..180.0, 2 => -180.0..-179.0, 1 => Just(180.0),
        ];
        let latitude = prop_oneof![
            4 => -LATITUDE_MAX..LATITUDE_MAX, 2 => 77.0..85.0, 2 => -85.0..-77.0,
            1 => Just(LATITUDE_MAX),
        ];
        (longitude, latitude).prop_map(|(longitude, latitude)| Point { longitude, latitude })
    }

    /// Lengths of every magnitude, up to beyond the globe.
    fn length() -> impl Strategy<Value = f64> {
        prop_oneof![
            8 => (-1.0..7.5).prop_map(|exponent| 10f64.powf(exponent)),
            1 => Just(0.0),
            1 => Just(f64::INFINITY),
        ]
    }

    fn shape() -> impl Strategy<Value = Shape> {
        prop_oneof![
            length().prop_map(|radius| Shape::Circle { radius }),
            (length(), length()).prop_map(|(width, height)| Shape::Box { width, height }),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5_000))]
        #[test]
        fn what_is_inside_is_in_one_of_the_cells(
            middle in point(),
            shape in shape(),
            others in prop::collection::vec((point(), 0.0..1.0), 40),
        ) {
            let area = Area { middle, shape };
            let cells = area.cells();
            prop_assert!((1..cells.len()).all(|at| !cells[..at].contains(&cells[at])));
            prop_assert!(cells.len() <= 80, "{} cells", cells.len());
            for (other, part) in others {
                let near = Point {
                    longitude: middle.longitude + (other.longitude - middle.longitude) * part,
                    latitude: middle.latitude + (other.latitude - middle.latitude) * part,
                };
                for point in [other, near] {
                    let score = cell::encode(&point);
                    let found = cells.iter().filter(|cell| cell.scores().contains(&score)).count();
                    let is_inside = area.distance_inside(&cell::decode(score)).is_some();
                    prop_assert!(found == 1 || found == 0 && !is_inside, "{point:?}: {found}");
                }
            }
        }
    }
}
