//! The rows of the table, and how each group of them is measured.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::client::{key, load as load_keys, value};
use crate::collections;
use crate::deltas;
use crate::load::{self, Load, next};
use crate::options::Options;
use crate::pauses;
use crate::report::Figures;
use crate::server::{Kind, Mode, Server, drop_page_cache};
use crate::tool::benchmark;

/// Which way a figure is better.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Better {
    Lower,
    Higher,
}

/// What the bar is about.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Versus {
    /// Firn / better peer.
    Peer,
    /// Better peer / Firn.
    PeerOverFirn,
    /// The figure is a ratio of Firn against itself.
    Itself,
    /// The figure stands for itself.
    Nothing,
}

/// One row.
pub struct Case {
    pub name: &'static str,
    pub title: &'static str,
    pub unit: &'static str,
    pub better: Better,
    pub versus: Versus,
    /// The peers' figure is that of another case.
    pub against: Option<&'static str>,
    pub bar: f64,
    pub goal: Option<f64>,
}

const fn cpu(name: &'static str, title: &'static str, bar: f64, goal: Option<f64>) -> Case {
    let (better, versus) = (Better::Lower, Versus::Peer);
    Case {
        name,
        title,
        unit: "us",
        better,
        versus,
        against: None,
        bar,
        goal,
    }
}

const fn rate(name: &'static str, title: &'static str, bar: f64, goal: Option<f64>) -> Case {
    let (better, versus) = (Better::Higher, Versus::Peer);
    Case {
        name,
        title,
        unit: "/s",
        better,
        versus,
        against: None,
        bar,
        goal,
    }
}

const fn case(
    name: &'static str,
    title: &'static str,
    unit: &'static str,
    versus: Versus,
    bar: f64,
) -> Case {
    let better = Better::Lower;
    Case {
        name,
        title,
        unit,
        better,
        versus,
        against: None,
        bar,
        goal: None,
    }
}

const fn pause(name: &'static str, title: &'static str, bar: f64) -> Case {
    case(name, title, "ms", Versus::Nothing, bar)
}

/// Figure of the peers that `always-everysec-16` is compared with; not a row.
const EVERYSEC_RATE: &str = "everysec-rate-16";

