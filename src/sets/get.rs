//! Commands that ask a set for members: SISMEMBER, SMISMEMBER, SMEMBERS, SCARD.

use crate::command::row::{first_key, key_arg};
use crate::command::spec::key_flag::{ACCESS, RO};
use crate::command::spec::{Arg, ArgKind, Call, Command, Failure, FirstMember, Group, Spec, flag};

use super::value::read_set;

/// What the rows of this file have in common.
const ROW: Spec = Spec {
    arity: 2,
    flags: flag::READONLY | flag::FAST,
    keys: &[first_key(RO)],
    group: Group::Set,
    args: &[key_arg()],
    ..Spec::EMPTY
};

/// The rows of this file.
pub const COMMANDS: &[Command] = &[
    Command {
        spec: Spec {
            name: "sismember",
            flags: ROW.flags | flag::MEMBERS,
            arity: 3,
            summary: "Tells whether a member is in a set.",
            args: &[key_arg(), Arg::new("member", ArgKind::String)],
            first_member: FirstMember::Named(2),
            ..ROW
        },
        run: sismember,
    },
    Command {
        spec: Spec {
            name: "smismember",
            flags: ROW.flags | flag::MEMBERS,
            arity: -3,
            keys: &[first_key(RO | ACCESS)],
            since: "6.2.0",
            complexity: "O(N) for N members asked for.",
            summary: "Tells of several members whether they are in a set.",
            args: &[key_arg(), Arg::new("member", ArgKind::String).multiple()],
            first_member: FirstMember::Named(2),
            ..ROW
        },
        run: smismember,
    },
    Command {
        spec: Spec {
            name: "smembers",
            flags: flag::READONLY,
            keys: &[first_key(RO | ACCESS)],
            complexity: "O(N) for N members.",
            summary: "Tells all members of a set.",
            tips: &["nondeterministic_output_order"],
            ..ROW
        },
        run: smembers,
    },
    Command {
        spec: Spec { name: "scard", summary: "Counts the members of a set.", ..ROW },
        run: scard,
    },
];

fn sismember(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let key = call.unit.key(call.db, call.args.get(1));
    let set = read_set(call.unit, &key)?;
    call.reply.integer(i64::from(set.is_some_and(|set| set.has(call.args.get(2)))));
    Ok(())
}

fn smismember(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let key = call.unit.key(call.db, call.args.get(1));
    let set = read_set(call.unit, &key)?;
    call.reply.array(call.args.len() - 2);
    for member in call.args.iter_from(2) {
        call.reply.integer(i64::from(set.is_some_and(|set| set.has(member))));
    }
    Ok(())
}

fn smembers(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let key = call.unit.key(call.db, call.args.get(1));
    let set = read_set(call.unit, &key)?;
    call.reply.set(set.map_or(0, |set| set.card() as usize));
    if let Some(set) = set {
        set.members.for_each(|item| call.reply.bulk(item.member));
    }
    Ok(())
}

fn scard(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let key = call.unit.key(call.db, call.args.get(1));
    let set = read_set(call.unit, &key)?;
    call.reply.integer(set.map_or(0, |set| set.card() as i64));
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::command::testing::{run, unit};

    #[test]
    fn members_are_found_and_counted() {
        let mut unit = unit();
        run(&mut unit, &["SADD", "s", "b", "", "a"]);
        assert_eq!(run(&mut unit, &["SISMEMBER", "s", ""]), ":1");
        assert_eq!(run(&mut unit, &["SISMEMBER", "s", "c"]), ":0");
        assert_eq!(run(&mut unit, &["SMISMEMBER", "s", "a", "c", "a"]), "*3 :1 :0 :1");
        assert_eq!(run(&mut unit, &["SMEMBERS", "s"]), "*3 $1 b $0  $1 a");
        assert_eq!(run(&mut unit, &["SCARD", "s"]), ":3");
    }

    #[test]
    fn a_missing_key_is_an_empty_set() {
        let mut unit = unit();
        assert_eq!(run(&mut unit, &["SISMEMBER", "no", "a"]), ":0");
        assert_eq!(run(&mut unit, &["SMISMEMBER", "no", "a", "b"]), "*2 :0 :0");
        assert_eq!(run(&mut unit, &["SMEMBERS", "no"]), "*0");
        assert_eq!(run(&mut unit, &["SCARD", "no"]), ":0");
    }

    #[test]
    fn other_types_are_refused() {
        let mut unit = unit();
        run(&mut unit, &["SET", "t", "a"]);
        run(&mut unit, &["HSET", "h", "a", "b"]);
        for key in ["t", "h"] {
            for command in ["SISMEMBER", "SMISMEMBER", "SMEMBERS", "SCARD"] {
                let args = [command, key, "a"];
                let args = if command.ends_with("BER") { &args[..] } else { &args[..2] };
                assert!(run(&mut unit, args).starts_with("-WRONGTYPE"), "{command}");
            }
        }
    }
}
