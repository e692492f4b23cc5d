//! Commands on HyperLogLogs: PFADD, PFCOUNT, PFMERGE.

use crate::command::args::Args;
use crate::command::row::{first_key, key_arg, keys_at, named_key};
use crate::command::spec::key_flag::{ACCESS, INSERT, RO, RW};
use crate::command::spec::{Arg, ArgKind, Call, Command, Failure, Group, Spec, flag};

use super::sketch::{Form, Registers, Sketch};
use super::value::{SKETCH_BYTES_MAX, Stored, sketch_of};

/// What the rows of this family have in common.
pub(super) const ROW: Spec = Spec { group: Group::HyperLogLog, since: "2.8.9", ..Spec::EMPTY };

/// The rows of this file.
pub const COMMANDS: &[Command] = &[
    Command {
        spec: Spec {
            name: "pfadd",
            arity: -2,
            flags: flag::WRITE | flag::DENYOOM | flag::FAST,
            keys: &[first_key(RW | INSERT)],
            complexity: "O(N) for N elements.",
            summary: "Adds elements to a HyperLogLog, and makes it where there is none.",
            args: &[key_arg(), Arg::new("element", ArgKind::String).optional().multiple()],
            extra_bytes: Some(|args, _| sketch_frame_bytes(args, 1)),
            ..ROW
        },
        run: pfadd,
    },
    Command {
        spec: Spec {
            name: "pfcount",
            arity: -2,
            flags: flag::READONLY | flag::MAY_REPLICATE,
            keys: &[keys_at(1, -1, 1, RW | ACCESS)
                .note("RW because the estimate is kept in the value of a single key")],
            complexity: "O(1) for an estimate that is kept, O(N) for N keys.",
            summary: "Estimates how many different elements were added to all keys together.",
            args: &[key_arg().multiple()],
            ..ROW
        },
        run: pfcount,
    },
    Command {
        spec: Spec {
            name: "pfmerge",
            arity: -2,
            flags: flag::WRITE | flag::DENYOOM,
            keys: &[first_key(RW | ACCESS | INSERT), keys_at(2, -1, 1, RO | ACCESS)],
            complexity: "O(N) for N keys.",
            summary: "Adds to a HyperLogLog what was added to others.",
            args: &[named_key("destkey", 0), named_key("sourcekey", 1).optional().multiple()],
            extra_bytes: Some(|args, _| sketch_frame_bytes(args, 1)),
            ..ROW
        },
        run: pfmerge,
    },
];

/// What a whole HyperLogLog adds to the frame of a call, whose key stands at `key` and may be
/// written to in two steps.
pub(super) fn sketch_frame_bytes(args: &Args<'_>, key: usize) -> u64 {
    (SKETCH_BYTES_MAX + 2 * args.get(key).len()) as u64
}

fn pfadd(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let sparse_max = call.encodings.hll_sparse_bytes as usize;
    let key = call.unit.key(call.db, call.args.get(1));
    let mut stored = Stored::read(call.unit, &key)?;
    let mut changed = !stored.exists();
    for element in call.args.iter_from(2) {
        changed |= stored.sketch.add(element, sparse_max)?;
    }
    if changed {
        stored.sketch.outdate();
        stored.write(call.unit, &key);
    }
    call.reply.integer(i64::from(changed));
    Ok(())
}

fn pfcount(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    if call.args.len() > 2 {
        let (registers, _) = merged(call)?;
        call.reply.integer(registers.estimate() as i64);
        return Ok(());
    }
    let key = call.unit.key(call.db, call.args.get(1));
    let Some(view) = call.unit.get(&key) else {
        call.reply.integer(0);
        return Ok(());
    };
    let sketch = sketch_of(&view)?;
    let estimate = match sketch.kept_estimate() {
        Some(kept) => kept,
        None => {
            let estimate = sketch.registers()?.estimate();
            let (offset, bytes) = Sketch::estimate_to_keep(estimate);
            call.unit.keep_range(&key, offset, &bytes);
            estimate
        }
    };
    call.reply.integer(estimate as i64);
    Ok(())
}

/// The registers of all keys of a call together, and whether one of them is dense.
fn merged(call: &mut Call<'_, '_, '_>) -> Result<(Registers, bool), Failure> {
    let (mut registers, mut any_dense) = (Registers::default(), false);
    for name in call.args.iter_from(1) {
        let key = call.unit.key(call.db, name);
        let Some(view) = call.unit.get(&key) else {
            continue;
        };
        let sketch = sketch_of(&view)?;
        any_dense |= sketch.form() == Form::Dense;
        registers.merge(&sketch)?;
    }
    Ok((registers, any_dense))
}