#[rustfmt::skip]
pub const CASES: &[Case] = &[
    cpu("get-1", "GET, depth 1: CPU per command", 1.0, Some(0.9)),
    cpu("get-16", "GET, depth 16: CPU per command", 0.75, Some(0.65)),
    cpu("get-64", "GET, depth 64: CPU per command", 0.70, Some(0.60)),
    cpu("set-everysec-16", "SET everysec, depth 16: CPU per command", 0.75, None),
    cpu("set-everysec-64", "SET everysec, depth 64: CPU per command", 0.65, None),
    rate("set-always-1", "SET always, 50 clients, depth 1: throughput", 1.3, Some(1.5)),
    rate("set-always-16", "SET always, 50 clients, depth 16: throughput", 1.8, Some(3.0)),
    rate("set-always-64", "SET always, 50 clients, depth 64: throughput", 2.2, Some(3.0)),
    Case { against: Some(EVERYSEC_RATE),
        ..rate("always-everysec-16", "SET always of Firn, everysec of the peer, depth 16: throughput", 1.0, None) },
    rate("set-always-single", "SET always, one client, depth 1: throughput", 1.1, None),
    case("mixed-get-p99", "GET p99 beside a saturating SET always load", "us", Versus::Peer, 0.5),
    case("keys-restart-warm", "restart after clean shutdown, warm cache: first GET", "s", Versus::PeerOverFirn, 50.0),
    case("keys-restart-cold", "restart after clean shutdown, cold cache: first GET", "s", Versus::Nothing, 0.3),
    case("keys-restart-killed", "restart after kill -9 with a full log tail: first GET", "s", Versus::Nothing, 2.0),
    case(deltas::NAME, "the same, of RPUSH and HSET on cold keys: first GET, LLEN and HGET", "s", Versus::Nothing, 2.0),
    case("keys-rss", "memory, all keys hot: RSS", "MB", Versus::Peer, 0.75),
    case("keys-pause-get", "GET p99.9 while checkpoint and compaction run / without", "x", Versus::Itself, 2.0),
    case("keys-pause-set", "SET p99.9 while checkpoint and compaction run / without", "x", Versus::Itself, 4.0),
    cpu("coll-lpush", "LPUSH, depth 16: CPU per command", 0.75, None),
    cpu("coll-rpush", "RPUSH, depth 16: CPU per command", 0.75, None),
    cpu("coll-lpop", "LPOP, depth 16: CPU per command", 0.75, None),
    cpu("coll-rpop", "RPOP, depth 16: CPU per command", 0.75, None),
    cpu("coll-sadd", "SADD, depth 16: CPU per command", 0.75, None),
    cpu("coll-spop", "SPOP, depth 16: CPU per command", 0.75, None),
    cpu("coll-hset", "HSET, depth 16: CPU per command", 0.75, None),
    cpu("coll-hget", "HGET, depth 16: CPU per command", 0.75, None),
    cpu("coll-zadd", "ZADD to up to 1 M members, depth 16: CPU per command", 0.75, None),
    cpu("coll-zrangebyscore", "ZRANGEBYSCORE of 10, 1 M members, depth 16: CPU per command", 0.75, None),
    cpu("coll-zrank-1m", "ZRANK, 1 M members, depth 16: CPU per command", 0.8, None),
    cpu("coll-xadd", "XADD, depth 16: CPU per command", 0.75, None),
    cpu("coll-zincrby-1m", "ZINCRBY, 1 M members, depth 16: CPU per command", 0.8, None),
    cpu("coll-lrange-100", "LRANGE of 100, depth 16: CPU per command", 0.7, None),
    cpu("coll-lrange-600", "LRANGE of 600, depth 16: CPU per command", 0.7, None),
    cpu("coll-zrange-100", "ZRANGE of 100, depth 16: CPU per command", 0.7, None),
    cpu("coll-hgetall-100", "HGETALL of 100 fields, depth 16: CPU per command", 0.7, None),
    cpu("coll-smembers-100", "SMEMBERS of 100, depth 16: CPU per command", 0.7, None),
    case("coll-rss-hashes", "memory, 1 M hashes of 5 fields: RSS", "MB", Versus::Peer, 0.85),
    case("coll-rss-zsets", "memory, 1 M sorted sets of 10: RSS", "MB", Versus::Peer, 0.85),
    case("coll-rss-lists", "memory, 1 M lists of 10: RSS", "MB", Versus::Peer, 0.85),
    case("coll-rss-sets", "memory, 1 M sets of 10: RSS", "MB", Versus::Peer, 0.85),
    case("coll-rss-zset-1m", "memory, a sorted set of 1 M: RSS", "MB", Versus::Peer, 0.85),
    case("coll-rss-hash-1m", "memory, a hash of 1 M: RSS", "MB", Versus::Peer, 0.85),
    case("coll-rss-set-1m", "memory, a set of 1 M: RSS", "MB", Versus::Peer, 0.85),
    case("coll-rss-list-1m", "memory, a list of 1 M: RSS", "MB", Versus::Peer, 0.85),
    pause("coll-pause-get-copy", "slowest GET of others while a set of 10 M is COPYed", 10.0),
    pause("coll-pause-set-copy", "slowest SET always of others while a set of 10 M is COPYed", 50.0),
    pause("coll-pause-get-save", "slowest GET of others while a set of 10 M is saved for the first time", 10.0),
    pause("coll-pause-set-save", "slowest SET always of others while a set of 10 M is saved for the first time", 50.0),
    pause("coll-pause-get-rename", "slowest GET of others while a set of 10 M is RENAMEd", 10.0),
    pause("coll-pause-set-rename", "slowest SET always of others while a set of 10 M is RENAMEd", 50.0),
    pause("coll-pause-get-del", "slowest GET of others while a set of 10 M is DELeted", 10.0),
    pause("coll-pause-set-del", "slowest SET always of others while a set of 10 M is DELeted", 50.0),
    pause("coll-pause-get-load", "slowest GET of others while a set of 10 M is loaded", 10.0),
    pause("coll-pause-set-load", "slowest SET always of others while a set of 10 M is loaded", 50.0),
];

