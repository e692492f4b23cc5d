//! Digests of data as Redis computes them, so that two servers can be compared.
//!
//! A digest is 20 bytes. SHA-1 of a text is mixed in by exclusive or where the order of parts must
//! not matter (keys of a database), and followed by SHA-1 over the digest itself where it must.

use sha1::{Digest as _, Sha1};

use crate::command::double::seventeen_digits;
use crate::engine::unit::{ValueRef, View};
use crate::value::view::AnyItem;

/// A digest under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Digest([u8; 20]);

impl Digest {
    /// Adds bytes, whatever was added before.
    fn add(&mut self, bytes: &[u8]) {
        self.combine(Digest(Sha1::digest(bytes).into()));
    }

    /// Adds bytes behind those that were added before.
    fn append(&mut self, bytes: &[u8]) {
        self.add(bytes);
        self.0 = Sha1::digest(self.0).into();
    }

    /// Adds the digest of a key, whatever keys were added before.
    pub fn add_key(&mut self, key: Digest) {
        self.add(&key.0);
    }

    fn combine(&mut self, other: Digest) {
        self.0.iter_mut().zip(other.0).for_each(|(byte, other)| *byte ^= other);
    }

    /// A database begins: its number matters.
    pub fn begin_database(&mut self, db: u32) {
        self.append(&db.to_be_bytes());
    }

    /// A key with its value and whether it has a deadline.
    pub fn of_key(key: &[u8], view: &View<'_>) -> Digest {
        let mut digest = Digest::default();
        digest.append(key);
        digest.add_value(view);
        digest
    }

    /// A value with whether it has a deadline.
    pub fn of_value(view: &View<'_>) -> Digest {
        let mut digest = Digest::default();
        digest.add_value(view);
        digest
    }

    fn add_value(&mut self, view: &View<'_>) {
        self.append(&(view.value.kind() as u32).to_be_bytes());
        match view.value {
            ValueRef::String(value) => {
                let mut hash = Sha1::new();
                value.pieces(0, value.len()).for_each(|piece| hash.update(piece));
                self.combine(Digest(hash.finalize().into()));
                self.0 = Sha1::digest(self.0).into();
            }
            collection => collection.items().for_each(|item| self.add_item(&item)),
        }
        if view.expire_at_ms.is_some() {
            self.add(b"!!expire!!");
        }
    }

    fn add_item(&mut self, item: &AnyItem<'_>) {
        let mut pair = Digest::default();
        match item {
            AnyItem::Element(element) => return self.append(element),
            AnyItem::Member(member) => return self.add(member),
            AnyItem::Scored(score, member) => {
                pair.append(member);
                pair.append(seventeen_digits(*score).as_bytes());
            }
            AnyItem::Field(field) => {
                pair.append(field.member);
                pair.append(field.payload);
            }
            AnyItem::Entry(entry) => {
                self.append(format!("{}.{}", entry.id.ms, entry.id.seq).as_bytes());
                for (field, value) in entry.fields() {
                    self.append(field);
                    self.append(value);
                }
                return;
            }
            // Redis leaves groups out.
            AnyItem::Fact(_) => return,
        }
        self.add(&pair.0);
    }

    /// 40 hex digits.
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::string::StringRef;

    fn view(bytes: &'static [u8], expire_at_ms: Option<u64>) -> View<'static> {
        let value = ValueRef::String(StringRef::Flat { bytes, shared: None, raw: false });
        View::of_cold(expire_at_ms, 0, value)
    }

    /// What a Valkey 8.1 answers to DEBUG DIGEST-VALUE and DEBUG DIGEST over the same data.
    #[test]
    fn digests_are_those_of_redis() {
        let value = Digest::of_value(&view(b"value:0", None));
        assert_eq!(value.hex(), "c15f34c747bf411833c10208c03e1da1bb7da7cf");
        let data = [
            (&b"pre:0"[..], &b"value:0\0\0\0"[..]),
            (b"pre:1", b"value:1\0\0\0"),
            (b"key:1", b"value:1"),
            (b"key:0", b"value:0"),
        ];
        let mut digest = Digest::default();
        digest.begin_database(0);
        for (key, bytes) in data {
            digest.add_key(Digest::of_key(key, &view(bytes, None)));
        }
        assert_eq!(digest.hex(), "37672f2262c943ff78ffa9a35cb9a54f3d4798d5");
    }

    #[test]
    fn a_deadline_counts_and_its_time_does_not() {
        let [never, soon, late] =
            [None, Some(1), Some(2)].map(|at| Digest::of_value(&view(b"x", at)));
        assert_ne!(never, soon);
        assert_eq!(soon, late);
    }
}
