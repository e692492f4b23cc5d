//! redis-benchmark as a child process.

use std::process::{Command, Stdio};

use crate::options::Options;
use crate::server::Server;

/// One run of redis-benchmark.
pub struct Run {
    pub requests_per_second: f64,
    /// CPU of the server for each command, in microseconds.
    pub cpu_us: f64,
}

/// Any command from 50 connections at a pipeline `depth`; `__rand_int__` in it becomes 12 digits.
pub fn benchmark_words(
    options: &Options,
    server: &Server,
    words: &[&str],
    depth: u64,
    requests: u64,
) -> Result<Run, String> {
    let program = options.peers.join("bin/redis-benchmark-8.0");
    let mut command = Command::new(&program);
    command.args(["-h", "127.0.0.1", "-p", &server.port.to_string(), "--csv"]);
    command.args([
        "-c",
        "50",
        "-P",
        &depth.to_string(),
        "-n",
        &requests.to_string(),
    ]);
    command
        .args(["-r", &options.small_keys.to_string()])
        .args(words);
    run(command, server, requests, words[0])
}

/// GET or SET from `clients` connections at a pipeline `depth`.
pub fn benchmark(
    options: &Options,
    server: &Server,
    test: &str,
    clients: u64,
    depth: u64,
    requests: u64,
) -> Result<Run, String> {
    let program = options.peers.join("bin/redis-benchmark-8.0");
    let mut command = Command::new(&program);
    command.args([
        "-h",
        "127.0.0.1",
        "-p",
        &server.port.to_string(),
        "-t",
        test,
        "--csv",
    ]);
    command.args([
        "-c",
        &clients.to_string(),
        "-P",
        &depth.to_string(),
        "-n",
        &requests.to_string(),
    ]);
    command.args(["-r", &options.small_keys.to_string(), "-d", "64"]);
    run(command, server, requests, test)
}

fn run(mut command: Command, server: &Server, requests: u64, test: &str) -> Result<Run, String> {
    let program = command.get_program().to_owned();
    server.rest()?;
    let before = server.cpu_seconds();
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output();
    let output = output.map_err(|error| format!("{}: {error}", program.display()))?;
    // What the commands have left to do belongs to them, and not to those that follow.
    server.rest()?;
    let cpu_seconds = server.cpu_seconds() - before;
    let text = String::from_utf8_lossy(&output.stdout);
    let row = text.lines().find(|line| {
        line.to_lowercase()
            .starts_with(&format!("\"{}", test.to_lowercase()))
    });
    let rate = row.and_then(|row| row.split(',').nth(1)?.trim_matches('"').parse::<f64>().ok());
    let requests_per_second = rate.ok_or_else(|| format!("redis-benchmark printed {text:?}"))?;
    let cpu_us = cpu_seconds * 1e6 / requests as f64;
    eprintln!("  {test} {requests} times: {requests_per_second:.0}/s, {cpu_us:.2} us CPU");
    Ok(Run {
        requests_per_second,
        cpu_us,
    })
}
