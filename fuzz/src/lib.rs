//! What the fuzz targets do with their bytes. `README.md` tells how to run them.
//!
//! Checksums keep a fuzzer out of the decoders behind them, so most targets try their bytes twice:
//! as they are, and with every checksum repaired ([`seal`]). A checksum of `ff ff ff ff` stays as
//! it is, which lets the fuzzer keep damage where it wants it.

pub mod input;
pub mod seal;

mod chunked;
mod log;
mod manifest;
mod model;
mod part;
mod rdb;
mod reading;
mod resp;

#[path = "../../tests/simulation/content.rs"]
mod content;
#[allow(dead_code, reason = "some of it is for the tests of repairs")]
#[path = "../../tests/simulation/every_kind.rs"]
mod every_kind;
#[path = "../../tests/simulation/stream_content.rs"]
mod stream_content;

#[cfg(test)]
mod chunked_seeds;
#[cfg(test)]
mod corpus;
#[cfg(test)]
mod mutants;
#[cfg(test)]
mod seeds;

pub use log::{log_frame, segment_scan};
pub use manifest::manifest_decode;
pub use model::engine_model;
pub use part::part_open;
pub use rdb::rdb_payload;
pub use resp::resp_parse;

/// A target: its name and what it does.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 7] = [
    ("resp_parse", resp_parse),
    ("log_frame", log_frame),
    ("segment_scan", segment_scan),
    ("part_open", part_open),
    ("manifest_decode", manifest_decode),
    ("rdb_payload", rdb_payload),
    ("engine_model", engine_model),
];
