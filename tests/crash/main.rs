//! kill -9 of the real server under pipelined load: nothing acknowledged is lost.
//!
//! A round: several connections write, each to keys of its own, and note what was acknowledged;
//! the server is killed at a random moment, starts again, and its data is compared with what each
//! connection sent. One connection's commands are one history, so the data must equal that history
//! up to one point, not before the last acknowledged command. EXEC is one command of it. The next
//! round goes on with the same data, and checkpoints (BGSAVE) run in between.
//!
//! - `FIRN_CRASH_ROUNDS`: rounds (default 12); `scripts/crash-test N` runs any number.
//! - `FIRN_CRASH_SEED`: seed of what is sent. The moment of the kill stays up to the machine.

#[path = "../support/mod.rs"]
mod support;

mod history;
mod load;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use history::{Entry, State};
use load::{Shared, Writer};
use support::client::Client;
use support::number_from_env;
use support::prng::Prng;
use support::server::Server;

const DEFAULT_ROUNDS: u64 = 12;
const WRITERS: usize = 4;

/// Keys that one EXEC sets to one value; every connection does.
const TORN_KEYS: [&str; 3] = ["{together}1", "together:2", "together:3"];

#[test]
fn a_killed_server_keeps_what_it_acknowledged() {
    let rounds = number_from_env("FIRN_CRASH_ROUNDS", DEFAULT_ROUNDS);
    let seed = number_from_env("FIRN_CRASH_SEED", u64::from(std::process::id()));
    let dir = tempfile::Builder::new().prefix("firn-crash-").tempdir().expect("a folder");
    println!("seed {seed}, data in {}", dir.path().display());
    let result = std::panic::catch_unwind(|| run(dir.path(), rounds, seed));
    if let Err(panic) = result {
        println!("the data directory is kept: {}", dir.keep().display());
        std::panic::resume_unwind(panic);
    }
}

fn run(dir: &Path, rounds: u64, seed: u64) {
    let (program, mut args) = support::server_under_test();
    args.extend(["--appendfsync", "always"].map(str::to_owned));
    let mut random = Prng::new(seed);
    let mut states: Vec<State> = (0..WRITERS).map(|_| State::default()).collect();
    let mut total = (0, 0);
    for round in 0..rounds {
        let mut server = start(&program, dir, &args, &mut random);
        verify_resting(&server, &states);
        let shared = Arc::new(Shared::default());
        let writers = attack(&mut server, &mut random, &shared, &states);
        drop(server);

        let server = start(&program, dir, &args, &mut random);
        let found = read_all(&server);
        for (state, writer) in states.iter_mut().zip(&writers) {
            let seen = shared.seen_of(writer.id);
            *state = match history::settle(state, writer, seen, &found) {
                Ok(state) => state,
                Err(error) => panic!("round {round}, connection {}: {error}", writer.id),
            };
            total = (total.0 + writer.acknowledged, total.1 + writer.sent.len());
        }
        verify_shared(&found, &shared, round);
        verify_counts(&server, &found, round);
        drop(server);
    }
    println!("{rounds} rounds, {} commands acknowledged of {} sent", total.0, total.1);
    assert!(total.0 > 0, "the load never got an answer");
}

/// Starts the server; now and then it is killed while it starts, and started again.
fn start(program: &Path, dir: &Path, args: &[String], random: &mut Prng) -> Server {
    if random.percent(25) {
        let mut server = Server::spawn(program, dir, args);
        std::thread::sleep(Duration::from_millis(random.below(40)));
        server.kill();
    }
    Server::start(program, dir, args)
}

