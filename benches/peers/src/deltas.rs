//! A restart over a log full of changes of keys that only the parts hold: what the log says must
//! wait for its base, and nobody should wait for the log.

use crate::cases::TAIL_BYTES;
use crate::client::{Client, key, load as load_keys, value};
use crate::load::next;
use crate::options::Options;
use crate::report::Figures;
use crate::server::{Kind, Mode, Server, data_dir};

pub const NAME: &str = "keys-restart-killed-delta";

/// Keys of the large cases for each collection.
const KEYS_PER_COLLECTION: u64 = 10;
/// Items of each collection before it grows cold.
const ITEMS: u64 = 5;
/// Log that one change takes, about.
const CHANGE_BYTES: u64 = 150;

/// Fills lists and hashes, restarts so that nothing is in memory, changes them until the log is
/// full, and restarts after a `kill -9`.
pub fn restart(options: &Options, kind: Kind, figures: &mut Figures) -> Result<(), String> {
    if kind != Kind::Firn {
        return Ok(());
    }
    let collections = (options.keys / KEYS_PER_COLLECTION).max(1);
    let changes = (TAIL_BYTES / CHANGE_BYTES).min(options.keys);
    let mut random = 7;
    for _ in 0..options.rounds {
        let mut server = Server::start_empty(options, kind, Mode::Snapshot)?;
        load_keys(server.port, 0, collections)?;
        send(&server, (0..collections).map(filled))?;
        server.shut_down()?;
        server = Server::spawn(options, kind, Mode::Snapshot)?;
        server.wait_ready()?;
        send(
            &server,
            (0..changes).map(|change| changed(change, collections)),
        )?;
        eprintln!(
            "  {changes} changes, {:.0} MB of log",
            log_bytes(options)? as f64 / 1e6
        );
        server.kill();

        server = Server::spawn(options, kind, Mode::Snapshot)?;
        let mut draw = || next(&mut random) % collections;
        let plain = draw();
        let get = server.time_to_first_get(&key(plain), &value(plain))?;
        let (list, hash) = (draw() & !1, draw() | 1);
        let pushed = (0..changes)
            .skip(list as usize)
            .step_by(collections as usize)
            .count();
        let length = format!(":{}\r\n", ITEMS + pushed as u64);
        let llen = server.time_to_first_reply(&["LLEN", &name(list)], length.as_bytes())?;
        let last = (0..changes)
            .skip(hash as usize)
            .step_by(collections as usize)
            .last();
        let change = last.ok_or("too few changes for all keys")?;
        let wanted = format!("${}\r\n{}\r\n", text(change).len(), text(change));
        let words = ["HGET", &name(hash), &field(change)];
        let hget = server.time_to_first_reply(&words, wanted.as_bytes())?;
        eprintln!("  {NAME}: GET {get:.3} s, LLEN {llen:.3} s, HGET {hget:.3} s");
        figures.add(NAME, kind, get.max(llen).max(hget));
    }
    Ok(())
}

/// Lists have even numbers, hashes odd ones.
fn name(collection: u64) -> String {
    match collection % 2 {
        0 => format!("list:{collection:012}"),
        _ => format!("hash:{collection:012}"),
    }
}

fn field(change: u64) -> String {
    format!("field:{change:012}")
}

/// 64 bytes that no compression makes much smaller, in letters.
fn text(number: u64) -> String {
    value(number)
        .iter()
        .map(|byte| char::from(b'a' + byte % 26))
        .collect()
}

fn filled(collection: u64) -> Vec<String> {
    let mut words = match collection % 2 {
        0 => vec!["RPUSH".to_owned(), name(collection)],
        _ => vec!["HSET".to_owned(), name(collection)],
    };
    for item in 0..ITEMS {
        if collection % 2 == 1 {
            words.push(format!("item:{item}"));
        }
        words.push(text(collection + item));
    }
    words
}

fn changed(change: u64, collections: u64) -> Vec<String> {
    let collection = change % collections;
    match collection % 2 {
        0 => vec!["RPUSH".to_owned(), name(collection), text(change)],
        _ => vec![
            "HSET".to_owned(),
            name(collection),
            field(change),
            text(change),
        ],
    }
}

fn send(server: &Server, commands: impl Iterator<Item = Vec<String>>) -> Result<(), String> {
    let sent = Client::connect(server.port).and_then(|mut client| client.send_all(commands));
    sent.map_err(|error| format!("loading: {error}"))
}

/// Bytes of the log's segments in use.
fn log_bytes(options: &Options) -> Result<u64, String> {
    let folder = data_dir(options, Kind::Firn).join("log");
    let files = std::fs::read_dir(folder).map_err(|error| error.to_string())?;
    let used = files
        .flatten()
        .filter(|file| file.path().extension().is_some_and(|kind| kind == "log"));
    Ok(used
        .filter_map(|file| file.metadata().ok())
        .map(|file| file.len())
        .sum())
}
