//! COMMAND INFO of one row: flags, ACL categories, key specifications as a client sees them.

use crate::command::spec::{BeginSearch, FindKeys, Group, KeySpec, Spec, flag, key_flag};
use crate::resp::write::Reply;

use super::introspect::Named;

/// Bits with their names, in the order of a reply.
type FlagNames = &'static [(u32, &'static str)];

const FLAG_NAMES: FlagNames = &[
    (flag::WRITE, "write"),
    (flag::READONLY, "readonly"),
    (flag::DENYOOM, "denyoom"),
    (flag::ADMIN, "admin"),
    (flag::PUBSUB, "pubsub"),
    (flag::NOSCRIPT, "noscript"),
    (flag::BLOCKING, "blocking"),
    (flag::LOADING, "loading"),
    (flag::STALE, "stale"),
    (flag::SKIP_MONITOR, "skip_monitor"),
    (flag::SKIP_SLOWLOG, "skip_slowlog"),
    (flag::ASKING, "asking"),
    (flag::FAST, "fast"),
    (flag::NO_AUTH, "no_auth"),
    (flag::NO_ASYNC_LOADING, "no_async_loading"),
    (flag::NO_MULTI, "no_multi"),
    (flag::MOVABLE_KEYS, "movablekeys"),
    (flag::ALLOW_BUSY, "allow_busy"),
];

const KEY_FLAG_NAMES: FlagNames = &[
    (key_flag::RO, "RO"),
    (key_flag::RW, "RW"),
    (key_flag::OW, "OW"),
    (key_flag::RM, "RM"),
    (key_flag::ACCESS, "access"),
    (key_flag::UPDATE, "update"),
    (key_flag::INSERT, "insert"),
    (key_flag::DELETE, "delete"),
    (key_flag::NOT_KEY, "not_key"),
    (key_flag::INCOMPLETE, "incomplete"),
    (key_flag::VARIABLE_FLAGS, "variable_flags"),
];

/// A set of simple strings.
pub fn words(reply: &mut Reply<'_>, words: &[&str]) {
    reply.set(words.len());
    words.iter().for_each(|word| reply.simple(word));
}

/// The flags of a key specification, as a set.
pub fn key_flags(reply: &mut Reply<'_>, bits: u32) {
    flags(reply, KEY_FLAG_NAMES, bits);
}

fn flags(reply: &mut Reply<'_>, names: FlagNames, bits: u32) {
    let set = names.iter().filter(|(bit, _)| bits & bit != 0);
    words(reply, &set.map(|&(_, name)| name).collect::<Vec<_>>());
}

/// All ACL categories, in Redis's order; those without a command yet are there to be asked for.
pub const CATEGORIES: &[&str] = &[
    "keyspace",
    "read",
    "write",
    "set",
    "sortedset",
    "list",
    "hash",
    "string",
    "bitmap",
    "hyperloglog",
    "geo",
    "stream",
    "pubsub",
    "admin",
    "fast",
    "slow",
    "blocking",
    "dangerous",
    "connection",
    "transaction",
    "scripting",
];

/// Whether a command is in an ACL category: by its flags, its group or what its row adds.
///
/// A container is in none but `slow`, for it cannot run.
pub fn in_category(spec: &Spec, category: &str) -> bool {
    let has = |bit: u32| spec.flags & bit != 0;
    let by_flags = match category {
        "read" => has(flag::READONLY),
        "write" => has(flag::WRITE),
        "pubsub" => has(flag::PUBSUB),
        "admin" | "dangerous" => has(flag::ADMIN),
        "fast" => has(flag::FAST),
        "slow" => !has(flag::FAST),
        "blocking" => has(flag::BLOCKING),
        _ => false,
    };
    let by_group = match spec.group {
        Group::String => category == "string",
        Group::List => category == "list",
        Group::Hash => category == "hash",
        Group::Set => category == "set",
        Group::SortedSet => category == "sortedset",
        Group::Bitmap => category == "bitmap",
        Group::HyperLogLog => category == "hyperloglog",
        Group::Geo => category == "geo",
        Group::Stream => category == "stream",
        Group::Connection => category == "connection",
        Group::Transactions => category == "transaction",
        Group::Generic | Group::Server => false,
    };
    let runs = spec.subcommands.is_empty();
    by_flags || by_group && runs || spec.acl.contains(&category)
}

/// First key, last key and step as clients before key specifications know them.
fn legacy_range(keys: &[KeySpec]) -> (i64, i64, i64) {
    let plain = |spec: &KeySpec| match (spec.begin, spec.find) {
        (BeginSearch::Index(first), FindKeys::Range { last, step, .. }) => {
            let (first, last) = (i64::from(first), i64::from(last));
            Some((first, if last < 0 { last } else { first + last }, i64::from(step)))
        }
        _ => None,
    };
    if let [only] = keys {
        return plain(only).unwrap_or_default();
    }
    let mut range: Option<(i64, i64, i64)> = None;
    for (first, last, step) in keys.iter().filter_map(plain) {
        range = match range {
            _ if step != 1 => range,
            None => Some((first, last, 1)),
            Some((begin, end, _)) if first == end + 1 => Some((begin, last, 1)),
            Some(_) => range,
        };
    }
    range.unwrap_or_default()
}

