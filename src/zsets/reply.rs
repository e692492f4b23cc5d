//! Replies with members of sorted sets.

use crate::command::double;
use crate::resp::write::{Protocol, Reply};
use crate::value::score::Scored;

/// Replies with members, each followed by its score or together with it, as the protocol has it.
pub fn reply_scored<'m>(
    reply: &mut Reply<'_>,
    count: usize,
    members: impl Iterator<Item = Scored<'m>>,
    with_scores: bool,
) {
    let as_pairs = with_scores && reply.protocol() == Protocol::Resp3;
    reply.array(if with_scores && !as_pairs { 2 * count } else { count });
    for (score, member) in members {
        if as_pairs {
            reply.array(2);
        }
        reply.bulk(member);
        if with_scores {
            double::reply(reply, score);
        }
    }
}
