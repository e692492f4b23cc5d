//! Rows of the collections: what a command costs, and what a collection takes of memory.

use crate::client::Client;
use crate::options::Options;
use crate::report::Figures;
use crate::server::{Kind, Mode, Server};
use crate::tool::benchmark_words;

/// Pipeline depth of all rows.
const DEPTH: u64 = 16;
/// Items of the collections that are read as a whole.
const SMALL_ITEMS: u64 = 100;
const LONG_LIST_ITEMS: u64 = 600;

/// One row: its name, the command, and how many of them are sent.
type Row = (&'static str, &'static str, u64);

/// In this order: each row finds what those before it have left.
const ROWS: &[Row] = &[
    ("coll-lpush", "LPUSH list __rand_int__", 2_000_000),
    ("coll-rpush", "RPUSH list __rand_int__", 2_000_000),
    ("coll-lpop", "LPOP list", 1_500_000),
    ("coll-rpop", "RPOP list", 1_500_000),
    ("coll-sadd", "SADD set m:__rand_int__", 2_000_000),
    ("coll-spop", "SPOP set", 600_000),
    (
        "coll-hset",
        "HSET hash f:__rand_int__ vvvvvvvvvvvvvvvvvvvv",
        2_000_000,
    ),
    ("coll-hget", "HGET hash f:__rand_int__", 2_000_000),
    (
        "coll-zadd",
        "ZADD zset __rand_int__ m:__rand_int__",
        2_000_000,
    ),
    (
        "coll-zrangebyscore",
        "ZRANGEBYSCORE zset __rand_int__ +inf LIMIT 0 10",
        1_000_000,
    ),
    ("coll-zrank-1m", "ZRANK zset m:__rand_int__", 1_000_000),
    (
        "coll-zincrby-1m",
        "ZINCRBY zset 1 m:__rand_int__",
        1_000_000,
    ),
    ("coll-xadd", "XADD stream * field __rand_int__", 1_000_000),
    ("coll-lrange-100", "LRANGE list:100 0 99", 400_000),
    ("coll-lrange-600", "LRANGE list:600 0 599", 100_000),
    ("coll-zrange-100", "ZRANGE zset:100 0 99", 400_000),
    ("coll-hgetall-100", "HGETALL hash:100", 400_000),
    ("coll-smembers-100", "SMEMBERS set:100", 400_000),
];

/// The names of all rows, for the table of groups.
pub const NAMES: [&str; ROWS.len()] = {
    let mut names = [""; ROWS.len()];
    let mut index = 0;
    while index < ROWS.len() {
        names[index] = ROWS[index].0;
        index += 1;
    }
    names
};

/// CPU of each command.
pub fn commands(options: &Options, kind: Kind, figures: &mut Figures) -> Result<(), String> {
    let server = Server::start_empty(options, kind, Mode::EverySec)?;
    let mut client = Client::connect(server.port).map_err(|error| error.to_string())?;
    for number in 0..LONG_LIST_ITEMS {
        let item = format!("item:{number:015}");
        let number = number.to_string();
        call(&mut client, &["RPUSH", "list:600", &item])?;
        if number
            .parse::<u64>()
            .is_ok_and(|number| number < SMALL_ITEMS)
        {
            call(&mut client, &["RPUSH", "list:100", &item])?;
            call(&mut client, &["ZADD", "zset:100", &number, &item])?;
            call(&mut client, &["HSET", "hash:100", &item, &item])?;
            call(&mut client, &["SADD", "set:100", &item])?;
        }
    }
    for (name, command, requests) in ROWS {
        // Rows that later ones build on run in any case.
        let words: Vec<&str> = command.split(' ').collect();
        let run = benchmark_words(options, &server, &words, DEPTH, options.requests(*requests))?;
        figures.add(name, kind, run.cpu_us);
    }
    Ok(())
}

fn call(client: &mut Client, words: &[&str]) -> Result<(), String> {
    let reply = client.call(words).map_err(|error| error.to_string())?;
    match reply.first() {
        Some(b'-') => Err(format!("{words:?}: {}", String::from_utf8_lossy(&reply))),
        _ => Ok(()),
    }
}

/// What stands in memory: a name, and the command that makes the item of a number.
type Content = (&'static str, fn(u64) -> Vec<String>);

fn words(text: String) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

const CONTENTS: &[Content] = &[
    ("coll-rss-hashes", |n| {
        words(format!(
            "HSET h:{n:08} name user{n} mail {n}@example.org age 30 city Bern zip 3000"
        ))
    }),
    ("coll-rss-zsets", |n| {
        let members: Vec<String> = (0..10).map(|at| format!("{at} member:{at}:{n}")).collect();
        words(format!("ZADD z:{n:08} {}", members.join(" ")))
    }),
    ("coll-rss-lists", |n| {
        let elements: Vec<String> = (0..10).map(|at| format!("element:{at}:{n}")).collect();
        words(format!("RPUSH l:{n:08} {}", elements.join(" ")))
    }),
    ("coll-rss-sets", |n| {
        let members: Vec<String> = (0..10).map(|at| format!("member:{at}:{n}")).collect();
        words(format!("SADD s:{n:08} {}", members.join(" ")))
    }),
    ("coll-rss-zset-1m", |n| {
        words(format!("ZADD zset {n} member:{n:013}"))
    }),
    ("coll-rss-hash-1m", |n| {
        words(format!("HSET hash field:{n:014} value:{n:014}"))
    }),
    ("coll-rss-set-1m", |n| {
        words(format!("SADD set member:{n:013}"))
    }),
    ("coll-rss-list-1m", |n| {
        words(format!("RPUSH list element:{n:012}"))
    }),
];

/// The names of the memory rows.
pub const RSS_NAMES: [&str; CONTENTS.len()] = {
    let mut names = [""; CONTENTS.len()];
    let mut index = 0;
    while index < CONTENTS.len() {
        names[index] = CONTENTS[index].0;
        index += 1;
    }
    names
};

/// Memory of a million small collections, and of large ones.
pub fn memory(options: &Options, kind: Kind, figures: &mut Figures) -> Result<(), String> {
    for (name, command) in CONTENTS.iter().filter(|content| options.wants(content.0)) {
        let server = Server::start_empty(options, kind, Mode::Snapshot)?;
        let empty = server.resident_bytes().ok_or("no VmRSS")?;
        let mut client = Client::connect(server.port).map_err(|error| error.to_string())?;
        let count = options.requests(1_000_000);
        client
            .send_all((0..count).map(command))
            .map_err(|error| error.to_string())?;
        // What the load left behind has time to go.
        std::thread::sleep(std::time::Duration::from_secs(if options.quick {
            1
        } else {
            8
        }));
        let resident = server.resident_bytes().ok_or("no VmRSS")?;
        let each = resident.saturating_sub(empty) as f64 / count as f64;
        eprintln!(
            "  {name}: RSS {:.1} MB, {each:.1} bytes each",
            resident as f64 / 1e6
        );
        figures.add(name, kind, resident as f64 / 1e6);
    }
    Ok(())
}