/// Measures some rows on one server.
pub type Measure = fn(&Options, Kind, &mut Figures) -> Result<(), String>;

/// Rows that share a server and its data.
pub struct Group {
    pub name: &'static str,
    pub cases: &'static [&'static str],
    /// The group loads much and repeats inside instead of in rounds.
    pub loads_once: bool,
    pub run: Measure,
}

pub const GROUPS: &[Group] = &[
    Group {
        name: "get",
        cases: &["get-1", "get-16", "get-64"],
        loads_once: false,
        run: get,
    },
    Group {
        name: "set everysec",
        cases: &["set-everysec-16", "set-everysec-64", "always-everysec-16"],
        loads_once: false,
        run: set_everysec,
    },
    Group {
        name: "set always",
        cases: &[
            "set-always-1",
            "set-always-16",
            "set-always-64",
            "always-everysec-16",
            "set-always-single",
        ],
        loads_once: false,
        run: set_always,
    },
    Group {
        name: "mixed",
        cases: &["mixed-get-p99"],
        loads_once: false,
        run: mixed,
    },
    Group {
        name: "restart and memory",
        cases: &[
            "keys-restart-warm",
            "keys-restart-cold",
            "keys-restart-killed",
            "keys-rss",
        ],
        loads_once: true,
        run: restart,
    },
    Group {
        name: "restart over changes of cold keys",
        cases: &[deltas::NAME],
        loads_once: true,
        run: deltas::restart,
    },
    Group {
        name: "pauses",
        cases: &["keys-pause-get", "keys-pause-set"],
        loads_once: true,
        run: pauses,
    },
    Group {
        name: "collections",
        cases: &collections::NAMES,
        loads_once: false,
        run: collections::commands,
    },
    Group {
        name: "memory of collections",
        cases: &collections::RSS_NAMES,
        loads_once: true,
        run: collections::memory,
    },
    Group {
        name: "pauses by collections",
        cases: &pauses::NAMES,
        loads_once: true,
        run: pauses::collections,
    },
];

fn filled(options: &Options, kind: Kind, mode: Mode, keys: u64) -> Result<Server, String> {
    let server = Server::start_empty(options, kind, mode)?;
    load_keys(server.port, 0, keys)?;
    Ok(server)
}

fn get(options: &Options, kind: Kind, figures: &mut Figures) -> Result<(), String> {
    let server = filled(options, kind, Mode::Snapshot, options.small_keys)?;
    for (name, depth, requests) in [
        ("get-1", 1, 1_000_000),
        ("get-16", 16, 6_000_000),
        ("get-64", 64, 10_000_000),
    ] {
        if options.wants(name) {
            let run = benchmark(
                options,
                &server,
                "get",
                50,
                depth,
                options.requests(requests),
            )?;
            figures.add(name, kind, run.cpu_us);
        }
    }
    Ok(())
}

fn set_everysec(options: &Options, kind: Kind, figures: &mut Figures) -> Result<(), String> {
    let server = filled(options, kind, Mode::EverySec, options.small_keys)?;
    for (name, depth, requests) in [
        ("set-everysec-16", 16, 4_000_000),
        ("set-everysec-64", 64, 6_000_000),
    ] {
        let run = benchmark(
            options,
            &server,
            "set",
            50,
            depth,
            options.requests(requests),
        )?;
        figures.add(name, kind, run.cpu_us);
        if depth == 16 {
            figures.add(EVERYSEC_RATE, kind, run.requests_per_second);
        }
    }
    Ok(())
}

