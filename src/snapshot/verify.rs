//! Reads a whole part and reports everything that is wrong with it, going on where it can.

use super::part_reader::{Caching, PartReader};
use super::{RowKey, filter};
use crate::error::Error;
use crate::format::part::{HEADER_BYTES, Place};
use crate::format::part_block::{BlockAt, BlockKind};
use crate::format::part_index::{Deadline, decode_deadline_rows};
use crate::format::part_rows::{KeyBlock, Row, RowKind};
use crate::types::{ChunkId, KeyspaceId, Lsn, Position};

/// What a whole part holds, as far as it could be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Verified {
    /// Rows.
    pub row_count: u64,
    /// Rows that are not pages or chunks.
    pub key_count: u64,
    /// Rows that say that a key is gone.
    pub tombstone_count: u64,
    /// Bytes of all values.
    pub value_bytes: u64,
    /// Blocks.
    pub block_count: u64,
    /// Problems reported.
    pub problem_count: u64,
}

/// Checks every byte of a part; `report` gets each problem.
pub fn verify(part: &PartReader, report: &mut dyn FnMut(Error)) -> Verified {
    let mut check = Check {
        part,
        report,
        found: Verified::default(),
        blocks: Vec::new(),
        deadlines: Vec::new(),
        first_place: None,
        last_key: None,
        next_chunk: None,
        lsns: None,
        complete: true,
    };
    for index in 0..part.key_index().len() {
        check.key_block(index);
    }
    check.deadline_blocks();
    if check.complete {
        check.whole();
    }
    check.found
}

struct Check<'a> {
    part: &'a PartReader,
    report: &'a mut dyn FnMut(Error),
    found: Verified,
    blocks: Vec<BlockAt>,
    deadlines: Vec<Deadline>,
    first_place: Option<Place>,
    last_key: Option<(KeyspaceId, Position, Vec<u8>)>,
    /// Generation and lowest identity of the next page or chunk, behind a head.
    next_chunk: Option<(u64, ChunkId)>,
    lsns: Option<(Lsn, Lsn)>,
    /// Whether all key blocks could be read, so that sums can be compared.
    complete: bool,
}

