//! Collections as the inspector writes them.

use crate::format::edit::Edit;
use crate::keyspace::collection;
use crate::types::ValueKind;
use crate::value::packed;
use crate::value::stream_chunk::{NewEntry, Numbers};
use crate::value::stream_fact::{Fact, Holder, Idempotence, Topic};
use crate::value::stream_id::StreamId;
use crate::value::view::{AnyItem, packed_items};

use super::text::{abbreviated, json_bytes, quoted, time};

/// Items that are shown of a record.
const SHOWN_ITEMS: usize = 4;

/// An item on one line of text.
pub fn item_text(item: &AnyItem<'_>) -> String {
    match item {
        AnyItem::Element(bytes) | AnyItem::Member(bytes) => quoted(bytes),
        AnyItem::Scored(score, member) => format!("{score} {}", quoted(member)),
        AnyItem::Field(field) => {
            let deadline = field.deadline_ms.map(|at| format!(", expires {}", time(at)));
            let (name, value) = (quoted(field.member), quoted(field.payload));
            format!("{name} = {value}{}", deadline.unwrap_or_default())
        }
        AnyItem::Entry(entry) => {
            let pairs =
                entry.fields().map(|(name, value)| format!("{} = {}", quoted(name), quoted(value)));
            let pairs: Vec<String> = pairs.collect();
            format!("{} {}", entry.id, pairs.join(", "))
        }
        AnyItem::Fact(fact) => fact_text(fact),
    }
}

fn fact_text(fact: &Fact<'_>) -> String {
    match *fact {
        Fact::Group { name, state } => {
            let read = state.entries_read.map(|count| format!(", {count} entries read"));
            let (number, last) = (state.number, state.last_id);
            format!("group {number} {}, up to {last}{}", quoted(name), read.unwrap_or_default())
        }
        Fact::Consumer { group, name, state } => {
            let active = state.active_ms.map(|at| format!(", active {}", time(at)));
            let (number, seen) = (state.number, time(state.seen_ms));
            let name = quoted(name);
            format!("consumer {group}.{number} {name}, seen {seen}{}", active.unwrap_or_default())
        }
        Fact::Pending { group, id, delivery } => {
            let count = delivery.count;
            match delivery.holder {
                Holder::Nobody { place } => {
                    format!(
                        "pending {id} of nobody in group {group}, place {place}, delivery {count}"
                    )
                }
                Holder::Consumer { at_ms, number } => {
                    let at = time(at_ms);
                    format!("pending {id} of consumer {group}.{number}, delivery {count} at {at}")
                }
            }
        }
        Fact::Idempotence { state } => {
            let Idempotence { duration_s, max_ids, added, duplicates } = state;
            let kept = format!("names of entries for {duration_s} s, {max_ids} at most");
            format!("{kept}, {added} added, {duplicates} duplicates")
        }
        Fact::Producer { number, name } => format!("producer {number} {}", quoted(name)),
        Fact::Added { number, added } => {
            let (id, producer, name) = (added.id, added.producer, quoted(added.name));
            format!("added {number} {id} by producer {producer} as {name}")
        }
    }
}

/// An item as a JSON object.
pub fn item_json(item: &AnyItem<'_>) -> String {
    match item {
        AnyItem::Element(bytes) => format!("{{{}}}", json_bytes("element", bytes)),
        AnyItem::Member(bytes) => format!("{{{}}}", json_bytes("member", bytes)),
        AnyItem::Scored(score, member) => {
            let score = match score.is_finite() {
                true => format!("{score}"),
                false => format!("\"{score}\""),
            };
            format!("{{{},\"score\":{score}}}", json_bytes("member", member))
        }
        AnyItem::Field(field) => {
            let deadline = field.deadline_ms.map(|at| format!(",\"expire_at\":\"{}\"", time(at)));
            let value = json_bytes("value", field.payload);
            let field = json_bytes("field", field.member);
            format!("{{{field},{value}{}}}", deadline.unwrap_or_default())
        }
        AnyItem::Entry(entry) => {
            let pairs = entry.fields().map(|(name, value)| {
                format!("{{{},{}}}", json_bytes("field", name), json_bytes("value", value))
            });
            let pairs: Vec<String> = pairs.collect();
            format!("{{\"id\":\"{}\",\"fields\":[{}]}}", entry.id, pairs.join(","))
        }
        AnyItem::Fact(fact) => fact_json(fact),
    }
}

fn fact_json(fact: &Fact<'_>) -> String {
    match *fact {
        Fact::Group { name, state } => {
            let read = state.entries_read.map(|count| format!(",\"entries_read\":{count}"));
            let (number, last, name) = (state.number, state.last_id, json_bytes("name", name));
            let read = read.unwrap_or_default();
            format!("{{\"group\":{number},{name},\"last_delivered_id\":\"{last}\"{read}}}")
        }
        Fact::Consumer { group, name, state } => {
            let active = state.active_ms.map(|at| format!(",\"active\":\"{}\"", time(at)));
            let (number, name, seen) =
                (state.number, json_bytes("name", name), time(state.seen_ms));
            let active = active.unwrap_or_default();
            format!(
                "{{\"group\":{group},\"consumer\":{number},{name},\"seen\":\"{seen}\"{active}}}"
            )
        }
        Fact::Pending { group, id, delivery } => {
            let holder = match delivery.holder {
                Holder::Nobody { place } => format!("\"place\":{place}"),
                Holder::Consumer { at_ms, number } => {
                    format!("\"consumer\":{number},\"delivered\":\"{}\"", time(at_ms))
                }
            };
            let count = delivery.count;
            format!("{{\"pending\":\"{id}\",\"group\":{group},{holder},\"deliveries\":{count}}}")
        }
        Fact::Idempotence { state } => {
            let Idempotence { duration_s, max_ids, added, duplicates } = state;
            let kept = format!("\"duration_s\":{duration_s},\"max_ids\":{max_ids}");
            format!("{{{kept},\"added\":{added},\"duplicates\":{duplicates}}}")
        }
        Fact::Producer { number, name } => {
            format!("{{\"producer\":{number},{}}}", json_bytes("name", name))
        }
        Fact::Added { number, added } => {
            let (id, producer, name) = (added.id, added.producer, json_bytes("name", added.name));
            format!("{{\"added\":{number},\"id\":\"{id}\",\"producer\":{producer},{name}}}")
        }
    }
}

