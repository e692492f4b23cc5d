//! The table.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::process::Command;

use crate::cases::{Better, CASES, Case, Versus};
use crate::options::Options;
use crate::server::Kind;

/// All measured figures, by case and server.
#[derive(Default)]
pub struct Figures(BTreeMap<(&'static str, Kind), Vec<f64>>);

impl Figures {
    pub fn add(&mut self, case: &'static str, kind: Kind, figure: f64) {
        self.0.entry((case, kind)).or_default().push(figure);
    }

    /// The median of what was measured.
    pub fn median(&self, case: &'static str, kind: Kind) -> Option<f64> {
        let mut figures = self.0.get(&(case, kind))?.clone();
        figures.sort_by(f64::total_cmp);
        let middle = figures.len() / 2;
        match figures.len() % 2 {
            1 => Some(figures[middle]),
            _ => Some((figures[middle - 1] + figures[middle]) / 2.0),
        }
    }
}

/// The report as Markdown.
pub fn markdown(options: &Options, figures: &Figures) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "# Firn beside its peers\n");
    let _ = writeln!(
        text,
        "{}; {} rounds, median; 50 clients, 16-byte keys out of {}, 64-byte values; {} keys in the \
         rows that begin with `keys-`.{}\n",
        machine(),
        options.rounds,
        options.small_keys,
        options.keys,
        if options.quick {
            " **Quick run: sizes are small, figures mean little.**"
        } else {
            ""
        }
    );
    for kind in Kind::ALL {
        let _ = writeln!(text, "- {}: {}", kind.name(), version(options, kind));
    }
    let _ = writeln!(
        text,
        "\n| name | case | Firn | redis | valkey | ratio | bar (goal) | met |"
    );
    let _ = writeln!(text, "|---|---|---|---|---|---|---|---|");
    for case in CASES.iter().filter(|case| options.wants(case.name)) {
        let _ = writeln!(text, "{}", row(case, figures));
    }
    let _ = writeln!(
        text,
        "\nThe ratio is against the better of the two peers. CPU is user and system time of all \
         threads of the server."
    );
    text
}

fn row(case: &Case, figures: &Figures) -> String {
    let of = |kind| figures.median(case.name, kind);
    let firn = of(Kind::Firn);
    let others = case.against.unwrap_or(case.name);
    let peers = [Kind::Redis, Kind::Valkey].map(|kind| figures.median(others, kind));
    let better = peers
        .into_iter()
        .flatten()
        .reduce(|a, b| match case.better {
            Better::Lower => a.min(b),
            Better::Higher => a.max(b),
        });
    let ratio = match case.versus {
        Versus::Peer => firn.zip(better).map(|(firn, peer)| firn / peer),
        Versus::PeerOverFirn => firn.zip(better).map(|(firn, peer)| peer / firn),
        Versus::Itself | Versus::Nothing => firn,
    };
    let rises = case.better == Better::Higher || case.versus == Versus::PeerOverFirn;
    let holds = |ratio: f64, bar: f64| if rises { ratio >= bar } else { ratio <= bar };
    let met = match ratio {
        None => "n/a",
        Some(ratio) if case.goal.is_some_and(|goal| holds(ratio, goal)) => "goal",
        Some(ratio) if holds(ratio, case.bar) => "yes",
        Some(_) => "no",
    };
    let sign = if rises { ">=" } else { "<=" };
    let goal = case
        .goal
        .map(|goal| format!(" ({goal})"))
        .unwrap_or_default();
    let cell = |figure: Option<f64>| match figure {
        Some(figure) => format!("{} {}", rounded(figure), case.unit),
        None => "n/a".to_owned(),
    };
    let shown_ratio = match case.versus {
        Versus::Nothing => "".to_owned(),
        _ => ratio.map_or("n/a".to_owned(), |ratio| format!("{ratio:.2}")),
    };
    format!(
        "| {} | {} | {} | {} | {} | {shown_ratio} | {sign} {}{goal} | {met} |",
        case.name,
        case.title,
        cell(firn),
        cell(peers[0]),
        cell(peers[1]),
        case.bar
    )
}

fn rounded(figure: f64) -> String {
    match figure.abs() {
        size if size >= 1000.0 => format!("{figure:.0}"),
        size if size >= 10.0 => format!("{figure:.1}"),
        size if size >= 0.01 => format!("{figure:.2}"),
        _ => format!("{figure:.4}"),
    }
}

fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let model = cpus
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown processor", |(_, name)| name);
    let cores = cpus
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    let memory = read("/proc/meminfo");
    let kib = memory
        .split_whitespace()
        .nth(1)
        .and_then(|kib| kib.parse::<u64>().ok())
        .unwrap_or(0);
    let kernel = read("/proc/sys/kernel/osrelease");
    let gib = kib >> 20;
    format!(
        "{cores} cores ({model}), {gib} GiB, Linux {}",
        kernel.trim()
    )
}

fn version(options: &Options, kind: Kind) -> String {
    let run = |program| Command::new(program).arg("--version").output().ok();
    let output = kind.program(options).ok().and_then(run);
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.filter(|text| !text.is_empty())
        .unwrap_or_else(|| "n/a".to_owned())
}
