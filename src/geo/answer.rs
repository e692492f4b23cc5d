//! What becomes of the members that a search has found: a reply, or a sorted set.

use crate::command::args::Args;
use crate::command::spec::{Call, Failure};
use crate::command::zset::{NewZset, read_zset};
use crate::resp::write::Reply;
use crate::value::score::Scored;
use crate::value::view::ZsetRef;

use super::area::Area;
use super::options::Options;
use super::point::reply_distance;
use super::within::{Found, find};

/// Where the members that are found are kept.
#[derive(Clone, Copy, Debug)]
pub struct Store<'a> {
    /// The key.
    pub key: &'a [u8],
    /// Whether distances become scores.
    pub by_distance: bool,
}

/// A search, as a call tells it.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// Where; none if the member to search around is one of a key that is not there.
    pub area: Option<Area>,
    /// Meters of the unit that distances are told in.
    pub unit_meters: f64,
    /// What is told.
    pub options: Options,
    /// Where it is kept instead.
    pub store: Option<Store<'a>>,
}

impl Query<'_> {
    fn reply(&self, reply: &mut Reply<'_>, found: &[Found<'_>]) {
        let Options { with_distance, with_hash, with_point, .. } = self.options;
        reply.array(found.len());
        for member in found {
            if self.options.tell_more() {
                let facts = [with_distance, with_hash, with_point];
                reply.array(1 + facts.into_iter().filter(|told| *told).count());
            }
            reply.bulk(member.member);
            if with_distance {
                reply_distance(reply, member.distance / self.unit_meters);
            }
            if with_hash {
                reply.integer(member.score as i64);
            }
            if with_point {
                member.point.reply(reply);
            }
        }
    }
}

/// Runs the search that `parse` reads; the sorted set to search in is at argument `source`.
pub fn answer<'a>(
    call: &mut Call<'a, '_, '_>,
    source: usize,
    parse: impl FnOnce(&Args<'a>, Option<ZsetRef<'_>>) -> Result<Query<'a>, Failure>,
) -> Result<(), Failure> {
    let key = call.unit.key(call.db, call.args.get(source));
    let zset = read_zset(call.unit, &key)?;
    let query = parse(call.args, zset)?;
    let found = match zset.zip(query.area) {
        Some((zset, area)) => find(zset, &area, &query.options),
        None => Vec::new(),
    };
    let Some(store) = query.store else {
        query.reply(call.reply, &found);
        return Ok(());
    };
    let score = |found: &Found<'_>| match store.by_distance {
        true => found.distance / query.unit_meters,
        false => found.score,
    };
    let members: Vec<Scored<'_>> = found.iter().map(|one| (score(one), one.member)).collect();
    let stored = NewZset::whole(call.encodings, &members);
    let target = call.unit.key(call.db, store.key);
    let count = stored.put(call.unit, &target);
    call.reply.integer(count as i64);
    Ok(())
}
