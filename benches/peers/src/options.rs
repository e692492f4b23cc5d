//! The command line.

use std::path::{Path, PathBuf};

use crate::server::Kind;

pub const HELP: &str = "\
usage: firn-peers [OPTIONS]
  --peers DIR    where the peers' setup script put bin/ (default: $FIRN_PEERS)
  --firn PATH    firn-server to measure (default: it is built with `cargo build --release`)
  --rounds N     rounds whose median is shown (default 3)
  --quick        small sizes, one round: to see that everything runs
  --keys N       keys of the large cases (default 10000000)
  --only CASE    only rows whose name begins so (may be repeated); the names stand in the table
  --server NAME  only this server: firn, redis or valkey (may be repeated)
  --dir DIR      where the servers keep their data (default: data/ beside this crate)
  --out FILE     also writes the table there
";

/// What to run.
pub struct Options {
    pub peers: PathBuf,
    pub firn: Option<PathBuf>,
    pub dir: PathBuf,
    pub out: Option<PathBuf>,
    pub rounds: usize,
    pub quick: bool,
    /// Keys of the small cases.
    pub small_keys: u64,
    /// Keys of the large cases.
    pub keys: u64,
    only: Vec<String>,
    servers: Vec<String>,
}

impl Options {
    /// Reads the arguments; nothing for `--help`.
    pub fn from_args(mut args: impl Iterator<Item = String>) -> Result<Option<Options>, String> {
        let (mut peers, mut firn, mut dir, mut out) =
            (std::env::var("FIRN_PEERS").ok(), None, None, None);
        let (mut rounds, mut keys, mut quick) = (None, None, false);
        let (mut only, mut servers) = (Vec::new(), Vec::new());
        while let Some(arg) = args.next() {
            if arg == "--help" || arg == "-h" {
                return Ok(None);
            }
            if arg == "--quick" {
                quick = true;
                continue;
            }
            let value = args.next().ok_or_else(|| format!("{arg} needs a value"))?;
            let number = || {
                value
                    .parse::<u64>()
                    .map_err(|error| format!("{arg} {value}: {error}"))
            };
            match arg.as_str() {
                "--peers" => peers = Some(value),
                "--firn" => firn = Some(PathBuf::from(value)),
                "--dir" => dir = Some(PathBuf::from(value)),
                "--out" => out = Some(PathBuf::from(value)),
                "--rounds" => rounds = Some(number()?.max(1) as usize),
                "--keys" => keys = Some(number()?.max(1)),
                "--only" => only.push(value),
                "--server" => servers.push(value),
                _ => return Err(format!("unknown option {arg}")),
            }
        }
        let peers = peers.ok_or("--peers DIR or FIRN_PEERS must name the peers' folder")?;
        let firn = match firn {
            Some(path) => Some(path),
            None => build_firn(),
        };
        let default_dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("data");
        Ok(Some(Options {
            peers: PathBuf::from(peers),
            firn,
            dir: dir.unwrap_or(default_dir),
            out,
            rounds: rounds.unwrap_or(if quick { 1 } else { 3 }),
            quick,
            small_keys: 1_000_000,
            keys: keys.unwrap_or(if quick { 200_000 } else { 10_000_000 }),
            only,
            servers,
        }))
    }

    /// Whether a row is to be measured.
    pub fn wants(&self, case: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| case.starts_with(only.as_str()))
    }

    pub fn wants_any(&self, cases: &[&str]) -> bool {
        cases.iter().any(|case| self.wants(case))
    }

    pub fn wants_server(&self, kind: Kind) -> bool {
        self.servers.is_empty() || self.servers.iter().any(|name| name == kind.name())
    }

    /// A number of requests, smaller for `--quick`.
    pub fn requests(&self, full: u64) -> u64 {
        if self.quick { full / 20 } else { full }
    }
}

/// Builds Firn from the repository that this crate lies in.
fn build_firn() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2)?;
    let mut cargo = std::process::Command::new("cargo");
    cargo
        .args(["build", "--release", "--bin", "firn-server"])
        .current_dir(root);
    let built = cargo.status().is_ok_and(|status| status.success());
    built.then(|| root.join("target/release/firn-server"))
}
