//! The worked examples of `format-spec/`: they decode, and encoding gives them back byte for byte.
//! With `FIRN_REGENERATE` set in the environment they are written anew.

use bytes::Bytes;

use std::fmt::Write;
use std::path::PathBuf;

use super::lookup::ColdContent;
use super::part_set::PartSet;
use super::tests::{DATABASE, Rig};
use super::verify::verify;
use super::*;
use crate::format::manifest::Manifest;
use crate::keyspace::capture::head_of;
use crate::limits::STRING_PAGE_BYTES;
use crate::types::{HashSeed, ValueKind};
use crate::value::collection::Collection;
use crate::value::item::Item;
use crate::value::members::MemberHasher;
use crate::value::packed_list::{PackedList, list_push};

/// Annotated hex: bytes, then what they are. A field of no bytes is a heading.
fn annotate(bytes: &[u8], fields: &[(usize, &str)]) -> String {
    let (mut text, mut at) = (String::new(), 0);
    for &(count, what) in fields {
        if count == 0 {
            writeln!(text, "\n# {at:#06x} {what}").unwrap();
            continue;
        }
        for (row, chunk) in bytes[at..at + count].chunks(16).enumerate() {
            let hex: Vec<String> = chunk.iter().map(|byte| format!("{byte:02x}")).collect();
            let note = if row == 0 { format!("# {what}") } else { String::new() };
            writeln!(text, "{}", format!("{:<48}{note}", hex.join(" ")).trim_end()).unwrap();
        }
        at += count;
    }
    assert_eq!(at, bytes.len(), "the annotation covers the file");
    text.trim_start().to_string()
}