/// The ten facts of COMMAND INFO.
pub fn describe(reply: &mut Reply<'_>, row: Named<'_>) {
    let spec = row.spec;
    reply.array(10);
    reply.bulk(row.full_name().as_bytes());
    reply.integer(i64::from(spec.arity));
    flags(reply, FLAG_NAMES, spec.flags);
    let (first, last, step) = legacy_range(spec.keys);
    [first, last, step].into_iter().for_each(|number| reply.integer(number));
    let categories: Vec<String> = CATEGORIES
        .iter()
        .filter(|category| in_category(spec, category))
        .map(|category| format!("@{category}"))
        .collect();
    words(reply, &categories.iter().map(String::as_str).collect::<Vec<_>>());
    reply.set(spec.tips.len());
    spec.tips.iter().for_each(|tip| reply.bulk(tip.as_bytes()));
    reply.set(spec.keys.len());
    spec.keys.iter().for_each(|key_spec| describe_keys(reply, key_spec));
    match spec.subcommands.len() {
        0 => reply.set(0),
        count => reply.array(count),
    }
    row.subcommands().for_each(|subcommand| describe(reply, subcommand));
}

fn describe_keys(reply: &mut Reply<'_>, spec: &KeySpec) {
    reply.map(3 + usize::from(!spec.notes.is_empty()));
    if !spec.notes.is_empty() {
        reply.bulk(b"notes");
        reply.bulk(spec.notes.as_bytes());
    }
    reply.bulk(b"flags");
    flags(reply, KEY_FLAG_NAMES, spec.flags);
    reply.bulk(b"begin_search");
    match spec.begin {
        BeginSearch::Index(index) => search(reply, "index", &[("index", index)]),
        BeginSearch::Keyword(keyword, from) => {
            search_head(reply, "keyword", 2);
            reply.bulk(b"keyword");
            reply.bulk(keyword.as_bytes());
            reply.bulk(b"startfrom");
            reply.integer(i64::from(from));
        }
        BeginSearch::Unknown => search(reply, "unknown", &[]),
    }
    reply.bulk(b"find_keys");
    match spec.find {
        FindKeys::Range { last, step, limit } => {
            let facts = [("lastkey", last), ("keystep", step), ("limit", limit)];
            search(reply, "range", &facts);
        }
        FindKeys::KeyNum { count, first, step } => {
            let facts = [("keynumidx", count), ("firstkey", first), ("keystep", step)];
            search(reply, "keynum", &facts);
        }
        FindKeys::Unknown => search(reply, "unknown", &[]),
    }
}

fn search_head(reply: &mut Reply<'_>, kind: &str, facts: usize) {
    reply.map(2);
    reply.bulk(b"type");
    reply.bulk(kind.as_bytes());
    reply.bulk(b"spec");
    reply.map(facts);
}

fn search(reply: &mut Reply<'_>, kind: &str, facts: &[(&str, i32)]) {
    search_head(reply, kind, facts.len());
    for (name, number) in facts {
        reply.bulk(name.as_bytes());
        reply.integer(i64::from(*number));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::row::keys_at;

    #[test]
    fn neighbouring_keys_make_one_legacy_range() {
        let at = |first| keys_at(first, 0, 1, key_flag::RO);
        assert_eq!(legacy_range(&[]), (0, 0, 0));
        assert_eq!(legacy_range(&[keys_at(1, -1, 2, 0)]), (1, -1, 2));
        assert_eq!(legacy_range(&[at(1), at(2)]), (1, 2, 1));
        assert_eq!(legacy_range(&[at(2), keys_at(3, -1, 1, 0)]), (2, -1, 1));
        assert_eq!(legacy_range(&[at(1), at(3)]), (1, 1, 1));
        let counted = KeySpec { find: FindKeys::KeyNum { count: 0, first: 1, step: 1 }, ..at(2) };
        assert_eq!(legacy_range(&[counted]), (0, 0, 0));
        assert_eq!(legacy_range(&[at(1), counted]), (1, 1, 1));
    }

    #[test]
    fn categories_follow_flags_and_group() {
        let admin = Spec {
            flags: flag::ADMIN | flag::WRITE,
            group: Group::Connection,
            acl: &["keyspace"],
            ..Spec::EMPTY
        };
        let of = |spec: &Spec| {
            let all = CATEGORIES.iter().filter(|category| in_category(spec, category));
            all.copied().collect::<Vec<_>>()
        };
        let expected = ["keyspace", "write", "admin", "slow", "dangerous", "connection"];
        assert_eq!(of(&admin), expected);
        let container = Spec { subcommands: &[Spec::EMPTY], flags: 0, acl: &[], ..admin };
        assert_eq!(of(&container), ["slow"]);
        let groups = [
            (Group::List, "list"),
            (Group::Hash, "hash"),
            (Group::Set, "set"),
            (Group::SortedSet, "sortedset"),
            (Group::HyperLogLog, "hyperloglog"),
            (Group::Geo, "geo"),
            (Group::Stream, "stream"),
        ];
        for (group, category) in groups {
            assert_eq!(of(&Spec { group, ..Spec::EMPTY }), [category, "slow"]);
        }
    }
}
