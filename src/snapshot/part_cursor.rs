//! Walks the rows of one part in order; lookups, scans, merges and verification all use it.

use bytes::Bytes;

use super::RowKey;
use super::part_reader::{Caching, PartReader};
use crate::error::Result;
use crate::format::part::Place;
use crate::format::part_block::{BlockAt, BlockKind};
use crate::format::part_rows::{KeyBlock, Row, RowCursor, RowKind, ValueAt};

/// A place at a row of a part, or at its end.
pub struct PartCursor<'p> {
    part: &'p PartReader,
    caching: Caching,
    next_block: usize,
    block: Option<(KeyBlock, RowCursor)>,
    row: Option<Row>,
    /// The last value block read: values in order mostly lie in the same one.
    values: Option<(BlockAt, Bytes)>,
    blocks_read: u64,
}

impl<'p> PartCursor<'p> {
    /// At the first row that is not before `from`.
    ///
    /// # Errors
    /// When a block cannot be read or is damaged. The same holds for all methods below.
    pub fn seek(part: &'p PartReader, from: Place, caching: Caching) -> Result<PartCursor<'p>> {
        let mut cursor = PartCursor {
            part,
            caching,
            next_block: first_block(part, from),
            block: None,
            row: None,
            values: None,
            blocks_read: 0,
        };
        cursor.open_block()?;
        if let Some((block, rows)) = &mut cursor.block
            && block.keyspace() == from.0
        {
            let skipped = block.skip_before(rows, from.1);
            let at = part.key_index()[cursor.next_block - 1].block;
            skipped.map_err(|error| part.wrong_content(at, &error))?;
        }
        cursor.advance()?;
        while cursor.place().is_some_and(|place| place < from) {
            cursor.advance()?;
        }
        Ok(cursor)
    }

    /// Reads the next key block, if there is one.
    fn open_block(&mut self) -> Result<()> {
        self.block = None;
        if self.next_block < self.part.key_index().len() {
            let block = self.part.key_block(self.next_block, self.caching)?;
            let start = block.start();
            self.block = Some((block, start));
            self.next_block += 1;
            self.blocks_read += 1;
        }
        Ok(())
    }

    /// The part.
    pub fn part(&self) -> &'p PartReader {
        self.part
    }

    /// The row, none at the end.
    pub fn row(&self) -> Option<&Row> {
        self.row.as_ref()
    }

    /// What the row says, none at the end.
    pub fn kind(&self) -> Option<RowKind> {
        self.row.as_ref().map(|row| row.kind)
    }

    /// Keyspace and position of the row.
    pub fn place(&self) -> Option<Place> {
        self.key().map(|key| key.place())
    }

    /// The row's key with its place.
    pub fn key(&self) -> Option<RowKey<'_>> {
        let (row, (block, _)) = (self.row.as_ref()?, self.block.as_ref()?);
        Some(RowKey { keyspace: block.keyspace(), position: row.position, key: block.key(row) })
    }

    /// Goes to the next row.
    pub fn advance(&mut self) -> Result<()> {
        loop {
            if let Some((block, cursor)) = &mut self.block {
                let row = block.next(cursor);
                let at = || self.part.key_index()[self.next_block - 1].block;
                self.row = row.map_err(|error| self.part.wrong_content(at(), &error))?;
                if self.row.is_some() {
                    return Ok(());
                }
            }
            self.open_block()?;
            if self.block.is_none() {
                return Ok(());
            }
        }
    }

    /// Goes to the next row that is not a page or chunk.
    pub fn advance_key(&mut self) -> Result<()> {
        self.advance()?;
        while self.kind().is_some_and(|kind| kind.is_chunk()) {
            self.advance()?;
        }
        Ok(())
    }

    /// From the rows of a place, goes to the one of a key; whether there is one.
    pub fn find_key(&mut self, key: &RowKey<'_>) -> Result<bool> {
        loop {
            match self.key() {
                Some(found) if found < *key => self.advance_key()?,
                Some(found) => return Ok(found == *key),
                None => return Ok(false),
            }
        }
    }

    /// The bytes of the row's value.
    pub fn value(&mut self, value: ValueAt) -> Result<Bytes> {
        if value.len == 0 {
            return Ok(Bytes::new());
        }
        match &self.values {
            Some((at, content)) if *at == value.block => self.part.cut_value(content, value),
            _ => {
                let content = self.part.block(BlockKind::Value, value.block, self.caching)?;
                self.blocks_read += 1;
                let bytes = self.part.cut_value(&content, value);
                self.values = Some((value.block, content));
                bytes
            }
        }
    }

    /// Blocks read since the last call.
    pub fn take_blocks_read(&mut self) -> u64 {
        std::mem::take(&mut self.blocks_read)
    }
}

/// The first key block that may hold rows at or after `from`.
fn first_block(part: &PartReader, from: Place) -> usize {
    let index = part.key_index();
    let after = index.partition_point(|entry| (entry.keyspace, entry.first) <= from);
    let Some(mut block) = after.checked_sub(1) else {
        return 0;
    };
    if index[block].keyspace != from.0 {
        return after;
    }
    while index[block].continues && index[block].first == from.1 {
        block -= 1;
    }
    block
}
