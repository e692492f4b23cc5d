//! COMMAND over all rows, those on data and those on sessions.

use crate::catalog::introspect::{self, COMMAND};
use crate::command::spec::{Failure, Spec};
use crate::session::call::SessionCall;
use crate::session::table::SessionCommand;

const SUBCOMMANDS: &[SessionCommand; COMMAND.subcommands.len()] = &rows();

/// The family.
pub const COMMANDS: &[SessionCommand] =
    &[SessionCommand { spec: COMMAND, run, subcommands: SUBCOMMANDS }];

const fn rows() -> [SessionCommand; COMMAND.subcommands.len()] {
    const NONE: SessionCommand = SessionCommand { spec: Spec::EMPTY, run, subcommands: &[] };
    let mut rows = [NONE; COMMAND.subcommands.len()];
    let mut index = 0;
    while index < rows.len() {
        rows[index].spec = COMMAND.subcommands[index];
        index += 1;
    }
    rows
}

fn run(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    let table = call.services().table;
    let top_level = table.rows().iter().filter(|row| !row.name.contains('|'));
    let specs: Vec<&Spec> = top_level.map(|row| row.spec).collect();
    introspect::command(&specs, call.args, call.reply)
}
