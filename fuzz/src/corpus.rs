//! Replays the committed corpora, so that what a fuzzer has found once stays found without one.

use std::path::PathBuf;

use crate::TARGETS;

/// Where the seeds of a target are.
pub fn folder(target: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "corpus", target].iter().collect()
}

/// The committed inputs of a target, in order.
pub fn inputs(target: &str) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder(target))
        .unwrap_or_else(|error| panic!("no corpus of {target}: {error}"))
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "{target} has seeds");
    paths
}

#[test]
fn every_committed_input_passes_its_target() {
    for (target, body) in TARGETS {
        for path in inputs(target) {
            println!("{}", path.display());
            body(&std::fs::read(&path).unwrap());
        }
    }
}

#[test]
fn inputs_without_bytes_pass_every_target() {
    for (_, body) in TARGETS {
        body(&[]);
        body(&[0]);
        body(&[0xff; 300]);
    }
}

/// `FIRN_INPUT=artifacts/part_open/crash-... cargo test` runs one input without a fuzzer.
#[test]
fn the_input_that_is_named_passes_its_target() {
    let Ok(path) = std::env::var("FIRN_INPUT") else {
        return;
    };
    let named = TARGETS.into_iter().find(|(target, _)| path.contains(target));
    let (_, body) = named.expect("the path of an input names its target");
    body(&std::fs::read(&path).unwrap());
}
