//! Differential test: the same random commands to Firn and to a real server, the same replies.
//!
//! - `FIRN_ORACLE`: path of the oracle (valkey-server 8.1 answers for Redis 7.2). Unset, the random
//!   streams are left out and only the harness tests itself; `tests/transcripts` hold what an
//!   oracle answered.
//! - `FIRN_ORACLE_REDIS`: path of redis-server 8.0, whose command table is compared too.
//! - `FIRN_DIFF_COMMANDS`: how many commands (default 30000).
//! - `FIRN_DIFF_SEED`: seed of the first session; a mismatch prints the seed that replays it alone.
//! - `FIRN_DIFF_RELOAD=0`: Firn is not made to forget its memory in between (DEBUG RELOAD, BGSAVE).
//!
//! A session is a few hundred commands on two connections, from empty databases. When one differs,
//! it is cut down to the commands that are needed, which are printed.

#[path = "../support/mod.rs"]
mod support;

mod collections;
mod compare;
mod generate;
mod geo;
mod grammar;
mod later;
mod lists;
mod run;
mod shrink;
mod streams;
mod table;
mod zsets;

use std::path::PathBuf;

use generate::Generator;
use run::{Pair, Side};
use support::number_from_env;
use support::server::Server;

/// Commands of one session.
const SESSION_COMMANDS: u64 = 400;

/// Sessions about what no oracle knows.
const LATER_SESSIONS: u64 = 30;

const DEFAULT_COMMANDS: u64 = 30_000;
const DEFAULT_SEED: u64 = 1;

#[test]
fn random_commands_are_answered_as_by_the_oracle() {
    let Some(oracle) = std::env::var_os("FIRN_ORACLE") else {
        eprintln!("FIRN_ORACLE is not set: no oracle, nothing to compare with");
        return;
    };
    let seed = number_from_env("FIRN_DIFF_SEED", DEFAULT_SEED);
    let single = std::env::var_os("FIRN_DIFF_SEED").is_some()
        && std::env::var_os("FIRN_DIFF_COMMANDS").is_none();
    let commands = number_from_env("FIRN_DIFF_COMMANDS", DEFAULT_COMMANDS);
    let sessions = if single { 1 } else { commands.div_ceil(SESSION_COMMANDS) };
    let reload = number_from_env("FIRN_DIFF_RELOAD", 1) != 0;

    let dirs = [tempfile::tempdir(), tempfile::tempdir()].map(|dir| dir.expect("a folder"));
    let (program, mut args) = support::server_under_test();
    let common = ["--appendfsync", "everysec", "--enable-debug-command", "yes"];
    args.extend(common.map(str::to_owned));
    let firn = Server::start(&program, dirs[0].path(), &args);
    let args = common.map(str::to_owned);
    let oracle = Server::start(&PathBuf::from(oracle), dirs[1].path(), &args);
    let mut pair =
        Pair::new(Side::new("firn", firn.port), Side::new("oracle", oracle.port), reload);

    for session in 0..sessions {
        let seed = seed + session;
        let ops = Generator::new(seed).session(SESSION_COMMANDS);
        if let Some(mismatch) = pair.session(&ops) {
            let (ops, mismatch) = shrink::shrink(&mut pair, ops, mismatch);
            panic!("{}", shrink::report(seed, &ops, &mismatch, &firn.printed()));
        }
    }
    eprintln!("{} commands in {sessions} sessions answered alike", sessions * SESSION_COMMANDS);
}

#[test]
fn a_seed_gives_the_same_session_again() {
    let shown = |seed| {
        let ops = Generator::new(seed).session(200);
        ops.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(shown(7), shown(7));
    assert_ne!(shown(7), shown(8));
}

/// There is no oracle for it yet, so another server under test stands in for one: what a restart
/// brings back must be what the commands did.
#[test]
fn what_came_later_survives_a_reload() {
    let dirs = [tempfile::tempdir(), tempfile::tempdir()].map(|dir| dir.expect("a folder"));
    let (program, args) = support::server_under_test();
    let common = ["--appendfsync", "everysec", "--enable-debug-command", "yes"];
    let common = common.map(str::to_owned);
    let firn = Server::start(&program, dirs[0].path(), &[&args[..], &common].concat());
    let other = match std::env::var_os("FIRN_ORACLE_LATER") {
        Some(oracle) => Server::start(&PathBuf::from(oracle), dirs[1].path(), &common),
        None => Server::start(&program, dirs[1].path(), &[&args[..], &common].concat()),
    };
    let mut pair = Pair::new(Side::new("firn", firn.port), Side::new("other", other.port), true);
    let seed = number_from_env("FIRN_DIFF_SEED", DEFAULT_SEED);
    for seed in seed..seed + LATER_SESSIONS {
        let theme = if seed % 2 == 0 { later::ROWS } else { streams::LATER_ROWS };
        let ops = Generator::new(seed).about(theme).session(SESSION_COMMANDS);
        if let Some(mismatch) = pair.session(&ops) {
            let (ops, mismatch) = shrink::shrink(&mut pair, ops, mismatch);
            panic!("{}", shrink::report(seed, &ops, &mismatch, &firn.printed()));
        }
    }
}

/// The server under test against itself: whatever differs then is a fault of the harness.
#[test]
fn a_server_does_not_differ_from_itself() {
    let dirs = [tempfile::tempdir(), tempfile::tempdir()].map(|dir| dir.expect("a folder"));
    let (program, mut args) = support::server_under_test();
    args.extend(["--appendfsync", "everysec"].map(str::to_owned));
    let servers = [0, 1].map(|i| Server::start(&program, dirs[i].path(), &args));
    let sides = [0, 1].map(|i| Side::new(["left", "right"][i], servers[i].port));
    let [left, right] = sides;
    let mut pair = Pair::new(left, right, false);
    for seed in 1000..1003 {
        let ops = Generator::new(seed).session(SESSION_COMMANDS);
        if let Some(mismatch) = pair.session(&ops) {
            panic!("{}", shrink::report(seed, &ops, &mismatch, ""));
        }
    }
}
