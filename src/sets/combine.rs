//! Intersections, unions and differences of sets.

use std::collections::HashSet;

use crate::command::encodings::{Encodings, set};
use crate::command::number::parse_integer;

use super::value::{Growth, SetRef};

/// What comes of several sets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    /// What is in all of them.
    Intersection,
    /// What is in any of them.
    Union,
    /// What is in the first and in none of the others.
    Difference,
}

/// A result, its members borrowed from the sets.
pub struct Combined<'u> {
    /// The members, each once.
    pub members: Vec<&'u [u8]>,
    /// The encoding of a set that is made of them ([`set`]).
    pub encoding: u8,
}

/// Combines sets; none is an empty one.
pub fn combine<'u>(
    operation: Operation,
    sets: &[Option<SetRef<'u>>],
    encodings: &Encodings,
) -> Combined<'u> {
    match operation {
        Operation::Intersection => {
            let sets: Option<Vec<SetRef<'u>>> = sets.iter().copied().collect();
            match sets {
                Some(sets) => intersection(sets, encodings),
                None => Combined { members: Vec::new(), encoding: set::INTSET },
            }
        }
        Operation::Union => union(sets, encodings),
        Operation::Difference => difference(sets, encodings),
    }
}

/// How many members several sets share, up to a limit.
pub fn shared_count(mut sets: Vec<SetRef<'_>>, limit: u64) -> u64 {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    shared(&mut sets).take(limit).count() as u64
}

/// How many members there are in any of several sets, up to a limit.
pub fn union_count(sets: &[Option<SetRef<'_>>], limit: u64) -> u64 {
    let mut seen = HashSet::new();
    let new = sets.iter().flatten().flat_map(SetRef::iter).filter(|member| seen.insert(*member));
    new.take(usize::try_from(limit).unwrap_or(usize::MAX)).count() as u64
}

/// How many members of the first set are in none of the others, up to a limit.
pub fn difference_count(sets: &[Option<SetRef<'_>>], limit: u64) -> u64 {
    let Some((Some(first), others)) = sets.split_first() else { return 0 };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let in_none = |member: &&[u8]| !others.iter().flatten().any(|other| other.has(member));
    first.iter().filter(in_none).take(limit).count() as u64
}

/// What is in all sets, the smallest of which is put in front.
fn shared<'s, 'u>(sets: &'s mut [SetRef<'u>]) -> impl Iterator<Item = &'u [u8]> + use<'s, 'u> {
    sets.sort_by_key(SetRef::card);
    let (first, others) = sets.split_first().expect("a command names a key");
    first.iter().filter(move |member| others.iter().all(|other| other.has(member)))
}

fn intersection<'u>(mut sets: Vec<SetRef<'u>>, encodings: &Encodings) -> Combined<'u> {
    let members: Vec<&[u8]> = shared(&mut sets).collect();
    let start = if sets[0].encoding == set::INTSET { set::INTSET } else { set::LISTPACK };
    let mut growth = Growth::new(encodings, start);
    members.iter().for_each(|member| growth.add(member));
    if members.iter().all(|member| parse_integer(member).is_some()) {
        growth.end_with_integers();
    }
    Combined { members, encoding: growth.encoding() }
}

fn union<'u>(sets: &[Option<SetRef<'u>>], encodings: &Encodings) -> Combined<'u> {
    let mut growth = Growth::new(encodings, set::INTSET);
    let mut seen = HashSet::new();
    let mut members = Vec::new();
    for member in sets.iter().flatten().flat_map(SetRef::iter) {
        if seen.insert(member) {
            growth.add(member);
            members.push(member);
        }
    }
    Combined { members, encoding: growth.encoding() }
}

/// By looking up each member of the first set in the others, or by taking the others out of it,
/// whichever is less work by Redis's measure. It shows in the encoding: a result of the second way
/// has had all members of the first set.
fn difference<'u>(sets: &[Option<SetRef<'u>>], encodings: &Encodings) -> Combined<'u> {
    let mut growth = Growth::new(encodings, set::INTSET);
    let Some((Some(first), others)) = sets.split_first() else {
        return Combined { members: Vec::new(), encoding: growth.encoding() };
    };
    let (first_len, there) = (first.card(), 1 + others.iter().flatten().count() as u64);
    let others_len: u64 = others.iter().flatten().map(SetRef::card).sum();
    let by_lookup = first_len * there / 2 <= first_len + others_len;
    let members: Vec<&[u8]> = if by_lookup {
        let in_none = |member: &&[u8]| !others.iter().flatten().any(|other| other.has(member));
        first.iter().filter(in_none).inspect(|member| growth.add(member)).collect()
    } else {
        let mut left: HashSet<&[u8]> = first.iter().inspect(|member| growth.add(member)).collect();
        for member in others.iter().flatten().flat_map(SetRef::iter) {
            left.remove(member);
        }
        left.into_iter().collect()
    };
    Combined { members, encoding: growth.encoding() }
}
