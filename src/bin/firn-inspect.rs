//! Reads a data directory offline, also a damaged one, also one that a server has open. Never
//! writes.

use std::ffi::OsString;
use std::io::{self, BufWriter, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

use firn::inspect::directory::Directory;
use firn::inspect::keys::{self, Filter, Format, ValueFormat};
use firn::inspect::progress::Progress;
use firn::inspect::{Failure, Outcome, log_view, overview, verify};
use firn::io::Clock;
use firn::io::clock::SystemClock;
use firn::types::Lsn;

/// Looks into a Firn data directory: offline, read only, also when it is damaged or in use.
///
/// Exits with 0 when all is well, with 1 when something is damaged, missing or cannot be read.
#[derive(Parser)]
#[command(name = "firn-inspect", version)]
struct Arguments {
    /// The data directory.
    dir: PathBuf,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// What the database is made of, how many keys it holds, how far its log goes.
    Summary,
    /// Checks every checksum of every file; names file, offset and LSN range of what is damaged.
    Verify,
    /// Lists the keys that a recovery would find, in no particular order.
    Keys {
        /// Only keys that match this glob pattern, as in the command KEYS.
        #[arg(long = "match", value_name = "GLOB")]
        pattern: Option<OsString>,
        /// Only keys that hold this type.
        #[arg(long = "type", value_name = "TYPE")]
        kind: Option<String>,
        /// Only keys of this database.
        #[arg(long)]
        db: Option<u32>,
        /// Layout. Binary keys: escaped in text; in JSON `key_base64` stands for `key`; CSV has a
        /// column for each.
        #[arg(long, value_enum, default_value_t = ListLayout::Text)]
        format: ListLayout,
    },
    /// Writes the value of a key that a recovery would find.
    Get {
        /// The key; in double quotes, with the escapes that `keys` writes.
        key: OsString,
        /// The database.
        #[arg(long, default_value_t = 0)]
        db: u32,
        /// Layout; `raw` is the bytes and nothing else.
        #[arg(long, value_enum, default_value_t = ValueLayout::Text)]
        format: ValueLayout,
    },
    /// Writes every frame of the log with its records.
    Log {
        /// First LSN.
        #[arg(long, default_value_t = 0)]
        from: Lsn,
        /// Last LSN.
        #[arg(long, default_value_t = Lsn::MAX, hide_default_value = true)]
        to: Lsn,
    },
    /// What each part holds, and which MANIFEST names it.
    Parts,
    /// All MANIFESTs in full.
    Manifest,
}

#[derive(Clone, Copy, ValueEnum)]
enum ListLayout {
    Text,
    Json,
    Csv,
}

#[derive(Clone, Copy, ValueEnum)]
enum ValueLayout {
    Text,
    Json,
    Raw,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut out = BufWriter::new(io::stdout().lock());
    let outcome = run(&arguments, &mut out);
    let outcome = outcome.and_then(|outcome| Ok(out.flush().map(|()| outcome)?));
    match outcome {
        Ok(Outcome::Sound) => ExitCode::SUCCESS,
        Ok(Outcome::Damaged | Outcome::Missing) => ExitCode::FAILURE,
        // Whoever reads has seen enough.
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(failure) => {
            // What was found before the failure comes first.
            let _ = out.flush();
            eprintln!("firn-inspect: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<Outcome, Failure> {
    let directory = Directory::open(&arguments.dir)?;
    let mut progress = Progress::on_terminal();
    let mut warn = io::stderr();
    match &arguments.verb {
        Verb::Summary => overview::summary(&directory, &mut progress, out),
        Verb::Verify => verify::verify(&directory, &mut progress, out),
        Verb::Parts => overview::parts(&directory, out),
        Verb::Manifest => overview::manifest(&directory, out),
        Verb::Log { from, to } => log_view::log(&directory, *from..=*to, out),
        Verb::Keys { pattern, kind, db, format } => {
            let filter = Filter {
                pattern: pattern.as_ref().map(|pattern| pattern.as_bytes().to_vec()),
                kind: kind.clone(),
                db: *db,
            };
            let format = match format {
                ListLayout::Text => Format::Text,
                ListLayout::Json => Format::Json,
                ListLayout::Csv => Format::Csv,
            };
            let now_ms = SystemClock::new().wall_ms();
            let aside = (&mut progress, &mut warn as &mut dyn Write);
            keys::keys(&directory, &filter, format, now_ms, out, aside)
        }
        Verb::Get { key, db, format } => {
            let format = match format {
                ValueLayout::Text => ValueFormat::Text,
                ValueLayout::Json => ValueFormat::Json,
                ValueLayout::Raw => ValueFormat::Raw,
            };
            let aside = (&mut progress, &mut warn as &mut dyn Write);
            keys::get(&directory, *db, key.as_bytes(), format, out, aside)
        }
    }
}
