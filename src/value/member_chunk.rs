//! A chunk of a large hash, set or sorted set: members whose hashes lie in one range.
//!
//! On disk a chunk is its items (item.rs), one behind the other, in no order. In memory a column of
//! tags, 16 bits of each member's hash, finds a member without a look at the others, and a column
//! of offsets, one for every few items, finds its place. A removed item is replaced by the last
//! one, so that there are never holes and encoding is a copy.
//!
//! Tags are the highest bits in which hashes of the range differ, so that they tell where to split
//! it. The halves keep them, with a bit fewer that differ, until there are too few.

use siphasher::sip::SipHasher13;
use smallvec::SmallVec;

use crate::limits::{MEMBER_CHUNK_BYTES_MAX, MEMBER_CHUNK_ITEMS_MAX};
use crate::prefetch::{prefetch_bytes, prefetch_line};
use crate::types::HashSeed;
use crate::value::chunks::Chunk;
use crate::value::item::{Item, Lengths};

/// Every so many items one offset is kept; in between, items are walked.
const STRIDE: usize = 4;
/// Offsets of a full chunk.
const STARTS_MAX: usize = MEMBER_CHUNK_ITEMS_MAX / STRIDE;
/// Tags that are compared at once.
const LANES: usize = 32;
/// Tags that are compared at once among what is left of those.
const LANES_LEFT: usize = 8;
/// A chunk is split by its tags while they can take at least so many values.
const TAG_VALUES_MIN: u64 = 1 << 13;
/// Bytes of items that are brought near at once.
const PREFETCH_BYTES_MAX: usize = 256;
/// Bits of a hash that a scan cursor leaves out, so that cursors stay below 2^53.
pub const GRANULE_BITS: u32 = 11;

/// The keyed hash of members.
#[derive(Clone, Copy, Debug)]
pub struct MemberHasher(SipHasher13);

impl MemberHasher {
    /// The hash under a database's seed.
    pub fn new(seed: HashSeed) -> MemberHasher {
        MemberHasher(SipHasher13::new_with_key(&seed.0))
    }

    /// Hash of a member.
    #[inline]
    pub fn hash(&self, member: &[u8]) -> u64 {
        self.0.hash(member)
    }
}

/// Which bits of hashes are tags, where the hashes are those of a range.
fn tag_shift((low, high): (u64, u64)) -> u32 {
    let differing = u64::BITS - (high - low).leading_zeros();
    differing.saturating_sub(u16::BITS).max(GRANULE_BITS)
}

/// An item of a chunk with its hash, and where it stands.
struct Placed {
    /// Whole, or what tags know of it: lower bits are 0 then.
    hash: u64,
    start: u32,
    end: u32,
}

impl Placed {
    fn granule(&self) -> u64 {
        self.hash >> GRANULE_BITS
    }
}

/// Where a chunk of too many items is cut: in the middle, around which they are put in order. None
/// where their bytes decide, or the middle lies within a granule.
fn middle_edge(placed: &mut [Placed]) -> Option<usize> {
    if placed.len() <= MEMBER_CHUNK_ITEMS_MAX {
        return None;
    }
    let middle = placed.len() / 2;
    let (lower, first, _) = placed.select_nth_unstable_by_key(middle, |one| one.hash);
    lower.iter().all(|one| one.granule() != first.granule()).then_some(middle)
}

/// Members of one range of hashes. See the module.
#[derive(Clone, Debug)]
pub struct MemberChunk {
    /// 16 bits of each member's hash, in the order of the items.
    ///
    /// This and the offsets stand inside the chunk itself: a lookup in a cold chunk waits for
    /// memory, and each pointer to follow is one wait more.
    tags: SmallVec<[u16; MEMBER_CHUNK_ITEMS_MAX]>,
    /// Where those bits begin; at least [`GRANULE_BITS`].
    shift: u32,
    /// Offset of every fourth item.
    starts: SmallVec<[u32; STARTS_MAX]>,
    data: Vec<u8>,
    /// Earliest deadline; `u64::MAX` when there is none.
    next_deadline_ms: u64,
}

