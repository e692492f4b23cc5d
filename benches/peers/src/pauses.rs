//! How long other clients wait while something is done to a collection of ten million members.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::client::{Client, load as load_keys};
use crate::load::{self, Load};
use crate::options::Options;
use crate::report::Figures;
use crate::server::{Kind, Mode, Server};

/// Members of the set.
const MEMBERS: u64 = 10_000_000;
/// Members that one command of the loader adds.
const MEMBERS_AT_ONCE: u64 = 500;
/// Keys of the other clients.
const KEYS: u64 = 100_000;
/// How long the others run before and after.
const AROUND: Duration = Duration::from_secs(1);
/// In the seconds after a server ended that had much memory, all threads of the next one were seen
/// to stand still for 34 ms at one time, in a guest whose host takes such memory back.
const SETTLING: Duration = Duration::from_secs(8);
/// The others run for this long at most.
const LONGEST: Duration = Duration::from_secs(300);

/// What is done: the rows of GET and of SET, whether the server starts anew for it, the command.
type Operation = (&'static str, &'static str, bool, &'static [&'static str]);

/// In this order: each finds what those before it have left.
#[rustfmt::skip]
const OPERATIONS: &[Operation] = &[
    ("coll-pause-get-copy", "coll-pause-set-copy", false, &["COPY", "set", "copy"]),
    ("coll-pause-get-save", "coll-pause-set-save", false, &["SAVE"]),
    ("coll-pause-get-rename", "coll-pause-set-rename", false, &["RENAME", "copy", "other"]),
    ("coll-pause-get-del", "coll-pause-set-del", false, &["DEL", "other"]),
    ("coll-pause-get-load", "coll-pause-set-load", true, &["SRANDMEMBER", "set"]),
];

/// The names of all rows.
pub const NAMES: [&str; 2 * OPERATIONS.len()] = {
    let mut names = [""; 2 * OPERATIONS.len()];
    let mut index = 0;
    while index < OPERATIONS.len() {
        names[2 * index] = OPERATIONS[index].0;
        names[2 * index + 1] = OPERATIONS[index].1;
        index += 1;
    }
    names
};

/// The slowest GET and SET of other clients, of Firn alone.
pub fn collections(options: &Options, kind: Kind, figures: &mut Figures) -> Result<(), String> {
    if kind != Kind::Firn {
        return Ok(());
    }
    for _ in 0..options.rounds {
        let mut server = Server::start_empty(options, kind, Mode::Always)?;
        load_keys(server.port, 0, KEYS)?;
        fill(&server, options.requests(MEMBERS))?;
        call(&server, &["SAVE"])?;
        for &(get, set, starts_anew, command) in OPERATIONS {
            if starts_anew {
                server.shut_down()?;
                server = Server::spawn(options, kind, Mode::Always)?;
                server.wait_ready()?;
                std::thread::sleep(SETTLING);
            }
            let (took, others) = beside_others(&server, command)?;
            let slowest = |histogram: &crate::histogram::Histogram| {
                let us = histogram.percentile_us(100.0).ok_or("no reply")?;
                Ok::<f64, String>(us / 1000.0)
            };
            let (slowest_get, slowest_set) = (slowest(&others.get)?, slowest(&others.set)?);
            eprintln!(
                "  {}: {:.0} ms; slowest GET {slowest_get:.1} ms, SET {slowest_set:.1} ms",
                command.join(" "),
                took.as_secs_f64() * 1000.0
            );
            figures.add(get, kind, slowest_get);
            figures.add(set, kind, slowest_set);
        }
    }
    Ok(())
}

fn fill(server: &Server, members: u64) -> Result<(), String> {
    let commands = (0..members).step_by(MEMBERS_AT_ONCE as usize).map(|from| {
        let names = (from..members.min(from + MEMBERS_AT_ONCE)).map(|n| format!("member:{n:010}"));
        ["SADD".to_owned(), "set".to_owned()]
            .into_iter()
            .chain(names)
            .collect()
    });
    let mut client = server.client()?;
    client.send_all(commands).map_err(|error| error.to_string())
}

fn call(server: &Server, command: &[&str]) -> Result<(), String> {
    let mut client: Client = server.client()?;
    let reply = client.call(command).map_err(|error| error.to_string())?;
    match reply.first() {
        Some(b'-') => Err(format!("{command:?}: {}", String::from_utf8_lossy(&reply))),
        _ => Ok(()),
    }
}

/// Runs a command while others read and write small values; how long it took, and what they saw.
fn beside_others(server: &Server, command: &[&str]) -> Result<(Duration, load::Outcome), String> {
    let shape = Load {
        connections: 10,
        depth: 1,
        get_percent: 50,
        keys: KEYS,
        seed: 1,
    };
    let stop = AtomicBool::new(false);
    let (took, outcome) = std::thread::scope(|scope| {
        let others = scope.spawn(|| load::run(server.port, shape, LONGEST, &stop));
        std::thread::sleep(AROUND);
        let started = Instant::now();
        let done = call(server, command);
        let took = started.elapsed();
        std::thread::sleep(AROUND);
        stop.store(true, Ordering::Relaxed);
        let outcome = others.join().map_err(|_| "the load panicked".to_owned());
        (done.map(|()| took), outcome)
    });
    let outcome = outcome?.map_err(|error| error.to_string())?;
    match outcome.errors {
        0 => Ok((took?, outcome)),
        errors => Err(format!("{errors} commands were answered with an error")),
    }
}
