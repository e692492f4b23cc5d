//! Commands on whole databases: DBSIZE, FLUSHDB, FLUSHALL, SWAPDB.

use crate::command::number::integer;
use crate::command::row::{one_of, word};
use crate::command::spec::{Arg, ArgKind, Call, Command, Failure, Group, Spec, flag};
use crate::engine::unit::Unit;

/// The rows of this family.
pub const COMMANDS: &[Command] = &[
    Command {
        spec: Spec {
            name: "dbsize",
            arity: 1,
            flags: flag::READONLY | flag::FAST | flag::ALL_KEYS,
            acl: &["keyspace"],
            group: Group::Server,
            summary: "Counts the keys of the database.",
            tips: &["request_policy:all_shards", "response_policy:agg_sum"],
            ..Spec::EMPTY
        },
        run: dbsize,
    },
    Command {
        spec: Spec {
            name: "flushdb",
            complexity: "O(1); memory and disk are freed in the background.",
            summary: "Empties the database.",
            ..SPEC_OF_FLUSH
        },
        run: flushdb,
    },
    Command {
        spec: Spec {
            name: "flushall",
            complexity: "O(N), N being the number of databases; space is freed in the background.",
            summary: "Empties all databases.",
            extra_bytes: Some(|_, databases| u64::from(databases) * FLUSHED_DATABASE_BYTES),
            ..SPEC_OF_FLUSH
        },
        run: flushall,
    },
    Command {
        spec: Spec {
            name: "swapdb",
            arity: 3,
            flags: flag::WRITE | flag::FAST | flag::ALL_KEYS,
            acl: &["keyspace", "dangerous"],
            group: Group::Server,
            since: "4.0.0",
            complexity: "O(N), N being the number of clients that watch or wait for their keys.",
            summary: "Exchanges the contents of two databases.",
            args: &[Arg::new("index1", ArgKind::Integer), Arg::new("index2", ArgKind::Integer)],
            ..Spec::EMPTY
        },
        run: swapdb,
    },
];

/// Most bytes that a database takes in the record of a flush: two numbers of 32 bits.
const FLUSHED_DATABASE_BYTES: u64 = 10;

/// What both flushes have in common.
const SPEC_OF_FLUSH: Spec = Spec {
    arity: -1,
    flags: flag::WRITE | flag::ALL_KEYS | flag::FREES,
    acl: &["keyspace", "dangerous"],
    group: Group::Server,
    args: &[one_of(
        "flush-type",
        &[word("async", "ASYNC").since("4.0.0"), word("sync", "SYNC").since("6.2.0")],
    )
    .optional()],
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    history: &[("4.0.0", "Takes `ASYNC`."), ("6.2.0", "Takes `SYNC`.")],
    ..Spec::EMPTY
};

const OUT_OF_RANGE: Failure = Failure::text("ERR DB index is out of range");

/// `ERR source and destination objects are the same`
pub fn same_object() -> Failure {
    Failure::text("ERR source and destination objects are the same")
}

/// The database that an argument of COPY, MOVE or SELECT's kind names.
///
/// # Errors
/// With Redis's text for what is no integer, no 32-bit integer or no database.
pub fn database_arg(unit: &Unit<'_>, text: &[u8]) -> Result<u32, Failure> {
    let number = i32::try_from(integer(text)?).map_err(|_| {
        Failure::text("ERR value is out of range, value must between -2147483648 and 2147483647")
    })?;
    existing(unit, number)
}

fn existing(unit: &Unit<'_>, number: i32) -> Result<u32, Failure> {
    let db = u32::try_from(number).ok();
    db.filter(|&db| db < unit.databases()).ok_or(OUT_OF_RANGE)
}

fn dbsize(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let (keys, _) = call.unit.counts(call.db);
    call.reply.integer(i64::try_from(keys).unwrap_or(i64::MAX));
    Ok(())
}

/// Both modes free space in the background: a flush only takes a fresh keyspace id.
fn check_flush_mode(call: &Call<'_, '_, '_>) -> Result<(), Failure> {
    match call.args.len() {
        1 => Ok(()),
        2 if call.args.is(1, "SYNC") || call.args.is(1, "ASYNC") => Ok(()),
        _ => Err(Failure::Syntax),
    }
}

fn flushdb(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    check_flush_mode(call)?;
    call.unit.flush_db(call.db);
    call.reply.ok();
    Ok(())
}

fn flushall(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    check_flush_mode(call)?;
    call.unit.flush_all();
    call.reply.ok();
    Ok(())
}

fn swapdb(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let number = |at: usize| i32::try_from(integer(call.args.get(at)).ok()?).ok();
    let first = number(1).ok_or(Failure::text("ERR invalid first DB index"))?;
    let second = number(2).ok_or(Failure::text("ERR invalid second DB index"))?;
    let first = existing(call.unit, first)?;
    let second = existing(call.unit, second)?;
    if first != second {
        call.unit.swap_db(first, second);
    }
    call.reply.ok();
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::command::testing::{extra_frame_bytes, run, unit};

    #[test]
    fn a_flush_empties_one_database_or_all() {
        let mut unit = unit();
        run(&mut unit, &["MSET", "a", "1", "b", "2"]);
        run(&mut unit, &["COPY", "a", "a", "DB", "1"]);
        assert_eq!(run(&mut unit, &["DBSIZE"]), ":2");
        assert_eq!(run(&mut unit, &["FLUSHDB", "async"]), "+OK");
        assert_eq!(run(&mut unit, &["DBSIZE"]), ":0");
        assert_eq!(unit.counts(1).0, 1);
        assert_eq!(run(&mut unit, &["FLUSHALL", "SYNC"]), "+OK");
        assert_eq!(unit.counts(1).0, 0);
    }

    #[test]
    fn unknown_flush_modes_flush_nothing() {
        let mut unit = unit();
        run(&mut unit, &["SET", "a", "1"]);
        for command in ["FLUSHDB", "FLUSHALL"] {
            assert_eq!(run(&mut unit, &[command, "NOW"]), "-ERR syntax error");
            assert_eq!(run(&mut unit, &[command, "SYNC", "SYNC"]), "-ERR syntax error");
        }
        assert_eq!(run(&mut unit, &["DBSIZE"]), ":1");
    }

    #[test]
    fn swapdb_names_the_index_that_is_wrong() {
        let cases = [
            (["SWAPDB", "x", "y"], "-ERR invalid first DB index"),
            (["SWAPDB", "0", "x"], "-ERR invalid second DB index"),
            (["SWAPDB", "99999999999", "0"], "-ERR invalid first DB index"),
            (["SWAPDB", "0", "16"], "-ERR DB index is out of range"),
            (["SWAPDB", "-1", "0"], "-ERR DB index is out of range"),
            (["SWAPDB", "0", "0"], "+OK"),
            (["SWAPDB", "0", "15"], "+OK"),
        ];
        for (args, reply) in cases {
            assert_eq!(run(&mut unit(), &args), reply, "{args:?}");
        }
    }
    #[test]
    fn a_flush_of_all_logs_every_database() {
        assert_eq!(extra_frame_bytes(&["FLUSHALL"], 65_536), 655_360);
        assert_eq!(extra_frame_bytes(&["FLUSHDB"], 65_536), 0);
    }
}
