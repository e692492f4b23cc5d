//! Commands that look at keys and not into values: DEL, UNLINK, EXISTS, TOUCH, TYPE, RENAME,
//! RENAMENX.

use crate::command::row::{first_key, key_arg, keys_at, named_key};
use crate::command::spec::key_flag::{ACCESS, DELETE, INSERT, OW, RM, RO, RW, UPDATE};
use crate::command::spec::{Call, Command, Copies, Failure, Spec, flag};
use crate::engine::unit::Key;
use crate::format::record::DeleteReason;

/// The rows of this family.
pub const COMMANDS: &[Command] = &[
    Command {
        spec: Spec {
            name: "del",
            arity: -2,
            flags: flag::WRITE | flag::FREES | flag::REPLACES,
            complexity: "O(N), N being the number of keys.",
            summary: "Deletes keys and tells how many there were.",
            keys: &[keys_at(1, -1, 1, RM | DELETE)],
            ..SPEC_OF_MANY
        },
        run: del,
    },
    Command {
        spec: Spec {
            name: "unlink",
            arity: -2,
            flags: flag::WRITE | flag::FAST | flag::FREES | flag::REPLACES,
            keys: &[keys_at(1, -1, 1, RM | DELETE)],
            since: "4.0.0",
            complexity: "O(1) for each key; large values are freed in the background.",
            summary: "Deletes keys and leaves the freeing of their memory to the background.",
            ..SPEC_OF_MANY
        },
        run: del,
    },
    Command {
        spec: Spec {
            name: "exists",
            arity: -2,
            flags: flag::READONLY | flag::FAST,
            complexity: "O(N), N being the number of keys.",
            summary: "Counts how many of the given keys are there; repeated ones count again.",
            history: &[("3.0.3", "Several keys may be given.")],
            ..SPEC_OF_MANY
        },
        run: exists,
    },
    Command {
        spec: Spec {
            name: "touch",
            arity: -2,
            flags: flag::READONLY | flag::FAST,
            since: "3.2.1",
            complexity: "O(N), N being the number of keys.",
            summary: "Marks keys as just used and tells how many of them are there.",
            ..SPEC_OF_MANY
        },
        run: touch,
    },
    Command {
        spec: Spec {
            name: "type",
            arity: 2,
            flags: flag::READONLY | flag::FAST,
            acl: &["keyspace"],
            keys: &[first_key(RO)],
            summary: "Tells what kind of value a key holds.",
            args: &[key_arg()],
            ..Spec::EMPTY
        },
        run: type_of,
    },
    Command {
        spec: Spec {
            name: "rename",
            arity: 3,
            flags: flag::WRITE | flag::COPIES,
            acl: &["keyspace"],
            keys: &[first_key(RW | ACCESS | DELETE), keys_at(2, 0, 1, OW | UPDATE)],
            summary: "Gives a key another name; what had that name is replaced.",
            args: &[key_arg(), named_key("newkey", 1)],
            copies: Copies::Whole(|args| (args.get(1) != args.get(2)).then_some(false)),
            ..Spec::EMPTY
        },
        run: rename,
    },
    Command {
        spec: Spec {
            name: "renamenx",
            arity: 3,
            flags: flag::WRITE | flag::FAST | flag::COPIES,
            acl: &["keyspace"],
            keys: &[first_key(RW | ACCESS | DELETE), keys_at(2, 0, 1, OW | INSERT)],
            summary: "Gives a key another name, unless that name is taken.",
            args: &[key_arg(), named_key("newkey", 1)],
            history: &[("3.2.0", "Equal names are no longer an error.")],
            copies: Copies::Whole(|_| Some(true)),
            ..Spec::EMPTY
        },
        run: renamenx,
    },
];

/// What the commands on any number of keys have in common.
const SPEC_OF_MANY: Spec = Spec {
    acl: &["keyspace"],
    keys: &[keys_at(1, -1, 1, RO)],
    args: &[key_arg().multiple()],
    tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
    ..Spec::EMPTY
};

/// Replies with the number of keys for which `counts` is true.
fn count_keys(
    call: &mut Call<'_, '_, '_>,
    mut counts: impl FnMut(&mut Call<'_, '_, '_>, &Key<'_>) -> bool,
) -> Result<(), Failure> {
    let mut count = 0;
    for bytes in call.args.iter_from(1) {
        let key = call.unit.key(call.db, bytes);
        count += i64::from(counts(call, &key));
    }
    call.reply.integer(count);
    Ok(())
}

