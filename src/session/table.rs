//! The one table of commands that clients may call: data commands and session commands, by name.

use crate::catalog::table::{self as data, NameIndex};
use crate::command::args::Args;
use crate::command::spec::{BeginSearch, Command, FindKeys, Run, Spec, flag};

use super::call::SessionRun;

/// A command on the session or the server: its row and its function. Containers have rows of
/// subcommands, and their own function is never called.
pub struct SessionCommand {
    /// The row.
    pub spec: Spec,
    /// The function.
    pub run: SessionRun,
    /// Subcommands; [`Spec::subcommands`] must be their [`specs`].
    pub subcommands: &'static [SessionCommand],
}

/// The rows of subcommands, for the row of their container.
pub const fn specs<const N: usize>(commands: &[SessionCommand; N]) -> [Spec; N] {
    let mut rows = [Spec::EMPTY; N];
    let mut index = 0;
    while index < N {
        rows[index] = commands[index].spec;
        index += 1;
    }
    rows
}

/// What runs a command.
#[derive(Clone, Copy)]
pub enum Runner {
    /// A function over a unit of the engine.
    Data(Run),
    /// A function over the session.
    Session(SessionRun),
}

/// How the keys of a call are found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyPlan {
    /// There are none.
    None,
    /// Argument 1 is the only one.
    First,
    /// By the key specifications.
    Specs,
}

/// One command or subcommand, ready to run.
pub struct Row {
    /// Dense number, for statistics.
    pub id: usize,
    /// `get`, `client|list`.
    pub name: String,
    /// The row of its table.
    pub spec: &'static Spec,
    /// What runs it.
    pub runner: Runner,
    /// Where its keys are.
    pub keys: KeyPlan,
    /// Numbers of its subcommands.
    children: std::ops::Range<usize>,
}

impl Row {
    /// Whether all of these flags are set.
    pub fn has(&self, flags: u32) -> bool {
        self.spec.flags & flags == flags
    }

    /// Whether the command takes this many arguments, its name included.
    pub fn takes(&self, count: usize) -> bool {
        let arity = self.spec.arity;
        if arity >= 0 { count == arity as usize } else { count >= arity.unsigned_abs() as usize }
    }

    /// Whether its name alone means it, whatever arguments follow.
    pub fn is_plain(&self) -> bool {
        self.children.is_empty() && self.name.len() == self.spec.name.len()
    }

    /// Whether the row stands for subcommands.
    pub fn is_container(&self) -> bool {
        !self.children.is_empty()
    }
}

/// What a name stands for.
#[derive(Clone, Copy)]
pub enum Lookup {
    /// A command, or a container without a subcommand behind it.
    Found(&'static Row),
    /// A container without this subcommand.
    UnknownSubcommand,
    /// Nothing.
    Unknown,
}

/// All commands.
pub struct Table {
    rows: Vec<Row>,
    index: NameIndex<u16>,
}

impl Table {
    /// The data commands and these session commands. The table lives as long as the process.
    ///
    /// # Panics
    /// When two commands have one name.
    pub fn leaked(session: &[&'static [SessionCommand]]) -> &'static Table {
        let mut rows = Vec::new();
        for command in data::all() {
            add_data(&mut rows, command);
        }
        for command in session.iter().flat_map(|family| family.iter()) {
            add_session(&mut rows, command);
        }
        let top_level = rows.iter().filter(|row| !row.name.contains('|'));
        let index = NameIndex::new(top_level.map(|row| (row.spec.name, row.id as u16)));
        Box::leak(Box::new(Table { rows, index }))
    }

    /// All rows, containers before their subcommands.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The row that a call means.
    #[inline]
    pub fn find(&'static self, args: &Args<'_>) -> Lookup {
        let Some(id) = self.index.get(args.get(0)) else {
            return Lookup::Unknown;
        };
        let row = &self.rows[usize::from(id)];
        if !row.is_container() || args.len() == 1 {
            return Lookup::Found(row);
        }
        let children = &self.rows[row.children.clone()];
        let word = args.get(1);
        match children.iter().find(|child| child.spec.name.as_bytes().eq_ignore_ascii_case(word)) {
            Some(child) => Lookup::Found(child),
            None => Lookup::UnknownSubcommand,
        }
    }
}

fn add_data(rows: &mut Vec<Row>, command: &'static Command) {
    let children = command.spec.subcommands.iter();
    add_family(
        rows,
        &command.spec,
        Runner::Data(command.run),
        children.map(|spec| (spec, Runner::Data(command.run))),
    );
}

fn add_session(rows: &mut Vec<Row>, command: &'static SessionCommand) {
    let children = command.subcommands.iter();
    add_family(
        rows,
        &command.spec,
        Runner::Session(command.run),
        children.map(|child| (&child.spec, Runner::Session(child.run))),
    );
}

fn add_family(
    rows: &mut Vec<Row>,
    spec: &'static Spec,
    runner: Runner,
    children: impl ExactSizeIterator<Item = (&'static Spec, Runner)>,
) {
    let first = rows.len() + 1;
    let range = first..first + children.len();
    rows.push(row(first - 1, spec.name.to_string(), spec, runner, range));
    for (child, runner) in children {
        let name = format!("{}|{}", spec.name, child.name);
        rows.push(row(rows.len(), name, child, runner, 0..0));
    }
}

fn row(
    id: usize,
    name: String,
    spec: &'static Spec,
    runner: Runner,
    children: std::ops::Range<usize>,
) -> Row {
    Row { id, name, spec, runner, keys: key_plan(spec), children }
}

fn key_plan(spec: &Spec) -> KeyPlan {
    let one = |find: &FindKeys| matches!(find, FindKeys::Range { last: 0, .. });
    match spec.keys {
        [] => KeyPlan::None,
        _ if spec.flags & flag::OTHER_DATABASE != 0 => KeyPlan::Specs,
        [key] if matches!(key.begin, BeginSearch::Index(1)) && one(&key.find) => KeyPlan::First,
        _ => KeyPlan::Specs,
    }
}

/// Whether a command is short and takes near the same time at each call, so that a run of calls may
/// share one look at the clock.
pub fn is_quick(row: &Row, request_bytes: usize) -> bool {
    request_bytes <= 4096 && (row.has(flag::FAST) || row.spec.name == "set")
}
