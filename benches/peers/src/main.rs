//! Firn beside its peers: one command, one table.
//!
//! Runs Firn, redis-server 8.0 and valkey-server 8.1 in turn, in the same run on the same machine,
//! and prints a Markdown table of medians, ratios against the better peer, and the bar of each row.
//! A server that cannot be started shows as `n/a`.

mod cases;
mod client;
mod collections;
mod deltas;
mod histogram;
mod load;
mod options;
mod pauses;
mod report;
mod server;
mod tool;

use std::process::ExitCode;

use options::Options;
use report::Figures;
use server::Kind;

fn main() -> ExitCode {
    let options = match Options::from_args(std::env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            print!("{}", options::HELP);
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("{error}\n\n{}", options::HELP);
            return ExitCode::FAILURE;
        }
    };
    let mut figures = Figures::default();
    for group in cases::GROUPS
        .iter()
        .filter(|group| options.wants_any(group.cases))
    {
        let rounds = if group.loads_once { 1 } else { options.rounds };
        for round in 1..=rounds {
            for kind in Kind::ALL
                .into_iter()
                .filter(|kind| options.wants_server(*kind))
            {
                eprintln!("{}: {}, round {round} of {rounds}", group.name, kind.name());
                if let Err(error) = (group.run)(&options, kind, &mut figures) {
                    eprintln!("  {}: {error}", kind.name());
                }
            }
        }
    }
    let text = report::markdown(&options, &figures);
    print!("{text}");
    if let Some(path) = &options.out
        && let Err(error) = std::fs::write(path, &text)
    {
        eprintln!("cannot write {}: {error}", path.display());
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
