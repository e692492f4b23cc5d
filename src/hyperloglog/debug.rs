//! Commands that look into HyperLogLogs: PFDEBUG, PFSELFTEST.

use std::fmt::Write;

use crate::command::row::{keys_at, named_key};
use crate::command::spec::key_flag::{ACCESS, RW};
use crate::command::spec::{Arg, ArgKind, Call, Command, Failure, Spec, flag, quoted};

use super::commands::{ROW, sketch_frame_bytes};
use super::sketch::{Form, REGISTERS, Sketch};
use super::sparse::runs;
use super::value::Stored;

/// The rows of this file.
pub const COMMANDS: &[Command] = &[
    Command {
        spec: Spec {
            name: "pfdebug",
            arity: 3,
            flags: flag::WRITE | flag::DENYOOM | flag::ADMIN | flag::SYSTEM,
            keys: &[keys_at(2, 0, 1, RW | ACCESS)],
            complexity: "O(N) for N registers.",
            summary: "Shows the inside of a HyperLogLog.",
            args: &[Arg::new("subcommand", ArgKind::String), named_key("key", 0)],
            extra_bytes: Some(|args, _| sketch_frame_bytes(args, 2)),
            ..ROW
        },
        run: pfdebug,
    },
    Command {
        spec: Spec {
            name: "pfselftest",
            arity: 1,
            flags: flag::ADMIN | flag::SYSTEM,
            complexity: "O(N) for N elements of the test.",
            summary: "Tests the estimates of HyperLogLogs.",
            ..ROW
        },
        run: pfselftest,
    },
];

fn pfdebug(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let key = call.unit.key(call.db, call.args.get(2));
    let mut stored = Stored::read(call.unit, &key)?;
    if !stored.exists() {
        return Err(Failure::text("ERR The specified key does not exist"));
    }
    let sketch = &mut stored.sketch;
    match call.args.get(1).to_ascii_lowercase().as_slice() {
        b"getreg" => {
            let registers = sketch.registers()?;
            if sketch.make_dense()? {
                // As in Redis nobody who watches hears of it: it counts what it counted.
                call.unit.unheard(|unit| stored.write(unit, &key));
            }
            call.reply.array(REGISTERS);
            registers.values().iter().for_each(|value| call.reply.integer(i64::from(*value)));
        }
        b"decode" if sketch.form() == Form::Dense => {
            return Err(Failure::text("ERR HLL encoding is not sparse"));
        }
        b"decode" => call.reply.bulk(decoded(sketch).as_bytes()),
        b"encoding" => call.reply.simple(match sketch.form() {
            Form::Dense => "dense",
            Form::Sparse => "sparse",
        }),
        b"todense" => {
            let converted = sketch.make_dense()?;
            if converted {
                call.unit.unheard(|unit| stored.write(unit, &key));
            }
            call.reply.integer(i64::from(converted));
        }
        _ => {
            let name = quoted(call.args.get(1));
            return Err(Failure::quoting(&[b"ERR Unknown PFDEBUG subcommand '", name, b"'"]));
        }
    }
    Ok(())
}

/// The runs of a sparse sketch: `z` and `Z` are zeros of one and of two bytes.
fn decoded(sketch: &Sketch) -> String {
    let mut text = String::new();
    for run in runs(sketch.bytes()) {
        let _ = match (run.value, run.code_len) {
            (0, 1) => write!(text, "z:{} ", run.len),
            (0, _) => write!(text, "Z:{} ", run.len),
            _ => write!(text, "v:{},{} ", run.value, run.len),
        };
    }
    text.truncate(text.trim_end().len());
    text
}

/// Elements that the test adds. Redis adds ten millions, and serves nobody meanwhile.
const TEST_ELEMENTS: u64 = 100_000;

fn pfselftest(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let failed = |text: String| Err(Failure::Text(format!("ERR TESTFAILED {text}").into()));
    let sparse_max = call.encodings.hll_sparse_bytes;
    let (mut sparse, mut dense) = (Sketch::new(), Sketch::new());
    dense.make_dense()?;
    let seed = call.unit.random().next_u64();
    let mut checkpoint = 1;
    for number in 1..=TEST_ELEMENTS {
        let element = (number ^ seed).to_le_bytes();
        sparse.add(&element, sparse_max as usize)?;
        dense.add(&element, sparse_max as usize)?;
        if number != checkpoint {
            continue;
        }
        if number < sparse_max / 2 && sparse.form() != Form::Sparse {
            return failed("sparse encoding not used".to_owned());
        }
        let estimate = dense.registers()?.estimate();
        if estimate != sparse.registers()?.estimate() {
            return failed("dense/sparse disagree".to_owned());
        }
        // Six times the standard error.
        let expected = 1.04 / (REGISTERS as f64).sqrt() * 6.0 * number as f64;
        let error = number.abs_diff(estimate);
        if error > (expected.ceil() as u64).max(1) {
            return failed(format!("Too big error. card:{number} abserr:{error}"));
        }
        checkpoint *= 10;
    }
    call.reply.ok();
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::command::testing::{run, unit};

    #[test]
    fn the_inside_is_shown() {
        let mut unit = unit();
        run(&mut unit, &["PFADD", "h", "a", "12345678"]);
        assert_eq!(run(&mut unit, &["PFDEBUG", "encoding", "h"]), "+sparse");
        let decoded = run(&mut unit, &["PFDEBUG", "DECODE", "h"]);
        assert_eq!(decoded, "$33 Z:10579 v:3,1 Z:2131 v:2,1 Z:3672");
        let registers = run(&mut unit, &["PFDEBUG", "GETREG", "h"]);
        assert!(registers.starts_with("*16384 :0 "), "{}", &registers[..20]);
        assert_eq!(registers.matches(":3").count(), 1);
        assert_eq!(run(&mut unit, &["PFDEBUG", "ENCODING", "h"]), "+dense");
        assert_eq!(run(&mut unit, &["PFDEBUG", "TODENSE", "h"]), ":0");
        let reply = run(&mut unit, &["PFDEBUG", "DECODE", "h"]);
        assert_eq!(reply, "-ERR HLL encoding is not sparse");
        assert_eq!(run(&mut unit, &["PFCOUNT", "h"]), ":2");
    }

    #[test]
    fn bad_calls_are_refused_as_in_redis() {
        let mut unit = unit();
        let missing = "-ERR The specified key does not exist";
        assert_eq!(run(&mut unit, &["PFDEBUG", "x", "no"]), missing);
        run(&mut unit, &["PFADD", "h"]);
        let unknown = "-ERR Unknown PFDEBUG subcommand 'x'";
        assert_eq!(run(&mut unit, &["PFDEBUG", "x", "h"]), unknown);
    }

    #[test]
    fn the_test_passes() {
        assert_eq!(run(&mut unit(), &["PFSELFTEST"]), "+OK");
    }
}
