//! A chunk of a stream: entries of one range of IDs in ascending order, and in the last chunk the
//! stream's numbers.
//!
//! ```text
//! chunk = base:id high:id numbers count deleted node-bytes length bytes(length)
//! bytes = names entry*
//! names = count (length bytes(length))*             the fields of the entry that began the chunk
//! entry = rest:length ms seq pairs [field] value ..
//! ```
//!
//! All numbers are varints. An entry's ms is relative to that of the base, and so is seq where both
//! have one ms. `pairs` is 0 where the fields are those of `names`, and only values follow; else it
//! is the number of (field, value) pairs plus 1.

use smallvec::SmallVec;

use crate::limits::{STREAM_CHUNK_BYTES_MAX, STREAM_CHUNK_ENTRIES_MAX};
use crate::value::chunks::Chunk;
use crate::value::integer::{listpack_bytes, listpack_number_bytes};
use crate::value::item::{put_varint, varint, varint_len};
use crate::value::stream_id::StreamId;

/// Most bytes in front of an entry's fields and values: its length, two numbers of its ID, and that
/// of its pairs.
const ENTRY_HEAD_BYTES_MAX: usize = 40;
/// Bytes of a listpack without entries: its head and end, two small counts, and the end of the
/// master entry.
const NODE_EMPTY_BYTES: u64 = 13;

/// What a node of Redis's streams holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NodeLimits {
    /// A node with so many bytes is full.
    pub bytes: u64,
    /// A node that has had so many entries is full.
    pub entries: u64,
}

impl NodeLimits {
    /// The longest node there is, in bytes.
    pub const BYTES_MAX: u64 = 1 << 30;
}

/// What a stream knows beside its entries.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Numbers {
    /// The last ID that was given out, not below that of the last entry.
    pub last_id: StreamId,
    /// The highest ID that was deleted by name.
    pub max_deleted_id: StreamId,
    /// How many entries were ever added.
    pub entries_added: u64,
}

impl Numbers {
    /// Appends all of them.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.last_id.encode(out);
        self.max_deleted_id.encode(out);
        put_varint(self.entries_added, out);
    }

    /// The numbers at `at`, and where they end.
    pub fn decode(bytes: &[u8], at: usize) -> Option<(Numbers, usize)> {
        let (last_id, at) = StreamId::decode(bytes, at)?;
        let (max_deleted_id, at) = StreamId::decode(bytes, at)?;
        let (entries_added, at) = varint(bytes, at)?;
        Some((Numbers { last_id, max_deleted_id, entries_added }, at))
    }
}

/// Fields and values, one behind the other, each with its length in front.
#[derive(Clone, Copy, Debug)]
pub struct Texts<'a> {
    bytes: &'a [u8],
}

impl<'a> Texts<'a> {
    /// The texts of these bytes, up to where they are malformed.
    pub fn new(bytes: &'a [u8]) -> Texts<'a> {
        Texts { bytes }
    }

    /// Appends one.
    pub fn encode(text: &[u8], out: &mut Vec<u8>) {
        put_varint(text.len() as u64, out);
        out.extend_from_slice(text);
    }
}

impl<'a> Iterator for Texts<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        let (len, at) = varint(self.bytes, 0)?;
        let end = at.checked_add(usize::try_from(len).ok()?)?;
        let text = self.bytes.get(at..end)?;
        self.bytes = &self.bytes[end..];
        Some(text)
    }
}

/// An entry on its way into a stream: its ID, then fields and values.
#[derive(Clone, Copy, Debug)]
pub struct NewEntry<'a> {
    /// Its ID.
    pub id: StreamId,
    pairs: u64,
    texts: &'a [u8],
}

