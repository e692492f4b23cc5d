//! What a repair saves: of damaged parts what can still be read, the replayed state as rows of a
//! new part, and exact counts of all keys.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::edit::Edit;
use crate::format::record::{CountDelta, DeleteReason, Record};
use crate::io::Storage;
use crate::keyspace::capture::head_of;
use crate::keyspace::counts::Counts;
use crate::keyspace::entry::EntryRef;
use crate::keyspace::mutation::At;
use crate::keyspace::object::ValueHandle;
use crate::keyspace::residency::Cold;
use crate::keyspace::scan::ScanEntry;
use crate::snapshot::lookup::{ColdContent, ColdRow};
use crate::snapshot::part_reader::PartReader;
use crate::snapshot::part_set::PartSet;
use crate::snapshot::part_writer::PartWriter;
use crate::snapshot::rescue::{Hole, HurtRow, Rescue, Rescued, rescue};
use crate::snapshot::{DirtyPage, PartMeta, RowKey, RowValue, SlotCount, part_path};
use crate::types::{KeyspaceId, Lsn, Position, ValueKind};
use crate::value::collection::Collection;
use crate::value::string::{PagedString, StringHandle};

use super::cold_read::cold_of;
use super::offline::Offline;
use super::offline_scan::Gaps;

/// The part to write.
#[derive(Clone, Copy)]
pub(super) struct NewPart {
    /// Its id.
    pub id: u64,
    /// The LSN that its counts stand at; no row has a higher one.
    pub lsn: Lsn,
    /// When it is written.
    pub wall_ms: u64,
}

/// Writes what was replayed, and exact counts of everything, into a part.
pub(super) fn write_part(
    storage: &Arc<dyn Storage>,
    offline: &mut Offline,
    NewPart { id, lsn, wall_ms }: NewPart,
) -> Result<(PartMeta, Gaps)> {
    let run = offline.manifest.parts.iter().map(|part| part.run).max();
    let database = offline.manifest.database;
    let mut writer = PartWriter::create(storage.clone(), database, id, wall_ms)?;
    let (mut gaps, mut counts) = (Gaps::default(), Vec::new());
    let databases = offline.databases();
    let mut keyspaces: Vec<KeyspaceId> = databases.iter().map(|(_, keyspace)| *keyspace).collect();
    keyspaces.sort_unstable();
    for keyspace in keyspaces {
        let mut failed = None;
        let _ = offline.each_entry(keyspace, &mut |offline, entry| match push_entry(
            offline,
            keyspace,
            entry,
            &mut writer,
        ) {
            Ok(None) => ControlFlow::Continue(()),
            Ok(Some(problem)) => {
                gaps.problems.push(problem);
                ControlFlow::Continue(())
            }
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        });
        if let Some(error) = failed {
            return Err(error);
        }
        let found = count_keys(offline, keyspace, lsn, &mut counts);
        gaps.problems.extend(found.problems);
        gaps.holes.extend(found.holes);
    }
    writer.set_counts(counts);
    Ok((writer.finish(run.unwrap_or(0) + 1)?, gaps))
}

/// Writes one entry of memory, unless a part knows something newer. Gives what is wrong with a key
/// that is lost.
fn push_entry(
    offline: &mut Offline,
    keyspace: KeyspaceId,
    entry: &ScanEntry,
    writer: &mut PartWriter,
) -> Result<Option<Error>> {
    let ScanEntry { position, key, .. } = entry;
    let position = *position;
    let row = RowKey { keyspace, position, key };
    if !offline.memory_decides(keyspace, position, key) {
        return Ok(None);
    }
    if let Err(problem) = offline.resolve(keyspace, position, key) {
        // An old value that was changed since must not come back as if it were the newest.
        writer.push(&row, entry.lsn, &RowValue::Tombstone)?;
        return Ok(Some(problem));
    }
    let Some(known) = offline.partition.find(keyspace, position, key) else {
        return Ok(None);
    };
    let (lsn, raw, expire_at_ms) = (known.lsn(), known.raw(), known.expire_at_ms());
    match offline.partition.share(keyspace, position, key) {
        None => writer.push(&row, lsn, &RowValue::Tombstone)?,
        Some(ValueHandle::Packed(blob)) => {
            writer.push(&row, lsn, &RowValue::Packed { expire_at_ms, blob: &blob })?;
        }
        Some(ValueHandle::Collection(mut collection)) => {
            // All of it, as another incarnation: what older parts hold of it is dead then.
            collection.chunks_mut().recreate();
            let chunks = collection.chunks_mut().capture(writer.part_id());
            let head = head_of(&collection, expire_at_ms);
            writer.push(&row, lsn, &RowValue::Chunked { head, chunks: &chunks })?;
        }
        Some(ValueHandle::String(StringHandle::Flat(bytes))) => {
            let bytes = &bytes[..];
            let value = RowValue::String { expire_at_ms, raw, bytes };
            writer.push(&row, lsn, &value)?;
        }
        Some(ValueHandle::String(StringHandle::Paged(paged))) => {
            let pages = pages(&paged);
            let value = RowValue::Paged {
                expire_at_ms,
                raw,
                len: paged.len(),
                generation: paged.generation(),
                pages: &pages,
            };
            writer.push(&row, lsn, &value)?;
        }
    }
    Ok(None)
}