impl Default for MemberChunk {
    /// An empty chunk of all hashes.
    fn default() -> MemberChunk {
        MemberChunk::empty(tag_shift((0, u64::MAX)))
    }
}

impl Chunk for MemberChunk {
    fn encode_items(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.data);
    }

    fn memory_bytes(&self) -> u64 {
        let spilled = match self.tags.spilled() {
            true => self.tags.capacity() * 2 + self.starts.capacity() * 4,
            false => 0,
        };
        (size_of::<MemberChunk>() + spilled + self.data.capacity()) as u64
    }

    fn count(&self) -> u64 {
        self.tags.len() as u64
    }
}

impl MemberChunk {
    fn empty(shift: u32) -> MemberChunk {
        MemberChunk {
            tags: SmallVec::new(),
            shift,
            starts: SmallVec::new(),
            data: Vec::new(),
            next_deadline_ms: u64::MAX,
        }
    }

    fn tag(&self, hash: u64) -> u16 {
        (hash >> self.shift) as u16
    }

    /// A chunk from a disk, whose members hash to `low..=high` and have items that `valid` takes.
    /// None where a member does not, stands there twice, or is cut short.
    pub fn decode(
        bytes: &[u8],
        hasher: &MemberHasher,
        (low, high): (u64, u64),
        valid: impl Fn(&Item<'_>) -> bool,
    ) -> Option<MemberChunk> {
        u32::try_from(bytes.len()).ok()?;
        let mut chunk = MemberChunk::empty(tag_shift((low, high)));
        chunk.data = bytes.to_vec();
        let mut hashes = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let (item, end) = Item::decode(bytes, at)?;
            let hash = hasher.hash(item.member);
            if !(low..=high).contains(&hash) || !valid(&item) {
                return None;
            }
            chunk.push_tag(chunk.tag(hash), at);
            chunk.note_deadline(&item);
            hashes.push((hash, item.member));
            at = end;
        }
        hashes.sort_unstable();
        let twice = hashes.windows(2).any(|pair| pair[0] == pair[1]);
        (!twice).then_some(chunk)
    }

    /// Number of items.
    pub fn len(&self) -> usize {
        self.tags.len()
    }

    /// Whether there are no items.
    pub fn is_empty(&self) -> bool {
        self.tags.is_empty()
    }

    /// Encoded bytes of all items.
    pub fn data_bytes(&self) -> usize {
        self.data.len()
    }

    /// Whether it holds more than a chunk may.
    pub fn is_over(&self) -> bool {
        let (items, bytes) = (self.len(), self.data.len());
        items > MEMBER_CHUNK_ITEMS_MAX || (bytes > MEMBER_CHUNK_BYTES_MAX && items > 1)
    }

