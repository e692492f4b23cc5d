//! The table of data commands: every family's rows, looked up by name, and the keys of a call.
//!
//! A family adds its commands by one line in `FAMILIES`. Session commands (AUTH, CONFIG, MULTI,
//! ...) belong to the server; it puts both kinds into one [`NameIndex`] of its own.

use std::sync::OnceLock;

use crate::command::args::Args;
use crate::command::spec::{BeginSearch, Command, FindKeys, KeySpec, Spec, key_flag};
use crate::{generic, geo, hashes, hyperloglog, lists, sets, streams, strings, transfer, zsets};

/// The rows of all families, by folder and file.
const FAMILIES: &[&[Command]] = &[
    generic::copy::COMMANDS,
    generic::database::COMMANDS,
    generic::expire::COMMANDS,
    generic::keys::COMMANDS,
    generic::object::COMMANDS,
    generic::scan::COMMANDS,
    generic::sort::COMMANDS,
    geo::add::COMMANDS,
    geo::get::COMMANDS,
    geo::radius::COMMANDS,
    geo::search::COMMANDS,
    hashes::counter::COMMANDS,
    hashes::expiry::COMMANDS,
    hashes::get::COMMANDS,
    hashes::scan::COMMANDS,
    hashes::set::COMMANDS,
    hashes::set_ex::COMMANDS,
    hyperloglog::commands::COMMANDS,
    hyperloglog::debug::COMMANDS,
    lists::blocking::COMMANDS,
    lists::get::COMMANDS,
    lists::move_many::COMMANDS,
    lists::moves::COMMANDS,
    lists::places::COMMANDS,
    lists::pop::COMMANDS,
    lists::push::COMMANDS,
    lists::remove::COMMANDS,
    sets::algebra::COMMANDS,
    sets::change::COMMANDS,
    sets::get::COMMANDS,
    sets::random::COMMANDS,
    sets::scan::COMMANDS,
    streams::add::COMMANDS,
    streams::claim::COMMANDS,
    streams::group::COMMANDS,
    streams::idempotence::COMMANDS,
    streams::info::COMMANDS,
    streams::pending::COMMANDS,
    streams::range::COMMANDS,
    streams::read::COMMANDS,
    streams::read_group::COMMANDS,
    streams::release::COMMANDS,
    streams::remove::COMMANDS,
    streams::remove_ex::COMMANDS,
    streams::trim::COMMANDS,
    strings::bitfield::COMMANDS,
    strings::bitmap::COMMANDS,
    strings::bitop::COMMANDS,
    strings::compare::COMMANDS,
    strings::counter::COMMANDS,
    strings::get::COMMANDS,
    strings::increx::COMMANDS,
    strings::lcs::COMMANDS,
    strings::many::COMMANDS,
    strings::range::COMMANDS,
    strings::set::COMMANDS,
    transfer::dump::COMMANDS,
    zsets::add::COMMANDS,
    zsets::blocking::COMMANDS,
    zsets::combine::COMMANDS,
    zsets::get::COMMANDS,
    zsets::pop::COMMANDS,
    zsets::range::COMMANDS,
    zsets::remove::COMMANDS,
    zsets::scan::COMMANDS,
];

/// All data commands, in the order of their families.
pub fn all() -> impl Iterator<Item = &'static Command> {
    FAMILIES.iter().flat_map(|family| family.iter())
}

/// The data command of this name, whatever its case.
pub fn lookup(name: &[u8]) -> Option<&'static Command> {
    static INDEX: OnceLock<NameIndex<&'static Command>> = OnceLock::new();
    let index = INDEX.get_or_init(|| NameIndex::new(all().map(|c| (c.spec.name, c))));
    index.get(name)
}

/// The row of a container's subcommand, whatever its case.
pub fn subcommand<'s>(container: &'s Spec, name: &[u8]) -> Option<&'s Spec> {
    let mut rows = container.subcommands.iter();
    rows.find(|row| row.name.as_bytes().eq_ignore_ascii_case(name))
}

