//! One key with its value in one allocation behind one 64-bit table word.
//!
//! The word is the allocation's address (48 bits) with the table's tag above it and two state bits
//! in the three lowest bits, which the alignment leaves free. The allocation:
//!
//! ```text
//! u64      lsn << 8 | flags
//! u64      deadline in ms             only with HAS_EXPIRY
//! u32      access clock and frequency
//! varint   key length
//! varint   value length               inline values; OBJECT: the address of a boxed Object
//!                                     instead; tombstones: nothing
//! bytes    key, then the inline value
//! ```
//!
//! A 16-byte key with a 64-byte value takes 94 bytes, which is the allocator's class of 96.
//! This module knows the layout and nothing else: not the table, not what a change means.
#![allow(unsafe_code)]

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::marker::PhantomData;
use std::ptr::NonNull;

use crate::prefetch::prefetch_line;
use crate::types::Lsn;

use super::access::Access;
use super::flags::{
    BODY_FLAGS, FRESH, HAS_EXPIRY, LSN_SHIFT, OBJECT, PACKED, PENDING, QUEUE, QUEUE_SHIFT, RAW,
    TOMBSTONE,
};
use super::object::Object;
use super::shape::{self, Shape, len_bytes};

const _: () = assert!(usize::BITS == 64, "table words hold 48-bit addresses and 16-bit tags");

const TAG_SHIFT: u32 = 48;
const STATE_MASK: usize = 0b011;
const ADDRESS_MASK: usize = (1 << TAG_SHIFT) - 8;
const ALIGN: usize = 8;

/// State bit: changed since the last capture.
pub const DIRTY: u8 = 0b01;
/// State bit: taken by the capture under way.
pub const CAPTURED: u8 = 0b10;