    /// Earliest deadline of an item, in Unix milliseconds.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        Some(self.next_deadline_ms).filter(|deadline| *deadline != u64::MAX)
    }

    /// The item at `at` and its end.
    #[inline]
    fn item_at(&self, at: usize) -> (Item<'_>, usize) {
        Item::decode(&self.data, at).expect("a chunk holds whole items")
    }

    /// The lengths of the item at `at`, and where its bytes begin.
    #[inline]
    fn lengths_at(&self, at: usize) -> (Lengths, usize) {
        Lengths::decode(&self.data, at).expect("a chunk holds whole items")
    }

    /// Offset of the item with this index.
    #[inline]
    fn start(&self, index: usize) -> usize {
        let walked = 0..index % STRIDE;
        walked.fold(self.starts[index / STRIDE] as usize, |at, _| {
            let (lengths, body) = self.lengths_at(at);
            body + lengths.body()
        })
    }

    /// The item with this index, in an order that changes with every edit.
    pub fn at(&self, index: usize) -> Option<Item<'_>> {
        (index < self.len()).then(|| self.item_at(self.start(index)).0)
    }

    /// All items.
    pub fn iter(&self) -> impl Iterator<Item = Item<'_>> {
        let mut at = 0;
        self.tags.iter().map(move |_| {
            let (item, end) = self.item_at(at);
            at = end;
            item
        })
    }

    /// Index and offset of a member.
    #[inline]
    pub fn find(&self, hash: u64, member: &[u8]) -> Option<(usize, usize)> {
        let tag = self.tag(hash);
        let mut from = 0;
        loop {
            let index = from + position(&self.tags[from..], tag)?;
            let at = self.start(index);
            let (lengths, body) = self.lengths_at(at);
            if self.data[body..body + lengths.member] == *member {
                return Some((index, at));
            }
            from = index + 1;
        }
    }

    /// Index where a member with this hash is likely to stand.
    #[inline]
    pub fn likely_index(&self, hash: u64) -> Option<usize> {
        position(&self.tags, self.tag(hash))
    }

    /// Starts to bring the place of a new item into the cache.
    #[inline]
    pub fn prefetch_end(&self) {
        prefetch_line(self.data.as_ptr().wrapping_add(self.data.len()));
    }

    /// Starts to bring the item with this index into the cache.
    #[inline]
    pub fn prefetch(&self, index: usize) {
        let Some(from) = self.starts.get(index / STRIDE).map(|from| *from as usize) else {
            return;
        };
        let next = self.starts.get(index / STRIDE + 1);
        let end = next.map_or(self.data.len(), |next| *next as usize);
        prefetch_bytes(&self.data[from..end.min(from + PREFETCH_BYTES_MAX)]);
    }

    /// The item of a member with this hash.
    #[inline]
    pub fn get(&self, hash: u64, member: &[u8]) -> Option<Item<'_>> {
        let (_, at) = self.find(hash, member)?;
        Some(self.item_at(at).0)
    }

    /// Puts an item in place of the one with its member. Whether there was none.
    pub fn put(&mut self, hash: u64, item: &Item<'_>) -> bool {
        let Some((index, at)) = self.find(hash, item.member) else {
            self.push(self.tag(hash), item);
            return true;
        };
        let (old, end) = self.item_at(at);
        let old_deadline_ms = old.deadline_ms;
        let payload_at = end - old.payload.len();
        if old.payload.len() == item.payload.len()
            && old_deadline_ms.is_some() == item.deadline_ms.is_some()
        {
            // The lengths in front stay as they are, and so does the member.
            self.data[payload_at..end].copy_from_slice(item.payload);
            if let Some(deadline_ms) = item.deadline_ms {
                let bytes = deadline_ms.to_le_bytes();
                self.data[payload_at - bytes.len()..payload_at].copy_from_slice(&bytes);
            }
            self.note_deadline(item);
            self.forget_deadline(old_deadline_ms);
        } else {
            self.remove_at(index, at);
            self.push(self.tag(hash), item);
        }
        false
    }

    /// Takes out a member that [`MemberChunk::find`] has found.
    pub fn remove(&mut self, (index, at): (usize, usize)) {
        self.remove_at(index, at);
        if self.data.capacity() > 2 * self.data.len() + 64 {
            self.data.shrink_to(roomy(self.data.len()));
        }
    }

    fn push(&mut self, tag: u16, item: &Item<'_>) {
        self.push_tag(tag, self.data.len());
        self.note_deadline(item);
        reserve(&mut self.data, item.encoded_len());
        item.encode(&mut self.data);
    }

    /// Enters an item that stands, or is to stand, at `at` behind all others.
    fn push_tag(&mut self, tag: u16, at: usize) {
        if self.tags.len().is_multiple_of(STRIDE) {
            self.starts.push(offset(at));
        }
        self.tags.push(tag);
    }

    /// Takes the item `index` out of its place `at`; the last item moves there.
    fn remove_at(&mut self, index: usize, at: usize) {
        let last = self.len() - 1;
        let (item, end) = self.item_at(at);
        let deadline_ms = item.deadline_ms;
        if index == last {
            self.data.truncate(at);
        } else {
            let last_at = self.start(last);
            let (old_len, new_len) = (end - at, self.data.len() - last_at);
            if old_len == new_len {
                self.data.copy_within(last_at.., at);
                self.data.truncate(last_at);
            } else {
                self.data[at..].rotate_right(new_len);
                self.data.drain(at + new_len..end + new_len);
                let change = offset(new_len).wrapping_sub(offset(old_len));
                let behind = &mut self.starts[index / STRIDE + 1..];
                behind.iter_mut().for_each(|start| *start = start.wrapping_add(change));
            }
        }
        self.tags.swap_remove(index);
        if last.is_multiple_of(STRIDE) {
            self.starts.pop();
        }
        self.forget_deadline(deadline_ms);
    }

    fn note_deadline(&mut self, item: &Item<'_>) {
        let deadline_ms = item.deadline_ms.unwrap_or(u64::MAX);
        self.next_deadline_ms = self.next_deadline_ms.min(deadline_ms);
    }

    /// Looks for the earliest deadline anew, after an item with this one has left.
    fn forget_deadline(&mut self, deadline_ms: Option<u64>) {
        if deadline_ms == Some(self.next_deadline_ms) {
            let earliest = self.iter().filter_map(|item| item.deadline_ms).min();
            self.next_deadline_ms = earliest.unwrap_or(u64::MAX);
        }
    }

    /// Takes in all items of another chunk, which has none of these members.
    pub fn absorb(&mut self, other: &MemberChunk, hasher: &MemberHasher) {
        let is_alike = self.shift == other.shift;
        for (tag, item) in other.tags.iter().zip(other.iter()) {
            let tag = if is_alike { *tag } else { self.tag(hasher.hash(item.member)) };
            self.push(tag, &item);
        }
    }

    /// Cuts off the upper part of the range `low..=high`: its lowest hash and its chunk. None
    /// where all hashes are of one granule.
    pub fn split(
        &mut self,
        hasher: &MemberHasher,
        (low, high): (u64, u64),
    ) -> Option<(u64, MemberChunk)> {
        if let Some(mut placed) = self.placed_by_tags((low, high))
            && let Some(cut) = middle_edge(&mut placed)
        {
            let edge = placed[cut].hash;
            let upper = self.selected(&placed[cut..], self.shift);
            *self = self.selected(&placed[..cut], self.shift);
            return Some((edge, upper));
        }
        let mut placed = self.placed(hasher, 0);
        let cut = middle_edge(&mut placed).or_else(|| self.any_edge(&mut placed))?;
        let edge = placed[cut].granule() << GRANULE_BITS;
        let upper = self.selected(&placed[cut..], tag_shift((edge, high)));
        *self = self.selected(&placed[..cut], tag_shift((low, edge - 1)));
        Some((edge, upper))
    }

    /// Places of all items with what their tags know of hashes in this range; none where that is
    /// too little, or the range is larger than they can tell.
    fn placed_by_tags(&self, (low, high): (u64, u64)) -> Option<Vec<Placed>> {
        let first = low >> self.shift;
        let last_value = (high >> self.shift) - first;
        if !(TAG_VALUES_MIN - 1..=u64::from(u16::MAX)).contains(&last_value) {
            return None;
        }
        let mut at = 0;
        let place = |tag: &u16| {
            let (lengths, body) = self.lengths_at(at);
            let start = std::mem::replace(&mut at, body + lengths.body());
            let above_first = u64::from(tag.wrapping_sub(first as u16));
            let hash = (first + above_first) << self.shift;
            Placed { hash, start: offset(start), end: offset(at) }
        };
        Some(self.tags.iter().map(place).collect())
    }

    /// The edge between two granules next to the middle of the bytes; the items are sorted.
    fn any_edge(&self, placed: &mut [Placed]) -> Option<usize> {
        placed.sort_unstable_by_key(|one| one.hash);
        let bytes = placed.iter().scan(0, |sum, one| {
            *sum += (one.end - one.start) as usize;
            Some(*sum)
        });
        let middle = bytes.take_while(|sum| 2 * *sum < self.data.len()).count() + 1;
        let middle = middle.clamp(1, placed.len().max(1));
        let edge = |index: &usize| placed[*index].granule() != placed[*index - 1].granule();
        (middle..placed.len()).find(edge).or_else(|| (1..middle).rev().find(edge))
    }

    fn selected(&self, placed: &[Placed], shift: u32) -> MemberChunk {
        let mut chunk = MemberChunk::empty(shift);
        let bytes: usize = placed.iter().map(|one| (one.end - one.start) as usize).sum();
        chunk.data.reserve_exact(roomy(bytes));
        for one in placed {
            chunk.push_tag(chunk.tag(one.hash), chunk.data.len());
            chunk.data.extend_from_slice(&self.data[one.start as usize..one.end as usize]);
        }
        // Looked for only where there are any.
        chunk.next_deadline_ms = self.next_deadline_ms;
        chunk.forget_deadline(self.next_deadline_ms());
        chunk
    }

    /// Places of the items whose hash is `low` or above.
    fn placed(&self, hasher: &MemberHasher, low: u64) -> Vec<Placed> {
        let mut placed = Vec::with_capacity(self.len());
        let mut at = 0;
        while at < self.data.len() {
            let (item, end) = self.item_at(at);
            let hash = hasher.hash(item.member);
            if hash >= low {
                placed.push(Placed { hash, start: offset(at), end: offset(end) });
            }
            at = end;
        }
        placed
    }

    /// Items whose hash is `low` or above, in the order of hashes, with their hashes.
    pub fn from_hash(
        &self,
        hasher: &MemberHasher,
        low: u64,
    ) -> impl Iterator<Item = (u64, Item<'_>)> {
        let mut placed = self.placed(hasher, low);
        placed.sort_unstable_by_key(|one| one.hash);
        placed.into_iter().map(|one| (one.hash, self.item_at(one.start as usize).0))
    }
}