impl<'a> NewEntry<'a> {
    /// Appends what [`NewEntry::decode`] reads.
    pub fn encode<'t>(
        id: StreamId,
        pairs: usize,
        texts: impl Iterator<Item = &'t [u8]>,
        out: &mut Vec<u8>,
    ) {
        id.encode(out);
        put_varint(pairs as u64, out);
        texts.for_each(|text| Texts::encode(text, out));
    }

    /// The entry that these bytes are. None where they are malformed.
    pub fn decode(bytes: &'a [u8]) -> Option<NewEntry<'a>> {
        let (id, at) = StreamId::decode(bytes, 0)?;
        let (pairs, at) = varint(bytes, at)?;
        let mut texts = Texts::new(&bytes[at..]);
        let is_whole = texts.by_ref().count() as u64 == pairs.checked_mul(2)?;
        (is_whole && texts.bytes.is_empty()).then_some(NewEntry { id, pairs, texts: &bytes[at..] })
    }

    fn texts(&self) -> Texts<'a> {
        Texts::new(self.texts)
    }

    /// Number of (field, value) pairs.
    pub fn len(&self) -> u64 {
        self.pairs
    }

    /// Whether it has no fields.
    pub fn is_empty(&self) -> bool {
        self.pairs == 0
    }

    /// A bound of the bytes that it takes in a chunk.
    pub fn encoded_bytes_max(&self) -> usize {
        ENTRY_HEAD_BYTES_MAX + self.texts.len()
    }
}

/// An entry of a chunk.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// Its ID.
    pub id: StreamId,
    /// Number of (field, value) pairs.
    pub len: u64,
    /// The names of the chunk, where its own are the same.
    names: Option<Texts<'a>>,
    texts: Texts<'a>,
}

impl<'a> Entry<'a> {
    /// Fields and values, in order; a field may come twice.
    pub fn fields(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let (mut names, mut texts) = (self.names, self.texts);
        std::iter::from_fn(move || {
            let name = match &mut names {
                Some(names) => names.next()?,
                None => texts.next()?,
            };
            Some((name, texts.next()?))
        })
    }
}

/// Entries of one range of IDs. See the module.
#[derive(Clone, Debug)]
pub struct EntryChunk {
    /// The ID of the entry that began it.
    base: StreamId,
    /// The ID of the entry that came last, deleted or not.
    high: StreamId,
    numbers: Numbers,
    count: u32,
    deleted: u32,
    /// Bytes of the listpack that Redis would have for this chunk.
    node_bytes: u64,
    /// Where the entries begin, behind the names.
    entries_at: usize,
    name_count: u64,
    data: Vec<u8>,
}

impl Chunk for EntryChunk {
    fn encode_items(&self, out: &mut Vec<u8>) {
        self.base.encode(out);
        self.high.encode(out);
        self.numbers.encode(out);
        let rest = [u64::from(self.count), u64::from(self.deleted), self.node_bytes];
        rest.iter().for_each(|number| put_varint(*number, out));
        Texts::encode(&self.data, out);
    }

    fn memory_bytes(&self) -> u64 {
        (size_of::<EntryChunk>() + self.data.capacity()) as u64
    }

    fn count(&self) -> u64 {
        u64::from(self.count)
    }
}

impl EntryChunk {
    /// A chunk without entries, for a stream that has none.
    pub fn empty(base: StreamId, numbers: Numbers) -> EntryChunk {
        EntryChunk {
            base,
            high: base,
            numbers,
            count: 0,
            deleted: 0,
            node_bytes: NODE_EMPTY_BYTES + listpack_number_bytes(0),
            entries_at: 1,
            name_count: 0,
            data: vec![0],
        }
    }

    /// A chunk that begins with this entry.
    pub fn beginning(entry: &NewEntry<'_>, numbers: Numbers) -> EntryChunk {
        let mut data = Vec::new();
        put_varint(entry.pairs, &mut data);
        let names = entry.texts().step_by(2);
        names.clone().for_each(|name| Texts::encode(name, &mut data));
        let names_bytes: u64 = names.map(listpack_bytes).sum();
        let mut chunk = EntryChunk {
            node_bytes: NODE_EMPTY_BYTES + listpack_number_bytes(entry.pairs as i64) + names_bytes,
            entries_at: data.len(),
            name_count: entry.pairs,
            data,
            ..EntryChunk::empty(entry.id, numbers)
        };
        chunk.push(entry);
        chunk
    }

