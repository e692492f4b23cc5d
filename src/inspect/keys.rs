//! `keys` and `get`: the state that a recovery would produce.
//!
//! Keys past their deadline that nobody has removed yet are part of it, and are marked. In text,
//! keys and values stand in quotes with redis-cli's escapes. JSON has one object a line, with
//! `key` where the key is UTF-8 and `key_base64` where it is not; CSV has a column for each.

use std::io::Write;
use std::ops::ControlFlow;

use crate::command::glob;
use crate::engine::offline::{Offline, StoredValue};
use crate::engine::offline_scan::KeyView;
use crate::keyspace::object::ValueRef;
use crate::types::ValueKind;

use super::collection::{item_json, item_text};
use super::directory::Directory;
use super::progress::Progress;
use super::text::{base64, csv, json_bytes, problem, quoted, time, unquoted};
use super::{Failure, Outcome};

/// Progress is told after so many keys.
const PROGRESS_KEYS: u64 = 1 << 14;

/// How a report is laid out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
    /// CSV with a line of names.
    Csv,
}

/// Which keys are listed.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Keys that match this glob pattern.
    pub pattern: Option<Vec<u8>>,
    /// Values of this type.
    pub kind: Option<String>,
    /// Keys of this database; none for all.
    pub db: Option<u32>,
}

impl Filter {
    fn wants(&self, key: &[u8]) -> bool {
        let pattern = self.pattern.as_deref();
        pattern.is_none_or(|pattern| glob::matches(pattern, key, false))
    }

    fn wants_kind(&self, kind: ValueKind) -> bool {
        self.kind.as_deref().is_none_or(|name| name.eq_ignore_ascii_case(kind.name()))
    }
}

/// Lists keys. `now_ms` tells which are past their deadline; `warn` gets what could not be read.
///
/// # Errors
/// When there is no MANIFEST that can be read, or the report cannot be written.
pub fn keys(
    directory: &Directory,
    filter: &Filter,
    format: Format,
    now_ms: u64,
    out: &mut dyn Write,
    (progress, warn): (&mut Progress, &mut dyn Write),
) -> Result<Outcome, Failure> {
    let mut state = directory.state(progress)?;
    progress.clear();
    let mut outcome = warn_of_state(&state, warn)?;
    if format == Format::Csv {
        writeln!(out, "db,key,key_base64,type,bytes,expire_at,expired,lsn")?;
    }
    let databases = state.databases().into_iter();
    for (db, keyspace) in databases.filter(|(db, _)| filter.db.is_none_or(|only| only == *db)) {
        let (mut seen, mut written) = (0u64, Ok(()));
        let gaps = state.each_key(keyspace, &mut |key| {
            seen += 1;
            if seen.is_multiple_of(PROGRESS_KEYS) {
                progress.tell(|| format!("{seen} keys of database {db}"));
            }
            if filter.wants(key.key) && filter.wants_kind(key.kind) {
                written = write_key(db, &key, format, now_ms, out);
            }
            match &written {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            }
        });
        progress.clear();
        written?;
        for error in &gaps.problems {
            outcome = Outcome::Damaged;
            writeln!(warn, "DAMAGED {}; keys are missing here", problem(error))?;
        }
    }
    Ok(outcome)
}

/// Says what keeps a state from being all that was written.
fn warn_of_state(state: &Offline, warn: &mut dyn Write) -> Result<Outcome, Failure> {
    let lost = state.lost_parts.iter().map(|(_, error)| error);
    for error in lost.clone() {
        let what = "its keys are missing, older values may show";
        writeln!(warn, "DAMAGED {}; {what}", problem(error))?;
    }
    if let Some(error) = &state.log.damage {
        let last = state.log.last_lsn;
        writeln!(warn, "DAMAGED {}; this is the state at LSN {last}", problem(error))?;
    }
    match state.is_whole() {
        true => Ok(Outcome::Sound),
        false => Ok(Outcome::Damaged),
    }
}

