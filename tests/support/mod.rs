//! What the black-box tests share: a server process, a blocking client, a small random generator.
//!
//! Nothing here knows Firn's code. The server under test is the built `firn-server`, or the binary
//! that `FIRN_SERVER` names (with `FIRN_SERVER_ARGS`), so that every harness can be proved on a
//! server that is known to be right.

// Each test crate compiles this module and uses its part of it.
#![allow(dead_code)]

pub mod client;
pub mod dump;
pub mod prng;
pub mod server;
pub mod value;

use std::path::PathBuf;

/// The binary under test and the arguments that it always gets.
pub fn server_under_test() -> (PathBuf, Vec<String>) {
    let program = std::env::var_os("FIRN_SERVER")
        .map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_firn-server")), PathBuf::from);
    let args = std::env::var("FIRN_SERVER_ARGS").unwrap_or_default();
    (program, args.split_whitespace().map(str::to_owned).collect())
}

/// A number from the environment, or its default.
pub fn number_from_env(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => match text.parse() {
            Ok(number) => number,
            Err(error) => panic!("{name}={text}: {error}"),
        },
        Err(_) => default,
    }
}
