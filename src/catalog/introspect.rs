//! COMMAND and its subcommands: which rows a client asks about. `describe` and `docs` tell what
//! they say.
//!
//! Everything is told from the rows alone; the caller says which, so that a server can put its
//! session commands beside the data commands of [`super::table`].

use crate::command::args::Args;
use crate::command::glob;
use crate::command::help::{HELP_SUMMARY, help, unknown_subcommand};
use crate::command::row::one_of;
use crate::command::spec::{
    Arg, ArgKind, BeginSearch, Failure, Group, KeySpec, Spec, flag, key_flag,
};
use crate::resp::write::Reply;

use super::describe::{CATEGORIES, describe, in_category, key_flags};
use super::docs;
use super::table;

const NAMES: Arg = Arg::new("command-name", ArgKind::String).optional().multiple();
const CALL: &[Arg] =
    &[Arg::new("command", ArgKind::String), Arg::new("arg", ArgKind::String).optional().multiple()];
const FILTERS: &[Arg] = &[
    Arg::new("module-name", ArgKind::String).behind("MODULE"),
    Arg::new("category", ArgKind::String).behind("ACLCAT"),
    Arg::new("pattern", ArgKind::Pattern).behind("PATTERN"),
];

/// What the subcommands have in common.
const SPEC_OF_SUBCOMMAND: Spec = Spec {
    arity: -2,
    flags: flag::LOADING | flag::STALE,
    acl: &["connection"],
    group: Group::Server,
    since: "2.8.13",
    ..Spec::EMPTY
};

/// The row of COMMAND.
pub const COMMAND: Spec = Spec {
    name: "command",
    arity: -1,
    flags: flag::LOADING | flag::STALE,
    acl: &["connection"],
    group: Group::Server,
    since: "2.8.13",
    complexity: "O(N), N being the number of commands.",
    summary: "Describes all commands.",
    tips: &["nondeterministic_output_order"],
    subcommands: &[
        Spec { name: "count", arity: 2, summary: "Counts the commands.", ..SPEC_OF_SUBCOMMAND },
        Spec {
            name: "docs",
            since: "7.0.0",
            complexity: "O(N), N being the number of commands asked for.",
            summary: "Documents commands.",
            args: &[NAMES],
            tips: &["nondeterministic_output_order"],
            ..SPEC_OF_SUBCOMMAND
        },
        Spec {
            name: "getkeys",
            arity: -3,
            complexity: "O(N), N being the number of arguments.",
            summary: "Tells the keys in a call of a command.",
            args: CALL,
            ..SPEC_OF_SUBCOMMAND
        },
        Spec {
            name: "getkeysandflags",
            arity: -3,
            since: "7.0.0",
            complexity: "O(N), N being the number of arguments.",
            summary: "Tells the keys in a call of a command, and how it uses them.",
            args: CALL,
            ..SPEC_OF_SUBCOMMAND
        },
        Spec {
            name: "help",
            arity: 2,
            since: "5.0.0",
            summary: HELP_SUMMARY,
            ..SPEC_OF_SUBCOMMAND
        },
        Spec {
            name: "info",
            complexity: "O(N), N being the number of commands asked for.",
            summary: "Describes some commands or all.",
            args: &[NAMES],
            tips: &["nondeterministic_output_order"],
            history: &[("7.0.0", "Describes all commands when no name is given.")],
            ..SPEC_OF_SUBCOMMAND
        },
        Spec {
            name: "list",
            since: "7.0.0",
            complexity: "O(N), N being the number of commands.",
            summary: "Lists the names of commands.",
            args: &[one_of("filterby", FILTERS).behind("FILTERBY").optional()],
            tips: &["nondeterministic_output_order"],
            ..SPEC_OF_SUBCOMMAND
        },
    ],
    ..Spec::EMPTY
};

const HELP: &[&str] = &[
    "(no subcommand)",
    "    Describe all commands.",
    "COUNT",
    "    Count the commands.",
    "DOCS [<command-name> ...]",
    "    Document these commands, or all.",
    "GETKEYS <full-command>",
    "    Tell the keys in a call of a command.",
    "GETKEYSANDFLAGS <full-command>",
    "    Tell the keys in a call of a command, and how it uses them.",
    "INFO [<command-name> ...]",
    "    Describe these commands, or all.",
    "LIST [FILTERBY (MODULE <name> | ACLCAT <category> | PATTERN <pattern>)]",
    "    List the names of commands.",
];

