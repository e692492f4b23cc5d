//! COMMAND DOCS: the rows as documentation.

use crate::command::args::Args;
use crate::command::spec::{Arg, ArgKind, Group, Spec, flag};
use crate::resp::write::Reply;

use super::describe::words;
use super::introspect::{self, Named};

/// Replies with the documentation of the commands named from argument 2 on, or of all. Unknown
/// names are left out.
pub fn docs(specs: &[&Spec], args: &Args<'_>, reply: &mut Reply<'_>) {
    let rows: Vec<Named<'_>> = match args.len() {
        2 => specs.iter().map(|spec| Named { container: None, spec }).collect(),
        _ => args.iter_from(2).filter_map(|name| introspect::find(specs, name)).collect(),
    };
    reply.map(rows.len());
    rows.into_iter().for_each(|row| document(reply, row));
}

fn text(reply: &mut Reply<'_>, name: &str, value: &str) {
    reply.bulk(name.as_bytes());
    reply.bulk(value.as_bytes());
}

/// A name and the map of what is known about it.
fn document(reply: &mut Reply<'_>, row: Named<'_>) {
    let spec = row.spec;
    reply.bulk(row.full_name().as_bytes());
    let is_deprecated = spec.deprecated.is_some();
    let marks = [(is_deprecated, "deprecated"), (spec.flags & flag::SYSTEM != 0, "syscmd")];
    let marks: Vec<&str> = marks.iter().filter(|mark| mark.0).map(|mark| mark.1).collect();
    let lists = [spec.history.len(), spec.args.len(), spec.subcommands.len()];
    let lists = lists.iter().filter(|&&len| len > 0).count();
    reply.map(4 + usize::from(!marks.is_empty()) + 2 * usize::from(is_deprecated) + lists);
    text(reply, "summary", spec.summary);
    text(reply, "since", spec.since);
    text(reply, "group", group_name(spec.group));
    text(reply, "complexity", spec.complexity);
    if !marks.is_empty() {
        reply.bulk(b"doc_flags");
        words(reply, &marks);
    }
    if let Some((since, replacement)) = spec.deprecated {
        text(reply, "deprecated_since", since);
        text(reply, "replaced_by", replacement);
    }
    if !spec.history.is_empty() {
        reply.bulk(b"history");
        reply.set(spec.history.len());
        for (version, change) in spec.history {
            reply.array(2);
            text(reply, version, change);
        }
    }
    if !spec.args.is_empty() {
        reply.bulk(b"arguments");
        arguments(reply, spec.args);
    }
    if !spec.subcommands.is_empty() {
        reply.bulk(b"subcommands");
        reply.map(spec.subcommands.len());
        row.subcommands().for_each(|subcommand| document(reply, subcommand));
    }
}

fn group_name(group: Group) -> &'static str {
    match group {
        Group::Generic => "generic",
        Group::String => "string",
        Group::List => "list",
        Group::Hash => "hash",
        Group::Set => "set",
        Group::SortedSet => "sorted-set",
        Group::Bitmap => "bitmap",
        Group::HyperLogLog => "hyperloglog",
        Group::Geo => "geo",
        Group::Stream => "stream",
        Group::Connection => "connection",
        Group::Server => "server",
        Group::Transactions => "transactions",
    }
}

fn kind_name(kind: ArgKind) -> &'static str {
    match kind {
        ArgKind::String => "string",
        ArgKind::Integer => "integer",
        ArgKind::Double => "double",
        ArgKind::Key => "key",
        ArgKind::Pattern => "pattern",
        ArgKind::UnixTime => "unix-time",
        ArgKind::PureToken => "pure-token",
        ArgKind::OneOf => "oneof",
        ArgKind::Block => "block",
    }
}

fn arguments(reply: &mut Reply<'_>, args: &[Arg]) {
    reply.array(args.len());
    args.iter().for_each(|arg| argument(reply, arg));
}

fn argument(reply: &mut Reply<'_>, arg: &Arg) {
    let named = [
        (arg.optional, "optional"),
        (arg.multiple, "multiple"),
        (arg.multiple_token, "multiple_token"),
    ];
    let flags: Vec<&str> = named.iter().filter(|f| f.0).map(|f| f.1).collect();
    let texts =
        [("token", arg.token), ("since", arg.since)].map(|t| (!t.1.is_empty()).then_some(t));
    // Either the text to display or the arguments inside.
    let facts = 3 + arg.key_spec.iter().count() + texts.iter().flatten().count();
    reply.map(facts + usize::from(!flags.is_empty()));
    text(reply, "name", arg.name);
    text(reply, "type", kind_name(arg.kind));
    let holds_others = matches!(arg.kind, ArgKind::OneOf | ArgKind::Block);
    if !holds_others {
        let display = if arg.display.is_empty() { arg.name } else { arg.display };
        text(reply, "display_text", display);
    }
    if let Some(index) = arg.key_spec {
        reply.bulk(b"key_spec_index");
        reply.integer(i64::from(index));
    }
    texts.iter().flatten().for_each(|(name, value)| text(reply, name, value));
    if !flags.is_empty() {
        reply.bulk(b"flags");
        words(reply, &flags);
    }
    if holds_others {
        reply.bulk(b"arguments");
        arguments(reply, arg.inner);
    }
}
