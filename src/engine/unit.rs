//! One atomic unit: a command, an EXEC, a batch. One unit is one log frame (D9).

use std::cell::Cell;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, MutexGuard};

use bytes::Bytes;

use crate::format::edit::Edit;
use crate::format::record::{CountDelta, DeleteReason, Record, StringValue};
use crate::keyspace::entry::EntryRef;
use crate::keyspace::mutation::At;
pub use crate::keyspace::object::{ValueHandle, ValueRef, ValueSize};
use crate::keyspace::partition::Seat;
use crate::log::{Frame, Reservation};
use crate::types::{KeyspaceId, Lsn, Position};
use crate::value::members::MemberHasher;
use crate::value::string::{PROVISIONAL_LSN, StringHandle};

use super::begin::{Finished, Guards, Lookups};
use super::cold_read::Aside;
use super::core::{Core, Waste};
pub use super::scan::ScanPage;
use super::shard::{Shard, known_lsn};
use super::staging::Staged;
pub use super::unit_copy::NewString;
use super::unit_reach::Reach;
use super::waiting::Serve;

/// Memory of a frame that a thread keeps for its next one, at most, in bytes.
const FRAME_BYTES_KEPT: usize = 64 << 10;

thread_local! {
    /// Memory of the last frame of this thread.
    static FRAME_MEMORY: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A key with its place, computed once.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    /// Logical database.
    pub db: u32,
    /// Place in the keyspace.
    pub position: Position,
    /// The key.
    pub bytes: &'a [u8],
}

/// A live key as a reader sees it.
#[derive(Clone, Copy, Debug)]
pub struct View<'u> {
    /// Deadline in Unix milliseconds.
    pub expire_at_ms: Option<u64>,
    /// LSN of the last change.
    pub lsn: Lsn,
    /// Value.
    pub value: ValueRef<'u>,
    /// Where it stands in memory, if it does, and the time of the unit.
    resident: Option<(EntryRef<'u>, u64)>,
}

impl<'u> View<'u> {
    /// A key as the parts have it, which memory does not hold.
    pub fn of_cold(expire_at_ms: Option<u64>, lsn: Lsn, value: ValueRef<'u>) -> View<'u> {
        View { expire_at_ms, lsn, value, resident: None }
    }

    /// Seconds since the last access.
    pub fn idle_seconds(&self) -> u64 {
        self.resident.map_or(0, |(entry, now_ms)| entry.idle_seconds(now_ms))
    }

    /// Access frequency, Redis's logarithmic counter.
    pub fn frequency(&self) -> u8 {
        self.resident.map_or(0, |(entry, now_ms)| entry.frequency(now_ms))
    }

    /// Memory that key, value and their headers take, in bytes.
    pub fn memory_bytes(&self) -> u64 {
        self.resident.map_or(0, |(entry, _)| entry.memory_bytes())
    }
}

/// The locked partitions of a unit's keys, and the frame its effects go to.
///
/// All reads treat a key past its deadline as absent and log its removal first (D13).
pub struct Unit<'e> {
    pub(super) core: &'e Core,
    pub(super) guards: Guards<'e>,
    pub(super) now_ms: u64,
    pub(super) observed: Lsn,
    pub(super) frame: Frame,
    /// Room in the log for the frame; given back after the append.
    pub(super) room: Option<Reservation<'e>>,
    /// Whether room was reserved for all that the unit may do; else for each removal as it comes.
    pub(super) writes: bool,
    pub(super) databases_changed: bool,
    /// Whether those who watch a key, or wait for it, hear of its changes.
    is_heard: bool,
    /// Whether what is read counts as used.
    touches: bool,
    lookups: Lookups,
    pub(super) reach: Reach,
    /// What it shows instead of what memory holds.
    pub(super) aside: Option<Box<Aside>>,
    /// What has been logged ahead for it.
    pub(super) staged: Box<[Arc<Staged>]>,
    /// Clients that waited, and have been served by this unit.
    pub(super) served: Vec<Box<dyn Serve>>,
    /// The first key as it was hashed to find its partition, so that a handler need not hash again.
    first: Option<(*const u8, usize, Position)>,
}

/// What a look at a key counts as.
struct Look {
    /// For its idle time and frequency.
    is_access: bool,
    /// For [`Lookups`].
    is_lookup: bool,
}

/// What stands in memory for a key, seen once, so that a write knows its count deltas.
pub(super) struct Before {
    pub(super) live: bool,
    has_deadline: bool,
    /// Where memory keeps what it knows about the key, which may be that it is absent.
    pub(super) seat: Option<Seat>,
}

