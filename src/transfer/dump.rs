//! Values on their way from and to other servers: DUMP, RESTORE.

use bytes::Bytes;

use crate::command::args::Args;
use crate::command::number::integer;
use crate::command::row::{first_key, key_arg, word};
use crate::command::spec::key_flag::{ACCESS, OW, RO, UPDATE};
use crate::command::spec::{Arg, ArgKind, Call, Command, Failure, Spec, flag};
use crate::engine::unit::ValueRef;
use crate::format::record::DeleteReason;
use crate::rdb::payload::{self, Object, PayloadError};
use crate::types::ValueKind;
use crate::value::collection::Collection;
use crate::value::view::AnyItem;

use super::restored::NewValue;
use super::stream;

/// The rows of this family.
pub const COMMANDS: &[Command] = &[
    Command {
        spec: Spec {
            name: "dump",
            arity: 2,
            flags: flag::READONLY,
            acl: &["keyspace"],
            keys: &[first_key(RO | ACCESS)],
            since: "2.6.0",
            complexity: "O(N), N being the size of the value.",
            summary: "Packs a value in a form that RESTORE takes on any server.",
            args: &[key_arg()],
            tips: &["nondeterministic_output"],
            ..Spec::EMPTY
        },
        run: dump,
    },
    Command {
        spec: Spec {
            name: "restore",
            arity: -4,
            flags: flag::WRITE | flag::DENYOOM,
            acl: &["keyspace", "dangerous"],
            keys: &[first_key(OW | UPDATE)],
            since: "2.6.0",
            complexity: "O(N), N being the size of the value.",
            summary: "Creates a key from what DUMP gave.",
            args: &[
                key_arg(),
                Arg::new("ttl", ArgKind::Integer),
                Arg::new("serialized-value", ArgKind::String),
                word("replace", "REPLACE").optional().since("3.0.0"),
                word("absttl", "ABSTTL").optional().since("5.0.0"),
                Arg::new("seconds", ArgKind::Integer).behind("IDLETIME").optional().since("5.0.0"),
                Arg::new("frequency", ArgKind::Integer).behind("FREQ").optional().since("5.0.0"),
            ],
            history: &[
                ("3.0.0", "Takes `REPLACE`."),
                ("5.0.0", "Takes `ABSTTL`."),
                ("5.0.0", "Takes `IDLETIME` and `FREQ`."),
            ],
            extra_bytes: Some(|args, _| payload::value_bytes(args.get(3))),
            ..Spec::EMPTY
        },
        run: restore,
    },
];

fn dump(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let key = call.unit.key(call.db, call.args.get(1));
    match call.unit.get(&key).map(|view| view.value) {
        None => call.reply.null(),
        Some(value) => {
            let pieces = encode(value);
            let len = pieces.iter().map(Bytes::len).sum();
            call.reply.bulk_pieces(len, pieces.into_iter());
        }
    }
    Ok(())
}

/// The payload of a value.
pub fn encode(value: ValueRef<'_>) -> Vec<Bytes> {
    let count = || value.items().count() as u64;
    let members = || {
        value.items().filter_map(|item| match item {
            AnyItem::Element(bytes) | AnyItem::Member(bytes) => Some(bytes),
            _ => None,
        })
    };
    match value.kind() {
        ValueKind::List => payload::encode_list(count(), members()),
        ValueKind::Set => payload::encode_set(count(), members()),
        ValueKind::Zset => payload::encode_zset(
            count(),
            value.items().filter_map(|item| match item {
                AnyItem::Scored(score, member) => Some((member, score)),
                _ => None,
            }),
        ),
        _ => match value {
            ValueRef::Collection(Collection::Stream(stream)) => {
                payload::encode_stream(&stream::to_payload(stream))
            }
            ValueRef::String(string) => payload::encode_string(&string),
            _ => {
                let fields: Vec<_> = value.items().filter_map(field).collect();
                payload::encode_hash(fields.len() as u64, fields.into_iter())
            }
        },
    }
}

fn field(item: AnyItem<'_>) -> Option<(&[u8], &[u8], Option<u64>)> {
    match item {
        AnyItem::Field(field) => Some((field.member, field.payload, field.deadline_ms)),
        _ => None,
    }
}

