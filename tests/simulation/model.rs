//! The naive model: every operation with the LSN it ended at, and what a prefix of them adds up to.

use std::collections::BTreeMap;

use firn::format::edit::Edit;

use super::content::Content;

/// Databases that the simulation uses.
pub const DATABASES: u32 = 3;

/// A value and its deadline.
pub type Held = (Content, Option<u64>);

/// A key and its database.
pub type Name = (u32, Vec<u8>);

/// All live and expired keys of all databases.
pub type State = BTreeMap<Name, Held>;

/// One change, as the model understands it.
#[derive(Clone, Debug)]
pub enum Change {
    Put {
        db: u32,
        key: Vec<u8>,
        value: Content,
        deadline: Option<u64>,
    },
    /// Changes a collection, or begins this one.
    Edit {
        db: u32,
        key: Vec<u8>,
        begins: Option<Content>,
        edit: Vec<u8>,
    },
    Delete {
        db: u32,
        key: Vec<u8>,
    },
    WriteRange {
        db: u32,
        key: Vec<u8>,
        offset: usize,
        bytes: Vec<u8>,
    },
    Expire {
        db: u32,
        key: Vec<u8>,
        deadline: Option<u64>,
    },
    Rename {
        from: Name,
        to: Name,
    },
    Copy {
        from: Name,
        to: Name,
    },
    Flush {
        db: u32,
    },
    Swap {
        a: u32,
        b: u32,
    },
}

impl Change {
    /// Applies the change to a state.
    pub fn apply(&self, state: &mut State) {
        match self.clone() {
            Change::Put { db, key, value, deadline } => {
                state.insert((db, key), (value, deadline));
            }
            Change::Edit { db, key, begins, edit } => {
                let edit = Edit::from_bytes(&edit).expect("it was encoded here");
                let (mut value, deadline) = match begins {
                    Some(empty) => (empty, None),
                    None => state.remove(&(db, key.clone())).expect("an edit needs its key"),
                };
                value.apply(&edit);
                state.insert((db, key), (value, deadline));
            }
            Change::Delete { db, key } => {
                state.remove(&(db, key));
            }
            Change::WriteRange { db, key, offset, bytes } => {
                let held = state.get_mut(&(db, key)).expect("a range needs its key");
                let Content::String(value) = &mut held.0 else {
                    panic!("a range needs a string");
                };
                let end = offset + bytes.len();
                if value.len() < end {
                    value.resize(end, 0);
                }
                value[offset..end].copy_from_slice(&bytes);
            }
            Change::Expire { db, key, deadline } => {
                state.get_mut(&(db, key)).expect("a deadline needs its key").1 = deadline;
            }
            Change::Rename { from, to } => {
                let held = state.remove(&from).expect("a rename needs its key");
                state.insert(to, held);
            }
            Change::Copy { from, to } => {
                let held = state[&from].clone();
                state.insert(to, held);
            }
            Change::Flush { db } => state.retain(|(of, _), _| *of != db),
            Change::Swap { a, b } => {
                let all = std::mem::take(state);
                let swapped = |db| {
                    if db == a {
                        b
                    } else if db == b {
                        a
                    } else {
                        db
                    }
                };
                *state = all.into_iter().map(|((db, k), held)| ((swapped(db), k), held)).collect();
            }
        }
    }
}

/// The history of a database: atomic groups of changes and the LSN after each.
#[derive(Default)]
pub struct History {
    base: State,
    base_lsn: u64,
    units: Vec<(u64, Vec<Change>)>,
    /// The state after all units.
    pub now: State,
}

impl History {
    /// Adds a unit whose frame got `lsn`.
    pub fn push(&mut self, lsn: u64, changes: Vec<Change>) {
        changes.iter().for_each(|change| change.apply(&mut self.now));
        self.units.push((lsn, changes));
    }

    /// The database came back at `lsn`: what is newer never happened.
    pub fn cut_to(&mut self, lsn: u64) {
        assert!(lsn >= self.base_lsn, "recovery went back before an earlier recovery");
        let kept: Vec<_> = self.units.drain(..).filter(|(at, _)| *at <= lsn).collect();
        for (_, changes) in &kept {
            changes.iter().for_each(|change| change.apply(&mut self.base));
        }
        self.base_lsn = lsn;
        self.now = self.base.clone();
    }

    /// The live keys of a database at `now_ms`. A hash without a field left is not there.
    pub fn live(&self, db: u32, now_ms: u64) -> BTreeMap<Vec<u8>, Held> {
        let keys = self.now.keys().filter(|(of, _)| *of == db);
        keys.filter_map(|(_, key)| Some((key.clone(), self.get(db, key, now_ms)?))).collect()
    }

    /// A live key's value, without the fields that are gone.
    pub fn get(&self, db: u32, key: &[u8], now_ms: u64) -> Option<Held> {
        let (value, deadline) = self.stored(db, key, now_ms)?.clone();
        let was_empty = value.len() == 0;
        let value = value.at(now_ms);
        (value.len() > 0 || was_empty).then_some((value, deadline))
    }

    /// The same with all its fields: those past their deadline may still be there.
    pub fn stored(&self, db: u32, key: &[u8], now_ms: u64) -> Option<&Held> {
        let held = self.now.get(&(db, key.to_vec()))?;
        held.1.is_none_or(|at| at > now_ms).then_some(held)
    }
}
