//! Where values come from at start: the file and those that it includes, then standard input, then
//! the environment, then the flags; the later wins.

use std::path::{Path, PathBuf};

use crate::resp::parse::split_inline;

use super::directive::flag;
use super::table::{DIRECTIVES, find};
use super::{Values, defaults};

/// What the command line asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Request {
    /// Start with these values.
    Start(Start),
    /// Print the help text.
    Help,
    /// Print the version.
    Version,
    /// Make this damaged data directory usable again, and end.
    Repair(PathBuf),
}

/// How to start.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Start {
    /// All values.
    pub values: Values,
    /// The configuration file, if one was given.
    pub file: Option<PathBuf>,
    /// One line each for what has no effect.
    pub warnings: Vec<String>,
}

/// One directive as somebody wrote it.
struct Setting {
    /// Where, for messages.
    origin: String,
    name: String,
    words: Vec<String>,
}

/// What stands for a configuration file on standard input.
pub const STANDARD_INPUT: &str = "-";

/// Puts the sources together. `read` reads configuration files.
///
/// # Errors
/// One line that names the place and says what is wrong.
pub fn gather(
    args: &[String],
    environment: impl Iterator<Item = (String, String)>,
    read: impl Fn(&std::path::Path) -> std::io::Result<String>,
) -> Result<Request, String> {
    match args.first().map(String::as_str) {
        Some("-h" | "--help") => return Ok(Request::Help),
        Some("-v" | "--version") => return Ok(Request::Version),
        Some("--repair") => {
            return match args {
                [_, dir] => Ok(Request::Repair(PathBuf::from(dir))),
                _ => Err("--repair takes the data directory and nothing else".into()),
            };
        }
        _ => {}
    }
    let is_input = |word: &&String| *word == STANDARD_INPUT;
    let file = args.first().filter(|word| !word.starts_with("--") && !is_input(word));
    let mut flags = &args[usize::from(file.is_some())..];
    let mut start = Start { values: defaults(), file: None, warnings: Vec::new() };
    if let Some(path) = file.map(PathBuf::from) {
        apply(&mut start, file_settings(&path, "", &read, &mut Vec::new())?)?;
        start.file = Some(path);
    }
    // As in Redis it is the first word behind the file, or the last of all.
    let (first, last) = (flags.first().filter(is_input), flags.last().filter(is_input));
    if first.or(last).is_some() {
        flags = if first.is_some() { &flags[1..] } else { &flags[..flags.len() - 1] };
        let input = file_settings(Path::new(STANDARD_INPUT), "", &read, &mut Vec::new())?;
        apply(&mut start, input)?;
    }
    let environment = environment_settings(environment, &mut start.warnings);
    apply(&mut start, environment)?;
    apply(&mut start, flag_settings(flags)?)?;
    Ok(Request::Start(start))
}

/// The settings of a file and of those that it includes, in their order. `asked_at` stands in front
/// of the error where it cannot be read, `open` are the files that lead to it.
fn file_settings(
    path: &Path,
    asked_at: &str,
    read: &impl Fn(&Path) -> std::io::Result<String>,
    open: &mut Vec<PathBuf>,
) -> Result<Vec<Setting>, String> {
    let shown = path.display();
    let text = read(path)
        .map_err(|error| format!("{asked_at}cannot read configuration file {shown}: {error}"))?;
    open.push(path.to_path_buf());
    let mut settings = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let origin = format!("{shown}:{}", index + 1);
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut words =
            split_line(line).ok_or_else(|| format!("{origin}: unbalanced quotes: {line}"))?;
        let name = words.remove(0);
        if !name.eq_ignore_ascii_case("include") {
            settings.push(Setting { origin, name, words });
            continue;
        }
        let [pattern] = &words[..] else {
            return Err(format!("{origin}: 'include' takes one file"));
        };
        for file in included(pattern).map_err(|reason| format!("{origin}: {reason}"))? {
            if open.iter().any(|above| is_same(above, &file)) {
                return Err(format!("{origin}: {} would include itself", file.display()));
            }
            settings.extend(file_settings(&file, &format!("{origin}: "), read, open)?);
        }
    }
    open.pop();
    Ok(settings)
}

