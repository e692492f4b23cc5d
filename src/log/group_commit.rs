//! Writes pending frames and makes them durable, a group at a time: one write and one sync for
//! everything that has come together since the last.

use std::sync::MutexGuard;
use std::sync::atomic::Ordering;

use crate::error::Result;
use crate::format::checksum;
use crate::format::frame::{self, FragmentHeader, Kind, Place};
use crate::limits::FRAGMENT_BYTES_MAX;
use crate::log::active::Active;
use crate::log::frame::slices;
use crate::log::segments::Shelf;
use crate::log::stats::Counters;
use crate::log::threads::{PREPARE, ROOM};
use crate::log::writer::{Large, Log, Pending};
use crate::types::Lsn;

/// A frame is not cut for less than this at the end of a segment, in bytes.
const CUT_BYTES_MIN: u64 = 1024;
/// Less than this in a segment is not worth another one before a restart, in bytes.
const RESTART_BYTES_MAX: u64 = 8 << 10;
/// A group above this is left to the committer by who has other things to do, in bytes.
const HERE_BYTES_MAX: u64 = 64 << 10;
/// Buffers above this are not kept between groups, in bytes.
const BUFFER_BYTES_MAX: usize = 16 << 20;
/// Buffers above this are not kept while the log is idle, in bytes.
const IDLE_BUFFER_BYTES_MAX: usize = 256 << 10;

/// What the one who commits holds.
pub(super) struct Committer {
    active: Active,
    /// Swapped with the pending frames: two buffers take turns.
    batch: Pending,
    /// The last data frame in the segment.
    last_lsn: Lsn,
    /// The highest `synced_upto` in the segment.
    witnessed: Lsn,
}

impl Committer {
    pub(super) fn new(active: Active, last_lsn: Lsn) -> Committer {
        Committer { active, batch: Pending::default(), last_lsn, witnessed: last_lsn }
    }

    /// Writes the batch. `synced_upto` is what is durable now.
    fn write(&mut self, shelf: &Shelf, synced_upto: Lsn) -> Result<()> {
        let batch = std::mem::take(&mut self.batch);
        let mut small = batch.bytes;
        let mut at = 0;
        for large in &batch.large {
            self.write_small(shelf, &mut small[at..large.at], synced_upto)?;
            let Large { lsn, wall_ms, .. } = *large;
            let slices = slices(&large.bytes, &large.pieces);
            self.write_cut(shelf, (lsn, wall_ms, synced_upto), &slices)?;
            at = large.at;
        }
        self.write_small(shelf, &mut small[at..], synced_upto)?;
        self.active.flush()?;
        (self.last_lsn, self.witnessed) = (batch.last_lsn, synced_upto);
        small.clear();
        let keep = small.capacity() <= BUFFER_BYTES_MAX;
        self.batch.bytes = if keep { small } else { Vec::new() };
        Ok(())
    }

    /// Completes the headers of small frames and writes as many at a time as the segment holds.
    fn write_small(&mut self, shelf: &Shelf, bytes: &mut [u8], synced_upto: Lsn) -> Result<()> {
        let (mut start, mut at) = (0, 0);
        while at < bytes.len() {
            let header = FragmentHeader::decode_unstamped(&bytes[at..]);
            let header = header.expect("the append has encoded it");
            let end = at + header.stride() as usize;
            if (end - start) as u64 <= self.active.room() {
                frame::stamp(&mut bytes[at..end], synced_upto, self.active.salt);
            } else {
                self.active.put_direct(&bytes[start..at])?;
                let payload_at = at + frame::HEADER_BYTES;
                let payload = &bytes[payload_at..payload_at + header.payload_bytes as usize];
                let stamp = (header.lsn, header.wall_ms, synced_upto);
                self.write_cut(shelf, stamp, &[payload])?;
                start = end;
            }
            at = end;
        }
        if start < at { self.active.put_direct(&bytes[start..at]) } else { Ok(()) }
    }

