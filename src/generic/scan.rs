//! Commands that walk a database: KEYS, SCAN, RANDOMKEY.
//!
//! They run off the worker and read the keyspace page by page, with no partition locked between
//! pages.

use crate::command::args::Args;
use crate::command::glob;
use crate::command::member_scan::{NOVALUES_ELSEWHERE, cursor_in};
use crate::command::number::integer;
use crate::command::spec::{Arg, ArgKind, Call, Command, Failure, Spec, flag};
use crate::error::Error;
use crate::types::ValueKind;

/// The rows of this family.
pub const COMMANDS: &[Command] = &[
    Command {
        spec: Spec {
            name: "keys",
            arity: 2,
            flags: flag::READONLY | flag::SCANS,
            acl: &["keyspace", "dangerous"],
            complexity: "O(N), N being the number of keys of the database.",
            summary: "Lists all keys that match a pattern.",
            args: &[Arg::new("pattern", ArgKind::Pattern)],
            tips: &["request_policy:all_shards", "nondeterministic_output_order"],
            ..Spec::EMPTY
        },
        run: keys,
    },
    Command {
        spec: Spec {
            name: "scan",
            arity: -2,
            flags: flag::READONLY | flag::SCANS,
            acl: &["keyspace"],
            since: "2.8.0",
            complexity: "O(1) for a call, O(N) for all calls over a database of N keys.",
            summary: "Lists the keys of the database in pages.",
            args: &[
                Arg::new("cursor", ArgKind::Integer),
                Arg::new("pattern", ArgKind::Pattern).behind("MATCH").optional(),
                Arg::new("count", ArgKind::Integer).behind("COUNT").optional(),
                Arg::new("type", ArgKind::String).behind("TYPE").optional().since("6.0.0"),
            ],
            tips: &["nondeterministic_output", "request_policy:special", "response_policy:special"],
            history: &[("6.0.0", "Takes `TYPE`.")],
            ..Spec::EMPTY
        },
        run: scan,
    },
    Command {
        spec: Spec {
            name: "randomkey",
            arity: 1,
            flags: flag::READONLY | flag::SCANS,
            acl: &["keyspace"],
            summary: "Names a key of the database at random.",
            tips: &[
                "request_policy:all_shards",
                "response_policy:special",
                "nondeterministic_output",
            ],
            ..Spec::EMPTY
        },
        run: random_key,
    },
];

/// Keys of one page of KEYS; bounds how long a partition is held.
const KEYS_PAGE_COUNT: usize = 1024;
/// Keys of one page of SCAN when the client does not say.
const SCAN_COUNT_DEFAULT: usize = 10;
/// The keyspace has this many cursors; larger ones stand behind its end.
const CURSOR_END: u64 = 1 << 48;

/// A part that cannot be read fails the command and nothing else.
fn unreadable(error: Error) -> Failure {
    Failure::Text(format!("ERR {error}").into())
}

fn reply_keys(call: &mut Call<'_, '_, '_>, keys: &[Vec<u8>]) {
    call.reply.array(keys.len());
    keys.iter().for_each(|key| call.reply.bulk(key));
}

fn keys(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let filter = Filter::matching(call.args.get(1));
    let mut found = Vec::new();
    let mut cursor = 0;
    loop {
        let page = call.unit.scan(call.db, cursor, KEYS_PAGE_COUNT).map_err(unreadable)?;
        found.extend(page.keys.into_iter().filter(|key| filter.accepts(key)));
        cursor = page.next;
        if cursor == 0 {
            break;
        }
    }
    reply_keys(call, &found);
    Ok(())
}

/// Which keys of a page are reported.
#[derive(Clone, Copy)]
struct Filter<'a> {
    pattern: Option<&'a [u8]>,
    kind: Option<&'a [u8]>,
}