/// The options of RESTORE.
#[derive(Default)]
struct Options {
    replace: bool,
    absolute: bool,
    idle_seconds: Option<u64>,
    frequency: Option<u8>,
}

impl Options {
    fn parse(args: &Args<'_>) -> Result<Options, Failure> {
        let mut options = Options::default();
        let mut index = 4;
        while index < args.len() {
            let more = index + 1 < args.len();
            if args.is(index, "REPLACE") {
                options.replace = true;
            } else if args.is(index, "ABSTTL") {
                options.absolute = true;
            } else if args.is(index, "IDLETIME") && more && options.frequency.is_none() {
                index += 1;
                let seconds = u64::try_from(integer(args.get(index))?);
                options.idle_seconds = Some(
                    seconds
                        .map_err(|_| Failure::text("ERR Invalid IDLETIME value, must be >= 0"))?,
                );
            } else if args.is(index, "FREQ") && more && options.idle_seconds.is_none() {
                index += 1;
                let frequency = u8::try_from(integer(args.get(index))?);
                options.frequency = Some(frequency.map_err(|_| {
                    Failure::text("ERR Invalid FREQ value, must be >= 0 and <= 255")
                })?);
            } else {
                return Err(Failure::Syntax);
            }
            index += 1;
        }
        Ok(options)
    }

    /// The deadline that the TTL argument means; 0 is none.
    fn deadline_ms(&self, ttl: &[u8], now_ms: u64) -> Result<Option<u64>, Failure> {
        let ttl = u64::try_from(integer(ttl)?)
            .map_err(|_| Failure::text("ERR Invalid TTL value, must be >= 0"))?;
        let base_ms = if self.absolute { 0 } else { now_ms };
        let at = ttl.saturating_add(base_ms).min(i64::MAX as u64);
        Ok((ttl > 0).then_some(at))
    }
}

/// The value of a payload.
fn decode(packed: &Bytes) -> Result<Object<'_>, Failure> {
    payload::decode(packed).map_err(|error| match error {
        PayloadError::Footer => Failure::text("ERR DUMP payload version or checksum are wrong"),
        PayloadError::Value(_) => Failure::text("ERR Bad data format"),
    })
}

