//! Parts that are damaged, or whose writing was cut off.

use bytes::Bytes;

use super::merge::{Merge, merge};
use super::part_reader::PartReader;
use super::part_set::PartSet;
use super::tests::{DATABASE, Rig, plain_part};
use super::verify::verify;
use super::*;
use crate::error::Error;
use crate::format::part::{FOOTER_BYTES, Footer};
use crate::format::part_block::{BLOCK_HEADER_BYTES, BlockAt, BlockHeader, crc_at};
use crate::io::OpenMode;
use crate::io::fault::{Failure, Fault, Operation};
use crate::io::sim::SimStorage;
use crate::limits::STRING_PAGE_BYTES;
use crate::types::DatabaseId;
use std::sync::Arc;

fn key(keyspace: KeyspaceId, position: u64, key: &[u8]) -> RowKey<'_> {
    RowKey { keyspace, position: Position(position), key }
}

/// A small part with rows of every kind, counts and deadlines.
fn every_kind(rig: &mut Rig) -> PartMeta {
    let mut writer = rig.writer().unwrap();
    let page = |number, byte| DirtyPage {
        number,
        bytes: Bytes::from(vec![byte; STRING_PAGE_BYTES]),
        lsn: 20,
    };
    let string = |bytes, expire_at_ms| RowValue::String { expire_at_ms, raw: false, bytes };
    let paged = RowValue::Paged {
        expire_at_ms: Some(90),
        raw: true,
        len: 2 * STRING_PAGE_BYTES as u64,
        generation: 19,
        pages: &[page(0, 1), page(1, 2)],
    };
    writer.push(&key(0, 1, b"a"), 17, &string(b"one", None)).unwrap();
    writer.push(&key(0, 1, b"b"), 18, &string(b"two", Some(80))).unwrap();
    writer.push(&key(0, 7, b"gone"), 19, &RowValue::Tombstone).unwrap();
    writer.push(&key(2, 0, b"paged"), 20, &paged).unwrap();
    writer.set_counts(vec![SlotCount { keyspace: 0, slot: 0, keys: 2, expires: 1, lsn: 21 }]);
    writer.finish(1).unwrap()
}

#[test]
fn every_flipped_bit_is_detected_and_never_answers_wrongly() {
    let mut rig = Rig::new();
    let meta = every_kind(&mut rig);
    let keys = [key(0, 1, b"a"), key(0, 1, b"b"), key(0, 7, b"gone"), key(2, 0, b"paged")];
    let ask = |part: Arc<PartReader>| -> Vec<_> {
        let set = PartSet::new(vec![part]);
        keys.iter().map(|key| set.lookup(key.keyspace, key.position, key.key).ok()).collect()
    };
    let good = ask(rig.open(&meta));
    assert!(good.iter().all(|found| matches!(found, Some(Some(_)))));
    let path = part_path(meta.id);
    let mut unopened = 0;
    for bit in 0..meta.file_bytes * 8 {
        rig.sim.flip_bit(&path, bit);
        match PartReader::open(&rig.storage, DATABASE, &meta, None) {
            Err(_) => unopened += 1,
            Ok(part) => {
                let part = Arc::new(part);
                let mut problems = 0;
                verify(&part, &mut |_| problems += 1);
                assert!(problems > 0, "bit {bit} is not covered");
                for (found, good) in ask(part).into_iter().zip(&good) {
                    assert!(found.is_none() || found == *good, "bit {bit}");
                }
            }
        }
        rig.sim.flip_bit(&path, bit);
    }
    assert!((1..meta.file_bytes * 8).contains(&unopened));
}

#[test]
fn a_footer_with_another_range_than_its_rows_is_a_problem() {
    let mut rig = Rig::new();
    let meta = every_kind(&mut rig);
    let offset = meta.file_bytes - FOOTER_BYTES as u64;
    let file = rig.storage.open(&part_path(meta.id), OpenMode::Write).unwrap();
    let mut bytes = [0; FOOTER_BYTES];
    file.read_at(&mut bytes, offset).unwrap();
    let good = Footer::decode(meta.id, offset, &bytes).unwrap();
    let problems = |footer: Footer| {
        file.write_at(&footer.encode(offset), offset).unwrap();
        let part = PartReader::open_unlisted(&rig.storage, meta.id, 1, None).unwrap();
        verify(&part, &mut |_| ()).problem_count
    };
    assert_eq!(problems(good), 0);
    let max = (good.max.0 + 1, good.max.1);
    assert_eq!(problems(Footer { max, ..good }), 1);
    let min = (good.min.0, Position(good.min.1.0 - 1));
    assert_eq!(problems(Footer { min, ..good }), 1);
}

/// Replaces bytes of the key block that holds them, under a right checksum.
fn forge(rig: &Rig, meta: &PartMeta, from: &[u8], to: &[u8]) {
    let part = rig.open(meta);
    let file = rig.storage.open(&part_path(meta.id), OpenMode::Write).unwrap();
    for entry in part.key_index() {
        let BlockAt { offset, total_bytes } = entry.block;
        let mut bytes = vec![0; total_bytes as usize];
        file.read_at(&mut bytes, offset).unwrap();
        let stored =
            BLOCK_HEADER_BYTES + BlockHeader::decode(&bytes).unwrap().stored_bytes as usize;
        let at = bytes.windows(from.len()).position(|window| window == from);
        if let Some(at) = at {
            bytes[at..at + to.len()].copy_from_slice(to);
            let crc = crc_at(meta.id, offset, &bytes[4..stored]);
            bytes[..4].copy_from_slice(&crc.to_le_bytes());
            return file.write_at(&bytes, offset).unwrap();
        }
    }
    panic!("no key block holds the bytes");
}

