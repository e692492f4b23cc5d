//! A value on its way from a payload into the keyspace.

use std::borrow::Cow;

use bytes::Bytes;

use crate::command::collection::{NewElements, NewItems};
use crate::command::encodings::{Encodings, hash, list, set};
use crate::command::list_shape::grown_from;
use crate::command::number::parse_integer;
use crate::command::spec::Failure;
use crate::command::zset::NewZset;
use crate::engine::unit::{Key, NewString, Unit, ValueHandle};
use crate::format::record::DeleteReason;
use crate::rdb::payload::Object;
use crate::sets::value::Growth;
use crate::types::ValueKind;
use crate::value::collection::Collection;
use crate::value::item::Item;
use crate::value::members::MemberHasher;
use crate::value::score::{self, Scored};

use super::stream;

/// What is stored.
pub enum NewValue {
    /// A string.
    String(Bytes),
    /// Members, with the byte of kind and encoding.
    Items(u8, NewItems),
    /// A sorted set.
    Zset(NewZset),
    /// Elements, with the byte of kind and encoding.
    Elements(u8, NewElements),
    /// A stream.
    Stream(Box<Collection>),
    /// A hash of which all fields are past their deadline.
    Nothing,
}

impl NewValue {
    /// What an object becomes; strings stay slices of `packed` where they stand there as they are.
    pub fn of(
        object: Object<'_>,
        packed: &Bytes,
        encodings: &Encodings,
        (now_ms, hasher): (u64, MemberHasher),
    ) -> Result<NewValue, Failure> {
        Ok(match object {
            Object::String(Cow::Borrowed(slice)) => NewValue::String(packed.slice_ref(slice)),
            Object::String(Cow::Owned(string)) => NewValue::String(Bytes::from(string)),
            Object::List(elements) => {
                let mut new = NewElements::default();
                elements.iter().for_each(|element| new.push(element));
                let (len, all) = (elements.len() as u64, elements.iter().map(|e| &**e));
                let encoding = grown_from(encodings, list::LISTPACK, (len, all), (0, 0));
                NewValue::Elements(ValueKind::List.shape(encoding), new)
            }
            Object::Set(members) => {
                let all_integers = members.iter().all(|member| parse_integer(member).is_some());
                let first = if all_integers { set::INTSET } else { set::LISTPACK };
                let mut growth = Growth::new(encodings, first);
                let mut items = NewItems::default();
                for member in &members {
                    growth.add(member);
                    items.push(Item::new(member, b""));
                }
                NewValue::Items(growth.shape(), items)
            }
            Object::Zset(members) => {
                let mut members: Vec<Scored<'_>> =
                    members.iter().map(|(member, score)| (*score, &**member)).collect();
                members.sort_unstable_by(|a, b| score::order(*a, *b));
                NewValue::Zset(NewZset::whole(encodings, &members))
            }
            Object::Hash(mut fields) => {
                fields.retain(|field| field.deadline_ms.is_none_or(|at| at > now_ms));
                if fields.is_empty() {
                    return Ok(NewValue::Nothing);
                }
                let lens = fields.iter().flat_map(|f| [f.field.len(), f.value.len()]);
                let is_table = lens.max().unwrap_or(0) as u64 > encodings.hash_value_bytes
                    || fields.len() as u64 > encodings.hash_entries;
                let has_deadlines = fields.iter().any(|field| field.deadline_ms.is_some());
                let encoding = match (is_table, has_deadlines) {
                    (true, _) => hash::HASHTABLE,
                    (false, true) => hash::LISTPACK_EX,
                    (false, false) => hash::LISTPACK,
                };
                let mut items = NewItems::default();
                for field in &fields {
                    let (member, payload) = (&*field.field, &*field.value);
                    items.push(Item { member, payload, deadline_ms: field.deadline_ms });
                }
                NewValue::Items(ValueKind::Hash.shape(encoding), items)
            }
            Object::Stream(data) => {
                let stream = stream::from_payload(&data, encodings, hasher)?;
                NewValue::Stream(Box::new(Collection::Stream(stream)))
            }
        })
    }

    /// Stores it over whatever the key holds.
    pub fn put(self, unit: &mut Unit<'_>, key: &Key<'_>, expire_at_ms: Option<u64>) {
        match self {
            NewValue::String(string) => {
                return unit.put(key, NewString::Shared(string), expire_at_ms);
            }
            NewValue::Items(shape, items) => unit.put_edit(key, shape, items.edit()),
            NewValue::Zset(zset) => {
                zset.put(unit, key);
            }
            NewValue::Elements(shape, elements) => unit.put_edit(key, shape, elements.edit(false)),
            NewValue::Stream(stream) => {
                return unit.put_collection(key, ValueHandle::Collection(stream), expire_at_ms);
            }
            NewValue::Nothing => {
                unit.delete(key, DeleteReason::Command);
                return;
            }
        }
        if expire_at_ms.is_some() {
            unit.set_expiry(key, expire_at_ms);
        }
    }
}
