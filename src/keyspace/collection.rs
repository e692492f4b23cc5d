//! How a change of a collection is applied to an entry: in its blob while it is small, in its
//! chunks when it is large (D8).

use smallvec::SmallVec;

use crate::format::edit::Edit;
use crate::limits::{PACKED_BYTES_MAX, PACKED_ITEMS_MAX};
use crate::types::{HashSeed, ValueKind};
use crate::value::collection::Collection;
use crate::value::item::Item;
use crate::value::members::MemberHasher;
use crate::value::packed_list::{self, PackedList};
use crate::value::packed_members::{self, PackedMembers};
use crate::value::stream::Stream;
use crate::value::stream_chunk::{NewEntry, Numbers};
use crate::value::stream_fact::{Fact, Topic};
use crate::value::stream_id::StreamId;
use crate::value::{list_item, packed, score};

use super::entry::{Body, Entry};
use super::mutation::NewBody;
use super::object::Object;

/// Elements of a list, borrowed from a record.
type Elements<'a> = SmallVec<[&'a [u8]; 8]>;

/// Changes the collection of an entry, which becomes large where it no longer fits its entry.
/// A change that does not go with the kind of the value leaves it as it is.
pub(super) fn edit_entry(entry: &mut Entry, shape: u8, edit: &Edit<'_>, hasher: &MemberHasher) {
    if let Some(blob) = entry.get().packed() {
        if packed::kind(blob) != ValueKind::of_shape(shape) {
            return;
        }
        let expire_at_ms = entry.get().expire_at_ms();
        if let Some(next) = edit_packed(blob, shape, edit) {
            entry.set_body(expire_at_ms, Body::Packed(&next));
            return;
        }
        let collection = Collection::from_packed(blob, *hasher);
        NewBody::collection(collection).put(|body| entry.set_body(expire_at_ms, body));
    }
    if let Some(Object::Collection(collection)) = entry.object_mut() {
        edit_large(collection, shape, edit, hasher);
    }
}

/// The collection that a change begins.
pub(super) fn created<'a>(shape: u8, edit: &Edit<'_>, hasher: &MemberHasher) -> NewBody<'a> {
    if ValueKind::of_shape(shape) == Some(ValueKind::Stream) {
        let mut collection = Collection::Stream(Stream::new(shape & 0x0f, *hasher));
        edit_large(&mut collection, shape, edit, hasher);
        return NewBody::collection(collection);
    }
    if let Some(blob) = edit_packed(&[shape], shape, edit) {
        return NewBody::Packed(blob);
    }
    let mut collection = Collection::from_packed(&[shape], *hasher);
    edit_large(&mut collection, shape, edit, hasher);
    NewBody::collection(collection)
}

/// The items of a `Put`.
pub fn items(bytes: &[u8]) -> impl Iterator<Item = Item<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let (item, end) = Item::decode(bytes, at)?;
        at = end;
        Some(item)
    })
}

/// The members of a `Remove`.
pub fn members(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    items(bytes).map(|item| item.member)
}

/// Whether the bytes of a change that was read from a file are what its kind asks for.
pub fn is_valid(shape: u8, edit: &Edit<'_>) -> bool {
    let Some(kind) = ValueKind::of_shape(shape) else {
        return false;
    };
    match *edit {
        Edit::Put { items } => kind != ValueKind::List && are_items(items, kind),
        Edit::Remove { members: bytes } if kind == ValueKind::Stream => {
            are_items(bytes, ValueKind::Set)
                && members(bytes).all(|member| Topic::decode(member).is_some())
        }
        Edit::Remove { members } => kind != ValueKind::List && are_items(members, ValueKind::Set),
        Edit::Push { elements, .. } => {
            kind == ValueKind::List && list_item::validate(elements).is_some()
        }
        Edit::Cut { .. } | Edit::Set { .. } | Edit::Insert { .. } => kind == ValueKind::List,
        _ => kind == ValueKind::Stream && is_valid_of_stream(edit),
    }
}