#[test]
fn rows_out_of_order_are_damage_to_a_merge_though_their_checksum_is_right() {
    let [keys, pages]: [(&[u8], &[u8], &str); 2] = [
        (&[1, b'a'], &[1, b'c'], "keys are out of order"),
        // Generation 19, a number, and the length of a whole page.
        (&[19, 0, 0x80, 0x80, 4], &[19, 5, 0x80, 0x80, 4], "chunks are out of order"),
    ];
    for (from, to, reason) in [keys, pages] {
        let mut rig = Rig::new();
        let meta = every_kind(&mut rig);
        forge(&rig, &meta, from, to);
        let part = rig.open(&meta);
        assert!(verify(&part, &mut |_| ()).problem_count > 0);
        let storage = rig.storage.clone();
        let plan = Merge {
            inputs: &[part],
            bottom: false,
            is_dead: &|_| false,
            part_bytes_max: u64::MAX,
            storage: &storage,
        };
        let mut pace = |_| std::ops::ControlFlow::Continue(());
        let error = merge(&plan, &mut || rig.writer(), &mut pace).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn a_cut_file_and_an_alien_one_are_refused() {
    let mut rig = Rig::new();
    let meta = every_kind(&mut rig);
    let open = |database, meta: &PartMeta| {
        PartReader::open(&rig.storage, database, meta, None).err().map(|error| error.to_string())
    };
    assert_eq!(open(DATABASE, &meta), None);
    let refused = |text: Option<String>, reason: &str| {
        let text = text.unwrap_or_default();
        assert!(text.contains(reason), "{text}");
    };
    refused(open(DatabaseId([4; 16]), &meta), "another database");
    refused(open(DATABASE, &PartMeta { max_lsn: 1, ..meta }), "MANIFEST");
    let file = rig.storage.open(&part_path(meta.id), crate::io::OpenMode::Write).unwrap();
    for cut in (0..meta.file_bytes).rev() {
        file.set_len(cut).unwrap();
        assert!(open(DATABASE, &meta).is_some(), "cut at {cut}");
    }
}

#[test]
fn a_damaged_value_block_is_an_error_for_its_keys_only() {
    let mut rig = Rig::new();
    let part = plain_part(&mut rig, 1, 2_000);
    let first_value = crate::format::part::HEADER_BYTES as u64 + 20;
    rig.sim.flip_bit(&part_path(part.meta().id), first_value * 8);
    let set = PartSet::new(vec![part]);
    let ask = |index: u64| {
        let name = format!("key:{index:012}");
        set.lookup(0, Position(index << 44), name.as_bytes())
    };
    assert!(matches!(ask(0), Err(Error::Corrupt { .. })));
    assert!(set.lookup_meta(0, Position(0), b"key:000000000000").unwrap().is_some());
    assert!(ask(1_999).unwrap().is_some());
}

#[test]
fn a_page_that_is_nowhere_is_a_corruption() {
    let mut rig = Rig::new();
    let mut writer = rig.writer().unwrap();
    let paged = RowValue::Paged {
        expire_at_ms: None,
        raw: false,
        len: u64::MAX,
        generation: 19,
        pages: &[],
    };
    writer.push(&key(0, 1, b"a"), 20, &paged).unwrap();
    let meta = writer.finish(1).unwrap();
    let set = PartSet::new(vec![rig.open(&meta)]);
    let result = set.lookup(0, Position(1), b"a");
    assert!(matches!(result, Err(Error::Corrupt { .. })), "{result:?}");
}

#[test]
fn a_failed_part_leaves_nothing() {
    for (operation, count) in [
        (Operation::Create, 1),
        (Operation::Write, 1),
        (Operation::Sync, 1),
        (Operation::Rename, 1),
        (Operation::SyncFolder, 1),
    ] {
        for skip in 0..count {
            let mut rig = Rig::new();
            rig.sim.inject(Fault::nth(operation, skip, Failure::NoSpace));
            let result = rig.writer().and_then(|writer| writer.finish(1));
            assert!(result.is_err(), "{operation:?}");
            assert_eq!(rig.part_files().len(), 0, "{operation:?}");
        }
    }
}

#[test]
fn a_finished_part_survives_every_crash() {
    for seed in 0..30 {
        let mut rig = Rig::new();
        let meta = every_kind(&mut rig);
        let after: Arc<dyn crate::io::Storage> = Arc::new(rig.sim.crash_clone(seed));
        let part = PartReader::open(&after, DATABASE, &meta, None).unwrap();
        assert_eq!(verify(&part, &mut |error| panic!("{error}")).row_count, 6);
    }
}

#[test]
fn a_crash_while_writing_leaves_a_whole_part_or_none_under_its_name() {
    let clean = Rig::new();
    let start = clean.sim.operations();
    let mut rig = clean;
    let meta = every_kind(&mut rig);
    let end = rig.sim.operations();
    assert!(end - start >= 5);
    for cut in start..end {
        for seed in 0..10 {
            let mut rig = Rig::new();
            rig.sim.power_off_at(cut);
            let mut run = || -> crate::error::Result<PartMeta> {
                let mut writer = rig.writer()?;
                writer.push(&key(0, 1, b"a"), 17, &RowValue::Tombstone)?;
                writer.finish(1)
            };
            run().unwrap_err();
            let after: SimStorage = rig.sim.crash_clone(seed);
            let named = after.bytes(&part_path(meta.id)).is_ok();
            let storage: Arc<dyn crate::io::Storage> = Arc::new(after);
            let opened = PartReader::open_unlisted(&storage, meta.id, 1, None).is_ok();
            assert_eq!(opened, named, "cut {cut}, seed {seed}");
        }
    }
}