fn pages(paged: &PagedString) -> Vec<DirtyPage> {
    let numbered = (0u32..).zip(paged.pages());
    let page = |(number, bytes): (u32, &bytes::Bytes)| DirtyPage {
        number,
        bytes: bytes.clone(),
        lsn: paged.page_lsn(number as usize),
    };
    numbered.map(page).collect()
}

/// Counts the keys of every slot anew. Where blocks cannot be read, what the counters say stays.
fn count_keys(
    offline: &mut Offline,
    keyspace: KeyspaceId,
    lsn: Lsn,
    out: &mut Vec<SlotCount>,
) -> Gaps {
    let mut slots: BTreeMap<u16, Counts> = BTreeMap::new();
    let gaps = offline.each_key(keyspace, &mut |key| {
        let counts = slots.entry(key.position.slot()).or_default();
        counts.keys += 1;
        counts.expires += u64::from(key.expire_at_ms.is_some());
        ControlFlow::Continue(())
    });
    // A count of nothing must be stated too, where an older part states another.
    let stated = offline.parts.counts().into_iter();
    let stated = stated.filter(|count| count.keyspace == keyspace);
    for count in stated {
        slots.entry(count.slot).or_default();
    }
    for (slot, mut counts) in slots {
        if gaps.touch_slot(keyspace, slot) {
            counts = offline.partition.slot_counts(keyspace, slot);
        }
        out.push(SlotCount { keyspace, slot, keys: counts.keys, expires: counts.expires, lsn });
    }
    gaps
}

/// Puts in the place of damaged parts what is left of them, under new ids from `first_id` on, and
/// judges every key that their damage may concern. Gives the paths of those that something was left
/// of, and what is lost.
pub(super) fn rescue_parts(
    storage: &Arc<dyn Storage>,
    offline: &mut Offline,
    damaged: &[PartMeta],
    at: NewPart,
) -> Result<(Vec<PathBuf>, Vec<Error>)> {
    let is_damaged = |id: u64| damaged.iter().any(|meta| meta.id == id);
    let all = offline.parts.parts().to_vec();
    let (open, mut usable): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|part| is_damaged(part.meta().id));
    let others = PartSet::new(usable.clone());
    let mut rescued = Vec::new();
    for (id, meta) in (at.id..).zip(damaged) {
        let plan = Rescue {
            storage,
            database: offline.manifest.database,
            damaged: *meta,
            open: open.iter().find(|part| part.meta().id == meta.id).cloned(),
            id,
            wall_ms: at.wall_ms,
            head_of: &|key, generation| others.head_of(key, generation),
        };
        let found = rescue(&plan)?;
        if let Some(new) = &found.part {
            let part = PartReader::open(storage, offline.manifest.database, new, None)?;
            usable.push(Arc::new(part));
        }
        rescued.push((*meta, found));
    }
    offline.parts = PartSet::new(usable);
    offline.lost_parts.clear();
    let mut judge = Judge { storage, offline, lsn: at.lsn, losses: Vec::new() };
    for (meta, found) in &rescued {
        judge.part(meta, found)?;
    }
    let losses = judge.losses;
    let remade = rescued.iter().filter(|(_, found)| found.part.is_some());
    Ok((remade.map(|(meta, _)| part_path(meta.id)).collect(), losses))
}

