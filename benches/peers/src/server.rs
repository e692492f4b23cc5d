//! The servers: how each is started, and what /proc says about it.

use std::fs;
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::options::Options;

/// Clock ticks of /proc/PID/stat in a second, on Linux for every user program.
const TICKS_PER_SECOND: f64 = 100.0;

const START_TIMEOUT: Duration = Duration::from_secs(300);

/// Longest wait for work in the background to end, the time between two looks at it, and how many
/// looks in a row have to find none: a merge may follow a checkpoint.
const REST_TIMEOUT: Duration = Duration::from_secs(60);
const LOOK_PERIOD: Duration = Duration::from_millis(100);
const CALM_LOOKS: u32 = 5;

/// One of the three.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
    Firn,
    Redis,
    Valkey,
}

impl Kind {
    pub const ALL: [Kind; 3] = [Kind::Firn, Kind::Redis, Kind::Valkey];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Firn => "firn",
            Kind::Redis => "redis",
            Kind::Valkey => "valkey",
        }
    }

    pub fn program(self, options: &Options) -> Result<PathBuf, String> {
        let path = match self {
            Kind::Firn => options.firn.clone().ok_or("Firn was not built")?,
            Kind::Redis => options.peers.join("bin/redis-server-8.0"),
            Kind::Valkey => options.peers.join("bin/valkey-server-8.1"),
        };
        match path.exists() {
            true => Ok(path),
            false => Err(format!("{} does not exist", path.display())),
        }
    }
}

/// How a server makes writes durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Peers: nothing but snapshots on demand. Firn, which always has its log: everysec.
    Snapshot,
    EverySec,
    Always,
}

/// A running server.
pub struct Server {
    child: Child,
    pub port: u16,
    pub started: Instant,
}

