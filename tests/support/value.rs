//! A reply as a value, and the one line of text that transcripts and mismatches show for it.

use std::fmt;

/// Bulk strings longer than this are shown by their ends, length and checksum, in bytes.
const SHOWN_BYTES_MAX: usize = 512;

/// One reply of RESP2 or RESP3.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
    /// `+`
    Simple(Vec<u8>),
    /// `-`
    Error(Vec<u8>),
    /// `:`
    Integer(i64),
    /// `$`
    Bulk(Vec<u8>),
    /// `$-1`
    NullBulk,
    /// `*-1`
    NullArray,
    /// `_`
    Null,
    /// `*`
    Array(Vec<Value>),
    /// `%`
    Map(Vec<(Value, Value)>),
    /// `~`
    Set(Vec<Value>),
    /// `>`
    Push(Vec<Value>),
    /// `,`, as the server wrote it
    Double(Vec<u8>),
    /// `#`
    Boolean(bool),
    /// `(`
    BigNumber(Vec<u8>),
    /// `=`, with its three letters and colon
    Verbatim(Vec<u8>),
}

impl Value {
    /// The bytes of a string, simple or bulk.
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Value::Bulk(bytes) | Value::Simple(bytes) | Value::Verbatim(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The number of an integer reply.
    pub fn integer(&self) -> Option<i64> {
        match self {
            Value::Integer(number) => Some(*number),
            _ => None,
        }
    }

    /// The elements of an array, set or push.
    pub fn items(&self) -> Option<&[Value]> {
        match self {
            Value::Array(items) | Value::Set(items) | Value::Push(items) => Some(items),
            _ => None,
        }
    }

    pub fn is_error(&self) -> bool {
        matches!(self, Value::Error(_))
    }

    pub fn is_nil(&self) -> bool {
        matches!(self, Value::Null | Value::NullBulk | Value::NullArray)
    }

    /// The kind of reply in one word.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Simple(_) => "simple",
            Value::Error(_) => "error",
            Value::Integer(_) => "integer",
            Value::Bulk(_) => "bulk",
            Value::NullBulk => "nil",
            Value::NullArray => "nil-array",
            Value::Null => "null",
            Value::Array(_) => "array",
            Value::Map(_) => "map",
            Value::Set(_) => "set",
            Value::Push(_) => "push",
            Value::Double(_) => "double",
            Value::Boolean(_) => "boolean",
            Value::BigNumber(_) => "big-number",
            Value::Verbatim(_) => "verbatim",
        }
    }

    /// The same value with the elements of every list in one order.
    pub fn sorted(self) -> Value {
        let sort = |mut items: Vec<Value>| {
            items.sort_by_key(ToString::to_string);
            items
        };
        match self {
            Value::Array(items) => Value::Array(sort(items)),
            Value::Set(items) => Value::Set(sort(items)),
            other => other,
        }
    }
}

/// Writes bytes between quotes; what is not printable ASCII is escaped.
pub fn quote(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() + 2);
    out.push('"');
    if bytes.len() > SHOWN_BYTES_MAX {
        escape(&mut out, &bytes[..24]);
        out.push_str("...");
        escape(&mut out, &bytes[bytes.len() - 8..]);
        let sum = crc32fast::hash(bytes);
        out.push_str(&format!("\"({} bytes, crc {sum:08x})", bytes.len()));
    } else {
        escape(&mut out, bytes);
        out.push('"');
    }
    out
}

fn escape(out: &mut String, bytes: &[u8]) {
    for &byte in bytes {
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\r' => out.push_str("\\r"),
            b'\n' => out.push_str("\\n"),
            0x20..=0x7e => out.push(byte as char),
            _ => out.push_str(&format!("\\x{byte:02x}")),
        }
    }
}

/// Writes a command so that a transcript can read it back.
pub fn show_command(args: &[Vec<u8>]) -> String {
    let plain = |arg: &[u8]| {
        !arg.is_empty()
            && arg.iter().all(|b| b.is_ascii_alphanumeric() || b"_-.:{}#+/$!%&()?,;=".contains(b))
    };
    let show = |arg: &Vec<u8>| match plain(arg) {
        true if arg.len() <= SHOWN_BYTES_MAX => String::from_utf8_lossy(arg).into_owned(),
        _ => quote(arg),
    };
    args.iter().map(show).collect::<Vec<_>>().join(" ")
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Simple(text) => {
                let mut out = String::new();
                escape(&mut out, text);
                f.write_str(&out)
            }
            Value::Error(text) => {
                let mut out = String::new();
                escape(&mut out, text);
                write!(f, "(error) {out}")
            }
            Value::Integer(number) => write!(f, "(integer) {number}"),
            Value::Bulk(bytes) => f.write_str(&quote(bytes)),
            Value::NullBulk => f.write_str("(nil)"),
            Value::NullArray => f.write_str("(nil array)"),
            Value::Null => f.write_str("(null)"),
            Value::Array(items) => list(f, "[", items, "]"),
            Value::Set(items) => list(f, "~[", items, "]"),
            Value::Push(items) => list(f, ">[", items, "]"),
            Value::Map(pairs) => {
                f.write_str("{")?;
                for (index, (name, value)) in pairs.iter().enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    write!(f, "{comma}{name}: {value}")?;
                }
                f.write_str("}")
            }
            Value::Double(text) => write!(f, "(double) {}", String::from_utf8_lossy(text)),
            Value::Boolean(value) => write!(f, "({value})"),
            Value::BigNumber(text) => write!(f, "(big) {}", String::from_utf8_lossy(text)),
            Value::Verbatim(bytes) => write!(f, "(verbatim) {}", quote(bytes)),
        }
    }
}

fn list(f: &mut fmt::Formatter<'_>, open: &str, items: &[Value], close: &str) -> fmt::Result {
    f.write_str(open)?;
    for (index, item) in items.iter().enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        write!(f, "{comma}{item}")?;
    }
    f.write_str(close)
}