/// The files that an `include` means: those that match, or the one that is named without a pattern.
fn included(pattern: &str) -> Result<Vec<PathBuf>, String> {
    if !pattern.contains(['*', '?', '[']) {
        return Ok(vec![PathBuf::from(pattern)]);
    }
    let found = glob::glob(pattern).map_err(|error| format!("'{pattern}': {error}"))?;
    found.map(|file| file.map_err(|error| error.to_string())).collect()
}

fn is_same(a: &Path, b: &Path) -> bool {
    match (std::fs::canonicalize(a), std::fs::canonicalize(b)) {
        (Ok(a), Ok(b)) => a == b,
        _ => a == b,
    }
}

/// The words of one line of a file; none when quotes are unbalanced.
pub fn split_line(line: &str) -> Option<Vec<String>> {
    let (mut text, mut ranges) = (Vec::new(), Vec::new());
    split_inline(line.as_bytes(), &mut text, &mut ranges)?;
    let word = |(start, end): (u32, u32)| {
        String::from_utf8_lossy(&text[start as usize..end as usize]).into_owned()
    };
    Some(ranges.into_iter().map(word).collect())
}

fn environment_settings(
    environment: impl Iterator<Item = (String, String)>,
    warnings: &mut Vec<String>,
) -> Vec<Setting> {
    let mut settings = Vec::new();
    for (variable, value) in environment {
        let Some(name) = variable.strip_prefix("FIRN_") else {
            continue;
        };
        let name = name.to_ascii_lowercase().replace('_', "-");
        if find(&name).is_none() {
            warnings.push(format!("environment variable {variable} names no directive"));
            continue;
        }
        settings.push(Setting {
            origin: format!("environment variable {variable}"),
            name,
            words: vec![value],
        });
    }
    // The order of an environment is accidental.
    settings.sort_by(|a, b| a.name.cmp(&b.name));
    settings
}

fn flag_settings(args: &[String]) -> Result<Vec<Setting>, String> {
    let mut settings: Vec<Setting> = Vec::new();
    for word in args {
        match (word.strip_prefix("--"), settings.last_mut()) {
            (Some(name), _) if !name.is_empty() => {
                let (name, value) = match name.split_once('=') {
                    Some((name, value)) => (name, Some(value.to_string())),
                    None => (name, None),
                };
                settings.push(Setting {
                    origin: format!("option --{name}"),
                    name: name.to_string(),
                    words: value.into_iter().collect(),
                });
            }
            (_, Some(setting)) => setting.words.push(word.clone()),
            (_, None) => return Err(format!("'{word}' is no option; see --help")),
        }
    }
    Ok(settings)
}

fn apply(start: &mut Start, settings: Vec<Setting>) -> Result<(), String> {
    let mut seen = Vec::new();
    for setting in settings {
        let Setting { origin, name, mut words } = setting;
        let Some(index) = find(&name) else {
            return Err(format!("{origin}: unknown directive '{name}'; see --help"));
        };
        let row = &DIRECTIVES[index];
        if words.is_empty() {
            return Err(format!("{origin}: '{name}' needs a value"));
        }
        let value = &mut start.values[index];
        if row.has(flag::ADDS_UP) && seen.contains(&index) && words != [""] {
            words.insert(0, value.clone());
        }
        *value =
            row.parse(value, &words).map_err(|reason| format!("{origin}: '{name}': {reason}"))?;
        seen.push(index);
        if row.has(flag::INERT) {
            start.warnings.push(format!("{origin}: '{name}' has no effect in Firn"));
        }
    }
    Ok(())
}

