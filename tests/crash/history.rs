//! One connection's commands as a history, and the search for the point that the data stands at.

use std::collections::{BTreeMap, BTreeSet};

use crate::load::Writer;
use crate::support::value::quote;

/// What a key holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    pub value: Vec<u8>,
    pub expires: bool,
}

/// One change of one key. A command is one or several.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    Set { key: Vec<u8>, value: Vec<u8> },
    Increment { key: Vec<u8> },
    Append { key: Vec<u8>, value: Vec<u8> },
    SetRange { key: Vec<u8>, offset: usize, value: Vec<u8> },
    Delete { key: Vec<u8> },
    Expire { key: Vec<u8> },
}

impl Change {
    /// The key that changes.
    pub fn key(&self) -> &[u8] {
        match self {
            Change::Set { key, .. }
            | Change::Increment { key }
            | Change::Append { key, .. }
            | Change::SetRange { key, .. }
            | Change::Delete { key }
            | Change::Expire { key } => key,
        }
    }
}

/// One command, or one EXEC: it happened or it did not.
#[derive(Clone, Debug)]
pub struct Unit {
    pub sequence: u64,
    pub changes: Vec<Change>,
}

/// The keys of one connection at a point of its history.
#[derive(Clone, Default, Debug)]
pub struct State {
    keys: BTreeMap<Vec<u8>, Entry>,
    /// Keys that ever existed: their absence is a fact too.
    known: BTreeSet<Vec<u8>>,
    sequence: u64,
}

impl State {
    /// Number of the next command.
    pub fn next_sequence(&self) -> u64 {
        self.sequence + 1
    }

    fn apply(&mut self, change: &Change) {
        self.known.insert(change.key().to_vec());
        match change {
            Change::Set { key, value } => {
                let entry = Entry { value: value.clone(), expires: false };
                self.keys.insert(key.clone(), entry);
            }
            Change::Increment { key } => {
                let value = &mut self.entry(key).value;
                let number: i64 = String::from_utf8_lossy(value).parse().unwrap_or(0);
                *value = (number + 1).to_string().into_bytes();
            }
            Change::Append { key, value } => self.entry(key).value.extend_from_slice(value),
            Change::SetRange { key, offset, value } => {
                let bytes = &mut self.entry(key).value;
                let end = offset + value.len();
                bytes.resize(bytes.len().max(end), 0);
                bytes[*offset..end].copy_from_slice(value);
            }
            Change::Delete { key } => drop(self.keys.remove(key)),
            Change::Expire { key } => {
                if let Some(entry) = self.keys.get_mut(key) {
                    entry.expires = true;
                }
            }
        }
    }

    fn entry(&mut self, key: &[u8]) -> &mut Entry {
        let empty = Entry { value: Vec::new(), expires: false };
        self.keys.entry(key.to_vec()).or_insert(empty)
    }

    /// The first key that the data holds differently.
    pub fn difference(&self, found: &BTreeMap<Vec<u8>, Entry>) -> Option<String> {
        let wrong = self.known.iter().find(|key| self.keys.get(*key) != found.get(*key))?;
        let show = |entry: Option<&Entry>| match entry {
            Some(entry) => format!("{} expires={}", quote(&entry.value), entry.expires),
            None => "nothing".to_owned(),
        };
        let (expected, found) = (show(self.keys.get(wrong)), show(found.get(wrong)));
        Some(format!("{} should hold {expected} and holds {found}", quote(wrong)))
    }
}

/// Finds the point of a connection's history that the data stands at: not before the last
/// acknowledged command, nor before the last that another connection has seen.
pub fn settle(
    start: &State,
    writer: &Writer,
    seen: u64,
    found: &BTreeMap<Vec<u8>, Entry>,
) -> Result<State, String> {
    let mut state = start.clone();
    // The commands under way may have made keys that none before them knew.
    let touched = writer.sent.iter().flat_map(|unit| &unit.changes);
    state.known.extend(touched.map(|change| change.key().to_vec()));
    let differs = |state: &State, key: &[u8]| state.keys.get(key) != found.get(key);
    let mut wrong: BTreeSet<Vec<u8>> =
        state.known.iter().filter(|key| differs(&state, key)).cloned().collect();
    let mut at_acknowledged = None;
    for count in 0..=writer.sent.len() {
        if count > 0 {
            let unit = &writer.sent[count - 1];
            for change in &unit.changes {
                state.apply(change);
                let key = change.key().to_vec();
                match differs(&state, &key) {
                    true => wrong.insert(key),
                    false => wrong.remove(&key),
                };
            }
            state.sequence = unit.sequence;
        }
        if count == writer.acknowledged {
            at_acknowledged = state.difference(found);
        }
        if count >= writer.acknowledged && state.sequence >= seen && wrong.is_empty() {
            return Ok(state);
        }
    }
    let sent = writer.sent.len();
    let acknowledged = writer.acknowledged;
    Err(format!(
        "the data stands at no point of its history ({acknowledged} commands acknowledged, {sent} \
         sent, command {seen} seen by another); at the last acknowledged one {}",
        at_acknowledged.unwrap_or_else(|| "nothing differs".to_owned())
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writer(acknowledged: usize, values: &[&str]) -> Writer {
        let mut writer = Writer::new(0, 1, 1);
        for (at, value) in values.iter().enumerate() {
            let change = Change::Set { key: b"k".to_vec(), value: value.as_bytes().to_vec() };
            writer.sent.push(Unit { sequence: at as u64 + 1, changes: vec![change] });
        }
        writer.acknowledged = acknowledged;
        writer
    }

    fn data(value: &str) -> BTreeMap<Vec<u8>, Entry> {
        let entry = Entry { value: value.as_bytes().to_vec(), expires: false };
        BTreeMap::from([(b"k".to_vec(), entry)])
    }

    #[test]
    fn a_point_between_acknowledged_and_sent_is_right() {
        let start = State::default();
        for value in ["2", "3", "4"] {
            let writer = writer(2, &["1", "2", "3", "4"]);
            assert!(settle(&start, &writer, 0, &data(value)).is_ok(), "{value}");
        }
    }

    #[test]
    fn a_lost_acknowledged_write_is_found() {
        let start = State::default();
        let writer = writer(2, &["1", "2", "3"]);
        assert!(settle(&start, &writer, 0, &data("1")).is_err());
        assert!(settle(&start, &writer, 0, &BTreeMap::new()).is_err());
    }

    #[test]
    fn a_lost_write_that_another_connection_has_seen_is_found() {
        let start = State::default();
        let writer = writer(1, &["1", "2", "3"]);
        assert!(settle(&start, &writer, 2, &data("1")).is_err());
        assert!(settle(&start, &writer, 2, &data("2")).is_ok());
    }

    #[test]
    fn half_an_exec_is_found() {
        let set = |key: &str| Change::Set { key: key.into(), value: b"v".to_vec() };
        let mut writer = Writer::new(0, 1, 1);
        writer.sent.push(Unit { sequence: 1, changes: vec![set("k"), set("l")] });
        assert!(settle(&State::default(), &writer, 0, &data("v")).is_err());
    }
}
