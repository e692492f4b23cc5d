//! From the command line to a server that runs, and to its end.

use std::io::{IsTerminal, Read};
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::signal::unix::{SignalKind, signal};
use tracing::Level;

use crate::admin;
use crate::config::Config;
use crate::config::sources::{self, Request, Start};
use crate::engine::Engine;
use crate::engine::repair::{describe, is_damage, repair};
use crate::error::Error;
use crate::options::Options;
use crate::session::clients::Clients;
use crate::session::latency::LatencyMonitor;
use crate::session::pause::Pause;
use crate::session::services::{Identity, Services, Stop};
use crate::session::slowlog::SlowLog;
use crate::session::stats::Stats;
use crate::session::table::Table;
use crate::session::upkeep::Upkeep;

use super::workers::Workers;
use super::{announcement, housekeeping, huge_pages, listener, spread};

/// Runs the server that this command line asks for; `print` takes what is for people to read.
pub fn run(args: &[String], print: fn(&str)) -> ExitCode {
    let read = |path: &Path| match path == Path::new(sources::STANDARD_INPUT) {
        true => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map(|_| text)
        }
        false => std::fs::read_to_string(path),
    };
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    match sources::gather(args, environment, read) {
        Err(text) => fail(&text),
        Ok(Request::Help) => print(&sources::help()),
        Ok(Request::Version) => print(concat!("firn-server ", env!("CARGO_PKG_VERSION"), "\n")),
        Ok(Request::Repair(dir)) => match repair(&dir) {
            Ok(report) => print(&format!("{report}\n")),
            Err(error) => fail(&describe(&error)),
        },
        Ok(Request::Start(start)) => serve(start, print),
    }
    ExitCode::SUCCESS
}

/// Ends the process with one line that says why.
pub fn fail(text: &str) -> ! {
    eprintln!("firn-server: {text}");
    std::process::exit(1)
}

fn serve(start: Start, print: fn(&str)) {
    let config = Config::new(start.values, start.file);
    set_up_log(&config);
    for warning in &start.warnings {
        tracing::warn!("{warning}");
    }
    make_room_for_clients(&config);
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = match builder.enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => fail(&format!("cannot start: {error}")),
    };
    runtime.block_on(serve_until_stopped(config, print));
}

/// Files that the engine and the server may have open beside the clients' sockets.
const FILES_BESIDE_CLIENTS: u64 = 256;

/// Asks the system for as many descriptors as `maxclients` needs, or lowers `maxclients`.
fn make_room_for_clients(config: &Config) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let wanted = config.settings().clients_max as u64 + FILES_BESIDE_CLIENTS;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= wanted) {
        return;
    }
    let granted = limit.maximum.map_or(wanted, |maximum| maximum.min(wanted));
    let raised = Rlimit { current: Some(granted), maximum: limit.maximum };
    let granted = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => granted,
        Err(_) => limit.current.unwrap_or(wanted),
    };
    if granted < wanted {
        let clients = granted.saturating_sub(FILES_BESIDE_CLIENTS).max(1).to_string();
        tracing::warn!(
            "maxclients is {clients}: the system allows {granted} open files (ulimit -n)"
        );
        // One is the least that the directive takes.
        let _ = config.set(&[("maxclients".into(), clients)], true);
    }
}

async fn serve_until_stopped(config: Config, print: fn(&str)) {
    // The port is taken before the data is opened: a second server by mistake must not recover
    // first.
    let listeners = listener::listen(&config).unwrap_or_else(|text| fail(&text));
    let started = Instant::now();
    let engine = match Engine::open(options(&config)) {
        Ok(engine) => Arc::new(engine),
        Err(error) => fail(&advised(error)),
    };
    let opened_in = started.elapsed();
    // Nothing may be acknowledged any more (D5).
    engine.set_fatal_listener(Box::new(|reason| {
        fail(&format!("{reason}; start again to recover all that was acknowledged"))
    }));
    let worker_count = worker_count(&config);
    let table = Table::leaked(admin::COMMANDS);
    let services = Arc::new(services(config, engine.clone(), table, worker_count, started));
    services.tell_engine();
    let workers = match Workers::spawn(worker_count, &services) {
        Ok(workers) => Arc::new(workers),
        Err(error) => fail(&format!("cannot start a worker: {error}")),
    };
    let bells = workers.bells();
    engine.set_durable_listener(Box::new(move |durable| {
        bells.iter().for_each(|bell| bell.ring(durable));
    }));
    print(&announcement::text(&services, worker_count, opened_in));
    let accepting: Vec<_> = listeners
        .into_iter()
        .map(|listener| tokio::spawn(listener::accept(listener, services.clone(), workers.clone())))
        .collect();
    tokio::spawn(spread::watch(workers.colleagues(), services.clone()));
    huge_pages::start(services.clone());
    let housekeeping = tokio::spawn(housekeeping::keep_house(services.clone()));
    wait_for_end(&services).await;
    housekeeping.abort();
    for task in accepting {
        task.abort();
        let _ = task.await;
    }
    listener::remove_socket_file(&services.config);
    end(&services, workers).await;
}

/// Why the engine could not be opened, and what to do.
fn advised(error: Error) -> String {
    let is_damage = is_damage(&error);
    match error {
        Error::Io { op, path, source }
            if is_damage && path.extension().is_some_and(|extension| extension == "part") =>
        {
            let reason = format!("cannot {op} it: {source}");
            Error::Corrupt { path, offset: 0, lost: None, reason }.to_string()
        }
        Error::Io { .. } => format!("{error}; see to it or choose another directory with --dir"),
        error => error.to_string(),
    }
}

