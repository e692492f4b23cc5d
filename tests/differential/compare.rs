//! When two replies count as the same. Everything that is not compared byte by byte stands here.

use crate::streams;
use crate::support::dump;
use crate::support::value::Value;

/// One way in which right answers may differ.
pub struct Normalisation {
    /// For the list that a mismatch prints.
    pub name: &'static str,
    /// Why the replies may differ.
    pub reason: &'static str,
    /// The command, with its subcommand where it matters.
    pub command: &'static [&'static str],
    /// Whether two replies to it are the same answer.
    pub same: fn(&Value, &Value) -> bool,
}

/// Times may differ by this much, in milliseconds.
const CLOCK_TOLERANCE_MS: i64 = 5_000;

/// All normalisations. A command without a row is compared as it is.
pub const NORMALISATIONS: &[Normalisation] = &[
    Normalisation {
        name: "order",
        reason: "KEYS answers in the order of a hash table",
        command: &["KEYS"],
        same: same_unordered,
    },
    Normalisation {
        name: "order-smembers",
        reason: "sets have no order",
        command: &["SMEMBERS"],
        same: same_unordered,
    },
    Normalisation {
        name: "order-spop",
        reason: "sets have no order; only whole ones are popped",
        command: &["SPOP"],
        same: same_unordered,
    },
    Normalisation {
        name: "order-sinter",
        reason: "sets have no order",
        command: &["SINTER"],
        same: same_unordered,
    },
    Normalisation {
        name: "order-sunion",
        reason: "sets have no order",
        command: &["SUNION"],
        same: same_unordered,
    },
    Normalisation {
        name: "order-sdiff",
        reason: "sets have no order",
        command: &["SDIFF"],
        same: same_unordered,
    },
    Normalisation {
        name: "order-hkeys",
        reason: "hashes have no order",
        command: &["HKEYS"],
        same: same_unordered,
    },
    Normalisation {
        name: "order-hvals",
        reason: "hashes have no order",
        command: &["HVALS"],
        same: same_unordered,
    },
    Normalisation {
        name: "order-hgetall",
        reason: "hashes have no order",
        command: &["HGETALL"],
        same: same_fields,
    },
    Normalisation {
        name: "random-member",
        reason: "SRANDMEMBER may answer any member",
        command: &["SRANDMEMBER"],
        same: same_shape,
    },
    Normalisation {
        name: "random-field",
        reason: "HRANDFIELD may answer any field",
        command: &["HRANDFIELD"],
        same: same_shape,
    },
    Normalisation {
        name: "collation",
        reason: "SORT ALPHA compares up to a zero byte, as C does; what is equal has any order",
        command: &["SORT"],
        same: same_up_to_zeros,
    },
    Normalisation {
        name: "collation-ro",
        reason: "as for SORT",
        command: &["SORT_RO"],
        same: same_up_to_zeros,
    },
    Normalisation {
        name: "clock-ttl",
        reason: "the two servers run a command at two moments",
        command: &["TTL"],
        same: |a, b| near(a, b, CLOCK_TOLERANCE_MS / 1000),
    },
    Normalisation {
        name: "clock-pttl",
        reason: "the two servers run a command at two moments",
        command: &["PTTL"],
        same: |a, b| near(a, b, CLOCK_TOLERANCE_MS),
    },
    Normalisation {
        name: "clock-expiretime",
        reason: "a deadline relative to now was set at two moments",
        command: &["EXPIRETIME"],
        same: |a, b| near(a, b, CLOCK_TOLERANCE_MS / 1000),
    },
    Normalisation {
        name: "clock-pexpiretime",
        reason: "a deadline relative to now was set at two moments",
        command: &["PEXPIRETIME"],
        same: |a, b| near(a, b, CLOCK_TOLERANCE_MS),
    },
    Normalisation {
        name: "random",
        reason: "RANDOMKEY may answer any key",
        command: &["RANDOMKEY"],
        same: |a, b| a.kind() == b.kind(),
    },
    Normalisation {
        name: "random-members",
        reason: "ZRANDMEMBER may answer any members",
        command: &["ZRANDMEMBER"],
        same: |a, b| a.kind() == b.kind() && !a.is_error() && count(a) == count(b),
    },
    Normalisation {
        name: "order-of-scan",
        reason: "a scan answers in the order of a hash table",
        command: &["ZSCAN"],
        same: same_scan,
    },
    Normalisation {
        name: "payload",
        reason: "one value has many right encodings, and Firn writes the lowest RDB version",
        command: &["DUMP"],
        same: same_payload,
    },
    Normalisation {
        name: "identity",
        reason: "HELLO tells version and connection id",
        command: &["HELLO"],
        same: same_hello,
    },
    Normalisation {
        name: "encoding",
        reason: "Valkey 8.1 embeds by key and value length together, Redis up to 44 bytes; \
            Firn has no form of its own for a whole number that INCRBYFLOAT left as text; \
            a quicklist becomes a listpack again when one node is left, and Firn has no nodes",
        command: &["OBJECT", "ENCODING"],
        same: same_encoding,
    },
    Normalisation {
        name: "access-clock",
        reason: "idle times depend on the moment",
        command: &["OBJECT", "IDLETIME"],
        same: |a, b| near(a, b, CLOCK_TOLERANCE_MS / 1000),
    },
    Normalisation {
        name: "stream-times",
        reason: "deliveries have the time of a clock, and trees of IDs are the implementation's",
        command: &["XINFO"],
        same: streams::same_facts,
    },
    Normalisation {
        name: "pending-times",
        reason: "the time since a delivery passes between two calls",
        command: &["XPENDING"],
        same: streams::same_pending,
    },
    Normalisation {
        name: "claim-times",
        reason: "the time since a delivery passes between two calls",
        command: &["XREADGROUP", "CLAIM"],
        same: streams::same_claims,
    },
    Normalisation {
        name: "shared-objects",
        reason: "Redis shares objects of small integers, so their count says nothing of the value",
        command: &["OBJECT", "REFCOUNT"],
        same: |a, b| a.kind() == b.kind(),
    },
    Normalisation {
        name: "memory-layout",
        reason: "memory in use depends on the implementation",
        command: &["MEMORY", "USAGE"],
        same: |a, b| a.kind() == b.kind(),
    },
];