    /// The chunk at `at`, and where it ends. None where none is, or it does not hold together.
    pub fn decode(bytes: &[u8], at: usize) -> Option<(EntryChunk, usize)> {
        let (base, at) = StreamId::decode(bytes, at)?;
        let (high, at) = StreamId::decode(bytes, at)?;
        let (numbers, at) = Numbers::decode(bytes, at)?;
        let (count, at) = varint(bytes, at)?;
        let (deleted, at) = varint(bytes, at)?;
        let (node_bytes, at) = varint(bytes, at)?;
        let mut rest = Texts::new(&bytes[at..]);
        let data = rest.next()?.to_vec();
        let (name_count, entries_at) = names_at(&data)?;
        let chunk = EntryChunk {
            base,
            high,
            numbers,
            count: u32::try_from(count).ok()?,
            deleted: u32::try_from(deleted).ok()?,
            node_bytes,
            entries_at,
            name_count,
            data,
        };
        chunk.is_sound().then_some((chunk, bytes.len() - rest.bytes.len()))
    }

    fn is_sound(&self) -> bool {
        let mut at = self.entries_at;
        let mut count = 0u64;
        let mut last = None;
        while at < self.data.len() {
            let Some((entry, end)) = self.entry_at(at) else {
                return false;
            };
            let texts = entry.texts.count() as u64;
            let per_pair = if entry.names.is_some() { 1 } else { 2 };
            let mut walked = entry.texts;
            walked.by_ref().for_each(drop);
            if !walked.bytes.is_empty()
                || entry.len.checked_mul(per_pair) != Some(texts)
                || last.is_some_and(|last| last >= entry.id)
                || !(self.base..=self.high).contains(&entry.id)
            {
                return false;
            }
            (last, at, count) = (Some(entry.id), end, count + 1);
        }
        count == u64::from(self.count)
    }

    /// The ID of the entry that began it.
    pub fn base(&self) -> StreamId {
        self.base
    }

    /// The ID of the entry that came last, deleted or not.
    pub fn high(&self) -> StreamId {
        self.high
    }

    /// The numbers of the stream, in its last chunk.
    pub fn numbers(&self) -> &Numbers {
        &self.numbers
    }

    /// The same, to be changed.
    pub fn numbers_mut(&mut self) -> &mut Numbers {
        &mut self.numbers
    }

    /// Number of entries.
    pub fn len(&self) -> u64 {
        u64::from(self.count)
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes of its names and entries.
    pub fn data_bytes(&self) -> usize {
        self.data.len()
    }

    /// Number of entries that it has had.
    pub fn len_ever(&self) -> u64 {
        u64::from(self.count) + u64::from(self.deleted)
    }

    /// Whether it takes no other entry with fields and values of so many bytes, because Redis's
    /// node would not, or by our own limits.
    pub fn is_full(&self, bytes: u64, node: NodeLimits) -> bool {
        let entries_max = node.entries.min(STREAM_CHUNK_ENTRIES_MAX as u64);
        self.node_bytes.saturating_add(bytes) >= node.bytes
            || self.len_ever() >= entries_max
            || (self.data.len() as u64).saturating_add(bytes) > STREAM_CHUNK_BYTES_MAX as u64
    }

    /// Gives memory back that no entry will take.
    pub fn seal(&mut self) {
        self.data.shrink_to_fit();
    }

    /// Appends an entry whose ID is above all.
    pub fn push(&mut self, entry: &NewEntry<'_>) {
        let same = entry.pairs == self.name_count
            && entry
                .texts()
                .step_by(2)
                .eq(Texts::new(&self.data[names_start(self.name_count)..self.entries_at]));
        let ms = entry.id.ms - self.base.ms;
        let seq = if ms == 0 { entry.id.seq - self.base.seq } else { entry.id.seq };
        let word = if same { 0 } else { entry.pairs + 1 };
        let values = || entry.texts().skip(1).step_by(2);
        let texts_len = match same {
            true => values().map(|v| varint_len(v.len() as u64) + v.len()).sum(),
            false => entry.texts.len(),
        };
        let rest = varint_len(ms) + varint_len(seq) + varint_len(word) + texts_len;
        self.data.reserve(varint_len(rest as u64) + rest);
        for number in [rest as u64, ms, seq, word] {
            put_varint(number, &mut self.data);
        }
        match same {
            true => values().for_each(|value| Texts::encode(value, &mut self.data)),
            false => self.data.extend_from_slice(entry.texts),
        }
        self.node_bytes += self.node_bytes_of(entry, same);
        self.count += 1;
        self.high = entry.id;
    }

    /// Bytes that Redis's listpack would grow by.
    fn node_bytes_of(&self, entry: &NewEntry<'_>, same: bool) -> u64 {
        let number = |number: u64| listpack_number_bytes(number as i64);
        let id =
            number(entry.id.ms - self.base.ms) + number(entry.id.seq.wrapping_sub(self.base.seq));
        // Flags take two bytes.
        let texts: u64 = match same {
            true => entry.texts().skip(1).step_by(2).map(listpack_bytes).sum(),
            false => number(entry.pairs) + entry.texts().map(listpack_bytes).sum::<u64>(),
        };
        let elements = if same { 3 + entry.pairs } else { 4 + 2 * entry.pairs };
        2 + id + texts + number(elements)
    }

    /// The entry at `at`, and where it ends.
    #[inline]
    fn entry_at(&self, at: usize) -> Option<(Entry<'_>, usize)> {
        let (rest, start) = varint(&self.data, at)?;
        let end = start.checked_add(usize::try_from(rest).ok()?)?;
        let bytes = self.data.get(..end)?;
        let (ms, at) = varint(bytes, start)?;
        let (seq, at) = varint(bytes, at)?;
        let (word, at) = varint(bytes, at)?;
        let seq = if ms == 0 { self.base.seq.checked_add(seq)? } else { seq };
        let id = StreamId { ms: self.base.ms.checked_add(ms)?, seq };
        let names = (word == 0)
            .then(|| Texts::new(&self.data[names_start(self.name_count)..self.entries_at]));
        let len = if word == 0 { self.name_count } else { word - 1 };
        Some((Entry { id, len, names, texts: Texts::new(&bytes[at..]) }, end))
    }

    /// Entries with the place where each begins, in ascending order.
    fn places(&self) -> impl Iterator<Item = (usize, Entry<'_>)> {
        let mut at = self.entries_at;
        std::iter::from_fn(move || {
            if at == self.data.len() {
                return None;
            }
            let (entry, end) = self.entry_at(at).expect("a chunk holds whole entries");
            Some((std::mem::replace(&mut at, end), entry))
        })
    }

    /// Its entries, in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = Entry<'_>> {
        self.places().map(|(_, entry)| entry)
    }