/// Runs COMMAND over `specs`; the arity of the subcommand has been checked.
///
/// # Errors
/// With Redis's texts. Nothing has been replied then.
pub fn command(specs: &[&Spec], args: &Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    if args.len() == 1 {
        return info(specs, args, reply);
    }
    match args.get(1).to_ascii_lowercase().as_slice() {
        b"count" => reply.integer(specs.len() as i64),
        b"docs" => docs::docs(specs, args, reply),
        b"getkeys" => return get_keys(specs, args, reply, false),
        b"getkeysandflags" => return get_keys(specs, args, reply, true),
        b"help" => help(reply, "COMMAND", HELP),
        b"info" => return info(specs, args, reply),
        b"list" => return list(specs, args, reply),
        _ => return Err(unknown_subcommand("COMMAND", args.get(1))),
    }
    Ok(())
}

/// A row with the name of its container, if it is a subcommand.
#[derive(Clone, Copy)]
pub struct Named<'s> {
    /// The container.
    pub container: Option<&'s Spec>,
    /// The row.
    pub spec: &'s Spec,
}

impl<'s> Named<'s> {
    fn top(spec: &'s Spec) -> Named<'s> {
        Named { container: None, spec }
    }

    /// `get`, `object|encoding`
    pub fn full_name(&self) -> String {
        match self.container {
            Some(container) => format!("{}|{}", container.name, self.spec.name),
            None => self.spec.name.to_string(),
        }
    }

    /// The subcommands of this row.
    pub fn subcommands(&self) -> impl Iterator<Item = Named<'s>> + use<'s> {
        let container = Some(self.spec);
        self.spec.subcommands.iter().map(move |spec| Named { container, spec })
    }
}

/// The row of `name`, which may be `container|subcommand`.
pub fn find<'s>(specs: &[&'s Spec], name: &[u8]) -> Option<Named<'s>> {
    let mut words = name.splitn(2, |&byte| byte == b'|');
    let first = words.next()?;
    let mut rows = specs.iter();
    let spec = rows.find(|spec| spec.name.as_bytes().eq_ignore_ascii_case(first))?;
    match words.next() {
        None => Some(Named::top(spec)),
        Some(second) => {
            let subcommand = table::subcommand(spec, second)?;
            Some(Named { container: Some(spec), spec: subcommand })
        }
    }
}

fn info(specs: &[&Spec], args: &Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    if args.len() <= 2 {
        reply.array(specs.len());
        specs.iter().for_each(|spec| describe(reply, Named::top(spec)));
        return Ok(());
    }
    reply.array(args.len() - 2);
    for name in args.iter_from(2) {
        match find(specs, name) {
            Some(row) => describe(reply, row),
            None => reply.null(),
        }
    }
    Ok(())
}

fn list(specs: &[&Spec], args: &Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    let filtered = args.len() == 5 && args.is(2, "FILTERBY");
    let accepts: fn(&Named<'_>, &[u8]) -> bool = match args.len() {
        2 => |_, _| true,
        // There are no modules.
        _ if filtered && args.is(3, "MODULE") => |_, _| false,
        _ if filtered && args.is(3, "ACLCAT") => |row, name| {
            let name = name.to_ascii_lowercase();
            let mut known = CATEGORIES.iter().filter(|category| category.as_bytes() == name);
            known.any(|category| in_category(row.spec, category))
        },
        _ if filtered && args.is(3, "PATTERN") => {
            |row, pattern| glob::matches(pattern, row.full_name().as_bytes(), true)
        }
        _ => return Err(Failure::Syntax),
    };
    let argument = if filtered { args.get(4) } else { b"" };
    let top = specs.iter().map(|spec| Named::top(spec));
    let rows = top.flat_map(|row| std::iter::once(row).chain(row.subcommands()));
    let names: Vec<String> =
        rows.filter(|row| accepts(row, argument)).map(|row| row.full_name()).collect();
    reply.array(names.len());
    names.iter().for_each(|name| reply.bulk(name.as_bytes()));
    Ok(())
}