/// Whether a call of `count` arguments, the name among them, fits a row's arity.
///
/// `count` includes the container's name for subcommands.
pub fn arity_fits(spec: &Spec, count: usize) -> bool {
    match usize::try_from(spec.arity) {
        Ok(exactly) => count == exactly,
        Err(_) => count >= spec.arity.unsigned_abs() as usize,
    }
}

/// Values by command name, found without regard to case and without an allocation.
///
/// An open-addressing table at most half full, built once; a lookup costs one short hash and nearly
/// always one comparison.
pub struct NameIndex<T> {
    cells: Vec<Option<(&'static str, T)>>,
    mask: usize,
}

impl<T: Copy> NameIndex<T> {
    /// An index of these names.
    ///
    /// # Panics
    /// When a name occurs twice.
    pub fn new(rows: impl Iterator<Item = (&'static str, T)>) -> NameIndex<T> {
        let rows: Vec<_> = rows.collect();
        let size = (2 * rows.len()).next_power_of_two().max(8);
        let mut index = NameIndex { cells: vec![None; size], mask: size - 1 };
        for (name, value) in rows {
            let cell = index.cell(name.as_bytes());
            assert!(index.cells[cell].is_none(), "command {name} occurs twice");
            index.cells[cell] = Some((name, value));
        }
        index
    }

    /// The value of `name`.
    pub fn get(&self, name: &[u8]) -> Option<T> {
        self.cells[self.cell(name)].map(|(_, value)| value)
    }

    /// The cell that holds `name`, or the free one where it would stand.
    fn cell(&self, name: &[u8]) -> usize {
        let mut at = hash_name(name) & self.mask;
        while let Some((found, _)) = &self.cells[at] {
            if found.as_bytes().eq_ignore_ascii_case(name) {
                break;
            }
            at = (at + 1) & self.mask;
        }
        at
    }
}

/// A hash of the first eight bytes, the last eight and the length, blind to the case of letters.
fn hash_name(name: &[u8]) -> usize {
    const CASE_BITS: u64 = 0x2020_2020_2020_2020;
    let (head, tail) = match (name.first_chunk(), name.last_chunk()) {
        (Some(head), Some(tail)) => (u64::from_le_bytes(*head), u64::from_le_bytes(*tail)),
        _ => {
            let short = name.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
            (short, short)
        }
    };
    let (head, tail) = (head | CASE_BITS, tail | CASE_BITS);
    let mixed =
        (head ^ tail.rotate_left(29) ^ name.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 40) as usize
}

/// The arguments do not have the shape that a key specification describes; the command itself will
/// find a syntax error before it looks at a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InvalidKeys;

/// Calls `found` with the argument index and the [`key_flag`] bits of every key of a call.
///
/// `spec` is the subcommand's row for containers. Flags of specifications whose flags vary are
/// those of this very call (SET with and without GET).
///
/// # Errors
/// When the arguments do not fit a key specification, and [`Spec::more_keys`] does not stand in for
/// it; keys found before stay reported.
pub fn keys(
    spec: &Spec,
    args: &Args<'_>,
    mut found: impl FnMut(usize, u32),
) -> Result<(), InvalidKeys> {
    let other = spec.more_keys.and_then(|more_keys| more_keys(args));
    let mut other_is_known = false;
    for key_spec in spec.keys {
        if key_spec.flags & key_flag::NOT_KEY != 0 {
            continue;
        }
        let Some(begin) = begin_of(key_spec, args) else {
            continue;
        };
        let (first, last, step) = match range_of(key_spec, begin, args) {
            Some(range) => range,
            None if spec.more_keys.is_some() => continue,
            None => return Err(InvalidKeys),
        };
        let flags = match key_spec.flags & key_flag::VARIABLE_FLAGS {
            0 => key_spec.flags,
            _ => flags_of_call(spec, key_spec, args),
        };
        for at in (first..=last).step_by(step) {
            other_is_known |= other.is_some_and(|(other, _)| other == at);
            found(at, flags);
        }
    }
    if let Some((at, flags)) = other.filter(|_| !other_is_known) {
        found(at, flags);
    }
    Ok(())
}

/// Where the search for keys begins; none when the keyword is not there.
fn begin_of(spec: &KeySpec, args: &Args<'_>) -> Option<i64> {
    match spec.begin {
        BeginSearch::Index(index) => Some(i64::from(index)),
        BeginSearch::Keyword(word, from) if from > 0 => {
            // The last argument is no keyword: nothing stands behind it.
            (from as usize..args.len() - 1).find(|&at| args.is(at, word)).map(|at| at as i64 + 1)
        }
        BeginSearch::Keyword(word, from) => {
            let from = args.len().checked_sub(from.unsigned_abs() as usize)?;
            let at = (1..=from).rev().find(|&at| args.is(at, word))?;
            Some(at as i64 + 1)
        }
        BeginSearch::Unknown => None,
    }
}

/// First, last and step of the argument indexes of a specification's keys.
fn range_of(spec: &KeySpec, begin: i64, args: &Args<'_>) -> Option<(usize, usize, usize)> {
    let count = args.len() as i64;
    let (first, last, step) = match spec.find {
        FindKeys::Range { last, step, .. } if last >= 0 => (begin, begin + i64::from(last), step),
        FindKeys::Range { last, step, limit } => {
            let end = match i64::from(limit) {
                0 | 1 => count,
                limit => begin + (count - begin) / limit,
            };
            (begin, end + i64::from(last), step)
        }
        FindKeys::KeyNum { count: at, first, step } => {
            let at = usize::try_from(begin + i64::from(at)).ok()?;
            let number = if at < args.len() { args.get(at) } else { b"" };
            let keys = std::str::from_utf8(number).ok()?.parse::<u32>().ok()?;
            let first = begin + i64::from(first);
            (first, first + (i64::from(keys) - 1) * i64::from(step), step)
        }
        FindKeys::Unknown => return None,
    };
    let valid = first > 0 && first <= last && last < count && step > 0;
    valid.then_some((first as usize, last as usize, step as usize))
}

/// The flags of a key whose use depends on the arguments.
fn flags_of_call(spec: &Spec, key_spec: &KeySpec, args: &Args<'_>) -> u32 {
    use key_flag::{ACCESS, DELETE, OW, RM, RO, RW, UPDATE};
    let compares = |args: &Args<'_>, at| {
        ["ifeq", "ifne", "ifdeq", "ifdne"].iter().any(|word| args.is(at, word))
    };
    match spec.name {
        "set" if (3..args.len()).any(|at| args.is(at, "get")) => RW | ACCESS | UPDATE,
        "set" if (3..args.len()).any(|at| compares(args, at)) => RW | UPDATE,
        "set" => OW | UPDATE,
        "delex" if !(2..args.len()).any(|at| compares(args, at)) => RM | DELETE,
        "bitfield" if (2..args.len()).all(|at| !args.is(at, "set") && !args.is(at, "incrby")) => {
            RO | ACCESS
        }
        _ => key_spec.flags & !key_flag::VARIABLE_FLAGS,
    }
}

#[cfg(test)]
mod tests {
    use super::super::introspect::COMMAND;
    use super::*;
    use crate::command::spec::{Arg, ArgKind, flag};
    use crate::command::testing::with_args;

