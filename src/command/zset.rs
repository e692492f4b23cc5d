//! Sorted sets between the keyspace and commands.

use crate::engine::unit::{Key, Unit, View};
use crate::format::record::DeleteReason;
use crate::types::ValueKind;
use crate::value::item::Item;
use crate::value::score::{self, Scored};
use crate::value::view::ZsetRef;

use super::collection::{NewItems, encoding_of, zset_of};
use super::encodings::{Encodings, zset};
use super::spec::Failure;

/// The sorted set that a command reads, none where there is no key.
pub fn read_zset<'u>(
    unit: &'u mut Unit<'_>,
    key: &Key<'_>,
) -> Result<Option<ZsetRef<'u>>, Failure> {
    unit.get(key).map(|view| zset_of(&view)).transpose()
}

/// How many members there are, and how Redis would keep them. Followed member by member, because
/// it depends on the way there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Form {
    /// Number of members.
    pub len: u64,
    /// The encoding ([`zset`]).
    pub encoding: u8,
}

impl Form {
    /// Of a live key that holds a sorted set.
    pub fn of(view: &View<'_>) -> Result<Form, Failure> {
        Ok(Form { len: zset_of(view)?.len(), encoding: encoding_of(view.value) })
    }

    /// Of an empty sorted set to which about so many members come, the first so long.
    pub fn new(encodings: &Encodings, count: u64, first_bytes: usize) -> Form {
        let mut form = Form { len: 0, encoding: zset::LISTPACK };
        form.expect(encodings, count);
        form.hold(encodings, first_bytes);
        form
    }

    /// So many members are announced.
    pub fn expect(&mut self, encodings: &Encodings, count: u64) {
        if count > encodings.zset_entries {
            self.encoding = zset::SKIPLIST;
        }
    }

    /// A new member comes.
    pub fn add(&mut self, encodings: &Encodings, member: &[u8]) {
        self.len += 1;
        self.expect(encodings, self.len);
        self.hold(encodings, member.len());
    }

    fn hold(&mut self, encodings: &Encodings, member_bytes: usize) {
        if member_bytes as u64 > encodings.zset_value_bytes {
            self.encoding = zset::SKIPLIST;
        }
    }

    /// The score that is kept of this one: a listpack has integers, and so no negative zero.
    pub fn kept(&self, score: f64) -> f64 {
        if self.encoding == zset::LISTPACK { score + 0.0 } else { score }
    }

    /// The byte of kind and encoding.
    pub fn shape(&self) -> u8 {
        ValueKind::Zset.shape(self.encoding)
    }
}

/// A sorted set on its way to a key of its own.
pub struct NewZset {
    items: NewItems,
    form: Form,
}

impl NewZset {
    /// Of distinct members. The form is that of what is made and then put away: it does not depend
    /// on the way there.
    pub fn whole(encodings: &Encodings, members: &[Scored<'_>]) -> NewZset {
        let longest = members.iter().map(|(_, member)| member.len()).max().unwrap_or(0);
        let mut form = Form::new(encodings, members.len() as u64, longest);
        form.len = members.len() as u64;
        let mut items = NewItems::default();
        for (score, member) in members {
            push(&mut items, form.kept(*score), member);
        }
        NewZset { items, form }
    }

    /// Of distinct members, one after the other; `announced` is how many were expected.
    pub fn in_steps<'m>(
        encodings: &Encodings,
        announced: u64,
        members: impl Iterator<Item = Scored<'m>>,
    ) -> NewZset {
        let mut zset =
            NewZset { items: NewItems::default(), form: Form::new(encodings, announced, 0) };
        for (score, member) in members {
            zset.form.add(encodings, member);
            push(&mut zset.items, zset.form.kept(score), member);
        }
        zset
    }

    /// Puts it at a key, whatever that held: an empty one deletes the key. Its number of members.
    pub fn put(&self, unit: &mut Unit<'_>, key: &Key<'_>) -> u64 {
        if self.form.len == 0 {
            unit.delete(key, DeleteReason::Command);
        } else {
            unit.put_edit(key, self.form.shape(), self.items.edit());
        }
        self.form.len
    }
}

/// Adds a member with its score to what is logged.
pub fn push(items: &mut NewItems, score: f64, member: &[u8]) {
    items.push(Item::new(member, &score::encode(score)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_grows_out_of_a_listpack_and_never_back() {
        let encodings = Encodings::default();
        let mut form = Form::new(&encodings, 1, 64);
        for number in 1..=128 {
            form.add(&encodings, b"m");
            assert_eq!(form, Form { len: number, encoding: zset::LISTPACK });
        }
        assert_eq!(form.kept(-0.0).to_bits(), 0);
        form.add(&encodings, b"m");
        assert_eq!(form, Form { len: 129, encoding: zset::SKIPLIST });
        assert_eq!(form.kept(-0.0).to_bits(), (-0.0f64).to_bits());
        form.len = 1;
        form.expect(&encodings, 1);
        assert_eq!(form.encoding, zset::SKIPLIST);
        assert_eq!(Form::new(&encodings, 1, 65).encoding, zset::SKIPLIST);
        assert_eq!(Form::new(&encodings, 129, 1).encoding, zset::SKIPLIST);
    }
}