impl<'a> Filter<'a> {
    /// The pattern `*` takes every key, the empty one too, which a glob would not.
    fn matching(pattern: &'a [u8]) -> Filter<'a> {
        let pattern = (pattern != b"*").then_some(pattern);
        Filter { pattern, kind: None }
    }

    fn accepts(&self, key: &[u8]) -> bool {
        self.pattern.is_none_or(|pattern| glob::matches(pattern, key, false))
    }

    /// A name that no type has accepts nothing.
    fn accepts_kind(&self, kind: ValueKind) -> bool {
        self.kind.is_none_or(|name| name.eq_ignore_ascii_case(kind.name().as_bytes()))
    }
}

fn scan(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let cursor = cursor_in(call.args.get(1))?;
    let (filter, count) = scan_options(call.args)?;
    let page = match cursor < CURSOR_END {
        true => call.unit.scan(call.db, cursor, count).map_err(unreadable)?,
        false => Default::default(),
    };
    let pairs = page.keys.into_iter().zip(page.kinds);
    let wanted = pairs.filter(|(key, kind)| filter.accepts(key) && filter.accepts_kind(*kind));
    let found: Vec<Vec<u8>> = wanted.map(|(key, _)| key).collect();
    call.reply.array(2);
    call.reply.bulk(page.next.to_string().as_bytes());
    reply_keys(call, &found);
    Ok(())
}

fn scan_options<'a>(args: &Args<'a>) -> Result<(Filter<'a>, usize), Failure> {
    let mut filter = Filter::matching(b"*");
    let mut count = SCAN_COUNT_DEFAULT;
    for index in (2..args.len()).step_by(2) {
        if args.is(index, "NOVALUES") {
            return Err(NOVALUES_ELSEWHERE);
        }
        if index + 1 == args.len() {
            return Err(Failure::Syntax);
        }
        if args.is(index, "COUNT") {
            let number = integer(args.get(index + 1))?;
            count = usize::try_from(number).map_err(|_| Failure::Syntax)?;
            if count == 0 {
                return Err(Failure::Syntax);
            }
        } else if args.is(index, "MATCH") {
            filter.pattern = Filter::matching(args.get(index + 1)).pattern;
        } else if args.is(index, "TYPE") {
            filter.kind = Some(args.get(index + 1));
        } else {
            return Err(Failure::Syntax);
        }
    }
    Ok((filter, count))
}

fn random_key(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    match call.unit.random_key(call.db).map_err(unreadable)? {
        Some(key) => call.reply.bulk(&key),
        None => call.reply.null(),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::command::testing::{run, unit};
    use crate::engine::unit::Unit;

    fn filled() -> Unit<'static> {
        let mut unit = unit();
        run(&mut unit, &["MSET", "", "0", "a", "1", "ab", "2", "b", "3"]);
        unit
    }

    #[test]
    fn keys_are_filtered_by_the_pattern() {
        let mut unit = filled();
        assert_eq!(run(&mut unit, &["KEYS", "a*"]), "*2 $2 ab $1 a");
        assert_eq!(run(&mut unit, &["KEYS", "x*"]), "*0");
        assert_eq!(run(&mut unit, &["KEYS", "*"]), "*4 $0  $1 b $2 ab $1 a");
        assert_eq!(run(&mut unit, &["KEYS", "**"]), "*3 $1 b $2 ab $1 a");
    }

    #[test]
    fn a_scan_reports_the_cursor_and_what_passes_its_filters() {
        let mut unit = filled();
        let all = "*2 $1 0 *4 $0  $1 b $2 ab $1 a";
        assert_eq!(run(&mut unit, &["SCAN", "0", "COUNT", "100"]), all);
        assert_eq!(run(&mut unit, &["SCAN", "0", "MATCH", "*"]), all);
        assert_eq!(run(&mut unit, &["SCAN", "0", "TYPE", "String"]), all);
        assert_eq!(run(&mut unit, &["SCAN", "0", "TYPE", "hash"]), "*2 $1 0 *0");
        let both = run(&mut unit, &["SCAN", "0", "match", "x", "MATCH", "a?", "count", "30"]);
        assert_eq!(both, "*2 $1 0 *1 $2 ab");
    }

    #[test]
    fn cursors_are_decimal_and_those_behind_the_end_find_nothing() {
        let mut unit = filled();
        for cursor in ["", "-1", "5 ", "0x10", "a", "18446744073709551616"] {
            let reply = run(&mut unit, &["SCAN", cursor, "FOO"]);
            assert_eq!(reply, "-ERR invalid cursor", "{cursor:?}");
        }
        assert_eq!(run(&mut unit, &["SCAN", "18446744073709551615"]), "*2 $1 0 *0");
        for low in ["007", " 5"] {
            assert!(run(&mut unit, &["SCAN", low]).starts_with("*2 $1 0 *4"), "{low:?}");
        }
    }

    #[test]
    fn bad_options_are_refused_as_in_redis() {
        let integer = "-ERR value is not an integer or out of range";
        let cases: [(&[&str], &str); 6] = [
            (&["SCAN", "0", "COUNT", "0"], "-ERR syntax error"),
            (&["SCAN", "0", "COUNT", "-1"], "-ERR syntax error"),
            (&["SCAN", "0", "COUNT", "x"], integer),
            (&["SCAN", "0", "MATCH"], "-ERR syntax error"),
            (&["SCAN", "0", "FOO", "1"], "-ERR syntax error"),
            (&["SCAN", "0", "COUNT", "x", "MATCH"], integer),
        ];
        for (args, reply) in cases {
            assert_eq!(run(&mut unit(), args), reply, "{args:?}");
        }
    }

    #[test]
    fn a_random_key_exists() {
        assert_eq!(run(&mut unit(), &["RANDOMKEY"]), "$-1");
        let mut unit = unit();
        run(&mut unit, &["SET", "only", "1"]);
        assert_eq!(run(&mut unit, &["RANDOMKEY"]), "$4 only");
    }
}
