//! Collections as readers see them, whether packed or in chunks.

use crate::types::ValueKind;
use crate::value::collection::Collection;
use crate::value::item::Item;
use crate::value::list::List;
use crate::value::members::Members;
use crate::value::packed;
use crate::value::packed_list::PackedList;
use crate::value::packed_members::PackedMembers;
use crate::value::score::{self, Scored};
use crate::value::stream_chunk::Entry;
use crate::value::stream_fact::Fact;
use crate::value::stream_id::StreamId;
use crate::value::zset::Zset;

/// A hash or a set.
#[derive(Clone, Copy, Debug)]
pub enum MembersRef<'a> {
    /// Small.
    Packed(PackedMembers<'a>),
    /// Large.
    Large(&'a Members),
}

impl<'a> MembersRef<'a> {
    /// Number of members. O(n) when small, else O(1).
    pub fn len(&self) -> u64 {
        match self {
            MembersRef::Packed(members) => members.len() as u64,
            MembersRef::Large(members) => members.len(),
        }
    }

    /// Whether there are no members.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The item of a member. O(n) when small, else O(log n).
    pub fn get(&self, member: &[u8]) -> Option<Item<'a>> {
        match self {
            MembersRef::Packed(members) => members.get(member),
            MembersRef::Large(members) => members.get(member),
        }
    }

    /// The item in place `index` of the order of [`MembersRef::iter`].
    pub fn at(&self, index: u64) -> Option<Item<'a>> {
        match self {
            MembersRef::Packed(members) => members.at(usize::try_from(index).ok()?),
            MembersRef::Large(members) => members.at_rank(index),
        }
    }

    /// All items, in the order in which they were put in when small, else in none.
    pub fn iter(&self) -> Box<dyn Iterator<Item = Item<'a>> + 'a> {
        match self {
            MembersRef::Packed(members) => Box::new(members.iter()),
            MembersRef::Large(members) => Box::new(members.iter()),
        }
    }

    /// Calls `each` with all items, in the order of [`MembersRef::iter`], at less cost.
    pub fn for_each(&self, each: impl FnMut(Item<'a>)) {
        match self {
            MembersRef::Packed(members) => members.iter().for_each(each),
            MembersRef::Large(members) => members.iter().for_each(each),
        }
    }
}

