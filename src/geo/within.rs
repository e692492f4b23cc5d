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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::super::area::Shape;
    use super::*;
    use crate::types::{HashSeed, ValueKind};
    use crate::value::members::MemberHasher;
    use crate::value::packed;
    use crate::value::packed_members::{PackedMembers, zset_insert};
    use crate::value::zset::Zset;

    /// One of few points on each axis, so that many are equally far.
    fn point() -> impl Strategy<Value = Point> {
        (-180..180i32, -85..85i32).prop_map(|(east, north)| Point {
            longitude: f64::from(east / 5 * 5) + 0.1,
            latitude: f64::from(north / 5 * 5) + 0.1,
        })
    }

    fn options() -> impl Strategy<Value = Options> {
        let order =
            prop_oneof![Just(None), Just(Some(Order::Nearest)), Just(Some(Order::Farthest)),];
        (order, prop::option::of(1..50usize), any::<bool>()).prop_map(|(order, count, any)| {
            Options { order, count, any: any && count.is_some(), ..Options::default() }
        })
    }

    fn area() -> impl Strategy<Value = Area> {
        let length = || (4.0..7.5).prop_map(|exponent| 10f64.powf(exponent));
        let shape = prop_oneof![
            length().prop_map(|radius| Shape::Circle { radius }),
            (length(), length()).prop_map(|(width, height)| Shape::Box { width, height }),
        ];
        (point(), shape).prop_map(|(middle, shape)| Area { middle, shape })
    }

    /// A scan of all members, against which a search is checked.
    fn check(zset: ZsetRef<'_>, area: &Area, options: &Options) {
        let mut naive: BTreeMap<&[u8], f64> = BTreeMap::new();
        for (score, member) in zset.iter_from_rank(0, false) {
            if let Some(distance) = area.distance_inside(&cell::decode(score)) {
                naive.insert(member, distance);
            }
        }
        let found = find(zset, area, options);
        let wanted = options.count.unwrap_or(usize::MAX).min(naive.len());
        assert_eq!(found.len(), wanted);
        let mut nearest: Vec<f64> = naive.values().copied().collect();
        nearest.sort_by(f64::total_cmp);
        if options.order == Some(Order::Farthest) {
            nearest.reverse();
        }
        let distances: Vec<f64> = found.iter().map(|found| found.distance).collect();
        if !options.any && (options.order.is_some() || options.count.is_some()) {
            assert_eq!(distances, nearest[..wanted]);
        } else if let Some(order) = options.order {
            let ascends = distances.is_sorted() && order == Order::Nearest;
            assert!(ascends || distances.iter().rev().is_sorted());
        }
        if options.any {
            let all = members_inside(zset, area, usize::MAX);
            assert!(found.iter().all(|found| all[..wanted].contains(found)), "the first it meets");
        }
        for Found { member, score, point, distance } in found {
            assert_eq!(naive.remove(member), Some(distance), "once, and as far as it is");
            assert_eq!((zset.score(member), cell::decode(score)), (Some(score), point));
        }
    }

    proptest! {
        #[test]
        fn a_search_finds_what_a_scan_finds(
            points in prop::collection::vec(point(), 1..600),
            searches in prop::collection::vec((area(), options()), 1..20),
        ) {
            let hasher = MemberHasher::new(HashSeed([5; 16]));
            let mut zset = Zset::new(1, hasher);
            let mut blob = vec![packed::head(ValueKind::Zset, 0)];
            for (number, point) in points.iter().enumerate() {
                let (name, score) = (number.to_string(), cell::encode(point));
                zset.insert(name.as_bytes(), score);
                if number < 100 {
                    let mut out = Vec::new();
                    zset_insert(&blob, name.as_bytes(), score, &mut out);
                    blob = out;
                }
            }
            for (area, options) in searches {
                check(ZsetRef::Large(&zset), &area, &options);
                check(ZsetRef::Packed(PackedMembers::new(&blob)), &area, &options);
            }
        }
    }
}