/// Writes from all connections until the server is gone.
fn attack(
    server: &mut Server,
    random: &mut Prng,
    shared: &Arc<Shared>,
    states: &[State],
) -> Vec<Writer> {
    let port = server.port;
    let mut threads = Vec::new();
    for (id, state) in states.iter().enumerate() {
        let mut writer = Writer::new(id, random.next(), state.next_sequence());
        let shared = Arc::clone(shared);
        threads.push(std::thread::spawn(move || {
            writer.run(port, &shared);
            writer
        }));
    }
    let reader = {
        let (shared, seed) = (Arc::clone(shared), random.next());
        std::thread::spawn(move || load::observe(port, seed, &shared))
    };
    let mut control = server.connect();
    let clean = random.percent(10);
    for _ in 0..random.below(4) {
        std::thread::sleep(Duration::from_millis(random.below(150)));
        // It may already run, or fail while the server dies; both are fine.
        let _ = control.call(&["BGSAVE"]);
    }
    std::thread::sleep(Duration::from_millis(random.below(300)));
    if clean {
        server.signal("TERM");
        let status = server.wait_exit().expect("a clean end");
        assert!(status.success(), "SIGTERM ended with {status}\n{}", server.printed());
    } else {
        server.kill();
    }
    let writers = threads.into_iter().map(|thread| thread.join().expect("a writer")).collect();
    reader.join().expect("the reader");
    writers
}

/// Every key with its value and whether it has a deadline.
fn read_all(server: &Server) -> BTreeMap<Vec<u8>, Entry> {
    let mut client = server.connect();
    let keys = client.ask(&["KEYS", "*"]);
    let mut found = BTreeMap::new();
    for key in keys.items().expect("KEYS answers a list") {
        let key = key.bytes().expect("a key").to_vec();
        let value = get(&mut client, b"GET", &key).bytes().map(<[u8]>::to_vec);
        let ttl = get(&mut client, b"PTTL", &key).integer().expect("PTTL answers a number");
        let value = value.unwrap_or_else(|| panic!("KEYS names {key:?}, GET does not find it"));
        found.insert(key, Entry { value, expires: ttl >= 0 });
    }
    found
}

fn get(client: &mut Client, name: &[u8], key: &[u8]) -> support::value::Value {
    client.call(&[name, key]).unwrap_or_else(|error| panic!("{error}"))
}

/// A server that started twice over the same data still holds it.
fn verify_resting(server: &Server, states: &[State]) {
    let found = read_all(server);
    for (id, state) in states.iter().enumerate() {
        let difference = state.difference(&found);
        assert!(
            difference.is_none(),
            "after a restart without load, connection {id}: {difference:?}"
        );
    }
}

/// What all connections write together: EXEC is all or nothing, the counter has lost nothing.
fn verify_shared(found: &BTreeMap<Vec<u8>, Entry>, shared: &Shared, round: u64) {
    let value = |key: &str| found.get(key.as_bytes()).map(|entry| &entry.value);
    let values = TORN_KEYS.map(value);
    assert!(
        values.iter().all(|value| *value == values[0]),
        "round {round}: an EXEC was torn: {values:?}"
    );
    let counter = value(load::COUNTER).map_or(0, |value| {
        String::from_utf8_lossy(value).parse::<i64>().expect("the counter is a number")
    });
    let acknowledged = shared.counter();
    assert!(
        counter >= acknowledged,
        "round {round}: {} was acknowledged at {acknowledged} and is {counter}",
        load::COUNTER
    );
}

fn verify_counts(server: &Server, found: &BTreeMap<Vec<u8>, Entry>, round: u64) {
    let size = server.connect().ask(&["DBSIZE"]).integer();
    assert_eq!(size, i64::try_from(found.len()).ok(), "round {round}: DBSIZE and KEYS differ");
}

/// The server under test must not lose data when it is told to stop either.
#[test]
fn a_stopped_server_ends_cleanly_and_keeps_its_data() {
    let dir = tempfile::tempdir().expect("a folder");
    let (program, mut args): (PathBuf, _) = support::server_under_test();
    args.extend(["--appendfsync", "everysec"].map(str::to_owned));
    let mut server = Server::start(&program, dir.path(), &args);
    let mut client = server.connect();
    for number in 0..1000 {
        client.ask(&["SET", &format!("key:{number}"), &number.to_string()]);
    }
    server.signal("TERM");
    assert!(server.wait_exit().expect("an end").success());
    let server = Server::start(&program, dir.path(), &args);
    let mut client = server.connect();
    assert_eq!(client.ask(&["DBSIZE"]).integer(), Some(1000));
    assert_eq!(client.ask(&["GET", "key:999"]).bytes(), Some(&b"999"[..]));
}