fn set_always(options: &Options, kind: Kind, figures: &mut Figures) -> Result<(), String> {
    let server = filled(options, kind, Mode::Always, options.small_keys)?;
    for (name, clients, depth, requests) in [
        ("set-always-1", 50, 1, 200_000),
        ("set-always-16", 50, 16, 2_000_000),
        ("set-always-64", 50, 64, 4_000_000),
        ("set-always-single", 1, 1, 40_000),
    ] {
        let also = depth == 16 && options.wants("always-everysec-16");
        if !options.wants(name) && !also {
            continue;
        }
        let requests = options.requests(requests);
        let run = benchmark(options, &server, "set", clients, depth, requests)?;
        figures.add(name, kind, run.requests_per_second);
        if depth == 16 {
            figures.add("always-everysec-16", kind, run.requests_per_second);
        }
    }
    Ok(())
}

/// GETs of few connections while SETs saturate the server.
fn mixed(options: &Options, kind: Kind, figures: &mut Figures) -> Result<(), String> {
    let server = filled(options, kind, Mode::Always, options.small_keys)?;
    let duration = Duration::from_secs(if options.quick { 1 } else { 8 });
    let stop = AtomicBool::new(false);
    let keys = options.small_keys;
    let writes = Load {
        connections: 50,
        depth: 16,
        get_percent: 0,
        keys,
        seed: 1,
    };
    let reads = Load {
        connections: 10,
        depth: 1,
        get_percent: 100,
        keys,
        seed: 2,
    };
    let outcome = std::thread::scope(|scope| {
        let writer = scope.spawn(|| load::run(server.port, writes, duration * 2, &stop));
        // The load is at its height before anything is measured.
        std::thread::sleep(Duration::from_millis(500));
        let outcome = load::run(server.port, reads, duration, &stop);
        stop.store(true, Ordering::Relaxed);
        let written = writer
            .join()
            .map_err(|_| "the writer panicked".to_owned())?;
        written.map_err(|error| format!("the writer: {error}"))?;
        outcome.map_err(|error| error.to_string())
    })?;
    refuse_errors(outcome.errors)?;
    let p99 = outcome
        .get
        .percentile_us(99.0)
        .ok_or("no GET was answered")?;
    eprintln!("  GET p99 {p99:.0} us");
    figures.add("mixed-get-p99", kind, p99);
    Ok(())
}

/// Memory of many keys, and restarts over them.
fn restart(options: &Options, kind: Kind, figures: &mut Figures) -> Result<(), String> {
    let started = Instant::now();
    let mut server = filled(options, kind, Mode::Snapshot, options.keys)?;
    eprintln!(
        "  {} keys loaded in {:.1} s",
        options.keys,
        started.elapsed().as_secs_f64()
    );
    // What the load left behind (buffers, log queue) has time to go.
    std::thread::sleep(Duration::from_secs(12));
    let resident = server.resident_bytes().ok_or("no VmRSS")?;
    let key_bytes = resident as f64 / options.keys as f64;
    eprintln!(
        "  RSS {:.1} MB, {key_bytes:.1} bytes a key",
        resident as f64 / 1e6
    );
    figures.add("keys-rss", kind, resident as f64 / 1e6);

    let mut random = 7;
    for (name, cold) in [("keys-restart-warm", false), ("keys-restart-cold", true)] {
        for _ in 0..options.rounds {
            if !options.wants(name) {
                continue;
            }
            server.shut_down()?;
            if cold && let Err(error) = drop_page_cache() {
                eprintln!("  {name} is left out: {error}");
                server = Server::spawn(options, kind, Mode::Snapshot)?;
                server.wait_ready()?;
                break;
            }
            server = Server::spawn(options, kind, Mode::Snapshot)?;
            first_get(&server, options, kind, name, &mut random, figures)?;
            server.wait_ready()?;
        }
    }
    if kind == Kind::Firn && options.wants("keys-restart-killed") {
        for _ in 0..options.rounds {
            fill_log_tail(&server, options)?;
            server.kill();
            server = Server::spawn(options, kind, Mode::Snapshot)?;
            first_get(
                &server,
                options,
                kind,
                "keys-restart-killed",
                &mut random,
                figures,
            )?;
        }
    }
    Ok(())
}