fn is_valid_of_stream(edit: &Edit<'_>) -> bool {
    match *edit {
        Edit::Append { entry, .. } => NewEntry::decode(entry).is_some(),
        Edit::Delete { ids: bytes } => ids(bytes).last().is_some_and(|(_, end)| end == bytes.len()),
        Edit::Trim { .. } => true,
        Edit::Renumber { numbers } => {
            Numbers::decode(numbers, 0).is_some_and(|(_, end)| end == numbers.len())
        }
        // How a member is hashed does not decide whether the stream holds together.
        Edit::Stream { whole } => {
            let hasher = MemberHasher::new(HashSeed([0; 16]));
            Stream::from_whole(0, hasher, whole).is_some()
        }
        _ => false,
    }
}

/// The IDs of a `Delete`, each with where it ends.
fn ids(bytes: &[u8]) -> impl Iterator<Item = (StreamId, usize)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let (id, end) = StreamId::decode(bytes, at)?;
        at = end;
        Some((id, end))
    })
}

/// Whether a change that [`is_valid`] can begin a collection: it leaves something.
pub fn can_create(edit: &Edit<'_>) -> bool {
    match edit {
        Edit::Put { items: bytes } | Edit::Push { elements: bytes, .. } => !bytes.is_empty(),
        Edit::Append { .. } | Edit::Stream { .. } => true,
        _ => false,
    }
}

fn are_items(bytes: &[u8], kind: ValueKind) -> bool {
    let mut at = 0;
    while at < bytes.len() {
        match Item::decode(bytes, at) {
            Some((item, end)) if packed_members::valid_item(kind, &item) => at = end,
            _ => return false,
        }
    }
    true
}

/// The blob after a change; none where it outgrows what an entry holds.
fn edit_packed(blob: &[u8], shape: u8, edit: &Edit<'_>) -> Option<Vec<u8>> {
    if edit.trailing_bytes().len() > PACKED_BYTES_MAX {
        return None;
    }
    let mut next = match ValueKind::of_shape(shape) {
        Some(ValueKind::List) => edit_packed_list(blob, edit),
        Some(kind) => edit_packed_members(blob, kind, edit)?,
        None => blob.to_vec(),
    };
    packed::set_shape(&mut next, shape);
    let may_hold_many = next.len() > PACKED_ITEMS_MAX;
    let fits = match ValueKind::of_shape(shape) {
        _ if !may_hold_many => next.len() <= PACKED_BYTES_MAX,
        Some(ValueKind::List) => packed::fits(next.len(), PackedList::new(&next).len()),
        _ => packed::fits(next.len(), PackedMembers::new(&next).len()),
    };
    fits.then_some(next)
}

fn edit_packed_members(blob: &[u8], kind: ValueKind, edit: &Edit<'_>) -> Option<Vec<u8>> {
    let (mut current, mut next) = (Vec::new(), Vec::new());
    let mut step = |write: &dyn Fn(&[u8], &mut Vec<u8>)| {
        next.clear();
        write(if current.is_empty() { blob } else { &current }, &mut next);
        if !next.is_empty() {
            std::mem::swap(&mut current, &mut next);
        }
        current.len() <= PACKED_BYTES_MAX
    };
    let all = match *edit {
        Edit::Put { items: bytes } => {
            let (mut at, mut fits) = (0, true);
            // A loop, and not `items`: this is the way of most small writes.
            while fits && let Some((item, end)) = Item::decode(bytes, at) {
                fits = step(&|blob, out| match kind {
                    ValueKind::Zset => {
                        let score = score::decode(item.payload).unwrap_or_default();
                        packed_members::zset_insert(blob, item.member, score, out);
                    }
                    _ => {
                        packed_members::members_insert(blob, &item, out);
                    }
                });
                at = end;
            }
            fits
        }
        Edit::Remove { members: bytes } => members(bytes).all(|member| {
            step(&|blob, out| {
                packed_members::members_remove(blob, member, out);
            })
        }),
        _ => true,
    };
    let unchanged = current.is_empty();
    all.then(|| if unchanged { blob.to_vec() } else { current })
}

