//! Style as a test: layers, sizes, and calls that are banned together with what to use instead.
//!
//! Each rule is a function from one source file to complaints, and is tested here on a bad sample.
//! Rules look at text, not at syntax: they want `rustfmt`'s layout, which CI checks first.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// Longest file without its tests, in lines.
const FILE_LINES_MAX: usize = 600;
/// Longest `mod.rs`, in lines.
const MOD_LINES_MAX: usize = 150;
/// Longest function, in lines, its signature and closing brace included.
const FUNCTION_LINES_MAX: usize = 70;
/// Longest line, in characters. String literals, which rustfmt leaves alone, count too.
const LINE_CHARS_MAX: usize = 100;
/// Most files of a folder under `src`.
const FOLDER_FILES_MAX: usize = 30;

/// The layers from the bottom up. Imports point to an earlier row, or stay in their module; only
/// the first row, the words that all share, may use itself.
const LAYERS: &[&[&str]] = &[
    &["types", "limits", "error", "options", "prefetch"],
    &["format", "value", "resp"],
    &["rdb"],
    &["io", "keyspace"],
    &["log", "snapshot"],
    &["engine"],
    &["command"],
    // The families of commands on keys; none knows another.
    &["generic", "geo", "hashes", "hyperloglog", "lists", "sets", "streams", "strings", "zsets"],
    &["transfer"],
    &["catalog"],
    &["config"],
    &["session"],
    &["info"],
    &["admin", "report", "debug"],
    &["server", "inspect"],
    &["bin"],
];

/// Files that may hold `unsafe`.
const UNSAFE_FILES: &[&str] =
    &["src/io/mmap.rs", "src/keyspace/entry.rs", "src/prefetch.rs", "src/server/huge_pages.rs"];

/// Folders whose files may print.
const PRINTING: &[&str] = &["src/bin/", "src/inspect/"];

/// A banned piece of text and what to write instead.
struct Ban {
    text: &'static str,
    instead: &'static str,
    /// Whether it stands in this file at all.
    applies: fn(&Source) -> bool,
}

const BANS: &[Ban] = &[
    Ban {
        text: ".unwrap()",
        instead: "`?`, or `expect` with the reason why it cannot fail",
        applies: |source| source.is_library(),
    },
    Ban {
        text: "println!",
        instead: "`tracing` (only `src/bin` and `src/inspect` print)",
        applies: |source| {
            source.is_library() && !PRINTING.iter().any(|folder| source.path.starts_with(folder))
        },
    },
    Ban {
        text: "thread::sleep",
        instead: "a condition variable or a timer that can be woken (only DEBUG SLEEP sleeps)",
        applies: |source| source.is_library() && !source.path.starts_with("src/debug"),
    },
    Ban { text: "todo!", instead: "the code", applies: |_| true },
    Ban { text: "unimplemented!", instead: "the code, or an error", applies: |_| true },
    Ban { text: "dbg!", instead: "`tracing::debug!`", applies: |_| true },
    Ban { text: "TODO", instead: "an issue, or the work itself", applies: |_| true },
    Ban { text: "FIXME", instead: "an issue, or the work itself", applies: |_| true },
    Ban { text: "XXX", instead: "an issue, or the work itself", applies: |_| true },
    Ban { text: "\"/home/", instead: "a path relative to the crate", applies: |_| true },
    Ban { text: "\"/root/", instead: "a path relative to the crate", applies: |_| true },
    Ban { text: "\"/work/", instead: "a path relative to the crate", applies: |_| true },
    Ban { text: "\"/tmp/", instead: "`tempfile::tempdir()`", applies: |_| true },
    Ban {
        text: "#[allow(clippy::",
        instead: "`#[expect(clippy::.., reason = \"..\")]`",
        applies: Source::is_library,
    },
];

/// A source file, and where its unit tests begin.
struct Source {
    /// From the root of the crate, with `/`.
    path: String,
    lines: Vec<String>,
    /// The file is a module of unit tests, with its declaration elsewhere.
    is_test: bool,
}

