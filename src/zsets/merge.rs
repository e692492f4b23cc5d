//! What several sorted sets and sets have between them: union, intersection, difference.

use std::collections::HashMap;

use crate::command::collection::{members_of, zset_of};
use crate::command::spec::Failure;
use crate::engine::unit::View;
use crate::types::ValueKind;
use crate::value::score::{self, Scored};
use crate::value::view::{MembersRef, ZsetRef};

/// The score of every member of a set.
const SCORE_IN_SET: f64 = 1.0;

/// What is made of the sources.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    /// Members of any.
    Union,
    /// Members of all.
    Inter,
    /// Members of the first that no other has.
    Diff,
}

/// What becomes of the scores that a member has in several sources.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Aggregate {
    /// They are added up.
    #[default]
    Sum,
    /// The lowest is taken.
    Min,
    /// The highest is taken.
    Max,
    /// They do not matter: the weights of the sources that have the member are added up.
    Count,
}

impl Aggregate {
    /// What a score in a source of this weight counts.
    fn weighted(self, score: f64, weight: f64) -> f64 {
        if self == Aggregate::Count { weight } else { score * weight }
    }

    fn of(self, a: f64, b: f64) -> f64 {
        match self {
            Aggregate::Sum | Aggregate::Count => number(a + b),
            Aggregate::Min => {
                if b < a {
                    b
                } else {
                    a
                }
            }
            Aggregate::Max => {
                if b > a {
                    b
                } else {
                    a
                }
            }
        }
    }
}

/// A score, 0 in place of what is none: infinity times 0, or minus infinity.
fn number(score: f64) -> f64 {
    if score.is_nan() { 0.0 } else { score }
}

/// One source.
#[derive(Clone, Copy)]
pub enum Source<'u> {
    /// There is no key.
    Missing,
    /// A set, all of whose members have one score.
    Set(MembersRef<'u>),
    /// A sorted set.
    Zset(ZsetRef<'u>),
}

impl<'u> Source<'u> {
    /// What a key holds.
    pub fn of(view: Option<&View<'u>>) -> Result<Source<'u>, Failure> {
        let Some(view) = view else {
            return Ok(Source::Missing);
        };
        match view.value.kind() {
            ValueKind::Set => Ok(Source::Set(members_of(view, ValueKind::Set)?)),
            _ => Ok(Source::Zset(zset_of(view)?)),
        }
    }

    fn len(&self) -> u64 {
        match self {
            Source::Missing => 0,
            Source::Set(members) => members.len(),
            Source::Zset(zset) => zset.len(),
        }
    }

    fn score(&self, member: &[u8]) -> Option<f64> {
        match self {
            Source::Missing => None,
            Source::Set(members) => members.get(member).map(|_| SCORE_IN_SET),
            Source::Zset(zset) => zset.score(member),
        }
    }

    fn iter(&self) -> Box<dyn Iterator<Item = Scored<'u>> + 'u> {
        match self {
            Source::Missing => Box::new(std::iter::empty()),
            Source::Set(members) => {
                Box::new(members.iter().map(|item| (SCORE_IN_SET, item.member)))
            }
            Source::Zset(zset) => zset.iter_from_rank(0, false),
        }
    }
}

/// The outcome in the order of scores. Each source has its weight.
pub fn merged<'u>(
    operation: Operation,
    mut sources: Vec<(Source<'u>, f64)>,
    aggregate: Aggregate,
) -> Vec<Scored<'u>> {
    if operation != Operation::Diff {
        // Sums of fractions depend on the order; this is Redis's.
        sources.sort_by_key(|(source, _)| source.len());
    }
    let mut found = match operation {
        Operation::Union => union(&sources, aggregate),
        Operation::Inter => shared(&sources, aggregate).collect(),
        Operation::Diff => difference(&sources),
    };
    found.sort_unstable_by(|a, b| score::order(*a, *b));
    found
}

/// The number of members that all sources have; up to `limit`, where that is not 0.
pub fn shared_count(mut sources: Vec<(Source<'_>, f64)>, limit: u64) -> u64 {
    sources.sort_by_key(|(source, _)| source.len());
    let most = if limit == 0 { usize::MAX } else { usize::try_from(limit).unwrap_or(usize::MAX) };
    shared(&sources, Aggregate::Sum).take(most).count() as u64
}

fn union<'u>(sources: &[(Source<'u>, f64)], aggregate: Aggregate) -> Vec<Scored<'u>> {
    let mut places: HashMap<&[u8], usize> = HashMap::new();
    let mut found: Vec<Scored<'u>> = Vec::new();
    for (source, weight) in sources {
        for (score, member) in source.iter() {
            let score = number(aggregate.weighted(score, *weight));
            let place = *places.entry(member).or_insert(found.len());
            match found.get_mut(place) {
                Some(known) => known.0 = aggregate.of(known.0, score),
                None => found.push((score, member)),
            }
        }
    }
    found
}

/// Members of the first source that all others have too.
fn shared<'u>(
    sources: &[(Source<'u>, f64)],
    aggregate: Aggregate,
) -> impl Iterator<Item = Scored<'u>> {
    let (first, others) = match sources.split_first() {
        Some((&(first, weight), others)) => ((first, weight), others),
        None => ((Source::Missing, 1.0), sources),
    };
    first.0.iter().filter_map(move |(score, member)| {
        let begin = number(aggregate.weighted(score, first.1));
        let score = others.iter().try_fold(begin, |sum, (other, weight)| {
            let score = aggregate.weighted(other.score(member)?, *weight);
            Some(aggregate.of(sum, score))
        })?;
        Some((score, member))
    })
}

fn difference<'u>(sources: &[(Source<'u>, f64)]) -> Vec<Scored<'u>> {
    let Some(((first, _), others)) = sources.split_first() else {
        return Vec::new();
    };
    let is_left = |member| others.iter().all(|(other, _)| other.score(member).is_none());
    first.iter().filter(|(_, member)| is_left(member)).collect()
}
