//! The command table against those of real servers: what COMMAND INFO and COMMAND DOCS tell of
//! every command that both have. Summaries, complexities and notes are in our own words.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::support;
use crate::support::client::Client;
use crate::support::server::Server;
use crate::support::value::Value;

/// A real server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Oracle {
    /// valkey-server 8.1, `FIRN_ORACLE`.
    Valkey,
    /// redis-server 8.0, `FIRN_ORACLE_REDIS`.
    Redis,
}

/// A fact that Firn tells otherwise, on purpose.
struct Deviation {
    from: Oracle,
    /// `client|list` for a subcommand.
    command: &'static str,
    fact: &'static str,
    reason: &'static str,
}

const fn valkey(command: &'static str, fact: &'static str, reason: &'static str) -> Deviation {
    Deviation { from: Oracle::Valkey, command, fact, reason }
}

const fn redis(command: &'static str, fact: &'static str, reason: &'static str) -> Deviation {
    Deviation { from: Oracle::Redis, command, fact, reason }
}

const REFUSES_ITSELF: &str = "in Redis the command itself refuses to be queued, with its own text";
const LOADING: &str = "Redis 7.2 has the flag, 8.0 dropped it; Firn never answers while it loads";

const ITS_OWN: &str = "options of Valkey alone";
const NEWER: &str = "Redis 8.2 to 8.8 have options that this server does not know";

const DEVIATIONS: &[Deviation] = &[
    valkey("bgsave", "arguments", ITS_OWN),
    valkey("bitcount", "arguments", "Valkey lets the end of the range be left out, Redis does not"),
    valkey("bitop", "arguments", NEWER),
    valkey("client|kill", "arguments", ITS_OWN),
    valkey("client|list", "arguments", ITS_OWN),
    valkey("set", "arguments", NEWER),
    valkey("zinter", "arguments", NEWER),
    valkey("zinterstore", "arguments", NEWER),
    valkey("zscan", "arguments", ITS_OWN),
    valkey("zunion", "arguments", NEWER),
    valkey("zunionstore", "arguments", NEWER),
    redis("bitop", "arguments", NEWER),
    redis("set", "arguments", NEWER),
    redis("shutdown", "arguments", "ABORT stands alone, as Valkey tells and Redis leaves out"),
    redis("zinter", "arguments", NEWER),
    redis("zinterstore", "arguments", NEWER),
    redis("zunion", "arguments", NEWER),
    redis("zunionstore", "arguments", NEWER),
    valkey("xadd", "arguments", NEWER),
    valkey("xreadgroup", "arguments", NEWER),
    valkey("xtrim", "arguments", NEWER),
    redis("xadd", "arguments", NEWER),
    redis("xreadgroup", "arguments", NEWER),
    redis("xtrim", "arguments", NEWER),
    valkey("exec", "flags", "the flag skip_slowlog is skip_commandlog in Valkey alone"),
    valkey("multi", "flags", REFUSES_ITSELF),
    valkey("watch", "flags", REFUSES_ITSELF),
    redis("memory|malloc-stats", "flags", LOADING),
    redis("memory|purge", "flags", LOADING),
];

/// What is told of a command, by the name of the fact.
type Facts = BTreeMap<&'static str, String>;

/// The facts of all commands and subcommands.
type Table = BTreeMap<String, Facts>;

/// Columns of COMMAND INFO behind the name; the key specifications and subcommands come last.
const COLUMNS: &[&str] = &["arity", "flags", "first key", "last key", "step", "acl", "tips"];

fn table_of(server: &Server) -> Table {
    let mut client = Client::connect(server.port).expect("a connection");
    client.ask(&["HELLO", "3"]);
    let mut table = Table::new();
    let info = client.ask(&["COMMAND", "INFO"]);
    info.items().expect("a list of commands").iter().for_each(|row| add_info(row, &mut table));
    add_docs(&client.ask(&["COMMAND", "DOCS"]), &mut table);
    table
}

fn add_info(row: &Value, table: &mut Table) {
    let row = row.items().expect("a row is a list");
    let mut facts = Facts::new();
    for (name, value) in COLUMNS.iter().zip(&row[1..]) {
        facts.insert(name, value.clone().sorted().to_string());
    }
    let keys = row[8].items().expect("key specifications");
    facts.insert("keys", keys.iter().map(shown_keys).collect::<Vec<_>>().join("; "));
    table.insert(text(&row[0]), facts);
    row[9].items().expect("subcommands").iter().for_each(|row| add_info(row, table));
}

/// A key specification without its note.
fn shown_keys(spec: &Value) -> String {
    let facts = ["flags", "begin_search", "find_keys"];
    facts.map(|name| field(spec, name).expect("a key specification").sorted().to_string()).join(" ")
}