/// A sorted set.
#[derive(Clone, Copy, Debug)]
pub enum ZsetRef<'a> {
    /// Small.
    Packed(PackedMembers<'a>),
    /// Large.
    Large(&'a Zset),
}

impl<'a> ZsetRef<'a> {
    /// Number of members. O(n) when small, else O(1).
    pub fn len(&self) -> u64 {
        match self {
            ZsetRef::Packed(members) => members.len() as u64,
            ZsetRef::Large(zset) => zset.len(),
        }
    }

    /// Whether there are no members.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The score of a member.
    pub fn score(&self, member: &[u8]) -> Option<f64> {
        match self {
            ZsetRef::Packed(members) => members.get(member).map(|item| scored(item).0),
            ZsetRef::Large(zset) => zset.score(member),
        }
    }

    /// The rank of a member from the lowest, from 0, and its score.
    pub fn rank(&self, member: &[u8]) -> Option<(u64, f64)> {
        match self {
            ZsetRef::Packed(members) => {
                let mut items = (0..).zip(members.iter());
                let (rank, item) = items.find(|(_, item)| item.member == member)?;
                Some((rank, scored(item).0))
            }
            ZsetRef::Large(zset) => zset.rank(member),
        }
    }

    /// Number of members with a score below `score`, or with that score too.
    pub fn count_below(&self, score: f64, or_equal: bool) -> u64 {
        match self {
            ZsetRef::Packed(members) => {
                let below = |own: f64| own < score || or_equal && own == score;
                members.iter().take_while(|item| below(scored(*item).0)).count() as u64
            }
            ZsetRef::Large(zset) => zset.count_below(score, or_equal),
        }
    }

    /// Number of members below `member` in the order of bytes, or equal to it, where all have one
    /// score; any number up to the length where they have not.
    pub fn count_below_lex(&self, member: &[u8], or_equal: bool) -> u64 {
        match self {
            ZsetRef::Packed(members) => {
                let below = |own: &[u8]| own < member || or_equal && own == member;
                members.iter().take_while(|item| below(item.member)).count() as u64
            }
            ZsetRef::Large(zset) => zset.count_below_lex(member, or_equal),
        }
    }

    /// Members with their scores upwards, from the lowest that has at least this score.
    pub fn iter_from_score(&self, score: f64) -> Box<dyn Iterator<Item = Scored<'a>> + 'a> {
        match self {
            ZsetRef::Packed(members) => {
                let below = move |item: &Scored<'_>| item.0 < score;
                Box::new(members.iter().map(scored).skip_while(below))
            }
            ZsetRef::Large(zset) => Box::new(zset.iter_from_score(score)),
        }
    }

    /// Members with their scores from a rank on, upwards or, in `reverse`, downwards. Ranks count
    /// from the lowest in both cases.
    pub fn iter_from_rank(
        &self,
        rank: u64,
        reverse: bool,
    ) -> Box<dyn Iterator<Item = Scored<'a>> + 'a> {
        match self {
            ZsetRef::Packed(members) => {
                let rank = usize::try_from(rank).unwrap_or(usize::MAX);
                if !reverse {
                    return Box::new(members.iter().skip(rank).map(scored));
                }
                let upwards: Vec<Scored<'a>> =
                    members.iter().take(rank.saturating_add(1)).map(scored).collect();
                Box::new(upwards.into_iter().rev())
            }
            ZsetRef::Large(zset) => Box::new(zset.iter_from_rank(rank, reverse)),
        }
    }
}

fn scored(item: Item<'_>) -> Scored<'_> {
    (score::decode(item.payload).unwrap_or_default(), item.member)
}

/// A list.
#[derive(Clone, Copy, Debug)]
pub enum ListRef<'a> {
    /// Small.
    Packed(PackedList<'a>),
    /// Large.
    Large(&'a List),
}

impl<'a> ListRef<'a> {
    /// Number of elements. O(n) when small, else O(1).
    pub fn len(&self) -> u64 {
        match self {
            ListRef::Packed(list) => list.len() as u64,
            ListRef::Large(list) => list.len(),
        }
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The element in place `index`.
    pub fn get(&self, index: u64) -> Option<&'a [u8]> {
        match self {
            ListRef::Packed(list) => list.get(usize::try_from(index).ok()?),
            ListRef::Large(list) => list.get(index),
        }
    }

    /// Elements from place `index` on, towards the tail or, in `reverse`, towards the head.
    pub fn iter_from(&self, index: u64, reverse: bool) -> Box<dyn Iterator<Item = &'a [u8]> + 'a> {
        match self {
            ListRef::Packed(list) => {
                let index = usize::try_from(index).unwrap_or(usize::MAX);
                if !reverse {
                    return Box::new(list.iter().skip(index));
                }
                let behind = list.len().saturating_sub(index.saturating_add(1));
                Box::new(list.iter().rev().skip(behind))
            }
            ListRef::Large(list) => Box::new(list.iter_from(index, reverse)),
        }
    }
}

/// One item of any collection.
#[derive(Clone, Copy, Debug)]
pub enum AnyItem<'a> {
    /// An element of a list.
    Element(&'a [u8]),
    /// A member of a set.
    Member(&'a [u8]),
    /// A member of a sorted set.
    Scored(f64, &'a [u8]),
    /// A field of a hash.
    Field(Item<'a>),
    /// An entry of a stream.
    Entry(Entry<'a>),
    /// What a stream knows about its groups.
    Fact(Fact<'a>),
}

impl<'a> AnyItem<'a> {
    /// An item of a hash, a set or a sorted set.
    pub fn of(kind: ValueKind, item: Item<'a>) -> AnyItem<'a> {
        match kind {
            ValueKind::Hash => AnyItem::Field(item),
            ValueKind::Zset => AnyItem::Scored(scored(item).0, item.member),
            ValueKind::Stream => match Fact::decode(&item) {
                Some(fact) => AnyItem::Fact(fact),
                None => AnyItem::Member(item.member),
            },
            _ => AnyItem::Member(item.member),
        }
    }
}

/// The items of a packed collection, in its order where it has one.
pub fn packed_items<'a>(blob: &'a [u8]) -> Box<dyn Iterator<Item = AnyItem<'a>> + 'a> {
    match packed::kind(blob) {
        Some(ValueKind::List) => Box::new(PackedList::new(blob).iter().map(AnyItem::Element)),
        Some(kind) => {
            Box::new(PackedMembers::new(blob).iter().map(move |item| AnyItem::of(kind, item)))
        }
        None => Box::new(std::iter::empty()),
    }
}

/// The items of a large collection, in its order where it has one.
pub fn items(collection: &Collection) -> Box<dyn Iterator<Item = AnyItem<'_>> + '_> {
    match collection {
        Collection::List(list) => Box::new(list.iter_from(0, false).map(AnyItem::Element)),
        Collection::Set(members) => Box::new(members.iter().map(|i| AnyItem::Member(i.member))),
        Collection::Hash(members) => Box::new(members.iter().map(AnyItem::Field)),
        Collection::Stream(stream) => {
            let entries = stream.range(StreamId::ZERO, StreamId::MAX).map(AnyItem::Entry);
            Box::new(entries.chain(stream.known_facts().map(AnyItem::Fact)))
        }
        Collection::Zset(zset) => {
            let scored = zset.iter_from_rank(0, false);
            Box::new(scored.map(|(score, member)| AnyItem::Scored(score, member)))
        }
    }
}