fn edit_packed_list(blob: &[u8], edit: &Edit<'_>) -> Vec<u8> {
    let mut next = Vec::new();
    let place = |index: u64| usize::try_from(index).unwrap_or(usize::MAX);
    match *edit {
        Edit::Push { front, elements } => {
            let elements: Elements<'_> = list_item::Elements::new(elements).collect();
            packed_list::list_push(blob, front, &elements, &mut next);
        }
        Edit::Cut { index, count } => {
            packed_list::list_remove_range(blob, place(index), place(count), &mut next);
        }
        Edit::Set { index, element } => {
            packed_list::list_set(blob, place(index), element, &mut next);
        }
        Edit::Insert { index, element } => {
            packed_list::list_insert(blob, place(index), element, &mut next);
        }
        _ => {}
    }
    if next.is_empty() { blob.to_vec() } else { next }
}

/// As [`edit_entry`], of a large collection.
pub(super) fn edit_large(
    collection: &mut Collection,
    shape: u8,
    edit: &Edit<'_>,
    hasher: &MemberHasher,
) {
    if ValueKind::of_shape(shape) != Some(collection.kind()) {
        return;
    }
    collection.set_encoding(shape & 0x0f);
    match (collection, edit) {
        (Collection::Hash(members) | Collection::Set(members), Edit::Put { items: bytes }) => {
            items(bytes).for_each(|item| {
                members.insert(&item);
            });
        }
        (Collection::Hash(known) | Collection::Set(known), Edit::Remove { members: bytes }) => {
            members(bytes).for_each(|member| {
                known.remove(member);
            });
        }
        (Collection::Zset(zset), Edit::Put { items: bytes }) => items(bytes).for_each(|item| {
            zset.insert(item.member, score::decode(item.payload).unwrap_or_default());
        }),
        (Collection::Zset(zset), Edit::Remove { members: bytes }) => {
            members(bytes).for_each(|member| {
                zset.remove(member);
            });
        }
        (Collection::List(list), Edit::Push { front, elements }) => {
            list_item::Elements::new(elements).for_each(|element| list.push(*front, element));
        }
        (Collection::List(list), Edit::Cut { index, count }) => {
            list.remove_range(*index, *count);
        }
        (Collection::List(list), Edit::Set { index, element }) => {
            list.set(*index, element);
        }
        (Collection::List(list), Edit::Insert { index, element }) => {
            list.insert(*index, element);
        }
        (Collection::Stream(stream), edit) => edit_stream(stream, edit, hasher),
        _ => {}
    }
}

fn edit_stream(stream: &mut Stream, edit: &Edit<'_>, hasher: &MemberHasher) {
    match *edit {
        Edit::Append { begins_chunk, entry } => {
            if let Some(entry) = NewEntry::decode(entry) {
                stream.append(&entry, begins_chunk);
            }
        }
        Edit::Delete { ids: bytes } => ids(bytes).for_each(|(id, _)| {
            stream.delete(id);
        }),
        Edit::Trim { count } => stream.trim(count),
        Edit::Renumber { numbers } => {
            if let Some((numbers, _)) = Numbers::decode(numbers, 0) {
                stream.set_numbers(numbers);
            }
        }
        Edit::Stream { whole } => {
            if let Some(new) = Stream::from_whole(stream.encoding(), *hasher, whole) {
                *stream = new;
            }
        }
        Edit::Put { items: bytes } => items(bytes).for_each(|item| {
            if let Some(fact) = Fact::decode(&item) {
                stream.put_fact(&fact);
            }
        }),
        Edit::Remove { members: bytes } => members(bytes).for_each(|member| {
            if let Some(topic) = Topic::decode(member) {
                stream.remove_fact(&topic);
            }
        }),
        _ => {}
    }
}