/// What is wrong, and where.
struct Complaint {
    path: String,
    line: usize,
    what: String,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

impl Source {
    fn new(path: &str, text: &str) -> Source {
        Source {
            path: path.to_owned(),
            lines: text.lines().map(str::to_owned).collect(),
            is_test: false,
        }
    }

    /// Product code: tests, benches and fuzz targets may be blunt.
    fn is_library(&self) -> bool {
        self.path.starts_with("src/") && !self.is_test
    }

    /// Number of lines in front of the unit tests at the end of the file.
    fn code_lines(&self) -> usize {
        if self.is_test {
            return 0;
        }
        let marked = |line: &String| line.starts_with("#[cfg(test)]");
        let starts_module = |at: usize| {
            let next = self.lines.get(at + 1).map(String::as_str).unwrap_or_default();
            next.starts_with("mod ") && next.ends_with('{')
        };
        let tests = (0..self.lines.len()).find(|at| marked(&self.lines[*at]) && starts_module(*at));
        tests.unwrap_or(self.lines.len())
    }

    /// Code in front of the unit tests, with line numbers.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.lines[..self.code_lines()].iter();
        lines.enumerate().map(|(at, line)| (at + 1, line.as_str()))
    }

    /// Module of the crate that the file belongs to.
    fn module(&self) -> Option<&str> {
        let inside = self.path.strip_prefix("src/")?;
        Some(inside.split(['/', '.']).next().unwrap_or(inside))
    }

    fn complaint(&self, line: usize, what: impl Into<String>) -> Complaint {
        Complaint { path: self.path.clone(), line, what: what.into() }
    }
}

/// The part of a line that is code.
fn without_comment(line: &str) -> &str {
    let trimmed = line.trim_start();
    match trimmed.starts_with("//") {
        true => "",
        false => line.split(" // ").next().unwrap_or(line),
    }
}

/// Folders that hold one table of session commands between them, and share its helpers.
const ONE_TABLE: &[&str] = &["admin", "report", "debug"];

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|modules| modules.contains(&module))
}

/// Names of the modules that a line reaches through `crate::` or `firn::`.
fn reached(line: &str) -> Vec<String> {
    let mut found = Vec::new();
    for root in ["crate::", "firn::"] {
        for (at, _) in line.match_indices(root) {
            let inside_word = line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
            let rest = &line[at + root.len()..];
            if inside_word {
                continue;
            }
            match rest.strip_prefix('{') {
                Some(list) => found.extend(list.split(',').map(first_name)),
                None => found.push(first_name(rest)),
            }
        }
    }
    found.retain(|name| !name.is_empty());
    found
}

fn first_name(text: &str) -> String {
    let text = text.trim_start();
    text.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect()
}

fn imports_point_down(source: &Source) -> Vec<Complaint> {
    let Some(module) = source.module() else {
        return Vec::new();
    };
    if module == "lib" {
        return Vec::new();
    }
    let Some(own) = layer(module) else {
        let what = format!("module `{module}` has no layer; give it one in tests/tidy.rs");
        return vec![source.complaint(1, what)];
    };
    let mut complaints = Vec::new();
    for (at, line) in source.code() {
        for name in reached(without_comment(line)) {
            // A name that is no module (a macro, a re-export) has no layer.
            let one_room = ONE_TABLE.contains(&module) && ONE_TABLE.contains(&name.as_str());
            let above = layer(&name).is_some_and(|other| other >= own && name != module);
            let up = above && !one_room;
            // The words that all layers share may use one another; the bins are the top.
            if up && own > 0 && module != "bin" {
                let what = format!("`{module}` imports `{name}`, which is not below it");
                complaints.push(source.complaint(at, what));
            }
        }
    }
    complaints
}

fn files_are_small(source: &Source) -> Vec<Complaint> {
    let lines = source.code_lines();
    let is_mod = source.path.ends_with("/mod.rs") && source.path.starts_with("src/");
    let limit = if is_mod { MOD_LINES_MAX } else { FILE_LINES_MAX };
    match lines > limit {
        true => vec![source.complaint(lines, format!("{lines} lines, {limit} are the limit"))],
        false => Vec::new(),
    }
}