fn get_keys(
    specs: &[&Spec],
    args: &Args<'_>,
    reply: &mut Reply<'_>,
    with_flags: bool,
) -> Result<(), Failure> {
    let inner = args.tail(2);
    let row = find(specs, inner.get(0)).filter(|row| row.container.is_none());
    let spec = row.and_then(|row| match row.spec.subcommands.is_empty() || inner.len() == 1 {
        true => Some(row.spec),
        false => table::subcommand(row.spec, inner.get(1)),
    });
    let spec = spec.ok_or(Failure::text("ERR Invalid command specified"))?;
    let is_key = |keys: &KeySpec| keys.flags & key_flag::NOT_KEY == 0;
    if !spec.keys.iter().any(is_key) {
        return Err(Failure::text("ERR The command has no key arguments"));
    }
    if !table::arity_fits(spec, inner.len()) {
        return Err(Failure::text("ERR Invalid number of arguments specified for command"));
    }
    let mut found = Vec::new();
    // Where specifications tell the keys, nothing else does: the first of two STOREs.
    let is_told = spec.keys.iter().all(|keys| !matches!(keys.begin, BeginSearch::Unknown));
    let more_keys = spec.more_keys.filter(|_| !is_told);
    let spec = Spec { more_keys, ..*spec };
    let read = table::keys(&spec, &inner, |at, flags| found.push((at, flags)));
    if read.is_err() || found.is_empty() {
        return Err(Failure::text("ERR Invalid arguments specified for command"));
    }
    reply.array(found.len());
    for (at, bits) in found {
        if with_flags {
            reply.array(2);
        }
        reply.bulk(inner.get(at));
        if with_flags {
            key_flags(reply, bits);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::testing::{failure_text, with_args};
    use crate::resp::write::{Output, Protocol};

    /// The reply over all data commands and COMMAND itself, with CRLF as a blank.
    fn ask_in(protocol: Protocol, args: &[&str]) -> String {
        let mut specs: Vec<&Spec> = table::all().map(|command| &command.spec).collect();
        specs.push(&COMMAND);
        let args = [&["COMMAND"], args].concat();
        let mut output = Output::default();
        let mut reply = Reply::new(&mut output, protocol);
        if let Err(failure) = with_args(&args, |args| command(&specs, args, &mut reply)) {
            reply.error_bytes(failure_text(&failure));
        }
        let reply = String::from_utf8(output.plain().unwrap().to_vec()).unwrap();
        reply.replace("\r\n", " ").trim_end().to_string()
    }

    fn ask(args: &[&str]) -> String {
        ask_in(Protocol::Resp2, args)
    }

    #[test]
    fn info_has_the_shape_of_redis_in_both_protocols() {
        // As redis-server 7.0 and valkey-server 8.1 answer.
        let resp3 = "*1 *10 $3 set :-3 ~2 +write +denyoom :1 :1 :1 ~3 +@write +@string +@slow ~0 \
             ~1 %4 $5 notes $48 RW and ACCESS due to the optional `GET` argument \
             $5 flags ~4 +RW +access +update +variable_flags \
             $12 begin_search %2 $4 type $5 index $4 spec %1 $5 index :1 \
             $9 find_keys %2 $4 type $5 range \
             $4 spec %3 $7 lastkey :0 $7 keystep :1 $5 limit :0 ~0";
        let mine = ask_in(Protocol::Resp3, &["INFO", "SET"]);
        let cut = |text: &str| {
            let (head, tail) = text.split_once("$5 notes ").unwrap();
            let (_, tail) = tail.split_once("$5 flags ").unwrap();
            [head, tail].concat()
        };
        assert_eq!(cut(&mine), cut(resp3));
        let resp2 = cut(resp3).replace('~', "*").replace("%4", "*8").replace("%3", "*6");
        let resp2 = resp2.replace("%2", "*4").replace("%1", "*2");
        assert_eq!(cut(&ask(&["INFO", "SET"])), resp2);
    }

    #[test]
    fn info_shows_subcommands_under_their_full_names() {
        let reply = ask_in(Protocol::Resp3, &["INFO", "object"]);
        let head =
            "*1 *10 $6 object :-2 ~0 :0 :0 :0 ~1 +@slow ~0 ~0 *5 *10 $15 object|encoding :3 ";
        assert!(reply.starts_with(head), "{reply}");
        let help =
            "*10 $11 object|help :2 ~2 +loading +stale :0 :0 :0 ~2 +@keyspace +@slow ~0 ~0 ~0";
        assert!(reply.contains(help), "{reply}");
    }

    #[test]
    fn info_leaves_a_null_for_unknown_names() {
        assert_eq!(ask(&["INFO", "nosuch", "object|nosuch", "get|"]), "*3 $-1 $-1 $-1");
        assert_eq!(ask_in(Protocol::Resp3, &["INFO", "nosuch"]), "*1 _");
    }

    #[test]
    fn all_commands_are_described_and_counted() {
        let count = table::all().count() + 1;
        assert_eq!(ask(&["COUNT"]), format!(":{count}"));
        for args in [&[][..], &["INFO"]] {
            assert!(ask(args).starts_with(&format!("*{count} *10 ")));
        }
        assert!(ask_in(Protocol::Resp3, &["DOCS"]).starts_with(&format!("%{count} ")));
    }

    #[test]
    fn docs_have_the_shape_of_redis() {
        let reply = ask_in(Protocol::Resp3, &["DOCS", "Expire", "nosuch"]);
        assert!(reply.starts_with("%1 $6 expire %6 $7 summary $40 "), "{reply}");
        let facts =
            "$5 since $5 1.0.0 $5 group $7 generic $10 complexity $4 O(1) $7 history ~1 *2 ";
        assert!(reply.contains(facts), "{reply}");
        let arguments = "$9 arguments *3 \
             %4 $4 name $3 key $4 type $3 key $12 display_text $3 key $14 key_spec_index :0 \
             %3 $4 name $7 seconds $4 type $7 integer $12 display_text $7 seconds \
             %5 $4 name $9 condition $4 type $5 oneof $5 since $5 7.0.0 $5 flags ~1 +optional \
             $9 arguments *4 %4 $4 name $2 nx $4 type $10 pure-token $12 display_text $2 nx \
             $5 token $2 NX ";
        assert!(reply.contains(arguments), "{reply}");
        let reply = ask_in(Protocol::Resp3, &["DOCS", "substr"]);
        assert!(reply.starts_with("%1 $6 substr %8 "), "{reply}");
        let facts = "$9 doc_flags ~1 +deprecated $16 deprecated_since $5 2.0.0 $11 replaced_by ";
        assert!(reply.contains(facts), "{reply}");
        let reply = ask_in(Protocol::Resp3, &["DOCS", "pfdebug"]);
        assert!(reply.starts_with("%1 $7 pfdebug %6 "), "{reply}");
        assert!(reply.contains(" $9 doc_flags ~1 +syscmd $9 arguments "), "{reply}");
        let reply = ask(&["DOCS", "object"]);
        assert!(reply.contains("$11 subcommands *10 $15 object|encoding *10 "), "{reply}");
    }

    #[test]
    fn lists_are_filtered() {
        let all = ask(&["LIST"]);
        assert!(all.contains("$3 get") && all.contains("$11 object|freq"));
        let five = ask(&["list", "filterby", "pattern", "OBJECT|*"]);
        let names = ["encoding", "freq", "help", "idletime", "refcount"];
        let names = names.map(|name| format!("${} object|{name}", name.len() + 7));
        assert_eq!(five, format!("*5 {}", names.join(" ")));
        let bitmap = ask(&["LIST", "FILTERBY", "ACLCAT", "BITMAP"]);
        assert!(bitmap.starts_with("*7 ") && bitmap.contains("$6 setbit"), "{bitmap}");
        assert_eq!(ask(&["LIST", "FILTERBY", "ACLCAT", "nosuch"]), "*0");
        assert_eq!(ask(&["LIST", "FILTERBY", "MODULE", "x"]), "*0");
        for bad in [&["LIST", "FILTERBY"][..], &["LIST", "FILTERBY", "FOO", "x"], &["LIST", "x"]] {
            assert_eq!(ask(bad), "-ERR syntax error", "{bad:?}");
        }
    }

    #[test]
    fn keys_of_a_call_come_with_their_flags() {
        assert_eq!(ask(&["GETKEYS", "MSET", "a", "1", "b", "2"]), "*2 $1 a $1 b");
        assert_eq!(ask(&["GETKEYS", "object", "encoding", "k"]), "*1 $1 k");
        let flags = ask_in(Protocol::Resp3, &["GETKEYSANDFLAGS", "rename", "a", "b"]);
        assert_eq!(flags, "*2 *2 $1 a ~3 +RW +access +delete *2 $1 b ~2 +OW +update");
    }

    #[test]
    fn calls_without_keys_are_refused_as_in_redis() {
        let cases: [(&[&str], &str); 8] = [
            (&["nosuch", "a"], "-ERR Invalid command specified"),
            (&["object|encoding", "k"], "-ERR Invalid command specified"),
            (&["object", "nosuch", "k"], "-ERR Invalid command specified"),
            (&["dbsize"], "-ERR The command has no key arguments"),
            (&["object"], "-ERR The command has no key arguments"),
            (&["set", "a"], "-ERR Invalid number of arguments specified for command"),
            (&["xread", "count", "5", "a", "0"], "-ERR Invalid arguments specified for command"),
            (&["object", "freq"], "-ERR Invalid number of arguments specified for command"),
        ];
        for (call, reply) in cases {
            assert_eq!(ask(&[&["GETKEYS"], call].concat()), reply, "{call:?}");
        }
    }

    #[test]
    fn unknown_subcommands_point_to_the_help() {
        let reply = "-ERR unknown subcommand 'FOO'. Try COMMAND HELP.";
        assert_eq!(ask(&["FOO"]), reply);
        assert!(ask(&["HELP"]).starts_with("*17 +COMMAND <subcommand> [<arg> [value] "));
    }
}