/// Decides what becomes of keys that damage may concern: keys whose newest value is whole stay,
/// others are cut down to what is left of them, or are gone.
struct Judge<'a> {
    storage: &'a Arc<dyn Storage>,
    offline: &'a mut Offline,
    /// The LSN of what is decided: no other is higher.
    lsn: Lsn,
    losses: Vec<Error>,
}

impl Judge<'_> {
    fn part(&mut self, meta: &PartMeta, found: &Rescued) -> Result<()> {
        let mut hurt = found.hurt.clone();
        hurt.sort_unstable();
        // Of a value of which several chunks are lost one row is enough.
        hurt.dedup_by(|one, other| (one.place, &one.key) == (other.place, &other.key));
        for row in &hurt {
            if let Some(what) = self.hurt_row(row)? {
                let lsns = Some((row.lsn, row.lsn));
                self.lose(meta, row.offset, lsns, name_of(&row.key) + &what);
            }
        }
        if let Some(hole) = found.holes.first() {
            let lsns = hole.open.as_ref().map(|part| (part.footer().min_lsn, meta.max_lsn));
            let rows = found.lost_rows;
            self.lose(meta, hole.offset, lsns, format!("{rows} rows cannot be read"));
        }
        for hole in &found.holes {
            let [first, last] = [hole.places.0, hole.places.1]
                .map(|place| format!("keyspace {}, position {:016x}", place.0, place.1.0));
            let reason = format!("rows are missing from {first} to {last}");
            self.lose(meta, hole.offset, None, reason);
            self.hole(meta, hole)?;
        }
        Ok(())
    }

    fn lose(&mut self, meta: &PartMeta, offset: u64, lost: Option<(Lsn, Lsn)>, reason: String) {
        let path = self.storage.display_path(&part_path(meta.id));
        self.losses.push(Error::Corrupt { path, offset, lost, reason });
    }

    /// A row that says what it was, but not its value. Tells what is lost by it.
    fn hurt_row(&mut self, row: &HurtRow) -> Result<Option<String>> {
        let (keyspace, position) = row.place;
        let key = RowKey { keyspace, position, key: &row.key };
        match self.is_superseded(&key) {
            true => Ok(None),
            false => self.key(&key, Some(row.lsn)),
        }
    }

    /// Keys that may have had newer rows where none can be read.
    fn hole(&mut self, meta: &PartMeta, hole: &Hole) -> Result<()> {
        let (first, last) = hole.places;
        for keyspace in self.offline.databases.keyspaces().to_vec() {
            if !(first.0..=last.0).contains(&keyspace) {
                continue;
            }
            let from = if keyspace == first.0 { first.1 } else { Position(0) };
            let mut keys = BTreeSet::new();
            self.offline.parts.scan_keys(keyspace, from, None, |row| {
                let place = (keyspace, row.position);
                if place > last {
                    return ControlFlow::Break(());
                }
                if row.kind.is_some() && hole.may_hide(place) {
                    keys.insert((row.position, Box::<[u8]>::from(row.key)));
                }
                ControlFlow::Continue(())
            })?;
            for (position, name) in keys {
                let key = RowKey { keyspace, position, key: &name };
                if let Some(what) = self.behind_hole(&key, hole)? {
                    self.lose(meta, hole.offset, None, name_of(&name) + &what);
                }
            }
        }
        Ok(())
    }

    fn behind_hole(&mut self, key: &RowKey<'_>, hole: &Hole) -> Result<Option<String>> {
        if self.is_superseded(key) {
            return Ok(None);
        }
        match self.offline.parts.oldest_run(key) {
            // Nothing of it is older than what is lost.
            Ok(Some(run)) if run >= hole.run => Ok(None),
            Ok(_) if self.is_pending(key) => Ok(Some(self.remove(key))),
            Ok(_) => Ok(Some("may be older than it was, as a whole or in part".to_owned())),
            Err(Error::Corrupt { .. }) => self.key(key, None),
            Err(error) => Err(error),
        }
    }

    fn is_pending(&self, key: &RowKey<'_>) -> bool {
        let entry = self.offline.partition.find(key.keyspace, key.position, key.key);
        entry.is_some_and(EntryRef::is_pending)
    }

    /// Whether nobody can see what the parts say of a key: the log has a whole value for it, or its
    /// database was flushed.
    fn is_superseded(&self, key: &RowKey<'_>) -> bool {
        let RowKey { keyspace, position, key: name } = *key;
        let offline = &self.offline;
        let decides = offline.memory_decides(keyspace, position, name) && !self.is_pending(key);
        decides || !offline.databases.is_live(keyspace)
    }

    /// Cuts a key down to what is left of its newest value, if that is not whole. `gone_lsn` is
    /// that of a row whose value is lost.
    fn key(&mut self, key: &RowKey<'_>, gone_lsn: Option<Lsn>) -> Result<Option<String>> {
        let RowKey { keyspace, position, key: name } = *key;
        let hasher = self.offline.partition.member_hasher();
        let row = match self.offline.parts.lookup(keyspace, position, name) {
            Ok(None) => return Ok(None),
            Ok(Some(row)) if row.content == ColdContent::Tombstone => {
                let is_gone = Some(row.lsn) == gone_lsn;
                return Ok(is_gone.then(|| self.remove(key)));
            }
            Ok(Some(row)) => Some(row),
            Err(Error::Corrupt { .. }) => None,
            Err(error) => return Err(error),
        };
        if row.is_some_and(|row| cold_of(row, hasher).is_some()) {
            return Ok(None);
        }
        match self.offline.parts.lookup_remaining(key)? {
            Some(row) => Ok(Some(self.cut_down(key, row))),
            None => Ok(Some(self.remove(key))),
        }
    }

    fn cut_down(&mut self, key: &RowKey<'_>, row: ColdRow) -> String {
        let ColdContent::Chunked { head, chunks } = row.content else {
            return self.remove(key);
        };
        let hasher = self.offline.partition.member_hasher();
        let left = Collection::of_remaining_chunks(head.shape, head.generation, hasher, &chunks);
        let Some(collection) = left else {
            return self.remove(key);
        };
        let (kind, len, all) = (collection.kind(), collection.len(), head.len);
        let value = ValueHandle::Collection(Box::new(collection));
        let partition = &mut self.offline.partition;
        let RowKey { keyspace, position, key: name } = *key;
        match partition.find(keyspace, position, name).is_some_and(EntryRef::is_pending) {
            // What the log says of places in it would go wrong: they have moved.
            true if matches!(kind, ValueKind::List | ValueKind::Stream) => {
                return self.remove(key);
            }
            true => {
                let departures = partition.departures(keyspace, position);
                let expire_at_ms = head.expire_at_ms;
                let cold = Cold::Live { lsn: row.lsn, expire_at_ms, raw: false, value };
                partition.install(keyspace, position, name, cold, departures, 0);
            }
            false => self.put(key, head.shape, head.expire_at_ms, value),
        }
        let lost = all.saturating_sub(len);
        format!("has lost {lost} of {all} items")
    }

    fn put(&mut self, key: &RowKey<'_>, shape: u8, expire_at_ms: Option<u64>, value: ValueHandle) {
        let RowKey { keyspace, key: name, .. } = *key;
        let counts = CountDelta::default();
        let (creates, edit) = (true, Edit::Put { items: &[] });
        let record = Record::Edit { keyspace, key: name, creates, shape, edit, counts };
        self.apply(key, &record, Some(value));
        if expire_at_ms.is_some() {
            let record = Record::Expire { keyspace, key: name, expire_at_ms, counts };
            self.apply(key, &record, None);
        }
    }

    fn remove(&mut self, key: &RowKey<'_>) -> String {
        let (reason, counts) = (DeleteReason::Command, CountDelta::default());
        let RowKey { keyspace, key: name, .. } = *key;
        self.apply(key, &Record::Delete { keyspace, key: name, reason, counts }, None);
        "is lost".to_owned()
    }

    fn apply(&mut self, key: &RowKey<'_>, record: &Record<'_>, shared: Option<ValueHandle>) {
        let at = At::of_frame(self.lsn, 0);
        self.offline.partition.apply(key.position, record, at, shared);
        drop(self.offline.partition.take_garbage());
    }
}

/// A key, for people.
fn name_of(key: &[u8]) -> String {
    format!("key \"{}\" ", key.escape_ascii())
}