fn del(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    count_keys(call, |call, key| call.unit.delete(key, DeleteReason::Command))
}

fn exists(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    count_keys(call, |call, key| call.unit.peek(key).is_some())
}

fn touch(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    count_keys(call, |call, key| call.unit.touch(key))
}

fn type_of(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let key = call.unit.key(call.db, call.args.get(1));
    let name = match call.unit.peek(&key).map(|view| view.value) {
        None => "none",
        Some(value) => value.kind().name(),
    };
    call.reply.simple(name);
    Ok(())
}

fn rename(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let [from, to] = [1, 2].map(|at| call.unit.key(call.db, call.args.get(at)));
    if call.unit.get_to_change(&from).is_none() {
        return Err(Failure::NoSuchKey);
    }
    if from.bytes != to.bytes {
        call.unit.rename(&from, &to);
    }
    call.reply.ok();
    Ok(())
}

fn renamenx(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let [from, to] = [1, 2].map(|at| call.unit.key(call.db, call.args.get(at)));
    if call.unit.get_to_change(&from).is_none() {
        return Err(Failure::NoSuchKey);
    }
    let free = call.unit.probe(&to).is_none();
    if free {
        call.unit.rename(&from, &to);
    }
    call.reply.integer(i64::from(free));
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::command::testing::{deadline, run, unit};

    #[test]
    fn repeated_keys_are_deleted_once_and_counted_each_time_elsewhere() {
        let mut unit = unit();
        run(&mut unit, &["MSET", "a", "1", "b", "2"]);
        assert_eq!(run(&mut unit, &["EXISTS", "a", "a", "no"]), ":2");
        assert_eq!(run(&mut unit, &["TOUCH", "a", "b", "no"]), ":2");
        assert_eq!(run(&mut unit, &["DEL", "a", "a", "no"]), ":1");
        assert_eq!(run(&mut unit, &["UNLINK", "a", "b"]), ":1");
        assert_eq!(run(&mut unit, &["EXISTS", "a", "b"]), ":0");
    }

    #[test]
    fn the_type_of_a_missing_key_is_none() {
        let mut unit = unit();
        run(&mut unit, &["SET", "a", "1"]);
        assert_eq!(run(&mut unit, &["TYPE", "a"]), "+string");
        assert_eq!(run(&mut unit, &["TYPE", "no"]), "+none");
    }

    #[test]
    fn a_renamed_key_takes_its_deadline_along() {
        let mut unit = unit();
        run(&mut unit, &["SET", "a", "1", "PXAT", "1700000000000"]);
        run(&mut unit, &["SET", "b", "2"]);
        assert_eq!(run(&mut unit, &["RENAME", "a", "b"]), "+OK");
        assert_eq!(run(&mut unit, &["GET", "b"]), "$1 1");
        assert_eq!(deadline(&mut unit, "b"), Some(1_700_000_000_000));
        assert_eq!(run(&mut unit, &["EXISTS", "a"]), ":0");
    }

    #[test]
    fn renaming_to_itself_changes_nothing_but_needs_the_key() {
        let mut unit = unit();
        for command in ["RENAME", "RENAMENX"] {
            assert_eq!(run(&mut unit, &[command, "a", "a"]), "-ERR no such key");
        }
        run(&mut unit, &["SET", "a", "1"]);
        assert_eq!(run(&mut unit, &["RENAME", "a", "a"]), "+OK");
        assert_eq!(run(&mut unit, &["RENAMENX", "a", "a"]), ":0");
        assert_eq!(run(&mut unit, &["GET", "a"]), "$1 1");
    }

    #[test]
    fn renamenx_spares_a_taken_name() {
        let mut unit = unit();
        run(&mut unit, &["MSET", "a", "1", "b", "2"]);
        assert_eq!(run(&mut unit, &["RENAMENX", "a", "b"]), ":0");
        assert_eq!(run(&mut unit, &["GET", "b"]), "$1 2");
        assert_eq!(run(&mut unit, &["RENAMENX", "a", "c"]), ":1");
        assert_eq!(run(&mut unit, &["GET", "c"]), "$1 1");
    }
}