fn write_key(
    db: u32,
    view: &KeyView<'_>,
    format: Format,
    now_ms: u64,
    out: &mut dyn Write,
) -> std::io::Result<()> {
    let (lsn, kind) = (view.lsn, view.kind.name());
    let bytes = view.value_bytes.map(|bytes| bytes.to_string());
    let expire_at = view.expire_at_ms.map(time);
    let expired = view.expire_at_ms.is_some_and(|at| at <= now_ms);
    match format {
        Format::Text => {
            let key = quoted(view.key);
            let size = bytes.map_or("in chunks".to_owned(), |bytes| format!("{bytes} bytes"));
            write!(out, "{key}  db {db}, {kind}, {size}")?;
            if let Some(at) = expire_at {
                let verb = if expired { "expired" } else { "expires" };
                write!(out, ", {verb} {at}")?;
            }
            writeln!(out)
        }
        Format::Json => {
            let key = json_bytes("key", view.key);
            let at = expire_at.map_or("null".to_owned(), |at| format!("\"{at}\""));
            let bytes = bytes.unwrap_or_else(|| "null".to_owned());
            writeln!(
                out,
                "{{\"db\":{db},{key},\"type\":\"{kind}\",\"bytes\":{bytes},\
                 \"expire_at\":{at},\"expired\":{expired},\"lsn\":{lsn}}}"
            )
        }
        Format::Csv => {
            let (text, encoded) = match std::str::from_utf8(view.key) {
                Ok(text) => (csv(text), String::new()),
                Err(_) => (String::new(), base64(view.key)),
            };
            let (at, bytes) = (expire_at.unwrap_or_default(), bytes.unwrap_or_default());
            writeln!(out, "{db},{text},{encoded},{kind},{bytes},{at},{expired},{lsn}")
        }
    }
}

/// How [`get`] writes a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ValueFormat {
    /// What belongs to the key, and the value in quotes.
    #[default]
    Text,
    /// One JSON object.
    Json,
    /// The value's bytes and nothing else.
    Raw,
}

/// Writes the value of a key of a database. A key in quotes is read with redis-cli's escapes, as
/// [`keys`] writes it.
///
/// # Errors
/// As for [`keys`], and when the key's value is damaged.
pub fn get(
    directory: &Directory,
    db: u32,
    key: &[u8],
    format: ValueFormat,
    out: &mut dyn Write,
    (progress, warn): (&mut Progress, &mut dyn Write),
) -> Result<Outcome, Failure> {
    let unescaped = unquoted(key);
    let key = unescaped.as_deref().unwrap_or(key);
    let mut state = directory.state(progress)?;
    progress.clear();
    let outcome = warn_of_state(&state, warn)?;
    let found = match state.keyspace(db) {
        Some(keyspace) => state.value(keyspace, key)?,
        None => None,
    };
    let Some(StoredValue { lsn, expire_at_ms, value, .. }) = found else {
        writeln!(warn, "there is no key {} in database {db}", quoted(key))?;
        return Ok(Outcome::Missing);
    };
    let expire_at = expire_at_ms.map(time);
    let value = value.as_value();
    let kind = value.kind().name();
    match format {
        ValueFormat::Raw => write_raw(value, out)?,
        ValueFormat::Text => {
            let bytes = value.stored_bytes();
            write!(out, "{}  db {db}, {kind}, {bytes} bytes, LSN {lsn}", quoted(key))?;
            if let Some(at) = expire_at {
                write!(out, ", expires {at}")?;
            }
            writeln!(out)?;
            match value {
                ValueRef::String(string) => writeln!(out, "{}", quoted(&string.to_vec()))?,
                _ => value.items().try_for_each(|item| writeln!(out, "{}", item_text(&item)))?,
            }
        }
        ValueFormat::Json => {
            let at = expire_at.map_or("null".to_owned(), |at| format!("\"{at}\""));
            write!(out, "{{\"db\":{db},{},\"type\":\"{kind}\",", json_bytes("key", key))?;
            match value {
                ValueRef::String(string) => {
                    write!(out, "{}", json_bytes("value", &string.to_vec()))?;
                }
                _ => write_json_items(value, out)?,
            }
            writeln!(out, ",\"expire_at\":{at},\"lsn\":{lsn}}}")?;
        }
    }
    Ok(outcome)
}

/// The bytes of a string; each item of a collection on a line of its own.
fn write_raw(value: ValueRef<'_>, out: &mut dyn Write) -> std::io::Result<()> {
    match value {
        ValueRef::String(string) => {
            string.pieces(0, string.len()).try_for_each(|piece| out.write_all(piece))
        }
        _ => value.items().try_for_each(|item| writeln!(out, "{}", item_text(&item))),
    }
}

fn write_json_items(value: ValueRef<'_>, out: &mut dyn Write) -> std::io::Result<()> {
    write!(out, "\"items\":[")?;
    for (index, item) in value.items().enumerate() {
        let comma = if index > 0 { "," } else { "" };
        write!(out, "{comma}{}", item_json(&item))?;
    }
    write!(out, "]")
}
