//! Setting scores of members, under conditions: ZADD, and what is made of it.

use std::collections::HashMap;

use smallvec::SmallVec;

use crate::value::score::Scored;
use crate::value::view::ZsetRef;

use super::collection::{NewItems, zset_of};
use super::encodings::Encodings;
use super::spec::{Call, Failure};
use super::zset::{Form, push};

/// Members with their scores, as a call gives them.
pub type NewScores<'a> = SmallVec<[Scored<'a>; 4]>;

/// Under which conditions a score is set.
#[derive(Clone, Copy, Default)]
pub struct Conditions {
    /// Only where there is none.
    pub nx: bool,
    /// Only where there is one.
    pub xx: bool,
    /// Only one that is higher than what is there.
    pub gt: bool,
    /// Only one that is lower than what is there.
    pub lt: bool,
    /// Scores are added to.
    pub incr: bool,
}

/// What has come of it.
#[derive(Clone, Copy, Default)]
pub struct Outcome {
    /// The number of new members.
    pub added: i64,
    /// The number of members with another score than before.
    pub updated: i64,
    /// The resulting score of the last member, none where a condition kept it.
    pub last: Option<f64>,
}

/// Setting scores under way: what stands, and what this call has put over it.
struct Setting<'u, 'a> {
    conditions: Conditions,
    encodings: &'a Encodings,
    zset: Option<ZsetRef<'u>>,
    form: Form,
    /// Scores set by this call, kept where a member may come again.
    set: Option<HashMap<&'a [u8], f64>>,
    items: NewItems,
    outcome: Outcome,
}

impl<'a> Setting<'_, 'a> {
    fn add(&mut self, score: f64, member: &'a [u8]) -> Result<(), Failure> {
        let Conditions { nx, xx, gt, lt, incr } = self.conditions;
        self.outcome.last = None;
        let earlier = self.set.as_ref().and_then(|set| set.get(member).copied());
        let current = earlier.or_else(|| self.zset.and_then(|zset| zset.score(member)));
        let Some(current) = current else {
            if !xx {
                self.form.add(self.encodings, member);
                self.put(score, member);
                self.outcome.added += 1;
            }
            return Ok(());
        };
        if nx {
            return Ok(());
        }
        let score = if incr { current + score } else { score };
        if score.is_nan() {
            return Err(Failure::text("ERR resulting score is not a number (NaN)"));
        }
        if gt && score <= current || lt && score >= current {
            return Ok(());
        }
        if score == current {
            self.outcome.last = Some(score);
            return Ok(());
        }
        self.put(score, member);
        self.outcome.updated += 1;
        Ok(())
    }

    fn put(&mut self, score: f64, member: &'a [u8]) {
        let kept = self.form.kept(score);
        push(&mut self.items, kept, member);
        if let Some(set) = &mut self.set {
            set.insert(member, kept);
        }
        self.outcome.last = Some(score);
    }
}

/// Sets scores, of which there is at least one, in the sorted set at argument 1.
pub fn set_scores<'a>(
    call: &mut Call<'a, '_, '_>,
    conditions: Conditions,
    scores: &NewScores<'a>,
) -> Result<Outcome, Failure> {
    let key = call.unit.key(call.db, call.args.get(1));
    let count = scores.len();
    let view = call.unit.get_to_change(&key);
    let (zset, form, is_converted) = match &view {
        Some(view) => {
            let before = Form::of(view)?;
            let mut form = before;
            form.expect(call.encodings, count as u64);
            (Some(zset_of(view)?), form, form != before)
        }
        None => {
            let first_bytes = scores.first().map_or(0, |(_, member)| member.len());
            (None, Form::new(call.encodings, count as u64, first_bytes), false)
        }
    };
    let mut setting = Setting {
        conditions,
        encodings: call.encodings,
        zset,
        form,
        set: (count > 1).then(HashMap::new),
        items: NewItems::default(),
        outcome: Outcome::default(),
    };
    for (score, member) in scores {
        setting.add(*score, member)?;
    }
    let Setting { form, items, outcome, .. } = setting;
    // So many members make a skiplist even where none of them is set.
    if !items.is_empty() || is_converted {
        call.unit.edit(&key, form.shape(), items.edit());
    }
    Ok(outcome)
}