    /// All rows, those of subcommands too.
    fn rows() -> impl Iterator<Item = &'static Spec> {
        let top = all().map(|command| &command.spec).chain([&COMMAND]);
        top.flat_map(|spec| std::iter::once(spec).chain(spec.subcommands))
    }

    fn keys_of(spec: &Spec, args: &[&str]) -> Option<Vec<(usize, u32)>> {
        let mut found = Vec::new();
        with_args(args, |args| keys(spec, args, |at, flags| found.push((at, flags))))
            .ok()
            .map(|()| found)
    }

    fn places(spec: &Spec, args: &[&str]) -> Option<Vec<usize>> {
        let found = keys_of(spec, args)?;
        Some(found.into_iter().map(|(at, _)| at).collect())
    }

    fn with_keys(begin: BeginSearch, find: FindKeys) -> Spec {
        let spec = KeySpec { begin, find, flags: key_flag::RO, notes: "" };
        Spec { keys: Box::leak(Box::new([spec])), ..Spec::EMPTY }
    }

    #[test]
    fn every_command_is_found_in_any_case() {
        for command in all() {
            let name = command.spec.name;
            for name in [name.to_string(), name.to_ascii_uppercase()] {
                let found = lookup(name.as_bytes()).expect("the command is in the index");
                assert!(std::ptr::eq(found, command), "{name}");
            }
        }
    }

