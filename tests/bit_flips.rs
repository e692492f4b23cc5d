//! Every single-bit flip of every file of a small data directory is reported or harmless: no key is
//! ever served with a wrong value, silently lost, or brought back.
//!
//! By default one bit of every byte is flipped; `FIRN_ALL_BITS=1` flips them all.

use std::path::Path;
use std::sync::Arc;

#[allow(dead_code, reason = "random changes are for the simulations")]
#[path = "simulation/content.rs"]
mod content;
#[allow(dead_code, reason = "single changes are for other tests")]
#[path = "simulation/every_kind.rs"]
mod every_kind;
#[path = "simulation/stream_content.rs"]
mod stream_content;

use every_kind::{KINDS, build, names, open, read_all, scan};

#[test]
fn every_flipped_bit_is_reported_or_harmless() {
    let storage = build();
    let names = names();
    let engine = open(Arc::new(storage.kill_clone())).unwrap();
    let (expected, failures) = read_all(&engine, &names);
    assert_eq!((expected.len(), failures), (15, 0));
    let large = |kind: &str| expected[format!("large {kind}").as_bytes()].clone().unwrap().0;
    assert_eq!(KINDS.map(|(kind, _)| large(kind).len()), [262, 142, 142, 142]);
    drop(engine);

    let (mut reported, mut harmless) = (0u64, 0u64);
    for file in storage.file_names() {
        let path: &Path = &file;
        let file = file.display();
        let bytes = storage.bytes(path).expect("a listed file has bytes");
        // Zeros behind the last frame go on for the whole preallocated segment: all of the first
        // stretch is flipped, and a sample of the rest.
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1) + 64;
        let all = std::env::var_os("FIRN_ALL_BITS").is_some();
        let chosen = |bit: &usize| {
            let (byte, bit) = (bit / 8, bit % 8);
            if byte < used { all || bit == byte % 8 } else { byte % 997 == 0 }
        };
        for bit in (0..bytes.len() * 8).filter(chosen) {
            let damaged = storage.kill_clone();
            damaged.flip_bit(path, bit as u64);
            let Ok(engine) = open(Arc::new(damaged)) else {
                reported += 1;
                continue;
            };
            let (held, failures) = read_all(&engine, &names);
            for (name, value) in &held {
                let wrong = expected.get(name).is_none_or(|right| right != value);
                assert!(
                    !wrong || value.is_none(),
                    "{file} bit {bit}: {} is served wrong",
                    String::from_utf8_lossy(name)
                );
            }
            assert_eq!(held.len(), expected.len(), "{file} bit {bit}: a key is silently lost");
            match scan(&engine) {
                Ok(keys) => assert_eq!(keys.len(), expected.len(), "{file} bit {bit}: scan"),
                Err(_) => reported += 1,
            }
            if failures > 0 { reported += 1 } else { harmless += 1 }
        }
    }
    assert!(reported > 2_000, "flips are noticed: {reported} reported, {harmless} harmless");
}