impl Check<'_> {
    fn problem(&mut self, error: Error) {
        self.found.problem_count += 1;
        (self.report)(error);
    }

    fn wrong(&mut self, offset: u64, reason: &'static str) {
        let error = self.part.damaged(offset, reason);
        self.problem(error);
    }

    fn key_block(&mut self, index: usize) {
        let at = self.part.key_index()[index].block;
        let block = match self.part.key_block(index, Caching::Pass) {
            Ok(block) => block,
            Err(error) => {
                self.complete = false;
                return self.problem(error);
            }
        };
        self.blocks.push(at);
        let mut used = vec![0u64; block.values().len()];
        let mut cursor = block.start();
        loop {
            match block.next(&mut cursor) {
                Ok(Some(row)) => self.row(at, &block, &row, &mut used),
                Ok(None) => break,
                Err(error) => {
                    self.complete = false;
                    let error = self.part.wrong_content(at, &error);
                    return self.problem(error);
                }
            }
        }
        for (value, used_bytes) in block.values().iter().zip(used) {
            self.blocks.push(*value);
            match self.part.block(BlockKind::Value, *value, Caching::Pass) {
                Ok(content) if content.len() as u64 == used_bytes => {}
                Ok(_) => self.wrong(value.offset, "value block and its rows differ in length"),
                Err(error) => self.problem(error),
            }
        }
    }

    fn row(&mut self, at: BlockAt, block: &KeyBlock, row: &Row, used: &mut [u64]) {
        self.found.row_count += 1;
        let (low, high) = self.lsns.unwrap_or((row.lsn, row.lsn));
        self.lsns = Some((low.min(row.lsn), high.max(row.lsn)));
        if let Some(value) = row.kind.value() {
            self.found.value_bytes += u64::from(value.len);
            let index = block.values().iter().position(|block| *block == value.block);
            if let Some(index) = index {
                used[index] += u64::from(value.len);
            }
        }
        let key =
            RowKey { keyspace: block.keyspace(), position: row.position, key: block.key(row) };
        let last = self.last_key.as_ref().map(|(keyspace, position, key)| RowKey {
            keyspace: *keyspace,
            position: *position,
            key,
        });
        if let RowKind::Chunk { generation, id, .. } = row.kind {
            let fits = |(wanted, next)| generation == wanted && id >= next;
            if !self.next_chunk.is_some_and(fits) || last != Some(key) {
                self.wrong(at.offset, "a chunk does not follow its head");
            }
            self.next_chunk = id.checked_add(1).map(|next| (generation, next));
            return;
        }
        let (place, ordered) = (key.place(), last < Some(key));
        if !ordered {
            self.wrong(at.offset, "keys are out of order");
        }
        self.first_place.get_or_insert(place);
        self.last_key = Some((key.keyspace, key.position, key.key.to_vec()));
        self.head(at, place, row);
    }

    fn head(&mut self, at: BlockAt, place: Place, row: &Row) {
        self.found.key_count += 1;
        self.found.tombstone_count += u64::from(row.kind == RowKind::Tombstone);
        self.next_chunk = row.kind.generation().map(|generation| (generation, 0));
        if let Some(deadline_ms) = row.kind.expire_at_ms() {
            self.deadlines.push(Deadline { deadline_ms, keyspace: place.0, position: place.1 });
        }
        if !self.part.may_contain(place, filter::hash(place)) {
            self.wrong(at.offset, "a key is not in the filter");
        }
    }

    fn deadline_blocks(&mut self) {
        let mut rows = Vec::new();
        let mut readable = true;
        for entry in self.part.deadline_index() {
            let start = rows.len();
            let content = self.part.block(BlockKind::Deadline, entry.block, Caching::Pass);
            let decoded = content.and_then(|content| {
                decode_deadline_rows(&content, |row| {
                    rows.push(row);
                    true
                })
                .map_err(|error| self.part.wrong_content(entry.block, &error))
            });
            self.found.block_count += 1;
            if let Err(error) = decoded {
                readable = false;
                self.problem(error);
            } else if rows.get(start) != Some(&entry.first) {
                self.wrong(entry.block.offset, "deadline block and index differ");
            }
        }
        self.deadlines.sort_unstable();
        self.deadlines.dedup();
        if readable && self.complete && rows != self.deadlines {
            let offset = self.part.footer().blocks_end;
            self.wrong(offset, "deadlines and rows differ");
        }
    }

    /// What only holds for all blocks together.
    fn whole(&mut self) {
        let footer = *self.part.footer();
        self.blocks.sort_unstable_by_key(|block| block.offset);
        self.found.block_count += self.blocks.len() as u64;
        let mut at = HEADER_BYTES as u64;
        for block in std::mem::take(&mut self.blocks) {
            if block.offset != at {
                return self.wrong(at, "blocks leave a gap or overlap");
            }
            at += u64::from(block.total_bytes);
        }
        if at != footer.blocks_end {
            self.wrong(at, "blocks leave a gap or overlap");
        }
        let found = self.found;
        let sums = [
            (footer.row_count, found.row_count),
            (footer.key_count, found.key_count),
            (footer.tombstone_count, found.tombstone_count),
            (footer.value_bytes, found.value_bytes),
            (footer.deadline_count, self.deadlines.len() as u64),
            (footer.min_lsn, self.lsns.map_or(0, |lsns| lsns.0)),
        ];
        let high = self.lsns.map_or(0, |lsns| lsns.1);
        let last = self.last_key.as_ref().map(|key| (key.0, key.1));
        let range = (self.first_place.unwrap_or_default(), last.unwrap_or_default());
        let wrong_range = (footer.min, footer.max) != range;
        if sums.iter().any(|sum| sum.0 != sum.1) || footer.max_lsn < high || wrong_range {
            let offset = footer.filter.offset;
            self.wrong(offset, "footer and rows differ");
        }
    }
}