fn pfmerge(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let sparse_max = call.encodings.hll_sparse_bytes as usize;
    let (registers, any_dense) = merged(call)?;
    let key = call.unit.key(call.db, call.args.get(1));
    let mut stored = Stored::read(call.unit, &key)?;
    let sketch = &mut stored.sketch;
    if any_dense {
        sketch.make_dense()?;
        sketch.set_all(&registers);
    } else {
        for (index, &value) in registers.values().iter().enumerate().filter(|(_, v)| **v > 0) {
            sketch.raise(index, value, sparse_max)?;
        }
    }
    sketch.outdate();
    stored.write(call.unit, &key);
    call.reply.ok();
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::command::testing::{deadline, run, unit};

    #[test]
    fn only_what_may_be_new_counts_as_added() {
        let mut unit = unit();
        assert_eq!(run(&mut unit, &["PFADD", "h"]), ":1");
        assert_eq!(run(&mut unit, &["PFADD", "h"]), ":0");
        assert_eq!(run(&mut unit, &["PFADD", "h", "a", "b"]), ":1");
        assert_eq!(run(&mut unit, &["PFADD", "h", "b", "a"]), ":0");
        assert_eq!(run(&mut unit, &["PFCOUNT", "h"]), ":2");
        assert_eq!(run(&mut unit, &["PFCOUNT", "no"]), ":0");
        assert_eq!(run(&mut unit, &["OBJECT", "ENCODING", "h"]), "$3 raw");
    }

    #[test]
    fn a_count_is_kept_in_the_value() {
        let mut unit = unit();
        run(&mut unit, &["PFADD", "h", "a", "b", "c"]);
        let kept = |unit: &mut _| run(unit, &["GETRANGE", "h", "8", "15"]);
        assert!(kept(&mut unit).ends_with('\u{fffd}'));
        run(&mut unit, &["PFCOUNT", "h"]);
        assert_eq!(kept(&mut unit), "$8 \x03\0\0\0\0\0\0\0");
        run(&mut unit, &["SETRANGE", "h", "8", "\x07"]);
        assert_eq!(run(&mut unit, &["PFCOUNT", "h"]), ":7");
        assert_eq!(run(&mut unit, &["PFCOUNT", "h", "no"]), ":3");
    }

    #[test]
    fn a_merge_counts_what_all_have_seen() {
        let mut unit = unit();
        run(&mut unit, &["PFADD", "a", "1", "2"]);
        run(&mut unit, &["PFADD", "b", "2", "3"]);
        assert_eq!(run(&mut unit, &["PFCOUNT", "a", "b", "no"]), ":3");
        assert_eq!(run(&mut unit, &["PFMERGE", "c", "a", "b", "no"]), "+OK");
        assert_eq!(run(&mut unit, &["PFCOUNT", "c"]), ":3");
        assert_eq!(run(&mut unit, &["PFMERGE", "d"]), "+OK");
        assert_eq!(run(&mut unit, &["PFCOUNT", "d"]), ":0");
        run(&mut unit, &["PFDEBUG", "TODENSE", "a"]);
        run(&mut unit, &["PFMERGE", "b", "a"]);
        assert_eq!(run(&mut unit, &["PFDEBUG", "ENCODING", "b"]), "+dense");
        assert_eq!(run(&mut unit, &["PFCOUNT", "b"]), ":3");
    }

    #[test]
    fn a_deadline_outlives_all_changes() {
        let mut unit = unit();
        run(&mut unit, &["PFADD", "h", "a"]);
        run(&mut unit, &["PEXPIREAT", "h", "1700000000000"]);
        for number in 0..300 {
            let elements: Vec<String> = (0..10).map(|digit| format!("{number}{digit}")).collect();
            let args: Vec<&str> = elements.iter().map(String::as_str).collect();
            run(&mut unit, &[&["PFADD", "h"], &args[..]].concat());
        }
        run(&mut unit, &["PFCOUNT", "h"]);
        run(&mut unit, &["PFMERGE", "h"]);
        assert_eq!(run(&mut unit, &["STRLEN", "h"]), ":12304");
        assert_eq!(deadline(&mut unit, "h"), Some(1_700_000_000_000));
    }

    #[test]
    fn other_values_are_refused() {
        let mut unit = unit();
        run(&mut unit, &["RPUSH", "l", "1"]);
        run(&mut unit, &["SET", "s", "HYLL"]);
        run(&mut unit, &["SET", "c", "HYLL\x01\0\0\0\0\0\0\0\0\0\0\0\x01"]);
        run(&mut unit, &["SETBIT", "c", "120", "1"]);
        run(&mut unit, &["PFADD", "long", "a"]);
        run(&mut unit, &["SETRANGE", "long", "65578", "x"]);
        run(&mut unit, &["SETRANGE", "dense", "65578", "x"]);
        run(&mut unit, &["SETRANGE", "dense", "0", "HYLL"]);
        let other = "-WRONGTYPE Key is not a valid HyperLogLog string value.";
        let kind = "-WRONGTYPE Operation against a key holding the wrong kind of value";
        let corrupted = "-INVALIDOBJ Corrupted HLL object detected";
        let keys =
            [("s", other), ("dense", other), ("l", kind), ("c", corrupted), ("long", corrupted)];
        for (key, text) in keys {
            assert_eq!(run(&mut unit, &["PFCOUNT", key]), text);
            assert_eq!(run(&mut unit, &["PFCOUNT", "no", key]), text);
            assert_eq!(run(&mut unit, &["PFMERGE", "d", key]), text);
        }
        assert_eq!(run(&mut unit, &["PFADD", "s", "a"]), other);
        assert_eq!(run(&mut unit, &["EXISTS", "d"]), ":0");
    }
}