fn add_docs(docs: &Value, table: &mut Table) {
    let Value::Map(rows) = docs else { panic!("COMMAND DOCS replies with a map: {docs}") };
    for (name, doc) in rows {
        let facts = table.entry(text(name)).or_default();
        for name in ["group", "since"] {
            facts.insert(name, field(doc, name).map_or("none".to_owned(), |fact| text(&fact)));
        }
        let arguments = field(doc, "arguments").map_or("none".to_owned(), |list| shown(&list));
        facts.insert("arguments", arguments);
        if let Some(subcommands) = field(doc, "subcommands") {
            add_docs(&subcommands, table);
        }
    }
}

/// Arguments in one line: type and name, and whatever else is told of each.
fn shown(arguments: &Value) -> String {
    let arguments = arguments.items().expect("a list of arguments").iter();
    let shown = arguments.map(|argument| {
        let part = |name: &str| field(argument, name);
        let mut line = part("type").map_or_else(String::new, |kind| text(&kind));
        for name in ["name", "token", "since", "display_text"] {
            line.extend(part(name).map(|word| format!(" {}", text(&word))));
        }
        line.extend(part("key_spec_index").map(|index| format!(" key {index}")));
        line.extend(part("flags").map(|flags| format!(" {}", flags.sorted())));
        line.extend(part("arguments").map(|inner| format!(" ({})", shown(&inner))));
        line
    });
    shown.collect::<Vec<_>>().join(", ")
}

fn field(map: &Value, name: &str) -> Option<Value> {
    let Value::Map(pairs) = map else { panic!("not a map: {map}") };
    let found = pairs.iter().find(|(key, _)| key.bytes() == Some(name.as_bytes()));
    found.map(|(_, value)| value.clone())
}

fn text(value: &Value) -> String {
    String::from_utf8_lossy(value.bytes().expect("a string")).into_owned()
}

/// Differences between the tables that no row of `listed` explains, and rows that explain none.
fn complaints(from: Oracle, firn: &Table, theirs: &Table, listed: &[Deviation]) -> Vec<String> {
    let mut listed: BTreeSet<(&str, &str)> = listed
        .iter()
        .filter(|deviation| deviation.from == from)
        .map(|deviation| (deviation.command, deviation.fact))
        .collect();
    let mut complaints = Vec::new();
    for (command, facts) in firn {
        let Some(others) = theirs.get(command) else { continue };
        for (name, fact) in facts {
            let other = others.get(name).map_or("none", String::as_str);
            if fact != other && !listed.remove(&(command.as_str(), name)) {
                complaints.push(format!("{command}, {name}: {fact}, {from:?} says {other}"));
            }
        }
    }
    let stale = listed.iter().map(|(command, fact)| {
        format!("{command}, {fact}: listed as a deviation from {from:?}, and is none")
    });
    complaints.extend(stale);
    complaints
}

#[test]
fn the_table_is_that_of_the_oracles() {
    let dir = tempfile::tempdir().expect("a folder");
    let (program, args) = support::server_under_test();
    let firn = table_of(&Server::start(&program, dir.path(), &args));
    for (from, variable) in [(Oracle::Valkey, "FIRN_ORACLE"), (Oracle::Redis, "FIRN_ORACLE_REDIS")]
    {
        let Some(oracle) = std::env::var_os(variable) else {
            eprintln!("{variable} is not set: no oracle, nothing to compare with");
            continue;
        };
        let dir = tempfile::tempdir().expect("a folder");
        let theirs = table_of(&Server::start(&PathBuf::from(oracle), dir.path(), &[]));
        let shared = firn.keys().filter(|name| theirs.contains_key(*name)).count();
        assert!(shared > 200, "only {shared} commands in common with {from:?}");
        let complaints = complaints(from, &firn, &theirs, DEVIATIONS);
        assert!(complaints.is_empty(), "{}", complaints.join("\n"));
        eprintln!("{shared} commands have the same table as {from:?}'s");
    }
}

#[test]
fn a_difference_is_listed_or_reported_and_a_list_must_hold() {
    let table = |arity: &str| {
        let facts = Facts::from([("arity", arity.to_owned())]);
        Table::from([("get".to_owned(), facts)])
    };
    let listed = [valkey("get", "arity", "an example"), redis("get", "flags", "an example")];
    let judge = |theirs, listed| complaints(Oracle::Valkey, &table("2"), &table(theirs), listed);
    assert_eq!(judge("2", &[]), [""; 0]);
    assert_eq!(judge("3", &[]), ["get, arity: 2, Valkey says 3"]);
    assert_eq!(judge("3", &listed), [""; 0]);
    assert_eq!(judge("2", &listed), ["get, arity: listed as a deviation from Valkey, and is none"]);
    assert!(DEVIATIONS.iter().all(|deviation| !deviation.reason.is_empty()));
}
