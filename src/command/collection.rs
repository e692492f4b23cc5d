//! Collections between the keyspace and commands: typed access, and changes of members.

use std::collections::HashSet;

use smallvec::SmallVec;

use crate::engine::unit::{Key, Unit, ValueRef, View};
use crate::format::edit::Edit;
use crate::format::record::DeleteReason;
use crate::types::ValueKind;
use crate::value::collection::Collection;
use crate::value::item::Item;
use crate::value::list_item;
use crate::value::packed;
use crate::value::packed_list::PackedList;
use crate::value::packed_members::PackedMembers;
use crate::value::stream::Stream;
use crate::value::view::{ListRef, MembersRef, ZsetRef};

use super::spec::Failure;

/// Room for a change of one member or two, in bytes: most are no longer.
const CHANGE_BYTES: usize = 96;
/// So many arguments are compared with each other.
const FEW: usize = 8;

/// The members of a live hash (`kind` says so) or set.
pub fn members_of<'u>(view: &View<'u>, kind: ValueKind) -> Result<MembersRef<'u>, Failure> {
    match view.value {
        ValueRef::Packed(blob) if packed::kind(blob) == Some(kind) => {
            Ok(MembersRef::Packed(PackedMembers::new(blob)))
        }
        ValueRef::Collection(Collection::Hash(members)) if kind == ValueKind::Hash => {
            Ok(MembersRef::Large(members))
        }
        ValueRef::Collection(Collection::Set(members)) if kind == ValueKind::Set => {
            Ok(MembersRef::Large(members))
        }
        _ => Err(Failure::WrongType),
    }
}

/// The sorted set that a live key holds.
pub fn zset_of<'u>(view: &View<'u>) -> Result<ZsetRef<'u>, Failure> {
    zset_in(view.value)
}

/// The sorted set that a value is.
pub fn zset_in(value: ValueRef<'_>) -> Result<ZsetRef<'_>, Failure> {
    match value {
        ValueRef::Packed(blob) if packed::kind(blob) == Some(ValueKind::Zset) => {
            Ok(ZsetRef::Packed(PackedMembers::new(blob)))
        }
        ValueRef::Collection(Collection::Zset(zset)) => Ok(ZsetRef::Large(zset)),
        _ => Err(Failure::WrongType),
    }
}

/// The list that a live key holds.
pub fn list_of<'u>(view: &View<'u>) -> Result<ListRef<'u>, Failure> {
    match view.value {
        ValueRef::Packed(blob) if packed::kind(blob) == Some(ValueKind::List) => {
            Ok(ListRef::Packed(PackedList::new(blob)))
        }
        ValueRef::Collection(Collection::List(list)) => Ok(ListRef::Large(list)),
        _ => Err(Failure::WrongType),
    }
}

/// The stream that a live key holds.
pub fn stream_of<'u>(view: &View<'u>) -> Result<&'u Stream, Failure> {
    stream_in(view.value)
}

/// The stream that a value is.
pub fn stream_in(value: ValueRef<'_>) -> Result<&Stream, Failure> {
    match value {
        ValueRef::Collection(Collection::Stream(stream)) => Ok(stream),
        _ => Err(Failure::WrongType),
    }
}

/// The encoding that a collection has for OBJECT ENCODING ([`super::encodings`]); 0 for a string.
pub fn encoding_of(value: ValueRef<'_>) -> u8 {
    match value {
        ValueRef::String(_) => 0,
        ValueRef::Packed(blob) => packed::encoding(blob),
        ValueRef::Collection(collection) => collection.encoding(),
    }
}

/// Items on their way into a hash, a set or a sorted set.
pub struct NewItems(Vec<u8>);

impl Default for NewItems {
    fn default() -> NewItems {
        NewItems(Vec::with_capacity(CHANGE_BYTES))
    }
}

impl NewItems {
    /// Adds one.
    pub fn push(&mut self, item: Item<'_>) {
        item.encode(&mut self.0);
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The change that puts them there.
    pub fn edit(&self) -> Edit<'_> {
        Edit::Put { items: &self.0 }
    }
}

/// Members on their way out of a hash, a set or a sorted set.
pub struct GoneMembers(Vec<u8>);

impl Default for GoneMembers {
    fn default() -> GoneMembers {
        GoneMembers(Vec::with_capacity(CHANGE_BYTES))
    }
}

impl GoneMembers {
    /// Adds one.
    pub fn push(&mut self, member: &[u8]) {
        Item::new(member, b"").encode(&mut self.0);
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The change that removes them.
    pub fn edit(&self) -> Edit<'_> {
        Edit::Remove { members: &self.0 }
    }
}

/// Elements on their way into a list.
pub struct NewElements(Vec<u8>);

impl Default for NewElements {
    fn default() -> NewElements {
        NewElements(Vec::with_capacity(CHANGE_BYTES))
    }
}

impl NewElements {
    /// Adds one.
    pub fn push(&mut self, element: &[u8]) {
        list_item::encode(element, &mut self.0);
    }

    /// The change that pushes them, one after the other.
    pub fn edit(&self, front: bool) -> Edit<'_> {
        Edit::Push { front, elements: &self.0 }
    }
}

/// Arguments without those that repeat an earlier one, in order.
pub fn distinct<'a>(mut args: impl Iterator<Item = &'a [u8]>) -> SmallVec<[&'a [u8]; 8]> {
    let mut found = SmallVec::new();
    found.extend(args.next());
    // Most often there is one.
    let Some(second) = args.next() else { return found };
    found.push(second);
    found.extend(args);
    if found.len() <= FEW {
        let mut kept = 0;
        for index in 0..found.len() {
            if !found[..kept].contains(&found[index]) {
                found[kept] = found[index];
                kept += 1;
            }
        }
        found.truncate(kept);
    } else {
        let mut seen = HashSet::with_capacity(found.len());
        found.retain(|arg| seen.insert(*arg));
    }
    found
}

/// Changes a collection of `len` items from which the change takes `gone`: a key leaves with its
/// last item.
pub fn edit_or_delete(
    unit: &mut Unit<'_>,
    key: &Key<'_>,
    shape: u8,
    edit: Edit<'_>,
    (len, gone): (u64, u64),
) {
    if gone == len {
        unit.delete(key, DeleteReason::Command);
    } else if gone > 0 {
        unit.edit(key, shape, edit);
    }
}

#[cfg(test)]
mod tests {
    use super::distinct;

    #[test]
    fn repeated_arguments_are_left_out() {
        for count in [3, 30, 300] {
            let texts: Vec<String> = (0..count).map(|n| (n * 7 % 5).to_string()).collect();
            let found = distinct(texts.iter().map(|text| text.as_bytes()));
            let expected: &[&[u8]] = &[b"0", b"2", b"4", b"1", b"3"];
            assert_eq!(&found[..], &expected[..count.min(5)]);
        }
    }
}