fn decode_hex(text: &str) -> Vec<u8> {
    let code = text.lines().flat_map(|line| line.split('#').next());
    let pairs = code.flat_map(str::split_whitespace);
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

/// Compares an example with what is encoded today, and gives its bytes.
fn example(name: &str, encoded: &[u8], fields: &[(usize, &str)]) -> Vec<u8> {
    let folder: PathBuf = [env!("CARGO_MANIFEST_DIR"), "format-spec", "examples"].iter().collect();
    let path = folder.join(name);
    let text = annotate(encoded, fields);
    if std::env::var_os("FIRN_REGENERATE").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap();
    assert_eq!(kept, text, "{name} differs from what is encoded today");
    decode_hex(&kept)
}

const BLOCK: [(usize, &str); 6] = [
    (4, "checksum"),
    (1, "kind: 1 value, 2 key, 3 deadline"),
    (1, "compression: none"),
    (2, "reserved"),
    (4, "stored bytes"),
    (4, "bytes once decompressed"),
];

const PART: &[(usize, &str)] = &[
    (0, "Header"),
    (8, "magic"),
    (4, "version"),
    (4, "features, harmless"),
    (4, "features, read-only"),
    (4, "features, required"),
    (16, "database"),
    (8, "part id"),
    (8, "written at, Unix ms"),
    (4, "cipher"),
    (4, "cipher key"),
    (4, "compression kind: zstd"),
    (4, "dictionary"),
    (52, "reserved"),
    (4, "checksum"),
    (0, "Value block"),
    BLOCK[0],
    BLOCK[1],
    BLOCK[2],
    BLOCK[3],
    BLOCK[4],
    BLOCK[5],
    (3, "value of `a`"),
    (4, "value of `bb`"),
    (1, "padding"),
    (0, "Key block of keyspace 0"),
    BLOCK[0],
    BLOCK[1],
    BLOCK[2],
    BLOCK[3],
    BLOCK[4],
    BLOCK[5],
    (1, "keyspace"),
    (8, "position of the first row"),
    (1, "rows"),
    (1, "value blocks"),
    (1, "value block: offset / 8, less that of the one before"),
    (1, "value block: bytes / 8"),
    (1, "row 1: string, first value of its block"),
    (1, "position step"),
    (2, "key `a` with its length"),
    (1, "LSN step, zigzag: 17"),
    (1, "value bytes"),
    (1, "row 2: string, expires, raw"),
    (1, "position step"),
    (3, "key `bb` with its length"),
    (1, "LSN step, zigzag: +1"),
    (2, "deadline: 1000"),
    (1, "value bytes"),
    (1, "row 3: tombstone"),
    (1, "position step"),
    (5, "key `gone` with its length"),
    (1, "LSN step, zigzag: -2"),
    (4, "padding"),
    (0, "Value block"),
    BLOCK[0],
    BLOCK[1],
    BLOCK[2],
    BLOCK[3],
    BLOCK[4],
    BLOCK[5],
    (3, "page 1 of `long`"),
    (3, "items of `set`: member `a`"),
    (1, "chunk 0 of `hash`: form"),
    (4, "its items: field `f` = `v`"),
    (1, "elements of `pair`: length of each"),
    (6, "`one`, `two`"),
    (1, "chunk 2^63 of `many`: form, uniform"),
    (1, "length of each element"),
    (6, "`one`, `two`"),
    (6, "padding"),
    (0, "Key block of keyspace 65536"),
    BLOCK[0],
    BLOCK[1],
    BLOCK[2],
    BLOCK[3],
    BLOCK[4],
    BLOCK[5],
    (3, "keyspace"),
    (8, "position of the first row"),
    (1, "rows"),
    (1, "value blocks"),
    (1, "value block: offset / 8"),
    (1, "value block: bytes / 8"),
    (1, "row 1: paged string"),
    (1, "position step"),
    (5, "key `long` with its length"),
    (1, "LSN step, zigzag: 20"),
    (3, "length: 65539"),
    (1, "generation"),
    (1, "row 2: page, first value of its block"),
    (1, "LSN step, zigzag: 0"),
    (1, "generation"),
    (1, "page number"),
    (1, "value bytes"),
    (1, "row 3: packed collection"),
    (1, "position step"),
    (4, "key `set` with its length"),
    (1, "LSN step, zigzag: -1"),
    (1, "head: set, encoding 1"),
    (1, "value bytes"),
    (1, "row 4: collection in chunks"),
    (1, "position step"),
    (5, "key `hash` with its length"),
    (1, "LSN step, zigzag: +1"),
    (1, "shape: hash, encoding 1"),
    (1, "items"),
    (1, "chunks"),
    (1, "generation"),
    (1, "row 5: chunk"),
    (1, "LSN step, zigzag: 0"),
    (1, "generation"),
    (1, "chunk id"),
    (1, "value bytes"),
    (1, "row 6: chunk"),
    (1, "LSN step, zigzag: 0"),
    (1, "generation"),
    (2, "chunk id: 4096"),
    (1, "value bytes: it is gone"),
    (1, "row 7: packed collection"),
    (1, "position step"),
    (5, "key `pair` with its length"),
    (1, "LSN step, zigzag: 0"),
    (1, "head: list, encoding 1, uniform"),
    (1, "value bytes"),
    (1, "row 8: collection in chunks"),
    (1, "position step"),
    (5, "key `many` with its length"),
    (1, "LSN step, zigzag: 0"),
    (1, "shape: list, encoding 1"),
    (1, "items"),
    (1, "chunks"),
    (1, "generation"),
    (1, "row 9: chunk"),
    (1, "LSN step, zigzag: 0"),
    (1, "generation"),
    (10, "chunk id: 2^63"),
    (1, "value bytes"),
    (4, "padding"),
    (0, "Deadline block"),
    BLOCK[0],
    BLOCK[1],
    BLOCK[2],
    BLOCK[3],
    BLOCK[4],
    BLOCK[5],
    (2, "deadline step: 1000"),
    (1, "keyspace"),
    (8, "position"),
    (5, "padding"),
    (0, "Counts"),
    (1, "keyspace"),
    (1, "slot"),
    (1, "keys"),
    (1, "keys with a deadline"),
    (1, "LSN"),
    (3, "padding"),
    (0, "Key index"),
    (4, "keyspace"),
    (4, "bytes of the block; bit 31: continues"),
    (8, "position of its first row"),
    (8, "offset of the block"),
    (4, "keyspace"),
    (4, "bytes of the block; bit 31: continues"),
    (8, "position of its first row"),
    (8, "offset of the block"),
    (0, "Deadline index"),
    (8, "first deadline"),
    (4, "keyspace"),
    (4, "bytes of the block"),
    (8, "position"),
    (8, "offset of the block"),
    (0, "Filter"),
    (64, "one line of 512 bits"),
    (0, "Footer"),
    (8, "magic"),
    (8, "part id"),
    (8, "end of the value and key blocks"),
    (8, "rows"),
    (8, "keys"),
    (8, "tombstones"),
    (8, "deadlines"),
    (8, "bytes of all values"),
    (8, "lowest LSN"),
    (8, "highest LSN"),
    (4, "lowest keyspace"),
    (8, "lowest position"),
    (4, "highest keyspace"),
    (8, "highest position"),
    (20, "counts: offset, bytes, checksum"),
    (20, "key index: offset, bytes, checksum"),
    (20, "deadline index: offset, bytes, checksum"),
    (20, "filter: offset, bytes, checksum"),
    (4, "reserved"),
    (4, "checksum"),
];

fn key(keyspace: KeyspaceId, position: u64, key: &[u8]) -> RowKey<'_> {
    RowKey { keyspace, position: Position(position), key }
}