    /// Writes a frame in as many fragments as it takes, going on in new segments.
    fn write_cut(
        &mut self,
        shelf: &Shelf,
        (lsn, wall_ms, synced_upto): (Lsn, u64, Lsn),
        slices: &[&[u8]],
    ) -> Result<()> {
        let mut left: u64 = slices.iter().map(|slice| slice.len() as u64).sum();
        let mut payload = Payload { slices, at: 0 };
        let mut fragment = 0;
        loop {
            let room = self.active.room();
            if room < frame::stride(left.min(CUT_BYTES_MIN)) {
                let now = (synced_upto, wall_ms);
                shelf.switch(&mut self.active, (lsn, fragment), now)?;
                continue;
            }
            let most = (room - frame::HEADER_BYTES as u64).min(FRAGMENT_BYTES_MAX as u64);
            let taken = left.min(most);
            let parts = payload.take(taken as usize);
            left -= taken;
            let header = FragmentHeader {
                payload_bytes: taken as u32,
                payload_crc: checksum::of_parts(parts.iter().copied()),
                kind: Kind::Data,
                place: Place::of(fragment == 0, left == 0),
                lsn,
                synced_upto,
                wall_ms,
            };
            self.active.put(&header.encode(self.active.salt))?;
            parts.iter().try_for_each(|part| self.active.put(part))?;
            self.active.pad()?;
            fragment += 1;
            if left == 0 {
                return self.active.flush();
            }
        }
    }
}

/// Frees the memory of a buffer that many frames have made large.
fn give_back(buffer: &mut Vec<u8>) {
    if buffer.is_empty() && buffer.capacity() > IDLE_BUFFER_BYTES_MAX {
        *buffer = Vec::new();
    }
}

/// The rest of a payload in pieces.
struct Payload<'a> {
    slices: &'a [&'a [u8]],
    /// Bytes of the first slice that are gone.
    at: usize,
}

impl<'a> Payload<'a> {
    fn take(&mut self, mut len: usize) -> Vec<&'a [u8]> {
        let mut parts = Vec::new();
        while len > 0 {
            let rest = &self.slices[0][self.at..];
            let part = &rest[..rest.len().min(len)];
            parts.push(part);
            len -= part.len();
            self.at += part.len();
            if self.at == self.slices[0].len() {
                self.slices = &self.slices[1..];
                self.at = 0;
            }
        }
        parts
    }
}

impl Log {
    /// Writes everything pending and, with `sync`, makes everything written durable. Waits for
    /// another thread that commits. Returns the durable LSN.
    ///
    /// # Errors
    /// A failed write or sync stops the log for good (D5): `Io` the first time, then `Poisoned`.
    pub fn commit(&self, sync: bool) -> Result<Lsn> {
        let committer = self.committer.lock().expect("a panicked commit is not gone on with");
        self.commit_locked(committer, sync)
    }

    /// As [`Log::commit`], but does nothing and returns false when another thread commits, or had
    /// better do so: writing much takes longer than waking it, and the caller can go on meanwhile.
    ///
    /// # Errors
    /// As [`Log::commit`].
    pub fn try_commit(&self, sync: bool) -> Result<bool> {
        if self.queued_bytes() > HERE_BYTES_MAX {
            return Ok(false);
        }
        match self.committer.try_lock() {
            Ok(committer) => self.commit_locked(committer, sync).map(|_| true),
            Err(_) => Ok(false),
        }
    }

    fn commit_locked(&self, mut committer: MutexGuard<'_, Committer>, sync: bool) -> Result<Lsn> {
        self.check_poison()?;
        let before = self.durable_lsn();
        let committed = self.write_and_sync(&mut committer, sync);
        self.release(committer, committed)?;
        let durable = self.durable_lsn();
        if durable > before
            && let Some(listener) = self.on_durable.get()
        {
            listener(durable);
        }
        self.room.raise(ROOM);
        self.after_commit();
        Ok(durable)
    }

    fn write_and_sync(&self, committer: &mut Committer, sync: bool) -> Result<()> {
        {
            let mut pending = self.pending.lock().expect("an append never panics");
            committer.batch.last_lsn = pending.last_lsn;
            std::mem::swap(&mut *pending, &mut committer.batch);
        }
        let (frames, cost) = (committer.batch.frames, committer.batch.cost);
        let (last_lsn, payload_bytes) = (committer.batch.last_lsn, committer.batch.payload_bytes);
        if frames > 0 {
            committer.write(&self.shelf, self.durable_lsn())?;
            self.written.store(last_lsn, Ordering::Release);
            self.space.written(cost, committer.active.usable());
            Counters::add(&self.counters.frames, frames);
            Counters::add(&self.counters.frame_bytes, payload_bytes);
            Counters::add(&self.counters.groups, 1);
            let written_bytes = committer.active.total_bytes;
            self.counters.written_bytes.store(written_bytes, Ordering::Relaxed);
        }
        if sync && self.durable_lsn() < self.written_lsn() {
            self.sync_active(committer)?;
            self.durable.store(self.written_lsn(), Ordering::Release);
        }
        Ok(())
    }

