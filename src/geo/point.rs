//! Points on the globe, how far they are apart, and how they are written.

use std::f64::consts::PI;

use crate::command::long_double::Finite;
use crate::resp::write::Reply;

/// The highest longitude, east; the lowest is its opposite. In degrees.
pub const LONGITUDE_MAX: f64 = 180.0;
/// The highest latitude that has a geohash, north; the lowest is its opposite. In degrees.
pub const LATITUDE_MAX: f64 = 85.051_128_78;

/// Radius of the sphere that distances are measured on.
pub const EARTH_RADIUS_METERS: f64 = 6_372_797.560_856;

const RADIANS_PER_DEGREE: f64 = PI / 180.0;

/// A point in degrees.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Point {
    /// Degrees east.
    pub longitude: f64,
    /// Degrees north.
    pub latitude: f64,
}

/// Radians of degrees.
pub fn radians(degrees: f64) -> f64 {
    degrees * RADIANS_PER_DEGREE
}

/// Degrees of radians.
pub fn degrees(radians: f64) -> f64 {
    radians / RADIANS_PER_DEGREE
}

impl Point {
    /// Whether the point has a geohash.
    pub fn is_valid(&self) -> bool {
        self.longitude.abs() <= LONGITUDE_MAX && self.latitude.abs() <= LATITUDE_MAX
    }

    /// Meters along the great circle, by the haversine formula. Every operation stands where Redis
    /// has it, so that the last digit is the same.
    pub fn meters_to(&self, other: &Point) -> f64 {
        let half_longitude = (radians(other.longitude) - radians(self.longitude)) / 2.0;
        let v = half_longitude.sin();
        if v == 0.0 {
            return self.meters_north_to(other);
        }
        let (own, theirs) = (radians(self.latitude), radians(other.latitude));
        let u = ((theirs - own) / 2.0).sin();
        let a = u * u + own.cos() * theirs.cos() * v * v;
        2.0 * EARTH_RADIUS_METERS * a.sqrt().asin()
    }

    /// Meters between the latitudes.
    pub fn meters_north_to(&self, other: &Point) -> f64 {
        EARTH_RADIUS_METERS * (radians(other.latitude) - radians(self.latitude)).abs()
    }

    /// Replies with longitude and latitude.
    pub fn reply(&self, reply: &mut Reply<'_>) {
        reply.array(2);
        reply.double_text(&Finite::from(self.longitude).to_text());
        reply.double_text(&Finite::from(self.latitude).to_text());
    }
}

/// Replies with a distance, as a string in both protocols.
pub fn reply_distance(reply: &mut Reply<'_>, distance: f64) {
    reply.bulk(distance_text(distance).as_bytes());
}

/// Four decimal places.
fn distance_text(distance: f64) -> String {
    let ten_thousandths = (distance * 10_000.0).round_ties_even() as u64;
    format!("{}.{:04}", ten_thousandths / 10_000, ten_thousandths % 10_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(longitude: f64, latitude: f64) -> Point {
        Point { longitude, latitude }
    }

    #[test]
    fn distances_are_those_of_a_sphere() {
        let quarter = EARTH_RADIUS_METERS * PI / 2.0;
        let equator = point(0.0, 0.0);
        assert!((equator.meters_to(&point(90.0, 0.0)) - quarter).abs() < 1e-6);
        assert!((equator.meters_to(&point(-90.0, 45.0)) - quarter).abs() < 1e-6);
        assert!((equator.meters_to(&point(180.0, 0.0)) - 2.0 * quarter).abs() < 1e-6);
        assert_eq!(equator.meters_to(&point(0.0, 45.0)), quarter / 2.0);
        assert_eq!(point(5.0, 5.0).meters_to(&point(5.0, 5.0)), 0.0);
        let across = point(179.9, 0.0).meters_to(&point(-179.9, 0.0));
        assert!((across - quarter / 450.0).abs() < 1e-6);
    }

    #[test]
    fn distances_have_four_places() {
        assert_eq!(distance_text(0.0), "0.0000");
        assert_eq!(distance_text(166_274.151_56), "166274.1516");
        assert_eq!(distance_text(0.000_25), "0.0002", "a tie goes to the even digit");
        assert_eq!(distance_text(0.99996), "1.0000");
    }

    #[test]
    fn points_without_a_geohash_are_known() {
        assert!(point(-180.0, LATITUDE_MAX).is_valid());
        for (longitude, latitude) in
            [(180.1, 0.0), (0.0, 85.06), (f64::INFINITY, 0.0), (0.0, f64::NEG_INFINITY)]
        {
            assert!(!point(longitude, latitude).is_valid());
        }
    }
}