/// Index of the first tag that is equal.
#[inline]
fn position(tags: &[u16], tag: u16) -> Option<usize> {
    let from = block_with::<LANES>(tags, tag)?;
    let block = &tags[from..tags.len().min(from + LANES)];
    let near = block_with::<LANES_LEFT>(block, tag)?;
    let index = block[near..].iter().position(|other| *other == tag)?;
    Some(from + near + index)
}

/// Where the first block begins that has the tag, of those that together are all tags; the last
/// ones overlap where they do not fit. None when it is nowhere; tags that are no block might have
/// it.
#[inline]
fn block_with<const N: usize>(tags: &[u16], tag: u16) -> Option<usize> {
    let Some(last) = tags.last_chunk::<N>() else { return Some(0) };
    let mut blocks = tags.as_chunks::<N>().0.iter();
    match blocks.position(|block| is_among(block, tag)) {
        Some(number) => Some(number * N),
        None => is_among(last, tag).then_some(tags.len() - N),
    }
}

/// Whether a tag is in a block; without branches, so that it becomes a few vector instructions.
#[inline]
fn is_among<const N: usize>(block: &[u16; N], tag: u16) -> bool {
    let found = |other: &u16| if *other == tag { u16::MAX } else { 0 };
    block.iter().fold(0, |any, other| any | found(other)) != 0
}