    #[test]
    fn other_names_are_not_found() {
        for name in ["", "ge", "gett", "get\0", "GET ", "\u{7f}et", "incrbyfloat_", "object|freq"] {
            assert!(lookup(name.as_bytes()).is_none(), "{name:?}");
        }
        assert!(lookup(&[0xff; 5000]).is_none());
    }

    #[test]
    #[should_panic(expected = "command get occurs twice")]
    fn a_name_occurs_once() {
        NameIndex::new([("get", 1), ("set", 2), ("get", 3)].into_iter());
    }

    #[test]
    fn rows_are_complete() {
        for spec in rows() {
            let name = spec.name;
            assert!(!name.is_empty() && *name == name.to_ascii_lowercase(), "{name}");
            assert!(spec.summary.ends_with('.') && spec.summary.len() < 80, "{name}");
            assert!(spec.complexity.starts_with("O(") || spec.flags == 0, "{name}");
            assert_eq!(spec.since.split('.').count(), 3, "{name}");
            assert!(spec.arity != 0, "{name}");
            assert!(spec.history.iter().all(|(_, change)| change.ends_with('.')), "{name}");
        }
    }

    #[test]
    fn commands_on_keys_say_whether_they_write() {
        for spec in rows().filter(|spec| !spec.keys.is_empty()) {
            let writes = spec.flags & flag::WRITE != 0;
            assert_ne!(writes, spec.flags & flag::READONLY != 0, "{}", spec.name);
            if matches!(spec.name, "pfcount" | "xreadgroup") {
                // One keeps its estimate in the value, where it can; the other is told to read.
                continue;
            }
            let changes = key_flag::RW | key_flag::OW | key_flag::RM;
            let changed = spec.keys.iter().any(|keys| keys.flags & changes != 0);
            assert_eq!(writes, changed, "{}", spec.name);
        }
    }

    #[test]
    fn the_shortest_call_of_an_arity_has_its_keys() {
        for spec in rows().filter(|spec| !spec.keys.is_empty()) {
            let mut args = vec!["1"; spec.arity.unsigned_abs() as usize];
            if spec.name == "pfmerge" {
                // Sources may be left out, and then their specification does not fit.
                args.push("1");
            }
            if let BeginSearch::Keyword(word, _) = spec.keys[0].begin {
                let at = args.len() - 3;
                args[at] = word;
            }
            let found = places(spec, &args).expect("the arity leaves room for the keys");
            let known = |keys: &&KeySpec| matches!(keys.begin, BeginSearch::Index(_));
            assert!(found.len() >= spec.keys.iter().filter(known).count(), "{}", spec.name);
        }
    }

    #[test]
    fn documented_keys_are_the_key_specifications() {
        fn key_specs(args: &[Arg], found: &mut Vec<usize>) {
            for arg in args {
                let names_keys = matches!(arg.kind, ArgKind::Key | ArgKind::Pattern);
                assert!(arg.kind != ArgKind::Key || arg.key_spec.is_some(), "{}", arg.name);
                assert!(names_keys || arg.key_spec.is_none(), "{}", arg.name);
                found.extend(arg.key_spec.map(usize::from));
                key_specs(arg.inner, found);
            }
        }
        for spec in rows() {
            let mut found = Vec::new();
            key_specs(spec.args, &mut found);
            found.sort_unstable();
            found.dedup();
            assert_eq!(found, (0..spec.keys.len()).collect::<Vec<_>>(), "{}", spec.name);
        }
    }

