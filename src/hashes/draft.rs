//! Fields that a call names, as it changes them one after the other.

use std::collections::BTreeMap;

use crate::command::collection::{GoneMembers, NewItems};
use crate::command::encodings::hash;
use crate::command::spec::{Call, Failure};
use crate::format::record::DeleteReason;
use crate::resp::write::Reply;
use crate::types::ValueKind;
use crate::value::item::Item;

use super::value::{Before, HashRef, hash_to_change};

/// What becomes of the fields of a hash. A field past its deadline is not there, and leaves when
/// it is looked at.
pub struct Draft<'c, 'u> {
    hash: Option<HashRef<'u>>,
    /// Fields that are not as they were; none for those that are gone.
    changed: BTreeMap<&'c [u8], Option<Item<'u>>>,
    may_get_deadlines: bool,
    /// Fields that leave because their deadline has passed.
    expired_count: u64,
}

impl<'c, 'u> Draft<'c, 'u> {
    /// A field as it is by now.
    pub fn get(&mut self, field: &'c [u8]) -> Option<Item<'u>> {
        if let Some(item) = self.changed.get(field) {
            return *item;
        }
        let hash = self.hash?;
        let item = hash.get(field);
        if item.is_none() && hash.members().get(field).is_some() {
            self.expire(field);
        }
        item
    }

    /// Puts an item in place of that of its field.
    pub fn set(&mut self, field: &'c [u8], item: Item<'u>) {
        self.changed.insert(field, Some(item));
    }

    /// Takes a field that is there out.
    pub fn remove(&mut self, field: &'c [u8]) {
        self.changed.insert(field, None);
    }

    /// Takes a field out because its deadline has passed.
    pub fn expire(&mut self, field: &'c [u8]) {
        self.changed.insert(field, None);
        self.expired_count += 1;
    }

    /// The command may set deadlines, which shows in the encoding of a hash that it changes.
    pub fn may_get_deadlines(&mut self) {
        self.may_get_deadlines = true;
    }
}

/// Runs `command` on the hash of the call's key, or on none, and then changes it as the draft says:
/// removals before anything else (D13). A failure changes nothing.
pub fn change_fields<'c>(
    call: &mut Call<'c, '_, '_>,
    command: impl for<'u> FnOnce(&mut Draft<'c, 'u>, &mut Reply<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let key = call.unit.key(call.db, call.args.get(1));
    let hash = hash_to_change(call.unit, &key)?;
    let before = Before::of(hash.as_ref());
    let changed = BTreeMap::new();
    let mut draft = Draft { hash, changed, may_get_deadlines: false, expired_count: 0 };
    command(&mut draft, call.reply)?;
    let expired_count = draft.expired_count;
    let (mut gone, mut gone_count) = (GoneMembers::default(), 0);
    let mut items = NewItems::default();
    for (field, item) in draft.changed {
        match item {
            Some(item) => items.push(item),
            None => {
                gone.push(field);
                gone_count += 1;
            }
        }
    }
    let encoding = match before.encoding {
        hash::LISTPACK if draft.may_get_deadlines => hash::LISTPACK_EX,
        encoding => encoding,
    };
    let shape = ValueKind::Hash.shape(encoding);
    call.unit.count_expired_fields(expired_count);
    if gone_count > 0 && gone_count == before.len {
        call.unit.delete(&key, DeleteReason::Command);
        return Ok(());
    }
    if gone_count > 0 {
        call.unit.edit(&key, shape, gone.edit());
    }
    if !items.is_empty() {
        call.unit.edit(&key, shape, items.edit());
    }
    Ok(())
}