fn offset(at: usize) -> u32 {
    u32::try_from(at).expect("a chunk is smaller than 4 GiB")
}

/// Makes room for `more` bytes, without much to spare.
fn reserve(data: &mut Vec<u8>, more: usize) {
    let needed = data.len() + more;
    if needed > data.capacity() {
        data.reserve_exact(roomy(needed) - data.len());
    }
}

/// The next size that allocators serve without waste, four to each power of two, in bytes.
fn roomy(bytes: usize) -> usize {
    bytes.next_multiple_of((bytes.next_power_of_two() / 8).max(16))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    type Model = BTreeMap<Vec<u8>, (Vec<u8>, Option<u64>)>;

    /// The range of all hashes.
    const ALL: (u64, u64) = (0, u64::MAX);

    fn hasher() -> MemberHasher {
        MemberHasher::new(HashSeed([5; 16]))
    }

    fn item<'a>(member: &'a [u8], value: &'a (Vec<u8>, Option<u64>)) -> Item<'a> {
        Item { member, payload: &value.0, deadline_ms: value.1 }
    }

    fn assert_same(chunk: &MemberChunk, model: &Model) {
        let mut items: Vec<_> = chunk.iter().collect();
        items.sort_unstable_by_key(|item| item.member);
        assert!(items.into_iter().eq(model.iter().map(|(member, value)| item(member, value))));
        assert!((0..chunk.len()).map(|index| chunk.at(index)).eq(chunk.iter().map(Some)));
        assert_eq!(chunk.at(chunk.len()), None);
        for (member, value) in model {
            let found = chunk.get(hasher().hash(member), member);
            assert_eq!(found, Some(item(member, value)));
        }
        let deadlines = model.values().filter_map(|value| value.1);
        assert_eq!(chunk.next_deadline_ms(), deadlines.min());
    }

    fn decoded(bytes: &[u8]) -> Option<MemberChunk> {
        MemberChunk::decode(bytes, &hasher(), ALL, |_| true)
    }

    fn encoded(chunk: &MemberChunk) -> Vec<u8> {
        let mut bytes = Vec::new();
        chunk.encode_items(&mut bytes);
        bytes
    }

    fn value() -> impl Strategy<Value = (Vec<u8>, Option<u64>)> {
        let payload = prop_oneof![
            4 => prop::collection::vec(any::<u8>(), 5),
            2 => prop::collection::vec(any::<u8>(), 0..200),
        ];
        (payload, prop_oneof![3 => Just(None), 1 => (0..1000u64).prop_map(Some)])
    }

    /// A member with its new value, or none for one that goes.
    type Edit = (u32, Option<(Vec<u8>, Option<u64>)>);

    fn edits() -> impl Strategy<Value = Vec<Edit>> {
        prop::collection::vec((0..1000u32, prop::option::weighted(0.8, value())), 0..900)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn it_holds_what_a_map_holds(
            edits in edits(),
        ) {
            let mut chunk = MemberChunk::default();
            let mut model = Model::new();
            for (number, value) in edits {
                let member = number.to_string().into_bytes();
                let hash = hasher().hash(&member);
                match value {
                    Some(value) => {
                        let is_new = chunk.put(hash, &item(&member, &value));
                        prop_assert_eq!(is_new, model.insert(member, value).is_none());
                    }
                    None => {
                        let found = chunk.find(hash, &member);
                        let removed = found.map(|found| chunk.remove(found)).is_some();
                        prop_assert_eq!(removed, model.remove(&member).is_some());
                    }
                }
            }
            assert_same(&chunk, &model);
            assert_same(&decoded(&encoded(&chunk)).unwrap(), &model);
            let before = (chunk.len(), chunk.data_bytes());
            let Some((low, upper)) = chunk.split(&hasher(), ALL) else {
                prop_assert!(model.len() < 2);
                return Ok(());
            };
            let (lower_model, upper_model): (Model, Model) =
                model.clone().into_iter().partition(|(member, _)| hasher().hash(member) < low);
            assert_same(&chunk, &lower_model);
            assert_same(&upper, &upper_model);
            prop_assert!(!chunk.is_empty() && !upper.is_empty() && low % 2048 == 0);
            if before.0 > MEMBER_CHUNK_ITEMS_MAX {
                prop_assert!(chunk.len().abs_diff(upper.len()) <= 1, "halves");
            } else {
                let uneven = chunk.data_bytes().abs_diff(upper.data_bytes());
                prop_assert!(uneven <= 2 * 220, "halves but for one item");
            }
            prop_assert_eq!(chunk.data_bytes() + upper.data_bytes(), before.1);
            chunk.absorb(&upper, &hasher());
            assert_same(&chunk, &model);
        }

        #[test]
        fn damaged_chunks_are_refused_or_whole(
            count in 0..20u32, at in any::<prop::sample::Index>(), change in any::<u8>(),
            cut in any::<bool>(),
        ) {
            let mut chunk = MemberChunk::default();
            for number in 0..count {
                let member = number.to_string().into_bytes();
                chunk.put(hasher().hash(&member), &Item::new(&member, &member));
            }
            let mut bytes = encoded(&chunk);
            bytes.push(0);
            let at = at.index(bytes.len());
            bytes[at] ^= change;
            bytes.truncate(if cut { at } else { bytes.len() - 1 });
            if let Some(chunk) = decoded(&bytes) {
                prop_assert_eq!(encoded(&chunk), bytes);
                for item in chunk.iter() {
                    prop_assert_eq!(chunk.get(hasher().hash(item.member), item.member), Some(item));
                }
            }
        }
    }

    #[test]
    fn tags_tell_where_to_split_until_too_few_bits_differ() {
        let (mut chunk, mut range, mut number) = (MemberChunk::default(), ALL, 0_u64);
        let mut by_tags = Vec::new();
        for _ in 0..12 {
            while !chunk.is_over() {
                number += 1;
                let hash = hasher().hash(&number.to_le_bytes());
                if (range.0..=range.1).contains(&hash) {
                    chunk.put(hash, &Item::new(&number.to_le_bytes(), b""));
                }
            }
            let placed = chunk.placed_by_tags(range);
            by_tags.push(placed.is_some());
            for (one, whole) in placed.iter().flatten().zip(chunk.placed(&hasher(), 0)) {
                assert_eq!(one.hash, whole.hash >> chunk.shift << chunk.shift);
                assert_eq!((one.start, one.end), (whole.start, whole.end));
            }
            let (edge, upper) = chunk.split(&hasher(), range).expect("many granules");
            let hashes = |chunk: &MemberChunk| {
                chunk.placed(&hasher(), 0).into_iter().map(|one| one.hash).collect::<Vec<_>>()
            };
            assert!(hashes(&chunk).iter().all(|hash| (range.0..edge).contains(hash)));
            assert!(hashes(&upper).iter().all(|hash| (edge..=range.1).contains(hash)));
            // The tags of a range that begins and ends anywhere.
            (chunk, range) = match number % 2 {
                0 => (chunk, (range.0, edge - 1)),
                _ => (upper, (edge, range.1)),
            };
        }
        let count = by_tags.iter().filter(|by_tags| **by_tags).count();
        assert!((8..12).contains(&count) && by_tags[0], "{by_tags:?}");
        let outside = MemberChunk::empty(GRANULE_BITS);
        assert!(outside.placed_by_tags(ALL).is_none(), "more values than tags can tell");
    }

    #[test]
    fn the_first_equal_tag_is_found_wherever_it_stands() {
        for len in 0..100 {
            for index in 0..len {
                let tags: Vec<u16> = (0..len).map(|at| u16::from(at >= index)).collect();
                assert_eq!(position(&tags, 1), Some(index as usize), "of {len}");
            }
            assert_eq!(position(&vec![0; len as usize], 1), None);
        }
    }

    #[test]
    fn a_large_member_is_split_off() {
        let mut chunk = MemberChunk::default();
        let large = vec![7; 3 * MEMBER_CHUNK_BYTES_MAX];
        for number in 0..20u32 {
            let member = number.to_string().into_bytes();
            let payload = if number == 9 { &large[..] } else { b"small" };
            chunk.put(hasher().hash(&member), &Item::new(&member, payload));
        }
        let mut chunks = vec![chunk];
        while let Some(at) = chunks.iter().position(MemberChunk::is_over) {
            chunks.extend(chunks[at].clone().split(&hasher(), ALL).map(|(_, upper)| upper));
            chunks[at].split(&hasher(), ALL);
        }
        let lens: Vec<usize> = chunks.iter().map(MemberChunk::len).collect();
        assert!(lens.len() <= 3 && lens.contains(&1), "{lens:?}");
        assert_eq!(lens.iter().sum::<usize>(), 20);
    }

    #[test]
    fn members_twice_or_out_of_range_are_refused() {
        let mut chunk = MemberChunk::default();
        let hash = hasher().hash(b"member");
        chunk.put(hash, &Item::new(b"member", b"1"));
        let bytes = encoded(&chunk);
        assert!(decoded(&bytes).is_some());
        assert!(decoded(&[&bytes[..], &bytes].concat()).is_none());
        let read = |range| MemberChunk::decode(&bytes, &hasher(), range, |_| true).is_some();
        assert!(read((hash, hash)) && !read((hash + 1, u64::MAX)) && !read((0, hash - 1)));
        assert!(MemberChunk::decode(&bytes, &hasher(), (0, hash), |_| false).is_none());
    }

    #[test]
    fn memory_of_removed_items_is_given_back() {
        let mut chunk = MemberChunk::default();
        let members: Vec<Vec<u8>> = (0..200u32).map(|number| number.to_string().into()).collect();
        for member in &members {
            chunk.put(hasher().hash(member), &Item::new(member, b"twenty bytes of value"));
        }
        for member in &members[10..] {
            let found = chunk.find(hasher().hash(member), member);
            chunk.remove(found.unwrap());
        }
        assert!(chunk.data.capacity() <= 2 * chunk.data_bytes() + 64);
    }

    #[test]
    fn members_of_one_granule_stay_together() {
        // Found by a search for a collision.
        let pair = [0x0019_b751_cac9_f28c_u64, 0x0007_bb5f_b69c_8416].map(u64::to_le_bytes);
        let granules = pair.map(|member| hasher().hash(&member) >> GRANULE_BITS);
        assert_eq!(granules[0], granules[1]);
        for number in 0..20u64 {
            let mut chunk = MemberChunk::default();
            for member in [pair[0], pair[1], number.to_le_bytes()] {
                chunk.put(hasher().hash(&member), &Item::new(&member, b""));
            }
            let (_, upper) = chunk.split(&hasher(), ALL).expect("two granules");
            assert_eq!(chunk.len().max(upper.len()), 2);
            let together = if chunk.len() == 2 { &mut chunk } else { &mut { upper } };
            assert!(together.split(&hasher(), ALL).is_none());
        }
    }

    #[test]
    fn a_chunk_of_one_granule_is_not_split() {
        let mut chunk = MemberChunk::default();
        for number in 0..1000u32 {
            chunk.push(chunk.tag(7), &Item::new(&number.to_le_bytes(), b""));
        }
        assert_eq!(chunk.len(), 1000, "more than stand inside the chunk itself");
        assert!(chunk.get(7, &999u32.to_le_bytes()).is_some(), "among equal tags");
        chunk.remove(chunk.find(7, &0u32.to_le_bytes()).unwrap());
        assert!(chunk.memory_bytes() > 1000 * 8);
        let mut single = MemberChunk::default();
        single.put(hasher().hash(b"a"), &Item::new(b"a", b""));
        assert!(single.split(&hasher(), ALL).is_none());
        assert!(MemberChunk::default().split(&hasher(), ALL).is_none());
    }
}