fn functions_are_small(source: &Source) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (at, line) in source.lines.iter().enumerate() {
        let indent = &line[..line.len() - line.trim_start().len()];
        if let Some((start, closing)) = &open {
            if line == closing {
                let lines = at - start + 1;
                if lines > FUNCTION_LINES_MAX {
                    let what = format!("a function of {lines} lines, limit {FUNCTION_LINES_MAX}");
                    complaints.push(source.complaint(start + 1, what));
                }
                open = None;
            }
        } else if is_function(line.trim_start()) && !line.trim_end().ends_with([';', '}']) {
            open = Some((at, format!("{indent}}}")));
        }
    }
    complaints
}

fn is_function(line: &str) -> bool {
    let words = line.split_whitespace();
    let mut words = words.skip_while(|word| {
        word.starts_with("pub") || ["const", "async", "unsafe", "extern", "\"C\""].contains(word)
    });
    words.next() == Some("fn")
}

fn lines_are_short(source: &Source) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    // A table that is laid out by hand says so with an attribute in front of it.
    let mut by_hand = false;
    for (at, line) in source.lines.iter().enumerate() {
        let chars = line.chars().count();
        by_hand = (by_hand || line.trim() == "#[rustfmt::skip]") && !line.starts_with(['}', ']']);
        if chars > LINE_CHARS_MAX && !by_hand {
            complaints.push(source.complaint(at + 1, format!("{chars} characters")));
        }
    }
    complaints
}

fn unsafe_stays_in_its_modules(source: &Source) -> Vec<Complaint> {
    if UNSAFE_FILES.contains(&source.path.as_str()) {
        return Vec::new();
    }
    let mut complaints = Vec::new();
    for (at, line) in source.lines.iter().enumerate() {
        let code = without_comment(line);
        if ["unsafe {", "unsafe fn", "unsafe impl"].iter().any(|word| code.contains(word)) {
            let what = format!("unsafe code belongs into {}", UNSAFE_FILES.join(" or "));
            complaints.push(source.complaint(at + 1, what));
        }
    }
    complaints
}

fn banned_calls_stay_out(source: &Source) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for ban in BANS.iter().filter(|ban| (ban.applies)(source)) {
        for (at, line) in source.code() {
            // Words in capitals are banned in comments too; calls may be spoken of.
            let is_word = ban.text.bytes().all(|byte| byte.is_ascii_uppercase());
            let text = if is_word { line } else { without_comment(line) };
            if holds(text, ban.text) {
                let what = format!("`{}`: use {}", ban.text, ban.instead);
                complaints.push(source.complaint(at, what));
            }
        }
    }
    complaints
}

/// Whether `text` holds `word`, not as a part of a longer name (`eprintln!` is not `println!`).
fn holds(text: &str, word: &str) -> bool {
    let named = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| !word.starts_with(named) || !text[..at].ends_with(named))
}

/// All rules for one file.
const RULES: &[fn(&Source) -> Vec<Complaint>] = &[
    imports_point_down,
    files_are_small,
    functions_are_small,
    lines_are_short,
    unsafe_stays_in_its_modules,
    banned_calls_stay_out,
];

#[test]
fn the_code_is_tidy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = Vec::new();
    for folder in ["src", "tests", "benches", "fuzz", "examples"] {
        let mut files = Vec::new();
        collect(&root.join(folder), &mut files);
        for file in files {
            let text = fs::read_to_string(&file).expect("a source file");
            sources.push(Source::new(&relative(root, &file), &text));
        }
    }
    // The rules themselves hold what they ban.
    sources.retain(|source| source.path != "tests/tidy.rs");
    let tests: Vec<String> = sources.iter().flat_map(test_files).collect();
    for source in &mut sources {
        source.is_test = tests.contains(&source.path);
    }
    let mut complaints: Vec<Complaint> =
        sources.iter().flat_map(|source| RULES.iter().flat_map(|rule| rule(source))).collect();
    complaints.extend(folders_are_flat_and_small(root));
    let shown: Vec<String> = complaints.iter().map(ToString::to_string).collect();
    assert!(shown.is_empty(), "{} complaints\n{}", shown.len(), shown.join("\n"));
}