fn hasher() -> MemberHasher {
    MemberHasher::new(HashSeed([5; 16]))
}

fn write_example(rig: &mut Rig) -> PartMeta {
    let mut writer = rig.writer().unwrap();
    let string = |bytes, expire_at_ms, raw| RowValue::String { expire_at_ms, raw, bytes };
    let page = DirtyPage { number: 1, bytes: Bytes::from_static(b"end"), lsn: 20 };
    let paged = RowValue::Paged {
        expire_at_ms: None,
        raw: false,
        len: STRING_PAGE_BYTES as u64 + 3,
        generation: 12,
        pages: &[page],
    };
    writer.push(&key(0, 1, b"a"), 17, &string(b"one", None, false)).unwrap();
    writer.push(&key(0, 1, b"bb"), 18, &string(b"four", Some(1000), true)).unwrap();
    writer.push(&key(0, 7, b"gone"), 16, &RowValue::Tombstone).unwrap();
    writer.push(&key(65_536, 3, b"long"), 20, &paged).unwrap();
    let set = [ValueKind::Set.shape(1), 1, 0, b'a'];
    let packed = RowValue::Packed { expire_at_ms: None, blob: &set };
    writer.push(&key(65_536, 4, b"set"), 19, &packed).unwrap();
    let mut hash = Collection::from_packed(&[ValueKind::Hash.shape(1)], hasher());
    let Collection::Hash(members) = &mut hash else { panic!("a hash") };
    members.insert(&Item::new(b"f", b"v"));
    let mut chunks = hash.chunks_mut().capture(1);
    chunks.push(DirtyChunk { id: 4096, content: None });
    let chunked = RowValue::Chunked { head: head_of(&hash, None), chunks: &chunks };
    writer.push(&key(65_536, 5, b"hash"), 20, &chunked).unwrap();
    let mut pair = Vec::new();
    list_push(&[ValueKind::List.shape(1)], false, &["one", "two"], &mut pair);
    let packed = RowValue::Packed { expire_at_ms: None, blob: &pair };
    writer.push(&key(65_536, 6, b"pair"), 20, &packed).unwrap();
    let mut list = Collection::from_packed(&pair, hasher());
    let chunks = list.chunks_mut().capture(1);
    let chunked = RowValue::Chunked { head: head_of(&list, None), chunks: &chunks };
    writer.push(&key(65_536, 7, b"many"), 20, &chunked).unwrap();
    writer.set_counts(vec![SlotCount { keyspace: 0, slot: 0, keys: 2, expires: 1, lsn: 18 }]);
    writer.finish(1).unwrap()
}