/// The normalisation of a command, if it has one.
pub fn rule(args: &[Vec<u8>]) -> Option<&'static Normalisation> {
    NORMALISATIONS.iter().find(|rule| {
        rule.command.len() <= args.len()
            && rule.command.iter().zip(args).all(|(a, b)| a.as_bytes().eq_ignore_ascii_case(b))
    })
}

/// Whether two replies to a command are the same answer.
pub fn same(args: &[Vec<u8>], left: &Value, right: &Value) -> bool {
    left == right || rule(args).is_some_and(|rule| (rule.same)(left, right))
}

/// Whether the replies of an EXEC are the same, given what was queued.
pub fn same_exec(queued: &[Vec<Vec<u8>>], left: &Value, right: &Value) -> bool {
    match (left.items(), right.items()) {
        (Some(a), Some(b)) if a.len() == b.len() && a.len() == queued.len() => {
            let mut answers = queued.iter().zip(a.iter().zip(b));
            answers.all(|(args, (left, right))| same(args, left, right))
        }
        _ => left == right,
    }
}

fn same_unordered(left: &Value, right: &Value) -> bool {
    left.clone().sorted() == right.clone().sorted()
}

/// The same fields with the same values, in pairs or as a map.
fn same_fields(left: &Value, right: &Value) -> bool {
    let pairs = |value: &Value| {
        let mut pairs = match value {
            Value::Map(pairs) => pairs.clone(),
            Value::Array(items) if items.len() % 2 == 0 => {
                items.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
            }
            _ => return None,
        };
        pairs.sort_by_key(|(field, _)| field.to_string());
        Some(pairs)
    };
    left.kind() == right.kind() && pairs(left).is_some() && pairs(left) == pairs(right)
}

/// Strings, or lists of as many replies of the same shape.
fn same_shape(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Bulk(_), Value::Bulk(_)) => true,
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_shape(a, b))
        }
        _ => false,
    }
}

fn near(left: &Value, right: &Value, tolerance: i64) -> bool {
    match (left.integer(), right.integer()) {
        (Some(a), Some(b)) => a >= 0 && b >= 0 && a.abs_diff(b) <= tolerance.unsigned_abs(),
        _ => false,
    }
}