fn first_get(
    server: &Server,
    options: &Options,
    kind: Kind,
    name: &'static str,
    random: &mut u64,
    figures: &mut Figures,
) -> Result<(), String> {
    let number = next(random) % options.keys;
    let seconds = server.time_to_first_get(&key(number), &value(number))?;
    eprintln!("  {name}: {seconds:.3} s");
    figures.add(name, kind, seconds);
    Ok(())
}

/// Bytes of log about as many as are kept before a checkpoint starts by itself (256 MiB).
pub const TAIL_BYTES: u64 = 240 << 20;

/// Writes a full log tail.
fn fill_log_tail(server: &Server, options: &Options) -> Result<(), String> {
    const FRAME_BYTES: u64 = 150;
    let mut client = server.client()?;
    // A checkpoint first, so that the tail is known to be empty.
    client.call(&["SAVE"]).map_err(|error| error.to_string())?;
    let writes = (TAIL_BYTES / FRAME_BYTES).min(options.keys);
    load_keys(server.port, 0, writes)
}

/// Tail latencies with and without a checkpoint under way, of Firn alone.
fn pauses(options: &Options, kind: Kind, figures: &mut Figures) -> Result<(), String> {
    if kind != Kind::Firn {
        return Ok(());
    }
    let server = filled(options, kind, Mode::Always, options.keys)?;
    let duration = Duration::from_secs(if options.quick { 2 } else { 20 });
    let mut client = server.client()?;
    client.call(&["SAVE"]).map_err(|error| error.to_string())?;
    for seed in 0..options.rounds as u64 {
        let shape = Load {
            connections: 50,
            depth: 1,
            get_percent: 50,
            keys: options.keys,
            seed,
        };
        let quiet = measured(&server, shape, duration, false)?;
        let busy = measured(&server, shape, duration, true)?;
        for (name, quiet, busy) in [
            ("keys-pause-get", &quiet.get, &busy.get),
            ("keys-pause-set", &quiet.set, &busy.set),
        ] {
            let without = quiet.percentile_us(99.9).ok_or("no reply")?;
            let with = busy.percentile_us(99.9).ok_or("no reply")?;
            eprintln!("  {name}: {without:.0} us without, {with:.0} us with");
            figures.add(name, kind, with / without);
        }
    }
    Ok(())
}

/// Runs a load; with `save`, checkpoints follow one another meanwhile.
fn measured(
    server: &Server,
    shape: Load,
    duration: Duration,
    save: bool,
) -> Result<load::Outcome, String> {
    let stop = AtomicBool::new(false);
    let outcome = std::thread::scope(|scope| {
        if save {
            scope.spawn(|| {
                let Ok(mut client) = server.client() else {
                    return;
                };
                while !stop.load(Ordering::Relaxed) {
                    // It is refused while one runs.
                    let _ = client.call(&["BGSAVE"]);
                    std::thread::sleep(Duration::from_millis(50));
                }
            });
        }
        let outcome = load::run(server.port, shape, duration, &stop);
        stop.store(true, Ordering::Relaxed);
        outcome
    });
    let outcome = outcome.map_err(|error| error.to_string())?;
    refuse_errors(outcome.errors)?;
    Ok(outcome)
}

fn refuse_errors(errors: u64) -> Result<(), String> {
    match errors {
        0 => Ok(()),
        errors => Err(format!("{errors} commands were answered with an error")),
    }
}