/// Files that a source declares as modules of tests alone.
fn test_files(source: &Source) -> Vec<String> {
    let (folder, file) = source.path.rsplit_once('/').unwrap_or(("", &source.path));
    let folder = match file {
        "mod.rs" | "lib.rs" | "main.rs" => folder.to_owned(),
        _ => format!("{folder}/{}", file.trim_end_matches(".rs")),
    };
    let pairs = source.lines.windows(2).filter(|pair| pair[0].trim() == "#[cfg(test)]");
    let names = pairs.filter_map(|pair| {
        let words = pair[1].trim().strip_suffix(';')?.rsplit_once("mod ")?;
        Some(words.1)
    });
    names.map(|name| format!("{folder}/{name}.rs")).collect()
}

fn relative(root: &Path, file: &Path) -> String {
    file.strip_prefix(root).unwrap_or(file).to_string_lossy().replace('\\', "/")
}

/// `src/folder/file.rs` and no deeper, and not too many files of one folder.
fn folders_are_flat_and_small(root: &Path) -> Vec<Complaint> {
    let mut files = Vec::new();
    collect(&root.join("src"), &mut files);
    let mut folders = std::collections::BTreeMap::<String, usize>::new();
    let mut complaints = Vec::new();
    for file in files {
        let path = file.strip_prefix(root).unwrap_or(&file).to_string_lossy().into_owned();
        if path.matches('/').count() > 2 {
            let what = "src/folder/file.rs, and no deeper".to_owned();
            complaints.push(Complaint { path: path.clone(), line: 1, what });
        }
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
        *folders.entry(folder).or_default() += 1;
    }
    for (folder, count) in folders.into_iter().filter(|(_, count)| *count > FOLDER_FILES_MAX) {
        let what = format!("{count} files, {FOLDER_FILES_MAX} are the limit");
        complaints.push(Complaint { path: folder, line: 1, what });
    }
    complaints
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries {
        let path = entry.expect("an entry of a folder").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" {
            collect(&path, files);
        } else if name.ends_with(".rs") {
            files.push(path);
        }
    }
    files.sort();
}

mod bad_samples {
    use super::*;

    fn lines_of(rule: fn(&Source) -> Vec<Complaint>, path: &str, text: &str) -> Vec<usize> {
        rule(&Source::new(path, text)).iter().map(|complaint| complaint.line).collect()
    }

    #[test]
    fn an_import_that_points_up_or_sideways_is_found() {
        let text = "use crate::types::Lsn;\nuse crate::engine::Engine;\nuse crate::log::Log;\n";
        assert_eq!(lines_of(imports_point_down, "src/snapshot/merge.rs", text), [2, 3]);
        assert_eq!(lines_of(imports_point_down, "src/server/session.rs", text), []);
        let list = "use crate::{types, server::Config};\n";
        assert_eq!(lines_of(imports_point_down, "src/log/writer.rs", list), [1]);
        let path = "fn f() -> crate::command::spec::Spec {}\n";
        assert_eq!(lines_of(imports_point_down, "src/engine/unit.rs", path), [1]);
        assert_eq!(lines_of(imports_point_down, "src/engine/unit.rs", "// crate::server\n"), []);
        let sibling = "use crate::command::args::Args;\nuse crate::generic::object::encoding;\n";
        assert_eq!(lines_of(imports_point_down, "src/strings/set.rs", sibling), [2]);
        assert_eq!(lines_of(imports_point_down, "src/unknown/mod.rs", ""), [1]);
    }

    #[test]
    fn imports_in_unit_tests_are_free() {
        let text = "#[cfg(test)]\nmod tests {\n    use crate::server::Server;\n}\n";
        assert_eq!(lines_of(imports_point_down, "src/log/writer.rs", text), []);
    }