impl Server {
    /// Starts a server on an empty folder and waits for its first answer.
    pub fn start_empty(options: &Options, kind: Kind, mode: Mode) -> Result<Server, String> {
        let dir = data_dir(options, kind);
        if dir.exists() {
            fs::remove_dir_all(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        }
        let server = Server::spawn(options, kind, mode)?;
        server.wait_ready()?;
        Ok(server)
    }

    /// Starts a server on what is in its folder, and does not wait.
    pub fn spawn(options: &Options, kind: Kind, mode: Mode) -> Result<Server, String> {
        let program = kind.program(options)?;
        let dir = data_dir(options, kind);
        let log = options.dir.join(format!("{}.log", kind.name()));
        let port = free_port().map_err(|error| error.to_string())?;
        let start = || -> io::Result<Server> {
            fs::create_dir_all(&dir)?;
            let out = fs::File::options().create(true).append(true).open(&log)?;
            let mut command = Command::new(&program);
            command.args([
                "--port",
                &port.to_string(),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--dir",
            ]);
            command.arg(&dir).args(arguments(kind, mode));
            command
                .stdin(Stdio::null())
                .stdout(out.try_clone()?)
                .stderr(out);
            let started = Instant::now();
            Ok(Server {
                child: command.spawn()?,
                port,
                started,
            })
        };
        start().map_err(|error| format!("{}: {error}", program.display()))
    }

    /// Waits until PING is answered, and not with LOADING.
    pub fn wait_ready(&self) -> Result<(), String> {
        while self.started.elapsed() < START_TIMEOUT {
            if let Ok(mut client) = Client::connect(self.port)
                && client
                    .call(&["PING"])
                    .is_ok_and(|reply| !reply.starts_with(b"-LOADING"))
            {
                return Ok(());
            }
            if !Path::new(&format!("/proc/{}/stat", self.child.id())).exists() || self.is_zombie() {
                return Err("it ended; see its .log file in the data folder".to_owned());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Err("it does not answer".to_owned())
    }

    /// Seconds from the start to the first right answer of GET.
    pub fn time_to_first_get(&self, key: &str, value: &[u8]) -> Result<f64, String> {
        let mut wanted = format!("${}\r\n", value.len()).into_bytes();
        wanted.extend_from_slice(value);
        wanted.extend_from_slice(b"\r\n");
        self.time_to_first_reply(&["GET", key], &wanted)
    }

    /// Seconds from the start to the first right answer of a command.
    pub fn time_to_first_reply(&self, words: &[&str], wanted: &[u8]) -> Result<f64, String> {
        while self.started.elapsed() < START_TIMEOUT {
            if let Ok(mut client) = Client::connect(self.port) {
                while let Ok(reply) = client.call(words) {
                    if reply == wanted {
                        return Ok(self.started.elapsed().as_secs_f64());
                    }
                    if !reply.starts_with(b"-LOADING") {
                        return Err(format!("{words:?}: {}", String::from_utf8_lossy(&reply)));
                    }
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
            if self.is_zombie() {
                return Err("it ended; see its .log file in the data folder".to_owned());
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        Err("it does not answer".to_owned())
    }

    /// Waits until no work is under way in the background: checkpoints and merges, or what the
    /// peers have in their place.
    pub fn rest(&self) -> Result<(), String> {
        let mut client = self.client()?;
        let begun = Instant::now();
        let mut calm = 0;
        while calm < CALM_LOOKS && begun.elapsed() < REST_TIMEOUT {
            let info = client
                .call(&["INFO", "persistence"])
                .map_err(|error| error.to_string())?;
            let info = String::from_utf8_lossy(&info);
            let is_calm = |field: &str| info.contains(&format!("{field}_in_progress:0\r\n"));
            let are_calm = is_calm("rdb_bgsave") && is_calm("aof_rewrite");
            calm = if are_calm { calm + 1 } else { 0 };
            std::thread::sleep(LOOK_PERIOD);
        }
        if calm < CALM_LOOKS {
            eprintln!("  not at rest after {} s", REST_TIMEOUT.as_secs());
        }
        Ok(())
    }

    pub fn client(&self) -> Result<Client, String> {
        Client::connect(self.port).map_err(|error| error.to_string())
    }

    fn is_zombie(&self) -> bool {
        self.stat()
            .is_none_or(|fields| fields.first().is_some_and(|state| state == "Z"))
    }

    /// The fields of /proc/PID/stat behind the name; the first is the state.
    fn stat(&self) -> Option<Vec<String>> {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).ok()?;
        let (_, fields) = text.rsplit_once(") ")?;
        Some(fields.split(' ').map(str::to_owned).collect())
    }

    /// User and system time of all threads, in seconds.
    pub fn cpu_seconds(&self) -> f64 {
        let fields = self.stat().unwrap_or_default();
        let ticks = |at: usize| {
            fields
                .get(at)
                .and_then(|f| f.parse::<f64>().ok())
                .unwrap_or(0.0)
        };
        (ticks(11) + ticks(12)) / TICKS_PER_SECOND
    }

    /// Resident memory in bytes.
    pub fn resident_bytes(&self) -> Option<u64> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = text.lines().find(|line| line.starts_with("VmRSS:"))?;
        Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? << 10)
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// A clean shutdown that saves.
    pub fn shut_down(mut self) -> Result<(), String> {
        let mut client = self.client()?;
        // The connection ends instead of an answer.
        let _ = client.call(&["SHUTDOWN", "SAVE"]);
        let status = self.child.wait().map_err(|error| error.to_string())?;
        match status.success() {
            true => Ok(()),
            false => Err(format!("SHUTDOWN SAVE ended with {status}")),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn data_dir(options: &Options, kind: Kind) -> PathBuf {
    options.dir.join(kind.name())
}

fn arguments(kind: Kind, mode: Mode) -> Vec<&'static str> {
    let level = match mode {
        Mode::Always => "always",
        Mode::EverySec | Mode::Snapshot => "everysec",
    };
    if kind == Kind::Firn {
        return vec!["--appendfsync", level];
    }
    let log = if mode == Mode::Snapshot { "no" } else { "yes" };
    // No rewrite of the AOF meanwhile: it would cost the peers time, and its child is not counted.
    let quiet = ["--auto-aof-rewrite-percentage", "0"];
    [&["--appendonly", log, "--appendfsync", level][..], &quiet].concat()
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Empties the page cache, which needs root.
pub fn drop_page_cache() -> Result<(), String> {
    let synced = Command::new("sync")
        .status()
        .is_ok_and(|status| status.success());
    if !synced {
        return Err("sync failed".to_owned());
    }
    fs::write("/proc/sys/vm/drop_caches", "3").map_err(|error| format!("drop_caches: {error}"))
}
