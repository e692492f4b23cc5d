//! Collections that the log holds ahead of the record that gives them to a key. Only a replay meets
//! them here: a live unit has the collection itself.

use std::collections::BTreeMap;

use crate::format::edit::Edit;
use crate::format::record::Record;
use crate::value::members::MemberHasher;

use super::access::Access;
use super::collection;
use super::entry::Entry;
use super::object::ValueHandle;

/// Stages by their keys and numbers, each an entry that stands in no table.
#[derive(Default)]
pub(super) struct Stages(BTreeMap<(Box<[u8]>, u64), Entry>);

impl Stages {
    /// Takes in what the log holds of a stage. Where its beginning is missing, the log was begun
    /// behind it because nobody needs it, so neither does the rest of it count.
    pub fn log(
        &mut self,
        (key, stage): (&[u8], u64),
        begins: bool,
        shape: u8,
        edit: &Edit<'_>,
        hasher: &MemberHasher,
    ) {
        if begins {
            let body = collection::created(shape, edit, hasher);
            let entry = body.put(|body| Entry::new(key, None, body, Access::new(0)));
            self.0.insert((key.into(), stage), entry);
        } else if let Some(entry) = self.0.get_mut(&(key.into(), stage)) {
            collection::edit_entry(entry, shape, edit, hasher);
        }
    }

    pub fn has(&self, key: &[u8], stage: u64) -> bool {
        self.0.contains_key(&(key.into(), stage))
    }

    /// The collection that a record gives to a key, where it does; its stage ends.
    pub fn take(&mut self, record: &Record<'_>) -> Option<ValueHandle> {
        let Record::PutStaged { key, stage, .. } = record else { return None };
        self.0.remove(&((*key).into(), *stage))?.get().handle()
    }
}