fn restore(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let options = Options::parse(call.args)?;
    let key = call.unit.key(call.db, call.args.get(1));
    let taken = call.unit.probe(&key).is_some();
    if taken && !options.replace {
        return Err(Failure::text("BUSYKEY Target key name already exists."));
    }
    let now_ms = call.unit.now_ms();
    let expire_at_ms = options.deadline_ms(call.args.get(2), now_ms)?;
    let packed = call.args.bytes(3);
    let value = {
        let of_server = (now_ms, call.unit.member_hasher());
        NewValue::of(decode(&packed)?, &packed, call.encodings, of_server)?
    };
    if expire_at_ms.is_some_and(|at| at <= now_ms) {
        if taken {
            call.unit.delete(&key, DeleteReason::Command);
        }
    } else {
        value.put(call.unit, &key, expire_at_ms);
        call.unit.set_access(&key, options.idle_seconds, options.frequency);
    }
    call.reply.ok();
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::command::testing::{deadline, extra_frame_bytes, run, run_bytes, unit};
    use crate::engine::unit::Unit;

    /// `hello` as redis-server 7.0 dumps it.
    const HELLO: &[u8] = b"\x00\x05hello\n\x00cr\xdfve4 \n";

    fn restore(unit: &mut Unit<'_>, payload: &[u8], ttl: &str, options: &[&str]) -> String {
        let mut args: Vec<&[u8]> = vec![b"RESTORE", b"a", ttl.as_bytes(), payload];
        args.extend(options.iter().map(|option| option.as_bytes()));
        run(unit, &args)
    }

    #[test]
    fn what_is_dumped_can_be_restored() {
        for value in ["", "12", "-70000", "hello", &"abc".repeat(50_000)] {
            let mut unit = unit();
            run(&mut unit, &["SET", "b", value]);
            let reply = run_bytes(&mut unit, &["DUMP", "b"]);
            let head = reply.iter().position(|&byte| byte == b'\n').unwrap() + 1;
            let payload = &reply[head..reply.len() - 2];
            assert_eq!(restore(&mut unit, payload, "0", &[]), "+OK");
            let [a, b] = ["a", "b"].map(|key| run(&mut unit, &["GET", key]));
            assert_eq!(a, b);
        }
        assert_eq!(run(&mut unit(), &["DUMP", "no"]), "$-1");
    }

    #[test]
    fn deadlines_are_relative_unless_told_otherwise() {
        let mut unit = unit();
        assert_eq!(restore(&mut unit, HELLO, "500", &[]), "+OK");
        assert_eq!(deadline(&mut unit, "a"), Some(1_600_000_000_500));
        let at = "1600000000700";
        assert_eq!(restore(&mut unit, HELLO, at, &["ABSTTL", "replace"]), "+OK");
        assert_eq!(deadline(&mut unit, "a"), Some(1_600_000_000_700));
        assert_eq!(restore(&mut unit, HELLO, "0", &["ABSTTL", "REPLACE"]), "+OK");
        assert_eq!(deadline(&mut unit, "a"), None);
        assert_eq!(restore(&mut unit, HELLO, "9223372036854775807", &["REPLACE"]), "+OK");
        assert_eq!(deadline(&mut unit, "a"), Some(i64::MAX as u64));
    }

    #[test]
    fn a_value_that_has_expired_only_replaces() {
        let mut unit = unit();
        assert_eq!(restore(&mut unit, HELLO, "1000", &["ABSTTL"]), "+OK");
        assert_eq!(run(&mut unit, &["EXISTS", "a"]), ":0");
        run(&mut unit, &["SET", "a", "1"]);
        assert_eq!(restore(&mut unit, HELLO, "1000", &["ABSTTL", "REPLACE"]), "+OK");
        assert_eq!(run(&mut unit, &["EXISTS", "a"]), ":0");
    }

    #[test]
    fn errors_come_in_the_order_of_redis() {
        let wrong = "-ERR DUMP payload version or checksum are wrong";
        let integer = "-ERR value is not an integer or out of range";
        let cases: [(&str, &[&str], &str); 9] = [
            ("x", &["FOO"], "-ERR syntax error"),
            ("x", &["IDLETIME"], "-ERR syntax error"),
            ("x", &["FREQ", "1", "IDLETIME", "1"], "-ERR syntax error"),
            ("x", &["IDLETIME", "-1"], "-ERR Invalid IDLETIME value, must be >= 0"),
            ("x", &["FREQ", "256"], "-ERR Invalid FREQ value, must be >= 0 and <= 255"),
            ("x", &["IDLETIME", "x"], integer),
            ("x", &[], integer),
            ("-1", &[], "-ERR Invalid TTL value, must be >= 0"),
            ("0", &[], wrong),
        ];
        for (ttl, options, reply) in cases {
            assert_eq!(restore(&mut unit(), b"foo", ttl, options), reply, "{ttl} {options:?}");
        }
        let mut unit = unit();
        run(&mut unit, &["SET", "a", "1"]);
        let busy = "-BUSYKEY Target key name already exists.";
        assert_eq!(restore(&mut unit, b"foo", "x", &[]), busy);
        assert_eq!(restore(&mut unit, b"foo", "0", &["REPLACE"]), wrong);
        assert_eq!(run(&mut unit, &["GET", "a"]), "$1 1");
    }

    #[test]
    fn a_compressed_payload_is_logged_at_its_full_length() {
        // Twenty bytes, which say that they unpack to a thousand.
        let payload = [&b"\x00\xc3\x14\x43\xe8"[..], &[0; 20]].concat();
        let call: [&[u8]; 4] = [b"RESTORE", b"a", b"0", &payload];
        assert_eq!(extra_frame_bytes(&call, 16), 1000);
    }

    #[test]
    fn a_sound_payload_of_another_type_is_bad_data() {
        // An empty list node count with a right checksum.
        let body = b"\x0e\x00\x06\x00";
        let payload = [&body[..], &crate::rdb::crc64::sum(body).to_le_bytes()].concat();
        assert_eq!(restore(&mut unit(), &payload, "0", &[]), "-ERR Bad data format");
    }
}