/// What an entry holds, on its way in.
pub enum Body<'a> {
    /// Nothing: the key is absent.
    Tombstone,
    /// A short string, copied.
    Inline(&'a [u8]),
    /// A packed collection, copied.
    Packed(&'a [u8]),
    /// Anything else.
    Object(Box<Object>),
}

/// An owned entry and its table word.
pub struct Entry {
    word: NonNull<u8>,
}

// SAFETY: an `Entry` owns its allocation and the `Object` in it, like a `Box`, and `Object` is
// Send.
unsafe impl Send for Entry {}
// SAFETY: `&Entry` only gives out shared references to bytes and to the `Object`, which is Sync.
unsafe impl Sync for Entry {}

/// The body while it is placed: like [`Body`], but the object stays where it is.
#[derive(Clone, Copy)]
enum Raw<'a> {
    Nothing,
    Inline(&'a [u8]),
    Packed(&'a [u8]),
    Object(NonNull<Object>, bool),
}

fn layout(bytes: usize) -> Layout {
    Layout::from_size_align(bytes, ALIGN).expect("keys are bounded")
}

impl Entry {
    /// A clean entry with tag 0 and LSN 0.
    pub fn new(key: &[u8], expire_at_ms: Option<u64>, body: Body<'_>, access: Access) -> Entry {
        Entry { word: place(0, expire_at_ms, access.0, key, raw_of(body)) }
    }

    fn base(&self) -> *mut u8 {
        self.word.as_ptr().map_addr(|address| address & ADDRESS_MASK)
    }

    /// The table's tag.
    pub fn tag(&self) -> u16 {
        (self.word.addr().get() >> TAG_SHIFT) as u16
    }

    /// Replaces the table's tag.
    pub fn set_tag(&mut self, tag: u16) {
        let low = (1 << TAG_SHIFT) - 1;
        self.edit_word(|word| word & low | usize::from(tag) << TAG_SHIFT);
    }

    /// [`DIRTY`] and [`CAPTURED`].
    pub fn state(&self) -> u8 {
        (self.word.addr().get() & STATE_MASK) as u8
    }

    /// Replaces the state bits. The table keeps counts of them: only it calls this.
    pub fn set_state(&mut self, state: u8) {
        let state = usize::from(state) & STATE_MASK;
        self.edit_word(|word| word & !STATE_MASK | state);
    }

    fn edit_word(&mut self, edit: impl FnOnce(usize) -> usize) {
        let word = self.word.as_ptr().map_addr(edit);
        self.word = NonNull::new(word).expect("the address bits stay");
    }

    /// The entry for reading.
    pub fn get(&self) -> EntryRef<'_> {
        EntryRef { base: self.base(), state: self.state(), entry: PhantomData }
    }

    fn meta(&self) -> u64 {
        self.get().meta()
    }

    fn set_meta(&mut self, meta: u64) {
        // SAFETY: the first 8 bytes of the allocation are the initialised, aligned meta word, and
        // `&mut self` makes this the only access.
        unsafe { self.base().cast::<u64>().write(meta) }
    }

    fn set_flag(&mut self, flag: u64, on: bool) {
        let meta = self.meta();
        self.set_meta(if on { meta | flag } else { meta & !flag });
    }

    /// Sets the LSN of the last change.
    pub fn set_lsn(&mut self, lsn: Lsn) {
        assert!(lsn >> (64 - LSN_SHIFT) == 0, "an LSN has 56 bits");
        let flags = self.meta() & ((1 << LSN_SHIFT) - 1);
        self.set_meta(lsn << LSN_SHIFT | flags);
    }

    /// Sets whether the string is `raw` however short.
    pub fn set_raw(&mut self, raw: bool) {
        self.set_flag(RAW, raw);
    }

    /// Sets whether the parts' view of the key is "not there".
    pub fn set_fresh(&mut self, fresh: bool) {
        self.set_flag(FRESH, fresh);
    }

    /// Sets the generation of the deadline queue that the key waits in (1 or 2), or 0.
    pub fn set_queue(&mut self, queue: u8) {
        let meta = self.meta() & !QUEUE;
        self.set_meta(meta | (u64::from(queue) << QUEUE_SHIFT & QUEUE));
    }

    /// Sets the access word.
    pub fn set_access(&mut self, access: Access) {
        let at = access_at(self.meta());
        // SAFETY: the access word stands at `at`, a multiple of 4 inside the allocation, and
        // `&mut self` makes this the only access.
        unsafe { self.base().add(at).cast::<u32>().write(access.0) }
    }

    /// Sets or removes the deadline.
    pub fn set_expire(&mut self, expire_at_ms: Option<u64>) {
        match (expire_at_ms, self.meta() & HAS_EXPIRY != 0) {
            (None, false) => {}
            (Some(deadline), true) => self.overwrite_expire(deadline),
            _ => {
                let now = self.get();
                let moved = now.raw_body();
                let base = place(now.meta(), expire_at_ms, now.access().0, now.key(), moved);
                self.replace_base(base);
            }
        }
    }

    fn overwrite_expire(&mut self, deadline: u64) {
        // SAFETY: callers have seen HAS_EXPIRY, so the aligned word at 8 is the deadline, and
        // `&mut self` makes this the only access.
        unsafe { self.base().add(8).cast::<u64>().write(deadline) }
    }

    /// Replaces deadline and body; LSN, access, tag, state and the other flags stay. A body of the
    /// same shape is written in place. Returns the object that was there.
    pub fn set_body(&mut self, expire_at_ms: Option<u64>, body: Body<'_>) -> Option<Box<Object>> {
        let now = self.get();
        let (meta, shape) = (now.meta(), now.shape());
        let displaced = match now.raw_body() {
            Raw::Object(object, _) => Some(object),
            _ => None,
        };
        let raw = raw_of(body);
        let next = shape_for(expire_at_ms.is_some(), shape.key_len, raw);
        let in_place = next.body_at == shape.body_at
            && next.key_at == shape.key_at
            && next.bytes() == shape.bytes()
            && expire_at_ms.is_some() == (meta & HAS_EXPIRY != 0);
        if in_place {
            self.set_meta(meta & !BODY_FLAGS | body_flags(expire_at_ms, raw));
            if let Some(deadline) = expire_at_ms {
                self.overwrite_expire(deadline);
            }
            // SAFETY: the new shape has the same offsets and the same allocated size as the old
            // one, so body and value stay inside the allocation; `raw` borrows nothing of this
            // entry, and `&mut self` makes this the only access.
            unsafe { write_body(self.base(), &next, raw) }
        } else {
            let base = place(meta, expire_at_ms, now.access().0, now.key(), raw);
            self.replace_base(base);
        }
        // SAFETY: the pointer came from `Box::into_raw` in `raw_of`; its place in the body has been
        // overwritten, or freed without it, so nothing else owns it.
        displaced.map(|object| unsafe { Box::from_raw(object.as_ptr()) })
    }

    /// Frees the allocation, without the object, and takes over another.
    fn replace_base(&mut self, base: NonNull<u8>) {
        let (tag, state) = (self.tag(), self.state());
        self.free();
        self.word = base;
        self.set_tag(tag);
        self.set_state(state);
    }

    /// Frees the allocation, without the object.
    fn free(&mut self) {
        let bytes = self.get().shape().bytes();
        // SAFETY: `place` allocated exactly the class of the shape with this alignment, in-place
        // changes keep the class, and no caller uses the old address afterwards.
        unsafe { dealloc(self.base(), layout(bytes)) }
    }

    /// The inline string, to be overwritten in place.
    pub fn inline_mut(&mut self) -> Option<&mut [u8]> {
        let now = self.get();
        if now.meta() & (TOMBSTONE | OBJECT | PACKED) != 0 {
            return None;
        }
        let shape = now.shape();
        let at = shape.key_at + shape.key_len;
        // SAFETY: `value_len` initialised bytes stand behind the key, inside the allocation, and
        // the result borrows `self` mutably.
        Some(unsafe { std::slice::from_raw_parts_mut(self.base().add(at), shape.value_len) })
    }

    /// The object.
    pub fn object_mut(&mut self) -> Option<&mut Object> {
        match self.get().raw_body() {
            // SAFETY: the entry owns the object, and the result borrows `self` mutably.
            Raw::Object(mut object, _) => Some(unsafe { object.as_mut() }),
            _ => None,
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Raw::Object(object, _) = self.get().raw_body() {
            // SAFETY: the pointer came from `Box::into_raw`; the entry owns it and ends here.
            drop(unsafe { Box::from_raw(object.as_ptr()) });
        }
        self.free();
    }
}

fn raw_of(body: Body<'_>) -> Raw<'_> {
    match body {
        Body::Tombstone => Raw::Nothing,
        Body::Inline(value) => Raw::Inline(value),
        Body::Packed(blob) => Raw::Packed(blob),
        Body::Object(object) => {
            let pending = matches!(*object, Object::Pending(_));
            let pointer = NonNull::new(Box::into_raw(object)).expect("a box is not null");
            Raw::Object(pointer, pending)
        }
    }
}

fn body_flags(expire_at_ms: Option<u64>, body: Raw<'_>) -> u64 {
    let expiry = if expire_at_ms.is_some() { HAS_EXPIRY } else { 0 };
    expiry
        | match body {
            Raw::Nothing => TOMBSTONE,
            Raw::Inline(_) => 0,
            Raw::Packed(_) => PACKED,
            Raw::Object(_, false) => OBJECT,
            Raw::Object(_, true) => OBJECT | PENDING,
        }
}

fn access_at(meta: u64) -> usize {
    shape::access_at(meta & HAS_EXPIRY != 0)
}

fn shape_for(has_expiry: bool, key_len: usize, body: Raw<'_>) -> Shape {
    match body {
        Raw::Nothing => Shape::new(has_expiry, key_len, 0, 0),
        Raw::Inline(value) | Raw::Packed(value) => {
            let len = value.len();
            Shape::new(has_expiry, key_len, len_bytes(len), len)
        }
        Raw::Object(..) => Shape::new(has_expiry, key_len, 8, 0),
    }
}

/// Allocates and fills an entry. Body flags and the deadline flag of `meta` are replaced.
fn place(
    meta: u64,
    expire_at_ms: Option<u64>,
    access: u32,
    key: &[u8],
    body: Raw<'_>,
) -> NonNull<u8> {
    let shape = shape_for(expire_at_ms.is_some(), key.len(), body);
    assert!(key.len() < 1 << 32, "key lengths are kept in up to 5 groups of 7 bits");
    let layout = layout(shape.bytes());
    let meta = meta & !BODY_FLAGS | body_flags(expire_at_ms, body);
    // SAFETY: the layout's size is not zero.
    let base = unsafe { alloc(layout) };
    let Some(checked) = NonNull::new(base) else { handle_alloc_error(layout) };
    assert!(base.addr() & !ADDRESS_MASK == 0, "addresses of processes fit 48 bits");
    let at = access_at(meta);
    // SAFETY: `shape` was computed from the same lengths, so every write below lies inside the
    // fresh allocation of at least `key_at + key_len + value_len` bytes; offsets 0, 8 and `at` are
    // aligned for their types; the sources are other allocations.
    unsafe {
        base.cast::<u64>().write(meta);
        if let Some(deadline) = expire_at_ms {
            base.add(8).cast::<u64>().write(deadline);
        }
        base.add(at).cast::<u32>().write(access);
        write_len(base.add(at + 4), key.len());
        base.add(shape.key_at).copy_from_nonoverlapping(key.as_ptr(), key.len());
        write_body(base, &shape, body);
    }
    checked
}

/// Writes body and inline value.
///
/// # Safety
/// - `base` is an allocation of at least `shape.bytes()` that nobody else uses.
/// - `shape` is [`shape_for`] of `body`, which does not borrow from the allocation.
unsafe fn write_body(base: *mut u8, shape: &Shape, body: Raw<'_>) {
    // SAFETY: by the contract the offsets of `shape` and the lengths of `body` lie inside.
    unsafe {
        match body {
            Raw::Nothing => {}
            Raw::Inline(value) | Raw::Packed(value) => {
                write_len(base.add(shape.body_at), value.len());
                base.add(shape.key_at + shape.key_len)
                    .copy_from_nonoverlapping(value.as_ptr(), value.len());
            }
            Raw::Object(object, _) => {
                let slot = base.add(shape.body_at).cast::<NonNull<Object>>();
                slot.write_unaligned(object);
            }
        }
    }
}

/// Writes a length in groups of 7 bits, low first.
///
/// # Safety
/// - `len_bytes(len)` bytes may be written at `to`.
unsafe fn write_len(to: *mut u8, len: usize) {
    let count = len_bytes(len);
    for index in 0..count {
        let more = if index + 1 < count { 0x80 } else { 0 };
        // SAFETY: `index` is below `len_bytes(len)`.
        unsafe { to.add(index).write((len >> (7 * index)) as u8 & 0x7f | more) }
    }
}

/// Reads a length; the second value is how many bytes it takes.
///
/// # Safety
/// - `from` points to what `write_len` wrote.
unsafe fn read_len(from: *const u8) -> (usize, usize) {
    // SAFETY: `write_len` writes at least one byte.
    let first = usize::from(unsafe { from.read() });
    if first < 0x80 {
        return (first, 1);
    }
    let mut len = first & 0x7f;
    let mut index = 1;
    loop {
        // SAFETY: the byte before had its continuation bit set, so `write_len` wrote this one.
        let byte = usize::from(unsafe { from.add(index).read() });
        len |= (byte & 0x7f) << (7 * index);
        index += 1;
        if byte < 0x80 {
            return (len, index);
        }
    }
}

/// An entry for reading.
#[derive(Clone, Copy, Debug)]
pub struct EntryRef<'a> {
    base: *const u8,
    state: u8,
    entry: PhantomData<&'a Entry>,
}

// SAFETY: it stands for a `&Entry`, and `Entry` is Sync.
unsafe impl Send for EntryRef<'_> {}
// SAFETY: as above.
unsafe impl Sync for EntryRef<'_> {}

impl<'a> EntryRef<'a> {
    /// LSN and flags.
    pub(super) fn meta(self) -> u64 {
        // SAFETY: `base` is the allocation of an entry borrowed for 'a; its first word is aligned
        // and initialised.
        unsafe { self.base.cast::<u64>().read() }
    }

    fn shape(self) -> Shape {
        let meta = self.meta();
        let len_at = access_at(meta) + 4;
        // SAFETY: `place` wrote the key's length behind the access word, and for inline values the
        // value's length behind that.
        unsafe {
            let (key_len, len_bytes) = read_len(self.base.add(len_at));
            let body_at = len_at + len_bytes;
            let (body_len, value_len) = if meta & OBJECT != 0 {
                (8, 0)
            } else if meta & TOMBSTONE != 0 {
                (0, 0)
            } else {
                let (value_len, len_bytes) = read_len(self.base.add(body_at));
                (len_bytes, value_len)
            };
            Shape { body_at, key_at: body_at + body_len, key_len, value_len }
        }
    }

    fn raw_body(self) -> Raw<'a> {
        let meta = self.meta();
        if meta & TOMBSTONE != 0 {
            return Raw::Nothing;
        }
        let shape = self.shape();
        if meta & OBJECT != 0 {
            // SAFETY: with OBJECT, `write_body` left the pointer at `body_at`.
            let object = unsafe {
                let slot = self.base.add(shape.body_at).cast::<NonNull<Object>>();
                slot.read_unaligned()
            };
            return Raw::Object(object, meta & PENDING != 0);
        }
        // SAFETY: `value_len` initialised bytes stand behind the key; the entry is borrowed for 'a.
        let value = unsafe {
            let value = self.base.add(shape.key_at + shape.key_len);
            std::slice::from_raw_parts(value, shape.value_len)
        };
        if meta & PACKED != 0 { Raw::Packed(value) } else { Raw::Inline(value) }
    }

    /// The key.
    pub fn key(self) -> &'a [u8] {
        let shape = self.shape();
        // SAFETY: `key_len` initialised bytes stand at `key_at`; the entry is borrowed for 'a.
        unsafe { std::slice::from_raw_parts(self.base.add(shape.key_at), shape.key_len) }
    }

    /// The object, if the value does not stand inside the entry.
    pub fn object(self) -> Option<&'a Object> {
        match self.raw_body() {
            // SAFETY: the entry owns the object and is borrowed for 'a.
            Raw::Object(object, _) => Some(unsafe { object.as_ref() }),
            _ => None,
        }
    }

    /// The string, if it stands inside the entry.
    pub fn inline(self) -> Option<&'a [u8]> {
        match self.raw_body() {
            Raw::Inline(value) => Some(value),
            _ => None,
        }
    }

    /// The packed collection.
    pub fn packed(self) -> Option<&'a [u8]> {
        match self.raw_body() {
            Raw::Packed(blob) => Some(blob),
            _ => None,
        }
    }

    /// Whether it changed since the last capture.
    pub fn is_dirty(self) -> bool {
        self.state & DIRTY != 0
    }

    /// [`DIRTY`] and [`CAPTURED`].
    pub fn state(self) -> u8 {
        self.state
    }

    /// Deadline in Unix milliseconds. A pending entry may not know its own.
    pub fn expire_at_ms(self) -> Option<u64> {
        if self.meta() & HAS_EXPIRY == 0 {
            return None;
        }
        // SAFETY: with HAS_EXPIRY the aligned word at 8 is the deadline.
        Some(unsafe { self.base.add(8).cast::<u64>().read() })
    }

    /// The access word.
    pub fn access(self) -> Access {
        let at = access_at(self.meta());
        // SAFETY: the initialised access word stands at `at`, a multiple of 4.
        Access(unsafe { self.base.add(at).cast::<u32>().read() })
    }

    /// Memory of the allocation and what it points to, in bytes.
    pub fn memory_bytes(self) -> u64 {
        self.shape().bytes() as u64 + self.object().map_or(0, Object::memory_bytes)
    }
}