    #[test]
    fn ranges_reach_to_their_last_key() {
        let range = |last, step, limit| {
            with_keys(BeginSearch::Index(1), FindKeys::Range { last, step, limit })
        };
        let args = ["x", "a", "b", "c", "d"];
        assert_eq!(places(&range(0, 1, 0), &args), Some(vec![1]));
        assert_eq!(places(&range(-1, 1, 0), &args), Some(vec![1, 2, 3, 4]));
        assert_eq!(places(&range(-1, 2, 0), &args), Some(vec![1, 3]));
        assert_eq!(places(&range(-2, 1, 0), &args), Some(vec![1, 2, 3]));
        assert_eq!(places(&range(-1, 1, 2), &args), Some(vec![1, 2]));
        assert_eq!(places(&range(4, 1, 0), &args), None);
        assert_eq!(places(&range(0, 1, 0), &["x"]), None);
    }

    #[test]
    fn counted_keys_must_be_there() {
        let find = FindKeys::KeyNum { count: 0, first: 1, step: 1 };
        let spec = with_keys(BeginSearch::Index(1), find);
        assert_eq!(places(&spec, &["x", "2", "a", "b", "c"]), Some(vec![2, 3]));
        for count in ["0", "-1", "4", "4294967295", "18446744073709551616", "x", ""] {
            assert_eq!(places(&spec, &["x", count, "a", "b", "c"]), None, "{count:?}");
        }
        assert_eq!(places(&spec, &["x"]), None);
    }

    #[test]
    fn keywords_are_searched_from_either_end() {
        let find = FindKeys::Range { last: 0, step: 1, limit: 0 };
        let forward = with_keys(BeginSearch::Keyword("KEYS", 2), find);
        let backward = with_keys(BeginSearch::Keyword("KEYS", -2), find);
        let args = ["x", "keys", "keys", "a", "Keys", "b", "keys"];
        assert_eq!(places(&forward, &args), Some(vec![3]));
        assert_eq!(places(&backward, &args), Some(vec![5]));
        assert_eq!(places(&forward, &["x", "a", "b"]), Some(vec![]));
        assert_eq!(places(&forward, &["x", "a", "keys"]), Some(vec![]));
        assert_eq!(places(&backward, &["x"]), Some(vec![]));
    }

    #[test]
    fn what_is_no_key_is_not_reported() {
        const CHANNEL: KeySpec = KeySpec {
            begin: BeginSearch::Index(1),
            find: FindKeys::Range { last: 0, step: 1, limit: 0 },
            flags: key_flag::RW | key_flag::NOT_KEY,
            notes: "",
        };
        let spec = Spec { keys: &[CHANNEL], ..Spec::EMPTY };
        assert_eq!(places(&spec, &["x", "a"]), Some(vec![]));
    }

    #[test]
    fn flags_that_vary_are_those_of_the_call() {
        use key_flag::{ACCESS, DELETE, OW, RM, RO, RW, UPDATE};
        let flags = |args: &[&str]| {
            let spec = &lookup(args[0].as_bytes()).unwrap().spec;
            keys_of(spec, args).unwrap()[0].1
        };
        assert_eq!(flags(&["SET", "k", "get"]), OW | UPDATE);
        assert_eq!(flags(&["SET", "k", "v", "XX", "GET"]), RW | ACCESS | UPDATE);
        assert_eq!(flags(&["SET", "k", "v", "IFDNE", "x"]), RW | UPDATE);
        assert_eq!(flags(&["DELEX", "k"]), RM | DELETE);
        assert_eq!(flags(&["DELEX", "k", "ifeq", "v"]), RW | DELETE);
        assert_eq!(flags(&["BITFIELD", "k", "GET", "u8", "0"]), RO | ACCESS);
        let write = flags(&["BITFIELD", "k", "GET", "u8", "0", "INCRBY", "u8", "0", "1"]);
        assert_eq!(write, RW | ACCESS | UPDATE);
    }
}