impl<'e> Unit<'e> {
    pub(super) fn new(
        core: &'e Core,
        guards: Guards<'e>,
        now_ms: u64,
        room: Option<Reservation<'e>>,
        first: Option<&Key<'_>>,
    ) -> Unit<'e> {
        let frame = match room {
            Some(_) => Frame::reusing(now_ms, FRAME_MEMORY.take()),
            None => Frame::new(now_ms),
        };
        Unit {
            core,
            guards,
            now_ms,
            observed: 0,
            frame,
            writes: room.is_some(),
            room,
            databases_changed: false,
            is_heard: true,
            touches: true,
            lookups: Lookups::default(),
            reach: Reach::default(),
            aside: None,
            staged: Box::default(),
            served: Vec::new(),
            first: first.map(|key| (key.bytes.as_ptr(), key.bytes.len(), key.position)),
        }
    }

    /// A unit of the engine's own on one shard that is locked already.
    pub(super) fn on_shard(
        core: &'e Core,
        index: usize,
        shard: MutexGuard<'e, Shard>,
        room: Reservation<'e>,
        now_ms: u64,
    ) -> Unit<'e> {
        let mut guards = Guards::new();
        guards.push((index, shard));
        Unit::new(core, guards, now_ms, Some(room), None)
    }

    /// Wall time of the unit in milliseconds; constant while it runs.
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// How members of large collections are hashed, for one that is made outside the keyspace.
    pub fn member_hasher(&self) -> MemberHasher {
        self.core.member_hasher
    }

    /// Whether frequency, and not idle time, decides what leaves memory first.
    pub fn unloads_by_frequency(&self) -> bool {
        self.core.unload_by_frequency.load(Relaxed)
    }

    /// The place of a key.
    pub fn key<'k>(&self, db: u32, bytes: &'k [u8]) -> Key<'k> {
        let position = match self.first {
            Some((start, len, position)) if start == bytes.as_ptr() && len == bytes.len() => {
                position
            }
            _ => self.core.hasher.position(bytes),
        };
        Key { db, position, bytes }
    }

    /// The highest LSN that its replies reveal so far, those of its own writes aside.
    pub fn observed(&self) -> Lsn {
        self.observed
    }

    /// Lets the next handler find the place of its key, which is known already.
    pub fn turn_to(&mut self, key: &Key<'_>) {
        self.first = Some((key.bytes.as_ptr(), key.bytes.len(), key.position));
    }

    /// Whether accesses count from here on; not for clients in CLIENT NO-TOUCH.
    pub fn set_touches(&mut self, touches: bool) {
        self.touches = touches;
    }

    /// The live key: an access, and a lookup that found it or missed.
    pub fn get(&mut self, key: &Key<'_>) -> Option<View<'_>> {
        self.look(key, Look { is_access: true, is_lookup: true })
    }

    /// The live key: a lookup, not an access (TTL, OBJECT, EXISTS).
    pub fn peek(&mut self, key: &Key<'_>) -> Option<View<'_>> {
        self.look(key, Look { is_access: false, is_lookup: true })
    }

    /// The live key that a write builds on: an access, not a lookup.
    pub fn get_to_change(&mut self, key: &Key<'_>) -> Option<View<'_>> {
        self.look(key, Look { is_access: true, is_lookup: false })
    }

    /// The live key, without a trace in any figure.
    pub fn probe(&mut self, key: &Key<'_>) -> Option<View<'_>> {
        self.look(key, Look { is_access: false, is_lookup: false })
    }

    /// The live key once more, to be seen beside others; it has been read or changed in this unit.
    pub fn seen(&self, key: &Key<'_>) -> Option<View<'_>> {
        let shard = &self.guards[self.guard_of(key.position)].1;
        let keyspace = shard.databases.keyspace(key.db);
        let entry = shard.partition.find(keyspace, key.position, key.bytes)?;
        let is_live = entry.expire_at_ms().is_none_or(|at| at > self.now_ms);
        (is_live && !entry.is_tombstone()).then(|| view(&entry, self.now_ms))
    }

    /// Marks an access of a key, which is a lookup too; whether it is live.
    pub fn touch(&mut self, key: &Key<'_>) -> bool {
        self.get(key).is_some()
    }

    fn look(&mut self, key: &Key<'_>, look: Look) -> Option<View<'_>> {
        if self.aside.is_some() {
            self.lookups.hits += u64::from(look.is_lookup);
            return self.aside.as_ref().map(|aside| aside.view(key));
        }
        let seat = self.live_seat(key);
        if look.is_lookup {
            self.lookups.hits += u64::from(seat.is_some());
            self.lookups.misses += u64::from(seat.is_none());
        }
        let ((index, seat), now_ms) = (seat?, self.now_ms);
        let partition = &mut self.guards[index].1.partition;
        let entry = match look.is_access && self.touches {
            true => partition.access_seated(seat, now_ms),
            false => partition.seated(seat),
        };
        Some(view(&entry, now_ms))
    }

    /// Where the live key stands: which guard, and where in its partition.
    fn live_seat(&mut self, key: &Key<'_>) -> Option<(usize, Seat)> {
        let index = self.guard_of(key.position);
        let shard = &self.guards[index].1;
        let keyspace = shard.databases.keyspace(key.db);
        let Some(seat) = shard.partition.seat(keyspace, key.position, key.bytes) else {
            self.observed = self.observed.max(shard.floor(key.db));
            return None;
        };
        let entry = shard.partition.seated(seat);
        self.observed = self.observed.max(known_lsn(entry.lsn()));
        if entry.is_tombstone() {
            return None;
        }
        if entry.expire_at_ms().is_some_and(|at| at <= self.now_ms) {
            self.expire_on_read(key);
            return None;
        }
        Some((index, seat))
    }

    pub(super) fn join_room(&mut self, room: Reservation<'e>) {
        match &mut self.room {
            Some(rooms) => rooms.join(room),
            None => self.room = Some(room),
        }
    }

    /// The key now holds `value` with this deadline, whatever it held.
    pub fn put(&mut self, key: &Key<'_>, value: NewString<'_>, expire_at_ms: Option<u64>) {
        let value_bytes = StringValue { bytes: value.bytes(), raw: false };
        self.put_value(key, value_bytes, value.handle(), expire_at_ms);
    }

    /// `handle` stands for the value where it is large or in pages.
    pub(super) fn put_value(
        &mut self,
        key: &Key<'_>,
        value: StringValue<'_>,
        handle: Option<ValueHandle>,
        expire_at_ms: Option<u64>,
    ) {
        let before = self.before_write(key);
        let counts = before.counts_of_put(expire_at_ms);
        let (keyspace, key_bytes) = (self.keyspace(key), key.bytes);
        let record = Record::Put { keyspace, key: key_bytes, expire_at_ms, value, counts };
        self.write(key.position, &record, before.seat, handle);
    }

    /// Writes into an existing string at `offset`, growing it with zeros as needed; the deadline
    /// stays and the encoding becomes `raw`. The caller has checked that the key is live and a
    /// string.
    pub fn write_range(&mut self, key: &Key<'_>, offset: u64, bytes: NewString<'_>) {
        let handle = bytes.handle();
        let (keyspace, key_bytes) = (self.keyspace(key), key.bytes);
        let seat = self.seat(keyspace, key.position, key_bytes);
        let record = Record::WriteRange { keyspace, key: key_bytes, offset, bytes: bytes.bytes() };
        self.write(key.position, &record, seat, handle);
    }

    /// Sets or removes the deadline of a live key.
    pub fn set_expiry(&mut self, key: &Key<'_>, expire_at_ms: Option<u64>) {
        let before = self.before_write(key);
        assert!(before.live, "a deadline is set on a live key");
        let record = Record::Expire {
            keyspace: self.keyspace(key),
            key: key.bytes,
            expire_at_ms,
            counts: CountDelta {
                keys: 0,
                expires: i8::from(expire_at_ms.is_some()) - i8::from(before.has_deadline),
            },
        };
        self.write(key.position, &record, before.seat, None);
    }

    /// Restores access metadata of a live key (RESTORE IDLETIME and FREQ).
    pub fn set_access(&mut self, key: &Key<'_>, idle_seconds: Option<u64>, frequency: Option<u8>) {
        let (index, keyspace, now_ms) =
            (self.guard_of(key.position), self.keyspace(key), self.now_ms);
        let partition = &mut self.guards[index].1.partition;
        partition.set_access(keyspace, key.position, key.bytes, now_ms, idle_seconds, frequency);
    }

    /// A live string that was opened for writing and stays as it is: raw, until it leaves memory.
    /// That is no change; nobody who watches the key hears of it.
    pub fn make_raw(&mut self, key: &Key<'_>) {
        let (index, keyspace) = (self.guard_of(key.position), self.keyspace(key));
        self.guards[index].1.partition.make_raw(keyspace, key.position, key.bytes);
    }

    /// Removes a key; whether it was live.
    pub fn delete(&mut self, key: &Key<'_>, reason: DeleteReason) -> bool {
        let live = self.before_write(key).live;
        if live {
            self.remove(key, reason);
        }
        live
    }

    /// Changes a collection, which afterwards has this kind and encoding; a key that is not live
    /// begins with this change. The caller has checked the kind, and that something is left.
    pub fn edit(&mut self, key: &Key<'_>, shape: u8, edit: Edit<'_>) {
        let before = self.before_write(key);
        let (keyspace, key_bytes, creates) = (self.keyspace(key), key.bytes, !before.live);
        let counts = CountDelta { keys: i8::from(creates), expires: 0 };
        let record = Record::Edit { keyspace, key: key_bytes, creates, shape, edit, counts };
        self.write(key.position, &record, before.seat, None);
    }

    /// The key now holds the collection that begins with this change, without a deadline, whatever
    /// it held. The collection is not empty.
    pub fn put_edit(&mut self, key: &Key<'_>, shape: u8, edit: Edit<'_>) {
        let before = self.before_write(key);
        let (keyspace, key_bytes) = (self.keyspace(key), key.bytes);
        let counts = before.counts_of_put(None);
        let record = Record::Edit { keyspace, key: key_bytes, creates: true, shape, edit, counts };
        self.write(key.position, &record, before.seat, None);
    }

    pub(super) fn keyspace(&self, key: &Key<'_>) -> KeyspaceId {
        self.guards[self.guard_of(key.position)].1.databases.keyspace(key.db)
    }

    fn seat(&self, keyspace: KeyspaceId, position: Position, key: &[u8]) -> Option<Seat> {
        self.guards[self.guard_of(position)].1.partition.seat(keyspace, position, key)
    }

    /// What a write replaces. A key past its deadline is removed first, in the same frame (D13).
    pub(super) fn before_write(&mut self, key: &Key<'_>) -> Before {
        let index = self.guard_of(key.position);
        let shard = &self.guards[index].1;
        let keyspace = shard.databases.keyspace(key.db);
        let seat = shard.partition.seat(keyspace, key.position, key.bytes);
        let Some(entry) = seat.map(|seat| shard.partition.seated(seat)) else {
            self.observed = self.observed.max(shard.floor(key.db));
            return Before { live: false, has_deadline: false, seat };
        };
        self.observed = self.observed.max(known_lsn(entry.lsn()));
        if entry.is_tombstone() {
            return Before { live: false, has_deadline: false, seat };
        }
        let deadline = entry.expire_at_ms();
        if deadline.is_some_and(|at| at <= self.now_ms) {
            // Its tombstone stands where it stood.
            self.remove(key, DeleteReason::Expired);
            return Before { live: false, has_deadline: false, seat };
        }
        Before { live: true, has_deadline: deadline.is_some(), seat }
    }

    pub(super) fn remove(&mut self, key: &Key<'_>, reason: DeleteReason) {
        self.remove_from(self.keyspace(key), key.position, key.bytes, reason);
    }

    /// Takes members, as `gone` names them, out of a live collection that stands in memory and has
    /// others; kind and encoding stay.
    pub(super) fn edit_at(
        &mut self,
        keyspace: KeyspaceId,
        position: Position,
        key: &[u8],
        shape: u8,
        gone: &[u8],
    ) {
        let edit = Edit::Remove { members: gone };
        let counts = CountDelta::default();
        let record = Record::Edit { keyspace, key, creates: false, shape, edit, counts };
        self.write(position, &record, self.seat(keyspace, position, key), None);
    }

    /// Removes a live key that stands in memory.
    pub(super) fn remove_from(
        &mut self,
        keyspace: KeyspaceId,
        position: Position,
        key: &[u8],
        reason: DeleteReason,
    ) {
        self.take_out(keyspace, position, key, reason);
        self.core.stats.count_removal(reason);
    }

    /// As [`Unit::remove_from`], for a hash without a field left: that does not count as a removal
    /// of a key.
    pub(super) fn take_out(
        &mut self,
        keyspace: KeyspaceId,
        position: Position,
        key: &[u8],
        reason: DeleteReason,
    ) {
        let partition = &self.guards[self.guard_of(position)].1.partition;
        let seat = partition.seat(keyspace, position, key);
        let entry = partition.seated(seat.expect("what is removed stands in memory"));
        let counts = CountDelta { keys: -1, expires: -i8::from(entry.expire_at_ms().is_some()) };
        let record = Record::Delete { keyspace, key, reason, counts };
        self.write(position, &record, seat, None);
    }

    /// Counts fields that were removed because their deadline had passed.
    pub fn count_expired_fields(&self, count: u64) {
        self.core.stats.expired_fields.fetch_add(count, Relaxed);
    }

    /// Logs an effect and applies it: the one place where a unit changes memory (D8). The key
    /// stands at `seat`, or memory does not know it.
    pub(super) fn write(
        &mut self,
        position: Position,
        record: &Record<'_>,
        seat: Option<Seat>,
        handle: Option<ValueHandle>,
    ) {
        match &handle {
            _ if matches!(record, Record::PutStaged { .. }) => self.frame.push(record),
            None | Some(ValueHandle::Packed(_)) => self.frame.push(record),
            Some(ValueHandle::String(StringHandle::Flat(bytes))) => {
                self.frame.push_shared(record, std::slice::from_ref(bytes))
            }
            Some(ValueHandle::String(StringHandle::Paged(paged))) => {
                self.frame.push_shared(record, paged.pages())
            }
            Some(ValueHandle::Collection(collection)) => {
                let pieces: Vec<Bytes> = collection.chunks().encoded().collect();
                self.frame.push_shared(record, &pieces);
            }
        }
        let fresh = seat.is_none();
        let (lsn, now_ms, is_heard) = (PROVISIONAL_LSN, self.now_ms, self.is_heard);
        let at = At { lsn, now_ms, fresh, seat, is_heard };
        let index = self.guard_of(position);
        self.guards[index].1.partition.apply(position, record, at, handle);
    }

    pub(super) fn guard_of(&self, position: Position) -> usize {
        if self.guards.len() == 1 {
            debug_assert_eq!(self.guards[0].0, self.core.shard_of(position));
            return 0;
        }
        let shard = self.core.shard_of(position);
        if self.guards.len() == self.core.shards.len() {
            return shard;
        }
        let found = self.guards.binary_search_by_key(&shard, |(index, _)| *index);
        found.expect("a unit only touches keys whose partitions it has locked")
    }

    /// What `change` does to a key, without those who watch it or wait for it hearing of it.
    pub fn unheard(&mut self, change: impl FnOnce(&mut Self)) {
        self.is_heard = false;
        change(self);
        self.is_heard = true;
    }

    /// Ends the unit: its frame gets an LSN, and everything it changed is stamped with it.
    pub fn finish(mut self) -> Finished {
        self.conclude()
    }

    fn conclude(&mut self) -> Finished {
        if !self.frame.is_empty() {
            self.serve_waiting();
        }
        let wrote = !self.frame.is_empty();
        if wrote {
            let log = &self.core.log;
            let lsn = match self.room.take() {
                Some(room) => log.append_into(room, &mut self.frame),
                None => log.append(&mut self.frame),
            };
            for (_, shard) in &mut self.guards {
                shard.partition.stamp(lsn);
                let garbage = shard.partition.take_garbage();
                if !garbage.is_empty() {
                    self.core.free_later(Waste::Values(garbage));
                }
            }
            if self.databases_changed {
                self.stamp_databases(lsn);
            }
            self.observed = self.observed.max(lsn);
        }
        self.guards.clear();
        for served in self.served.drain(..) {
            served.served(self.observed);
        }
        self.room = None;
        let memory = self.frame.take_memory();
        if (1..=FRAME_BYTES_KEPT).contains(&memory.capacity()) {
            FRAME_MEMORY.set(memory);
        }
        Finished { observed: self.observed, wrote, lookups: self.lookups }
    }
}

fn view<'u>(entry: &EntryRef<'u>, now_ms: u64) -> View<'u> {
    View {
        expire_at_ms: entry.expire_at_ms(),
        lsn: entry.lsn(),
        value: entry.value().expect("a live entry has its value"),
        resident: Some((*entry, now_ms)),
    }
}

impl Before {
    /// The counts of a record that sets value and deadline.
    pub(super) fn counts_of_put(&self, expire_at_ms: Option<u64>) -> CountDelta {
        CountDelta {
            keys: i8::from(!self.live),
            expires: i8::from(expire_at_ms.is_some()) - i8::from(self.has_deadline),
        }
    }
}

/// A unit that is dropped without [`Unit::finish`] has still changed memory, so its frame is
/// logged.
impl Drop for Unit<'_> {
    fn drop(&mut self) {
        // What has been concluded holds no lock.
        if !self.guards.is_empty() && !std::thread::panicking() {
            self.conclude();
        }
    }
}
