//! Where values come from at start: the file, then the environment, then the flags; the later wins.

use std::path::PathBuf;

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

/// Puts the sources together. `read` reads the configuration file.
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
    let file = args.first().filter(|word| !word.starts_with("--"));
    let file = file.map(PathBuf::from);
    let flags = &args[usize::from(file.is_some())..];
    let mut start = Start { values: defaults(), file: None, warnings: Vec::new() };
    if let Some(path) = file {
        let text = read(&path).map_err(|error| {
            format!("cannot read configuration file {}: {error}", path.display())
        })?;
        apply(&mut start, file_settings(&path.display().to_string(), &text)?)?;
        start.file = Some(path);
    }
    let environment = environment_settings(environment, &mut start.warnings);
    apply(&mut start, environment)?;
    apply(&mut start, flag_settings(flags)?)?;
    Ok(Request::Start(start))
}

fn file_settings(path: &str, text: &str) -> Result<Vec<Setting>, String> {
    let mut settings = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let origin = format!("{path}:{}", index + 1);
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut words =
            split_line(line).ok_or_else(|| format!("{origin}: unbalanced quotes: {line}"))?;
        settings.push(Setting { origin, name: words.remove(0), words });
    }
    Ok(settings)
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
        "Usage: firn-server [FILE] [--DIRECTIVE VALUE ...]\n\
         \x20      firn-server --repair DIR\n\n\
         --repair makes a damaged data directory usable again with the least loss, says what is\n\
         lost, and ends. It moves files aside and deletes none.\n\n\
         FILE is in the syntax of redis.conf. Each directive is also an environment variable:\n\
         FIRN_ and its name in capitals, with _ for -. Flags win over the environment, which wins\n\
         over the file.\n\n\
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