    #[test]
    fn a_long_file_is_found_and_its_tests_do_not_count() {
        let code = "// line\n".repeat(FILE_LINES_MAX);
        let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "    // line\n".repeat(500));
        assert_eq!(lines_of(files_are_small, "src/log/writer.rs", &(code.clone() + &tests)), []);
        let longer = code + "// one more\n" + &tests;
        assert_eq!(lines_of(files_are_small, "src/log/writer.rs", &longer), [FILE_LINES_MAX + 1]);
        let text = "// line\n".repeat(MOD_LINES_MAX + 1);
        assert_eq!(lines_of(files_are_small, "src/log/mod.rs", &text), [MOD_LINES_MAX + 1]);
        assert_eq!(lines_of(files_are_small, "tests/support/mod.rs", &text), []);
    }

    #[test]
    fn a_long_function_is_found_where_it_begins() {
        let function = |lines: usize| {
            format!("    pub(crate) async fn long() {{\n{}    }}\n", "        x();\n".repeat(lines))
        };
        let limit = FUNCTION_LINES_MAX - 2;
        let text = format!("impl X {{\n{}}}\n", function(limit));
        assert_eq!(lines_of(functions_are_small, "src/x.rs", &text), []);
        let text = format!("impl X {{\n{}}}\n", function(limit + 1));
        assert_eq!(lines_of(functions_are_small, "src/x.rs", &text), [2]);
    }

    #[test]
    fn a_long_line_is_found() {
        let text = format!("// {}\n// {}\n", "x".repeat(97), "x".repeat(98));
        assert_eq!(lines_of(lines_are_short, "src/x.rs", &text), [2]);
        let text =
            format!("#[rustfmt::skip]\nconst A: &[u8] = &[\n{0}\n];\n{0}\n", "1, ".repeat(40));
        assert_eq!(lines_of(lines_are_short, "src/x.rs", &text), [5]);
    }

    #[test]
    fn unsafe_outside_its_modules_is_found() {
        let text = "fn f() {\n    unsafe { g() }\n}\nunsafe impl Send for X {}\n// unsafe { }\n";
        assert_eq!(lines_of(unsafe_stays_in_its_modules, "src/log/mod.rs", text), [2, 4]);
        assert_eq!(lines_of(unsafe_stays_in_its_modules, "src/io/mmap.rs", text), []);
    }

    #[test]
    fn every_banned_call_is_found() {
        for ban in BANS {
            let text = format!("fn f() {{\n    x {} y();\n}}\n", ban.text);
            let source = Source::new("src/log/writer.rs", &text);
            let found = banned_calls_stay_out(&source);
            assert_eq!(found.len(), 1, "`{}` is not found", ban.text);
            assert_eq!(found[0].line, 2);
            assert!(found[0].to_string().contains(ban.instead));
        }
    }

    #[test]
    fn a_module_of_tests_is_known_by_its_declaration() {
        let text =
            "#[cfg(test)]\nmod contract_tests;\nmod disk;\n#[cfg(test)]\npub(crate) mod x;\n";
        let source = Source::new("src/io/mod.rs", text);
        assert_eq!(test_files(&source), ["src/io/contract_tests.rs", "src/io/x.rs"]);
        let mut tests = Source::new("src/io/contract_tests.rs", "x.unwrap();\n");
        assert_eq!(banned_calls_stay_out(&tests).len(), 1);
        tests.is_test = true;
        assert_eq!(banned_calls_stay_out(&tests).len(), 0);
    }

    #[test]
    fn what_looks_like_a_banned_call_is_left_alone() {
        let text = "eprintln!(\"x\");\n// .unwrap() would be wrong here\nx.unwrap_or(1);\n";
        assert_eq!(lines_of(banned_calls_stay_out, "src/log/writer.rs", text), []);
        let text = "println!(\"x\");\n";
        assert_eq!(lines_of(banned_calls_stay_out, "src/bin/firn-inspect.rs", text), []);
        assert_eq!(lines_of(banned_calls_stay_out, "src/log/writer.rs", text), [1]);
        let text = "#[cfg(test)]\nmod tests {\n    x.unwrap();\n}\n";
        assert_eq!(lines_of(banned_calls_stay_out, "src/log/writer.rs", text), []);
        assert_eq!(lines_of(banned_calls_stay_out, "tests/crash/main.rs", "x.unwrap();\n"), []);
    }
}
