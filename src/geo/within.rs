//! The members of a sorted set that lie in an area.

use crate::value::view::ZsetRef;

use super::area::Area;
use super::cell;
use super::options::{Options, Order};
use super::point::Point;
use super::sort::sort_first;

/// A member inside.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Found<'z> {
    /// The member.
    pub member: &'z [u8],
    /// Its score.
    pub score: f64,
    /// Where it is.
    pub point: Point,
    /// Meters from the middle of the area.
    pub distance: f64,
}

/// The members in an area that a call wants, in its order.
pub fn find<'z>(zset: ZsetRef<'z>, area: &Area, options: &Options) -> Vec<Found<'z>> {
    let limit = options.count.unwrap_or(usize::MAX);
    let mut found = members_inside(zset, area, if options.any { limit } else { usize::MAX });
    let wanted = limit.min(found.len());
    // So many mean the nearest, unless any will do.
    let nearest = options.count.is_some() && !options.any;
    match options.order.or(nearest.then_some(Order::Nearest)) {
        Some(Order::Nearest) => {
            sort(&mut found, wanted, |a, b| a.distance.total_cmp(&b.distance));
        }
        Some(Order::Farthest) => {
            sort(&mut found, wanted, |a, b| b.distance.total_cmp(&a.distance));
        }
        None => {}
    }
    found.truncate(wanted);
    found
}

/// Up to `limit` members, cell by cell and in each by score.
fn members_inside<'z>(zset: ZsetRef<'z>, area: &Area, limit: usize) -> Vec<Found<'z>> {
    let mut found = Vec::new();
    for cell in area.cells() {
        let scores = cell.scores();
        let members = zset.iter_from_score(scores.start);
        for (score, member) in members.take_while(|(score, _)| *score < scores.end) {
            let point = cell::decode(score);
            if let Some(distance) = area.distance_inside(&point) {
                found.push(Found { member, score, point, distance });
                if found.len() == limit {
                    return found;
                }
            }
        }
    }
    found
}

/// Sorts the first members, all of them as what is equal stands.
fn sort(
    found: &mut [Found<'_>],
    wanted: usize,
    compare: impl Fn(&Found<'_>, &Found<'_>) -> std::cmp::Ordering,
) {
    match wanted == found.len() {
        true => found.sort_by(compare),
        false => sort_first(found, wanted, &compare),
    }
}
