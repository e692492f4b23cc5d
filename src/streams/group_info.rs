//! What XINFO tells of groups and their consumers.

use crate::resp::write::Reply;
use crate::value::stream::Stream;
use crate::value::stream_groups::{Consumer, Group};
use crate::value::stream_id::StreamId;

use super::value::{entries_up_to, has_gap_behind, reply_id};

/// Replies with a number, or null where it is not known.
fn reply_known(reply: &mut Reply<'_>, number: Option<u64>) {
    match number {
        Some(number) => reply.integer(number as i64),
        None => reply.null(),
    }
}

/// Entries that a group has not been told of yet.
fn lag(stream: &Stream, group: &Group) -> Option<u64> {
    let (added, state) = (stream.numbers().entries_added, group.state());
    if added == 0 {
        return Some(0);
    }
    let read = state.entries_read.filter(|_| !has_gap_behind(stream, state.last_id));
    let read = read.or_else(|| entries_up_to(stream, state.last_id));
    read.map(|read| added.wrapping_sub(read))
}

/// XINFO GROUPS.
pub fn reply_groups(reply: &mut Reply<'_>, stream: &Stream) {
    reply.array(stream.groups().iter().len());
    for group in stream.groups().iter() {
        reply.map(6);
        reply.bulk(b"name");
        reply.bulk(group.name());
        reply.bulk(b"consumers");
        reply.integer(group.consumers().len() as i64);
        reply.bulk(b"pending");
        reply.integer(group.pending().len() as i64);
        reply_progress(reply, stream, group);
    }
}

/// How far a group has come: three pairs.
fn reply_progress(reply: &mut Reply<'_>, stream: &Stream, group: &Group) {
    reply.bulk(b"last-delivered-id");
    reply_id(reply, group.state().last_id);
    reply.bulk(b"entries-read");
    reply_known(reply, group.state().entries_read);
    reply.bulk(b"lag");
    reply_known(reply, lag(stream, group));
}

/// XINFO CONSUMERS.
pub fn reply_consumers(reply: &mut Reply<'_>, group: &Group, now_ms: u64) {
    reply.array(group.consumers().len());
    for consumer in group.consumers() {
        let state = consumer.state();
        let since = |at_ms: u64| now_ms.saturating_sub(at_ms) as i64;
        reply.map(4);
        reply.bulk(b"name");
        reply.bulk(consumer.name());
        reply.bulk(b"pending");
        reply.integer(consumer.pending().len() as i64);
        reply.bulk(b"idle");
        reply.integer(since(state.seen_ms));
        reply.bulk(b"inactive");
        reply.integer(state.active_ms.map_or(-1, since));
    }
}

/// The groups of XINFO STREAM FULL, with so many pending entries of each.
pub fn reply_full(reply: &mut Reply<'_>, stream: &Stream, count: usize) {
    reply.array(stream.groups().iter().len());
    for group in stream.groups().iter() {
        reply.map(8);
        reply.bulk(b"name");
        reply.bulk(group.name());
        reply_progress(reply, stream, group);
        reply.bulk(b"pel-count");
        reply.integer(group.pending().len() as i64);
        reply.bulk(b"nacked-count");
        reply.integer(group.released().len() as i64);
        reply.bulk(b"pending");
        reply.array(group.pending().len().min(count));
        for (id, delivery) in group.pending().iter().take(count) {
            reply.array(4);
            reply_id(reply, *id);
            reply.bulk(group.holder_name(delivery));
            reply.integer(delivery.at_ms() as i64);
            reply.integer(delivery.count as i64);
        }
        reply.bulk(b"consumers");
        reply.array(group.consumers().len());
        group.consumers().for_each(|consumer| reply_consumer(reply, group, consumer, count));
    }
}

fn reply_consumer(reply: &mut Reply<'_>, group: &Group, consumer: &Consumer, count: usize) {
    let state = consumer.state();
    reply.map(5);
    reply.bulk(b"name");
    reply.bulk(consumer.name());
    reply.bulk(b"seen-time");
    reply.integer(state.seen_ms as i64);
    reply.bulk(b"active-time");
    reply.integer(state.active_ms.map_or(-1, |at_ms| at_ms as i64));
    reply.bulk(b"pel-count");
    reply.integer(consumer.pending().len() as i64);
    reply.bulk(b"pending");
    let ids: Vec<StreamId> = consumer.pending().iter().take(count).copied().collect();
    reply.array(ids.len());
    for id in ids {
        let delivery = group.pending()[&id];
        reply.array(3);
        reply_id(reply, id);
        reply.integer(delivery.at_ms() as i64);
        reply.integer(delivery.count as i64);
    }
}