/// The name of the kind in a byte of kind and encoding.
pub fn kind_name(shape: u8) -> &'static str {
    ValueKind::of_shape(shape).map_or("unknown", ValueKind::name)
}

/// A packed collection on one line.
pub fn describe(blob: &[u8]) -> String {
    if packed::validate(blob).is_none() {
        return format!("malformed {}", abbreviated(blob));
    }
    format!("{} {}", kind_name(packed::shape(blob)), some(packed_items(blob)))
}

/// A change of a collection on one line.
pub fn describe_edit(shape: u8, edit: &Edit<'_>) -> String {
    let items = |kind: ValueKind, bytes: &[u8]| {
        let blob = [&[kind.shape(0)], bytes].concat();
        some(packed_items(&blob))
    };
    match *edit {
        Edit::Put { items: bytes } => {
            let kind = ValueKind::of_shape(shape).unwrap_or(ValueKind::Set);
            format!("put {}", items(kind, bytes))
        }
        Edit::Remove { members } if ValueKind::of_shape(shape) == Some(ValueKind::Stream) => {
            let text = |member| match Topic::decode(member) {
                Some(topic) => topic_text(&topic),
                None => format!("malformed {}", abbreviated(member)),
            };
            format!("remove {}", bracketed(collection::members(members), text))
        }
        Edit::Remove { members } => format!("remove {}", items(ValueKind::Set, members)),
        Edit::Push { front, elements } => {
            let end = if front { "head" } else { "tail" };
            format!("push to the {end} {}", items(ValueKind::List, elements))
        }
        Edit::Cut { index, count } => format!("cut {count} from {index}"),
        Edit::Set { index, element } => format!("set {index} to {}", abbreviated(element)),
        Edit::Insert { index, element } => format!("insert {} at {index}", abbreviated(element)),
        Edit::Append { begins_chunk, entry } => {
            let place = if begins_chunk { " to a chunk of its own" } else { "" };
            match NewEntry::decode(entry) {
                Some(entry) => format!("append {}{place}, {} fields", entry.id, entry.len()),
                None => format!("append malformed {}", abbreviated(entry)),
            }
        }
        Edit::Delete { ids } => format!("delete {}", some_ids(ids)),
        Edit::Trim { count } => format!("trim {count}"),
        Edit::Renumber { numbers } => match Numbers::decode(numbers, 0) {
            Some((Numbers { last_id, max_deleted_id, entries_added }, _)) => {
                let most = format!("highest deleted {max_deleted_id}");
                format!("last ID {last_id}, {most}, {entries_added} entries added")
            }
            None => format!("malformed numbers {}", abbreviated(numbers)),
        },
        Edit::Stream { whole } => format!("whole, {} bytes", whole.len()),
    }
}

fn topic_text(topic: &Topic<'_>) -> String {
    match topic {
        Topic::Group { name } => format!("group {}", abbreviated(name)),
        Topic::Consumer { group, name } => {
            format!("consumer {} of group {group}", abbreviated(name))
        }
        Topic::Pending { group, id } => format!("pending {id} of group {group}"),
        Topic::Idempotence => "names of entries".to_owned(),
        Topic::Producer { number } => format!("producer {number}"),
        Topic::Added { number } => format!("added {number}"),
    }
}

/// The first few IDs, and how many there are.
fn some_ids(ids: &[u8]) -> String {
    let mut at = 0;
    let ids = std::iter::from_fn(|| {
        let (id, end) = StreamId::decode(ids, at)?;
        at = end;
        Some(id)
    });
    bracketed(ids, |id| id.to_string())
}

/// The first few items, and how many there are.
fn some<'a>(items: impl Iterator<Item = AnyItem<'a>>) -> String {
    bracketed(items, |item| match item {
        AnyItem::Element(bytes) | AnyItem::Member(bytes) => abbreviated(bytes),
        AnyItem::Scored(score, member) => format!("{score} {}", abbreviated(member)),
        AnyItem::Field(field) => {
            format!("{} = {}", abbreviated(field.member), abbreviated(field.payload))
        }
        AnyItem::Fact(fact) => fact_text(&fact),
        AnyItem::Entry(entry) => entry.id.to_string(),
    })
}

/// The first few items as texts, and how many there are.
fn bracketed<T>(mut items: impl Iterator<Item = T>, text: impl Fn(T) -> String) -> String {
    let shown: Vec<String> = items.by_ref().take(SHOWN_ITEMS).map(text).collect();
    let more = match shown.len() + items.count() {
        ..=SHOWN_ITEMS => String::new(),
        count => format!(", ... ({count} items)"),
    };
    format!("[{}{more}]", shown.join(", "))
}