fn count(value: &Value) -> usize {
    value.items().map_or(0, <[Value]>::len)
}

/// Pages with the same cursor and, in any order, the same items.
fn same_scan(left: &Value, right: &Value) -> bool {
    match (left.items(), right.items()) {
        (Some([next, page]), Some([other, others])) => {
            next == other && page.clone().sorted() == others.clone().sorted()
        }
        _ => false,
    }
}

/// The same string. Collections are compared by what RESTORE makes of either payload.
fn same_payload(left: &Value, right: &Value) -> bool {
    let is_string = |value: &Value| value.bytes().is_some_and(|payload| payload[0] == 0);
    if let (Value::Bulk(_), Value::Bulk(_)) = (left, right)
        && !is_string(left)
        && !is_string(right)
    {
        return true;
    }
    let decoded = |value: &Value| dump::decode(value.bytes()?).ok();
    match (decoded(left), decoded(right)) {
        (Some(a), Some(b)) => a.value == b.value,
        _ => false,
    }
}

/// Elements with zero bytes may stand anywhere, or be cut off by a limit.
fn same_up_to_zeros(left: &Value, right: &Value) -> bool {
    let has_zero = |value: &Value| value.bytes().is_some_and(|bytes| bytes.contains(&0));
    match (left.items(), right.items()) {
        (Some(a), Some(b)) => a.len() == b.len() && a.iter().chain(b).any(has_zero),
        _ => false,
    }
}

fn same_hello(left: &Value, right: &Value) -> bool {
    let names = |value: &Value| -> Option<Vec<Value>> {
        match value {
            Value::Map(pairs) => Some(pairs.iter().map(|(name, _)| name.clone()).collect()),
            Value::Array(items) => Some(items.iter().step_by(2).cloned().collect()),
            _ => None,
        }
    };
    left.kind() == right.kind() && names(left).is_some() && names(left) == names(right)
}

/// Any two encodings of strings, or of lists; tests/transcripts/object.txt and lists.txt hold the
/// exact names.
fn same_encoding(left: &Value, right: &Value) -> bool {
    let string = |value: &Value| matches!(value.bytes(), Some(b"int" | b"embstr" | b"raw"));
    let list = |value: &Value| matches!(value.bytes(), Some(b"listpack" | b"quicklist"));
    left == right || string(left) && string(right) || list(left) && list(right)
}

#[test]
fn normalisations_are_named_once_and_do_not_hide_wrong_answers() {
    let mut names: Vec<_> = NORMALISATIONS.iter().map(|rule| rule.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), NORMALISATIONS.len());
    for rule in NORMALISATIONS {
        assert!(!rule.reason.is_empty());
        let error = Value::Error(b"ERR".to_vec());
        let other = Value::Integer(-1);
        assert!(!(rule.same)(&error, &other), "{} hides an error", rule.name);
        assert!(!(rule.same)(&Value::Bulk(b"x".to_vec()), &Value::NullBulk), "{}", rule.name);
    }
    let ttl = [b"ttl".to_vec(), b"k".to_vec()];
    assert!(same(&ttl, &Value::Integer(1000), &Value::Integer(999)));
    assert!(!same(&ttl, &Value::Integer(1000), &Value::Integer(-1)));
    let encoding = [b"object".to_vec(), b"encoding".to_vec(), b"k".to_vec()];
    let [int, raw] = [b"int", b"raw"].map(|name| Value::Bulk(name.to_vec()));
    assert!(same(&encoding, &int, &raw));
    let [packed, quick] = [b"listpack".as_slice(), b"quicklist"].map(|n| Value::Bulk(n.to_vec()));
    assert!(same(&encoding, &packed, &quick));
    assert!(!same(&encoding, &int, &packed));
    let left = Value::Bulk(dump::seal(b"\x00\x01x", 9));
    let right = Value::Bulk(dump::seal(b"\x00\x40\x01x", 11));
    assert!(same(&[b"DUMP".to_vec()], &left, &right));
    let wrong = Value::Bulk(dump::seal(b"\x00\x01y", 9));
    assert!(!same(&[b"DUMP".to_vec()], &left, &wrong));
}