/// The parts of a server, as yet without clients.
pub(super) fn services(
    config: Config,
    engine: Arc<Engine>,
    table: &'static Table,
    worker_count: usize,
    started: Instant,
) -> Services {
    Services {
        engine,
        config,
        table,
        clients: Clients::default(),
        stats: Stats::new(worker_count, table.rows().len()),
        slowlog: SlowLog::default(),
        latency: LatencyMonitor::default(),
        upkeep: Upkeep::default(),
        pause: Pause::default(),
        blocked: AtomicUsize::new(0),
        stop: Stop::default(),
        identity: Identity { run_id: run_id(), started },
    }
}

/// Disconnects everybody and closes the engine; a second signal ends the process at once.
async fn end(services: &Arc<Services>, workers: Arc<Workers>) {
    tracing::info!("stopping");
    tokio::spawn(async {
        any_signal().await;
        fail("stopped by a second signal; the next start recovers from the log");
    });
    let services = services.clone();
    let closed = tokio::task::spawn_blocking(move || {
        services.clients.all().iter().for_each(|client| client.kill());
        if let Ok(workers) = Arc::try_unwrap(workers) {
            workers.join();
        }
        match services.stop.skips_checkpoint() {
            true => services.engine.close_without_checkpoint(),
            false => services.engine.close(),
        }
    });
    match closed.await {
        Ok(Ok(())) => tracing::info!("stopped"),
        Ok(Err(error)) => fail(&error.to_string()),
        Err(error) => fail(&error.to_string()),
    }
}

async fn wait_for_end(services: &Services) {
    tokio::select! {
        name = any_signal() => {
            tracing::info!("received {name}");
            let directive = format!("shutdown-on-{}", name.to_ascii_lowercase());
            let skips = services.config.get(&directive).split(' ').any(|word| word == "nosave");
            services.stop.request(skips);
        }
        () = services.stop.requested() => {}
    }
}

async fn any_signal() -> &'static str {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        fail("cannot listen for signals");
    };
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

fn options(config: &Config) -> Options {
    let number = |name: &str| -> u64 { config.get(name).parse().unwrap_or(0) };
    let settings = config.settings();
    Options {
        durability: settings.durability,
        databases: settings.databases,
        memory_bytes: number("maxmemory"),
        checkpoint_log_bytes: number("checkpoint-log-bytes"),
        segment_bytes_max: number("log-segment-bytes"),
        log_queue_bytes: number("log-queue-bytes"),
        partitions: number("partitions") as usize,
        ..Options::new(config.get("dir"))
    }
}

fn worker_count(config: &Config) -> usize {
    match config.get("io-threads").parse() {
        Ok(0) | Err(_) => std::thread::available_parallelism().map_or(1, |count| count.get()),
        Ok(count) => count,
    }
}

fn run_id() -> String {
    let mut bytes = [0; 20];
    if let Err(error) = getrandom::fill(&mut bytes) {
        fail(&format!("the system gives no random bytes: {error}"));
    }
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The most verbose level that is printed, as its rank; CONFIG SET loglevel changes it.
static LOG_RANK: AtomicU8 = AtomicU8::new(0);

fn rank(level: &Level) -> u8 {
    match *level {
        Level::ERROR => 1,
        Level::WARN => 2,
        Level::INFO => 3,
        Level::DEBUG => 4,
        Level::TRACE => 5,
    }
}

pub(super) fn follow_log_level(config: &Config) {
    let most = match config.get("loglevel").as_str() {
        "debug" => 4,
        "verbose" | "notice" => 3,
        "warning" => 2,
        _ => 0,
    };
    LOG_RANK.store(most, Ordering::Relaxed);
}

fn set_up_log(config: &Config) {
    use tracing_subscriber::Layer;
    use tracing_subscriber::filter::dynamic_filter_fn;
    use tracing_subscriber::layer::SubscriberExt;
    use tracing_subscriber::util::SubscriberInitExt;
    follow_log_level(config);
    let lines = tracing_subscriber::fmt::layer().with_target(false);
    let path = config.get("logfile");
    let lines = if path.is_empty() {
        let colours = std::io::stderr().is_terminal();
        lines.with_ansi(colours).with_writer(std::io::stderr).boxed()
    } else {
        let mut file = std::fs::OpenOptions::new();
        match file.create(true).append(true).open(&path) {
            Ok(file) => lines.with_ansi(false).with_writer(Mutex::new(file)).boxed(),
            Err(error) => fail(&format!("cannot open log file {path}: {error}")),
        }
    };
    let is_wanted = |level: &Level| rank(level) <= LOG_RANK.load(Ordering::Relaxed);
    let filter = dynamic_filter_fn(move |event, _| is_wanted(event.level()));
    tracing_subscriber::registry().with(lines.with_filter(filter)).init();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_is_gone_is_damage_and_one_that_is_withheld_is_not() {
        let told = |path: &str, kind: std::io::ErrorKind| {
            advised(Error::io("open", Path::new(path), kind.into()))
        };
        let gone = told("parts/1.part", std::io::ErrorKind::NotFound);
        assert!(gone.contains("verify") && gone.contains("--repair"), "{gone}");
        for (path, kind) in [
            ("parts/1.part", std::io::ErrorKind::PermissionDenied),
            ("dir", std::io::ErrorKind::NotFound),
        ] {
            let text = told(path, kind);
            assert!(text.contains("--dir") && !text.contains("--repair"), "{text}");
        }
    }
}
