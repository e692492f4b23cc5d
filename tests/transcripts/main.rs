//! Recorded transcripts: what a real server answered, checked against Firn without one.
//!
//! Each `tests/transcripts/FAMILY.txt` is a list of blocks: commands, `---`, one reply a command.
//! `FIRN_RECORD=1 FIRN_ORACLE=/path/of/valkey-server cargo test --test transcripts` writes the
//! replies again from the oracle; `redis.txt`, which holds what Valkey answers otherwise, is
//! written from `FIRN_ORACLE_REDIS`. `later.txt` holds what came after both of them: its replies
//! are reasoned from the public documentation and tests, and only `FIRN_ORACLE_LATER`, a server
//! that knows the commands, would write them again. `script.rs` says what a line may hold.

#[path = "../support/mod.rs"]
mod support;

mod script;

use std::path::{Path, PathBuf};

use script::{Block, Session, Step};
use support::server::Server;

/// One test a family, and the list that `every_transcript_is_run` compares with the folder.
macro_rules! transcripts {
    ($($family:ident),* $(,)?) => {
        const FAMILIES: &[&str] = &[$(stringify!($family)),*];
        $(
            #[test]
            fn $family() {
                run(stringify!($family));
            }
        )*
    };
}

transcripts! {
    arity,
    bitfield,
    bitmaps,
    client,
    command,
    config,
    connection,
    counters,
    databases,
    dump_restore,
    expiry,
    floats,
    geo,
    hyperloglog,
    inline,
    keys,
    later,
    lcs,
    lists,
    lookups,
    object,
    protocol,
    ranges,
    redis,
    rename_copy,
    resp3,
    scan,
    server,
    sort,
    streams,
    strings,
    transactions,
}

#[test]
fn every_transcript_is_run() {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder()).expect("the folder of transcripts") {
        let path = entry.expect("an entry of the folder").path();
        if path.extension().is_some_and(|extension| extension == "txt") {
            names.push(path.file_stem().unwrap_or_default().to_string_lossy().into_owned());
        }
    }
    names.sort();
    assert_eq!(names, FAMILIES);
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts")
}

fn run(family: &str) {
    let path = folder().join(family).with_extension("txt");
    let text = std::fs::read_to_string(&path).expect("a transcript");
    let blocks = script::parse(&text).unwrap_or_else(|error| panic!("{family}.txt: {error}"));
    let record = std::env::var_os("FIRN_RECORD").is_some();
    let (program, args) = match record {
        true => match oracle(family) {
            Some(program) => (PathBuf::from(program), Vec::new()),
            None => return,
        },
        false => support::server_under_test(),
    };
    let dir = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(&program, dir.path(), &args);
    let mut session = Session::new(server.port);
    let mut wrong = Vec::new();
    let mut recorded = String::new();
    for block in &blocks {
        let replies: Vec<String> = block.steps.iter().map(|step| session.run(step)).collect();
        if record {
            recorded.push_str(&script::show(block, &replies));
        } else {
            compare(family, block, &replies, &mut wrong);
        }
    }
    if record {
        std::fs::write(&path, recorded).expect("the transcript is written");
    }
    assert!(
        wrong.is_empty(),
        "{} replies differ from the recorded ones\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// The server that is asked about a family; none for one that may be left as it is.
fn oracle(family: &str) -> Option<std::ffi::OsString> {
    let name = match family {
        "later" => return std::env::var_os("FIRN_ORACLE_LATER"),
        "redis" => "FIRN_ORACLE_REDIS",
        _ => "FIRN_ORACLE",
    };
    let path = std::env::var_os(name);
    Some(path.unwrap_or_else(|| panic!("FIRN_RECORD needs {name}, a server's path")))
}

fn compare(family: &str, block: &Block, replies: &[String], wrong: &mut Vec<String>) {
    if block.replies.len() != block.steps.len() {
        wrong.push(format!(
            "{family}.txt:{}: {} commands, {} replies",
            block.line,
            block.steps.len(),
            block.replies.len()
        ));
        return;
    }
    let answers = replies.iter().zip(&block.replies);
    for (Step { text, line, .. }, (found, expected)) in block.steps.iter().zip(answers) {
        if found != expected {
            wrong.push(format!(
                "{family}.txt:{line}: {text}\n    expected {expected}\n    found    {found}"
            ));
        }
    }
}