    fn sync_active(&self, committer: &Committer) -> Result<()> {
        let start = self.clock.monotonic_us();
        committer.active.sync()?;
        let took = self.clock.monotonic_us().saturating_sub(start);
        self.counters.sync_us.record(took);
        Counters::add(&self.counters.syncs, 1);
        Ok(())
    }

    /// Gives the last durable group its witness: a later fragment that states it durable, so that
    /// damage to it is never taken for a torn tail. Done when the log goes idle and when it closes;
    /// writes nothing when there is one already. Memory that only a busy log needs is given back.
    ///
    /// # Errors
    /// As [`Log::commit`].
    pub fn write_witness(&self) -> Result<()> {
        let mut committer = self.committer.lock().expect("a panicked commit is not gone on with");
        self.check_poison()?;
        give_back(&mut committer.batch.bytes);
        give_back(&mut self.pending.lock().expect("an append never panics").bytes);
        let durable = self.durable_lsn();
        let missing = committer.witnessed < durable && durable == self.written_lsn();
        if !missing {
            return Ok(());
        }
        if !self.space.has_room_for_control() {
            drop(committer);
            // At the end of a segment: the existence of the next is as good a witness.
            return self.begin_segment();
        }
        let stamp = (committer.last_lsn, durable, self.clock.wall_ms());
        let active = &mut committer.active;
        let written = active.put_control(Kind::Sync, &[], stamp).and_then(|()| active.flush());
        self.space.written(0, active.usable());
        let written = written.and_then(|()| self.sync_active(&committer));
        committer.witnessed = durable;
        self.release(committer, written)
    }

    /// Goes on in a new segment, so that the next opening has nothing to read in the last one and
    /// nothing to copy. Does nothing while anything is promised or pending, when the segment is
    /// hardly used, and when no spare is ready.
    ///
    /// # Errors
    /// As [`Log::commit`].
    pub fn begin_segment(&self) -> Result<()> {
        let mut committer = self.committer.lock().expect("a panicked commit is not gone on with");
        self.check_poison()?;
        let durable = self.durable_lsn();
        let active = &mut committer.active;
        let worthwhile = active.offset > RESTART_BYTES_MAX && durable == self.last_lsn();
        if !worthwhile || !self.shelf.has_spare() || !self.space.give_up_active(active.usable()) {
            return Ok(());
        }
        let now = (durable, self.clock.wall_ms());
        let switched = self.shelf.switch(active, (durable + 1, 0), now);
        self.space.written(0, active.usable());
        committer.witnessed = durable;
        self.release(committer, switched)
    }

    /// Lets the next one commit, unless something failed: a failed write or sync is never tried
    /// again, because the kernel may have dropped the pages (D5). So the log is stopped before the
    /// lock is given up.
    fn release(&self, committer: MutexGuard<'_, Committer>, outcome: Result<()>) -> Result<()> {
        let Err(error) = outcome else {
            return Ok(());
        };
        let first = self.poison.set(error.to_string()).is_ok();
        drop(committer);
        if let (true, Some(listener)) = (first, self.on_fatal.get()) {
            listener(&error.to_string());
        }
        Err(error)
    }

    /// Stops the log for good, for a reason outside of it. Nothing is acknowledged any more.
    pub fn stop(&self, reason: &str) {
        if self.poison.set(reason.to_string()).is_ok()
            && let Some(listener) = self.on_fatal.get()
        {
            listener(reason);
        }
    }

    fn after_commit(&self) {
        if !self.shelf.needs_spare() {
            return;
        }
        if self.threaded.load(Ordering::Relaxed) {
            self.preparer.raise(PREPARE);
        } else {
            // The failure shows in the answers of `reserve`.
            let _ = self.prepare_ahead();
        }
    }

    pub(super) fn ask_for_room(&self) {
        self.room.take(ROOM);
        if self.threaded.load(Ordering::Relaxed) {
            self.preparer.raise(PREPARE);
            self.request_write();
        }
    }

    /// Prepares segments ahead until there is a spare and every refused reservation would fit.
    ///
    /// # Errors
    /// `Io`, a full disk above all; reservations are then answered with `Full` instead of `Wait`.
    pub fn prepare_ahead(&self) -> Result<()> {
        while self.shelf.needs_spare() {
            let prepared = self.shelf.prepare_ahead(self.unsaved_bytes());
            self.space.set_full(prepared.is_err());
            prepared?;
            self.room.raise(ROOM);
        }
        self.space.set_full(false);
        Ok(())
    }
}
