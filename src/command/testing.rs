//! One way for all tests of commands to build a unit and to run a command in it.

use std::sync::Arc;

use bytes::Bytes;

use crate::engine::Engine;
use crate::engine::begin::{Begin, Intent};
use crate::engine::unit::Unit;
use crate::io::clock::SimClock;
use crate::io::sim::SimStorage;
use crate::limits::STRING_BYTES_MAX;
use crate::options::Options;
use crate::resp::write::{Output, Protocol, Reply};

use super::args::Args;
use super::encodings::Encodings;
use super::spec::{Call, Command, Failure};

/// The wall time of [`unit`], in milliseconds.
const NOW_MS: u64 = 1_600_000_000_000;

/// A unit on the whole of an empty database, which lives as long as the test process.
pub fn unit() -> Unit<'static> {
    let mut options = Options::new("");
    options.background = false;
    options.partitions = 1;
    options.seed = Some(1);
    let storage = Arc::new(SimStorage::new(1));
    let clock = Arc::new(SimClock::new(NOW_MS));
    let engine = Engine::open_on(storage, clock, options).expect("an empty storage opens");
    let engine: &'static Engine = Box::leak(Box::new(engine));
    match engine.begin_all(&[], Intent::write(NOW_MS, 1 << 20)) {
        Begin::Ready(unit) => unit,
        _ => panic!("an empty database is hot"),
    }
}

/// Runs a command in database 0; its reply as on the wire with CRLF as a blank.
pub fn run<A: AsRef<[u8]>>(unit: &mut Unit<'_>, args: &[A]) -> String {
    let reply = String::from_utf8_lossy(&run_bytes(unit, args)).replace("\r\n", " ");
    reply.trim_end_matches(' ').to_string()
}

/// Calls `body` with arguments as a connection would hand them over.
pub fn with_args<A: AsRef<[u8]>, R>(args: &[A], body: impl FnOnce(&Args<'_>) -> R) -> R {
    let mut input = Vec::new();
    let mut ranges = Vec::new();
    for arg in args {
        let start = input.len() as u32;
        input.extend_from_slice(arg.as_ref());
        ranges.push((start, input.len() as u32));
    }
    let shared = Bytes::from(input);
    body(&Args::new(&shared, &ranges, Some(&shared)))
}

/// Runs a command in database 0; its reply as on the wire.
pub fn run_bytes<A: AsRef<[u8]>>(unit: &mut Unit<'_>, args: &[A]) -> Vec<u8> {
    with_args(args, |args| run_args(unit, args))
}

fn run_args(unit: &mut Unit<'_>, args: &Args<'_>) -> Vec<u8> {
    let command = row_of(args);
    let mut output = Output::default();
    let mark = output.mark();
    let outcome = (command.run)(&mut Call {
        unit,
        db: 0,
        args,
        encodings: &Encodings::default(),
        string_bytes_max: STRING_BYTES_MAX,
        reply: &mut Reply::new(&mut output, Protocol::Resp2),
        may_block: false,
        block: None,
    });
    if let Err(failure) = outcome {
        output.truncate(mark);
        Reply::new(&mut output, Protocol::Resp2).error_bytes(failure_text(&failure));
    }
    output.pieces(0).flatten().copied().collect()
}

/// What [`super::spec::Spec::extra_frame_bytes`] says of a call.
pub fn extra_frame_bytes<A: AsRef<[u8]>>(args: &[A], databases: u32) -> u64 {
    with_args(args, |args| row_of(args).spec.extra_frame_bytes(args, databases))
}

/// What [`super::spec::Spec::value_bytes_after`] says of a call.
pub fn value_bytes_after<A: AsRef<[u8]>>(args: &[A], before: u64, frame_bytes: u64) -> u64 {
    with_args(args, |args| row_of(args).spec.value_bytes_after(args, before, frame_bytes))
}

/// The row of a call, whose arity is checked.
fn row_of(args: &Args<'_>) -> &'static Command {
    let command = crate::catalog::table::lookup(args.get(0)).expect("a command of the table");
    assert!(crate::catalog::table::arity_fits(&command.spec, args.len()));
    command
}

/// The deadline of a live key of database 0.
pub fn deadline(unit: &mut Unit<'_>, key: &str) -> Option<u64> {
    let key = unit.key(0, key.as_bytes());
    unit.probe(&key).and_then(|view| view.expire_at_ms)
}

/// The text of the error reply that a failure becomes.
pub fn failure_text(failure: &Failure) -> &[u8] {
    let text = match failure {
        Failure::WrongType => "WRONGTYPE Operation against a key holding the wrong kind of value",
        Failure::Syntax => "ERR syntax error",
        Failure::NotInteger => "ERR value is not an integer or out of range",
        Failure::NotFloat => "ERR value is not a valid float",
        Failure::NoSuchKey => "ERR no such key",
        Failure::Text(text) => text,
        Failure::Quoting(text) => return text,
    };
    text.as_bytes()
}