/// The text of `--help`.
pub fn help() -> String {
    let mut text = String::from(
        "Usage: firn-server [FILE] [-] [--DIRECTIVE VALUE ...]\n\
         \x20      firn-server --repair DIR\n\n\
         --repair makes a damaged data directory usable again with the least loss, says what is\n\
         lost, and ends. It moves files aside and deletes none.\n\n\
         FILE is in the syntax of redis.conf, and - is such a file on standard input. Each\n\
         directive is also an environment variable: FIRN_ and its name in capitals, with _ for -.\n\
         Flags win over the environment, which wins over the file.\n\n\
         Directives and their defaults:\n",
    );
    for row in DIRECTIVES.iter().filter(|row| !row.has(flag::INERT)) {
        let default = match row.default {
            "" => "\"\"",
            default => default,
        };
        text.push_str(&format!("  --{} {default}\n        {}\n", row.name, row.help));
    }
    text.push_str("\nDirectives of Redis without a meaning here are accepted with a warning.\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &[&str]) -> Vec<String> {
        line.iter().map(|word| word.to_string()).collect()
    }

    fn run(args: &[&str], environment: &[(&str, &str)], file: &str) -> Result<Start, String> {
        let environment = environment.iter();
        let environment = environment.map(|(n, v)| (n.to_string(), v.to_string()));
        match gather(&words(args), environment, |_| Ok(file.to_string()))? {
            Request::Start(start) => Ok(start),
            other => panic!("{other:?}"),
        }
    }

    fn value(start: &Start, name: &str) -> String {
        start.values[find(name).unwrap()].clone()
    }

    #[test]
    fn flags_win_over_the_environment_and_that_over_the_file() {
        let file = "# a comment\n\nport 1\ntimeout 1\nmaxclients 1\n";
        let environment = [("FIRN_TIMEOUT", "2"), ("FIRN_MAXCLIENTS", "2"), ("HOME", "x")];
        let start = run(&["a.conf", "--maxclients", "3"], &environment, file).unwrap();
        let values = ["port", "timeout", "maxclients"].map(|name| value(&start, name));
        assert_eq!(values, ["1", "2", "3"]);
        assert_eq!(start.file, Some(PathBuf::from("a.conf")));
    }

    #[test]
    fn directives_take_several_words_and_quotes() {
        let file = "save 900 1\nsave 300 10\nrequirepass \"a b\\x41\"\n";
        let start = run(&["f", "--bind", "::1", "127.0.0.1", "--port=7"], &[], file).unwrap();
        assert_eq!(value(&start, "save"), "900 1 300 10");
        assert_eq!(value(&start, "requirepass"), "a bA");
        assert_eq!(value(&start, "bind"), "::1 127.0.0.1");
        assert_eq!(value(&start, "port"), "7");
        let start = run(&["f", "--save", ""], &[], file).unwrap();
        assert_eq!(value(&start, "save"), "");
    }

    /// Files that `read` finds by their names.
    fn start_from(args: &[&str], files: &[(&str, &str)]) -> Result<Start, String> {
        let read = |path: &Path| {
            let found = files.iter().find(|(name, _)| Path::new(name) == path);
            let missing = std::io::Error::other("it is missing");
            found.map(|(_, text)| text.to_string()).ok_or(missing)
        };
        match gather(&words(args), std::iter::empty(), read)? {
            Request::Start(start) => Ok(start),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn files_include_others_at_their_place() {
        let files = [
            ("a", "port 1\nINCLUDE b\ntimeout 3\nsave 3 3\n"),
            ("b", "port 2\ntimeout 2\nsave 2 2\ninclude \"no?such*\"\n"),
        ];
        let start = start_from(&["a"], &files).unwrap();
        let values = ["port", "timeout", "save"].map(|name| value(&start, name));
        assert_eq!(values, ["2", "3", "2 2 3 3"]);
        let cases = [
            ("include b\n", "prot 1\n", "b:1: unknown directive 'prot'; see --help"),
            ("\ninclude c\n", "", "a:2: cannot read configuration file c: it is missing"),
            ("include b\n", "include a\n", "b:1: a would include itself"),
            ("include a\n", "", "a:1: a would include itself"),
            ("include b c\n", "", "a:1: 'include' takes one file"),
        ];
        for (a, b, text) in cases {
            let started = start_from(&["a"], &[("a", a), ("b", b)]);
            assert_eq!(started.map(|_| ()), Err(text.to_string()));
        }
    }

    #[test]
    fn patterns_include_what_matches_in_order() {
        let folder = tempfile::tempdir().unwrap();
        for (name, port) in [("b.conf", 2), ("a.conf", 1), ("c.txt", 3)] {
            std::fs::write(folder.path().join(name), format!("port {port}\n")).unwrap();
        }
        let main = folder.path().join("main");
        std::fs::write(&main, format!("include {}/*.conf\n", folder.path().display())).unwrap();
        let read = |path: &Path| std::fs::read_to_string(path);
        let args = [main.display().to_string()];
        let Ok(Request::Start(start)) = gather(&args, std::iter::empty(), read) else {
            panic!("the files are sound");
        };
        assert_eq!(value(&start, "port"), "2");
    }

    #[test]
    fn standard_input_comes_behind_the_file() {
        let files = [("a", "port 1\ntimeout 1\n"), ("-", "port 2\n")];
        let told = |args: &[&str]| {
            let start = start_from(args, &files).unwrap();
            (value(&start, "port"), value(&start, "timeout"), start.file)
        };
        assert_eq!(told(&["-"]), ("2".into(), "0".into(), None));
        assert_eq!(told(&["a", "-"]), ("2".into(), "1".into(), Some("a".into())));
        assert_eq!(told(&["-", "--port", "3"]), ("3".into(), "0".into(), None));
        assert_eq!(told(&["--timeout", "7", "-"]), ("2".into(), "7".into(), None));
    }

    #[test]
    fn mistakes_name_their_place() {
        let cases: &[(&[&str], &str, &str)] = &[
            (&["f"], "port 1\nprot 2\n", "f:2: unknown directive 'prot'; see --help"),
            (&["f"], "port x\n", "f:1: 'port': argument couldn't be parsed into an integer"),
            (&["f"], "requirepass \"a\n", "f:1: unbalanced quotes: requirepass \"a"),
            (&["--port"], "", "option --port: 'port' needs a value"),
            (&["--what", "1"], "", "option --what: unknown directive 'what'; see --help"),
        ];
        for (args, file, text) in cases {
            assert_eq!(run(args, &[], file).map(|_| ()), Err(text.to_string()));
        }
    }

    #[test]
    fn what_has_no_effect_is_accepted_with_one_warning() {
        let start = run(&["f"], &[("FIRN_NOPE", "1")], "hz 50\n").unwrap();
        let expected = [
            "f:1: 'hz' has no effect in Firn",
            "environment variable FIRN_NOPE names no directive",
        ];
        assert_eq!(start.warnings, expected);
    }

    #[test]
    fn repair_takes_one_directory() {
        let gather = |words: &[&str]| {
            let args: Vec<String> = words.iter().map(|word| word.to_string()).collect();
            gather(&args, std::iter::empty(), |_| unreachable!("no file is named"))
        };
        let dir = PathBuf::from("data");
        assert_eq!(gather(&["--repair", "data"]), Ok(Request::Repair(dir)));
        assert!(gather(&["--repair"]).is_err());
        assert!(gather(&["--repair", "data", "--port"]).is_err());
    }

    #[test]
    fn help_lists_what_has_a_meaning() {
        let text = help();
        assert!(text.contains("--port 6379\n") && text.contains("--appendfsync always\n"));
        assert!(!text.contains("--hz"));
    }
}