#[test]
fn the_part_of_the_spec_is_what_is_written_and_read() {
    let mut rig = Rig::new();
    let meta = write_example(&mut rig);
    let path = part_path(meta.id);
    let bytes = example("part.hex", &rig.sim.bytes(&path).unwrap(), PART);

    // What is read comes from the example's bytes alone.
    rig.storage.remove(&path).unwrap();
    let file = rig.storage.open(&path, crate::io::OpenMode::CreateNew).unwrap();
    file.write_at(&bytes, 0).unwrap();
    let part = rig.open(&meta);
    assert_eq!(part.header().database, DATABASE);
    assert_eq!(verify(&part, &mut |error| panic!("{error}")).row_count, 12);
    let set = PartSet::new(vec![part]);
    let content = |row: RowKey<'_>| {
        let found = set.lookup(row.keyspace, row.position, row.key).unwrap().unwrap();
        (found.lsn, found.content)
    };
    let four = ColdContent::String {
        expire_at_ms: Some(1000),
        raw: true,
        bytes: Bytes::from_static(b"four"),
    };
    assert_eq!(content(key(0, 1, b"bb")), (18, four));
    assert_eq!(content(key(0, 7, b"gone")), (16, ColdContent::Tombstone));
    let set = ColdContent::Packed { expire_at_ms: None, blob: vec![0x21, 1, 0, b'a'] };
    assert_eq!(content(key(65_536, 4, b"set")), (19, set));
    let (lsn, ColdContent::Chunked { head, chunks }) = content(key(65_536, 5, b"hash")) else {
        panic!("a collection in chunks");
    };
    assert_eq!((lsn, head.len, head.generation), (20, 1, 1));
    let hash = Collection::from_parts(head.shape, 1, 1, hasher(), &chunks).unwrap();
    let Collection::Hash(members) = hash else { panic!("a hash") };
    assert_eq!(members.get(b"f"), Some(Item::new(b"f", b"v")));
    let (_, ColdContent::Packed { blob, .. }) = content(key(65_536, 6, b"pair")) else {
        panic!("a packed collection");
    };
    let (_, ColdContent::Chunked { head, chunks }) = content(key(65_536, 7, b"many")) else {
        panic!("a collection in chunks");
    };
    let many = Collection::from_parts(head.shape, 1, 2, hasher(), &chunks).unwrap();
    let Collection::List(many) = many else { panic!("a list") };
    assert!(PackedList::new(&blob).iter().eq([b"one", b"two"]));
    assert!(many.iter_from(0, false).eq([b"one", b"two"]));
}

const MANIFEST: &[(usize, &str)] = &[
    (8, "magic"),
    (4, "version"),
    (4, "features, harmless"),
    (4, "features, read-only"),
    (4, "features, required"),
    (16, "database"),
    (16, "hash seed"),
    (8, "generation"),
    (8, "log is needed from this LSN"),
    (8, "log was durable up to this LSN"),
    (8, "installed at, Unix ms"),
    (8, "next part id"),
    (8, "LSN of the database map"),
    (4, "epoch"),
    (4, "next keyspace id"),
    (4, "databases listed"),
    (4, "parts"),
    (32, "reserved"),
    (4, "database"),
    (4, "its keyspace"),
    (0, "Part"),
    (8, "part id"),
    (8, "bytes of the file"),
    (8, "run"),
    (8, "rows"),
    (8, "highest LSN"),
    (4, "lowest keyspace"),
    (8, "lowest position"),
    (4, "highest keyspace"),
    (8, "highest position"),
    (4, "checksum of the footer"),
    (4, "reserved"),
    (0, "End"),
    (4, "checksum of all before"),
];

#[test]
fn the_manifest_of_the_spec_is_what_is_encoded_and_decoded() {
    let mut rig = Rig::new();
    let mut manifest = Manifest::new(DATABASE, HashSeed([5; 16]));
    manifest.generation = 2;
    manifest.epoch = 1;
    manifest.log_start_lsn = 19;
    manifest.durable_lsn = 20;
    manifest.wall_ms = 1_700_000_000_000;
    manifest.next_part_id = 2;
    manifest.databases = DatabaseMap { lsn: 11, changed: vec![(1, 65_536)], next_keyspace: 65_537 };
    manifest.parts = vec![write_example(&mut rig)];
    let bytes = example("manifest.hex", &manifest.encode(), MANIFEST);
    assert_eq!(Manifest::decode(&bytes), Ok(manifest));
}