    /// Its entries up to this ID, backwards.
    pub fn iter_back(&self, to: StreamId) -> impl Iterator<Item = Entry<'_>> {
        let places = self.places().take_while(|(_, entry)| entry.id <= to).map(|(at, _)| at);
        let places: SmallVec<[usize; STREAM_CHUNK_ENTRIES_MAX / 2]> = places.collect();
        places.into_iter().rev().map(|at| self.entry_at(at).expect("it was read before").0)
    }

    /// The entry of this ID.
    pub fn get(&self, id: StreamId) -> Option<Entry<'_>> {
        self.iter().find(|entry| entry.id >= id).filter(|entry| entry.id == id)
    }

    /// Takes the entry of this ID out; whether it was there.
    pub fn remove(&mut self, id: StreamId) -> bool {
        let found = self.places().find(|(_, entry)| entry.id >= id);
        let Some((at, _)) = found.filter(|(_, entry)| entry.id == id) else {
            return false;
        };
        let end = self.entry_at(at).expect("it was read before").1;
        self.data.drain(at..end);
        self.note_gone(1);
        true
    }

    /// Takes the first entries out, at most all.
    pub fn remove_first(&mut self, count: u64) {
        let first = self.places().nth(count as usize).map_or(self.data.len(), |(at, _)| at);
        self.data.drain(self.entries_at..first);
        self.note_gone(u32::try_from(count).unwrap_or(u32::MAX).min(self.count));
    }

    fn note_gone(&mut self, gone: u32) {
        self.count -= gone;
        self.deleted = self.deleted.saturating_add(gone);
    }
}

/// Where the names begin.
fn names_start(count: u64) -> usize {
    varint_len(count)
}

/// How many names stand at the front, and where the entries begin.
fn names_at(data: &[u8]) -> Option<(u64, usize)> {
    let (count, at) = varint(data, 0)?;
    let mut names = Texts::new(&data[at..]);
    for _ in 0..count {
        names.next()?;
    }
    Some((count, data.len() - names.bytes.len()))
}