/// Asks the processor to fetch the line of a table word.
pub fn prefetch_word(words: &[Option<Entry>], index: usize) {
    if let Some(word) = words.get(index) {
        prefetch_line(std::ptr::from_ref(word).cast());
    }
}

/// Asks the processor to fetch the entry at an index, if one is there.
pub fn prefetch_entry(words: &[Option<Entry>], index: usize) {
    if let Some(Some(entry)) = words.get(index) {
        prefetch_line(entry.base());
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use crate::value::string::{PagedString, StringHandle};

    use super::super::object::{Delta, DeltaChange, Pending};
    use super::*;

    const NOW_MS: u64 = 1_800_000_000_000;

    fn inline(key: &[u8], value: &[u8]) -> Entry {
        Entry::new(key, None, Body::Inline(value), Access::new(NOW_MS))
    }

    fn flat(bytes: &[u8]) -> Box<Object> {
        let bytes = Bytes::copy_from_slice(bytes);
        Box::new(Object::String(StringHandle::Flat(bytes)))
    }

    fn value_of(entry: &Entry) -> Vec<u8> {
        entry.get().string().expect("it is live").to_vec()
    }

    #[test]
    fn an_entry_keeps_what_it_was_given() {
        for key_len in [0, 1, 127, 128, 300, 16384] {
            for value_len in [0, 1, 127, 128, 2048] {
                let (key, value) = (vec![b'k'; key_len], vec![b'v'; value_len]);
                let mut entry = inline(&key, &value);
                entry.set_tag(0xbeef);
                entry.set_state(DIRTY | CAPTURED);
                entry.set_lsn((1 << 56) - 1);
                assert_eq!(entry.get().key(), key);
                assert_eq!(value_of(&entry), value);
                assert_eq!((entry.tag(), entry.state()), (0xbeef, DIRTY | CAPTURED));
                assert_eq!(entry.get().lsn(), (1 << 56) - 1);
                assert!(entry.get().is_live() && !entry.get().raw());
                assert_eq!(entry.get().expire_at_ms(), None);
            }
        }
    }

    #[test]
    fn a_table_word_is_eight_bytes() {
        assert_eq!(size_of::<Option<Entry>>(), 8);
        assert_eq!(inline(&[0; 16], &[0; 64]).get().memory_bytes(), 96);
    }

    #[test]
    fn values_of_one_size_are_overwritten_in_place() {
        let mut entry = inline(b"key", b"before");
        let base = entry.base();
        assert!(entry.set_body(None, Body::Inline(b"after!")).is_none());
        assert_eq!((entry.base(), value_of(&entry)), (base, b"after!".to_vec()));
        assert!(entry.set_body(None, Body::Inline(b"")).is_none());
        assert_eq!((entry.base(), value_of(&entry)), (base, b"".to_vec()));
        entry.set_body(None, Body::Inline(&[7; 200]));
        assert_eq!(value_of(&entry), [7; 200]);
    }

    #[test]
    fn deadlines_come_change_and_go_with_any_body() {
        for body in 0..3 {
            let body = match body {
                0 => Body::Inline(b"value"),
                1 => Body::Object(flat(b"value")),
                _ => Body::Tombstone,
            };
            let mut entry = Entry::new(b"key", None, body, Access::new(NOW_MS));
            entry.set_tag(77);
            entry.set_state(DIRTY);
            entry.set_lsn(9);
            let before = entry.get().string().map(|value| value.to_vec());
            for deadline in [Some(u64::MAX), Some(5), None, Some(1)] {
                entry.set_expire(deadline);
                assert_eq!(entry.get().expire_at_ms(), deadline);
                assert_eq!(entry.get().key(), b"key");
                assert_eq!(entry.get().string().map(|value| value.to_vec()), before);
                assert_eq!((entry.tag(), entry.state(), entry.get().lsn()), (77, DIRTY, 9));
                assert_eq!(entry.get().access(), Access::new(NOW_MS));
            }
        }
    }

    #[test]
    fn bodies_of_every_kind_replace_each_other() {
        let bodies = || -> [Body<'static>; 7] {
            let pending = Object::Pending(Pending {
                deltas: vec![Delta { lsn: 1, change: DeltaChange::Expire(Some(2)) }],
                is_known: false,
            });
            let paged = PagedString::create(Bytes::from(vec![1; 70_000]), 3);
            let paged = Object::String(StringHandle::Paged(paged));
            [
                Body::Tombstone,
                Body::Inline(b"short"),
                Body::Inline(&[1; 2000]),
                Body::Object(flat(&[2; 3000])),
                Body::Object(Box::new(pending)),
                Body::Object(Box::new(paged)),
                Body::Packed(&[0x20; 30]),
            ]
        };
        for from in 0..7 {
            for (to, body) in bodies().into_iter().enumerate() {
                let start = bodies().into_iter().nth(from).expect("seven bodies");
                let mut entry = Entry::new(b"key", Some(1), start, Access::new(NOW_MS));
                entry.set_raw(true);
                let displaced = entry.set_body((to % 2 == 0).then_some(4), body);
                assert_eq!(displaced.is_some(), (3..6).contains(&from), "from {from}");
                let now = entry.get();
                assert_eq!(now.key(), b"key");
                assert_eq!((now.is_tombstone(), now.is_pending()), (to == 0, to == 4));
                assert_eq!(now.object().is_some(), (3..6).contains(&to));
                assert_eq!(now.packed(), (to == 6).then_some(&[0x20; 30][..]));
                assert_eq!((now.is_packed(), now.is_live()), (to == 6, to != 0 && to != 4));
                assert!(now.raw(), "flags that are not the body's stay");
                let len = now.string().map(|value| value.len());
                let expected = [None, Some(5), Some(2000), Some(3000), None, Some(70_000), None];
                assert_eq!(len, expected[to]);
            }
        }
    }

    #[test]
    fn flags_and_queue_do_not_touch_each_other() {
        let mut entry = inline(b"k", b"v");
        entry.set_fresh(true);
        entry.set_queue(2);
        entry.set_lsn(12345);
        entry.set_raw(true);
        entry.set_queue(1);
        let now = entry.get();
        assert!(now.is_fresh() && now.raw());
        assert_eq!((now.queue(), now.lsn()), (1, 12345));
        entry.set_fresh(false);
        assert!(!entry.get().is_fresh() && entry.get().raw());
    }

    #[test]
    fn inline_values_and_objects_change_where_they_stand() {
        let mut entry = inline(b"key", b"value");
        entry.inline_mut().expect("it is inline")[0] = b'V';
        assert_eq!(value_of(&entry), b"Value");
        assert!(entry.object_mut().is_none());
        entry.set_body(None, Body::Object(flat(b"abc")));
        assert!(entry.inline_mut().is_none());
        if let Some(Object::String(handle)) = entry.object_mut() {
            handle.write_range(3, b"def", 1);
        }
        assert_eq!(value_of(&entry), b"abcdef");
        entry.set_access(Access(7));
        assert_eq!(entry.get().access(), Access(7));
    }

    #[test]
    fn words_may_be_prefetched_anywhere() {
        let words = [None, Some(inline(b"k", b"v"))];
        prefetch_word(&words, 1);
        prefetch_word(&words, 2);
        (0..3).for_each(|index| prefetch_entry(&words, index));
    }
}
