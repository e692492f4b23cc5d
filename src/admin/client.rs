//! CLIENT: what a connection says of itself, and how others are listed, paused and killed.

use std::sync::atomic::Ordering::Relaxed;

use crate::command::block::whole_timeout_ms;
use crate::command::help::miscalled;
use crate::command::spec::{Arg, Failure, Group, Spec, flag, quoted};
use crate::session::call::SessionCall;
use crate::session::clients::Unblock;
use crate::session::pause::PauseKind;
use crate::session::state::ReplyMode;
use crate::session::table::{SessionCommand, specs};
use crate::types::Durability;

use super::client_args::{
    DURABILITY, KILL, LIST, PAUSE, REPLY, SET_INFO, SET_NAME, SWITCH, UNBLOCK,
};
use super::client_kill::kill;
use super::client_list::{info, list};
use super::config::ALL_NODES;
use super::{command, container, help, integer};

const BASE: Spec = Spec {
    arity: 2,
    flags: flag::NOSCRIPT | flag::LOADING | flag::STALE,
    group: Group::Connection,
    acl: &["connection"],
    since: "2.4.0",
    ..Spec::EMPTY
};
const ADMIN: u32 = BASE.flags | flag::ADMIN;

/// The family.
pub const COMMANDS: &[SessionCommand] = &[SessionCommand {
    spec: Spec {
        name: "client",
        arity: -2,
        flags: 0,
        acl: &[],
        complexity: "Depends on subcommand.",
        summary: "A container for commands on connections.",
        subcommands: &specs(SUBCOMMANDS),
        ..BASE
    },
    run: container,
    subcommands: SUBCOMMANDS,
}];

const fn sub(
    name: &'static str,
    arity: i32,
    flags: u32,
    since: &'static str,
    summary: &'static str,
    run: crate::session::call::SessionRun,
) -> SessionCommand {
    command(Spec { name, arity, flags, since, summary, ..BASE }, run)
}

/// The same with documented arguments and tips.
const fn told(
    args: &'static [Arg],
    tips: &'static [&'static str],
    row: SessionCommand,
) -> SessionCommand {
    command(Spec { args, tips, ..row.spec }, row.run)
}

const CHANGES: &[&str] = &["nondeterministic_output"];

const SUBCOMMANDS: &[SessionCommand; 15] = &[
    sub("id", 2, BASE.flags, "5.0.0", "The number of the connection.", id),
    told(
        &[],
        CHANGES,
        sub("info", 2, BASE.flags, "6.2.0", "What is known of the connection.", info),
    ),
    told(LIST, CHANGES, sub("list", -2, ADMIN, "2.4.0", "What is known of all connections.", list)),
    told(KILL, &[], sub("kill", -3, ADMIN, "2.4.0", "Closes connections.", kill)),
    sub("getname", 2, BASE.flags, "2.6.9", "The name of the connection.", get_name),
    told(
        SET_NAME,
        ALL_NODES,
        sub("setname", 3, BASE.flags, "2.6.9", "Names the connection.", set_name),
    ),
    told(
        SET_INFO,
        ALL_NODES,
        sub("setinfo", 4, BASE.flags, "7.2.0", "Notes the client's library.", set_info),
    ),
    told(REPLY, &[], sub("reply", 3, BASE.flags, "3.2.0", "Whether replies are sent.", reply)),
    told(
        SWITCH,
        &[],
        sub("no-evict", 3, ADMIN, "7.0.0", "Keeps the connection when memory is short.", no_evict),
    ),
    told(
        SWITCH,
        &[],
        sub("no-touch", 3, BASE.flags, "7.2.0", "Whether reads count as accesses.", no_touch),
    ),
    told(
        PAUSE,
        &[],
        sub("pause", -3, ADMIN, "3.0.0", "Lets all clients, or writers, wait.", pause),
    ),
    told(
        UNBLOCK,
        &[],
        sub("unblock", -3, ADMIN, "5.0.0", "Ends a client's waiting for a key.", unblock),
    ),
    sub("unpause", 2, ADMIN, "6.2.0", "Ends CLIENT PAUSE.", unpause),
    told(
        DURABILITY,
        &[],
        sub("durability", 3, BASE.flags, "7.2.0", "When writes are acknowledged.", durability),
    ),
    sub("help", 2, flag::LOADING | flag::STALE, "5.0.0", "Lists the subcommands.", show_help),
];

/// Refuses names with blanks and control characters.
pub fn check_name(name: &[u8]) -> Result<(), Failure> {
    let text = "ERR Client names cannot contain spaces, newlines or special characters.";
    is_printable(name).then_some(()).ok_or(Failure::text(text))
}

fn is_printable(word: &[u8]) -> bool {
    word.iter().all(u8::is_ascii_graphic)
}

fn unblock(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    let how = match call.args.len() {
        3 => Unblock::TimedOut,
        4 if call.args.is(3, "timeout") => Unblock::TimedOut,
        4 if call.args.is(3, "error") => Unblock::Error,
        4 => return Err(Failure::text("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR")),
        _ => return Err(miscalled("CLIENT", call.args.get(1))),
    };
    let id = integer(call, 2).ok_or(Failure::NotInteger)?;
    let client = u64::try_from(id).ok().and_then(|id| call.services().clients.get(id));
    call.reply.integer(i64::from(client.is_some_and(|client| client.unblock(how))));
    Ok(())
}

fn id(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    call.reply.integer(call.session.client.id as i64);
    Ok(())
}

fn get_name(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    let name = call.session.client.names().name;
    if name.is_empty() {
        call.reply.null();
    } else {
        call.reply.bulk(&name);
    }
    Ok(())
}

fn set_name(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    let name = call.args.get(2);
    check_name(name)?;
    call.session.client.rename(|names| names.name = name.into());
    call.reply.ok();
    Ok(())
}

fn set_info(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    let (option, value) = (call.args.get(2), call.args.get(3));
    let is_name = call.args.is(2, "lib-name");
    if !is_name && !call.args.is(2, "lib-ver") {
        return Err(Failure::quoting(&[b"ERR Unrecognized option '", quoted(option), b"'"]));
    }
    if !is_printable(value) {
        let why = b" cannot contain spaces, newlines or special characters.";
        return Err(Failure::quoting(&[b"ERR ", quoted(option), why]));
    }
    call.session.client.rename(|names| match is_name {
        true => names.lib_name = value.into(),
        false => names.lib_version = value.into(),
    });
    call.reply.ok();
    Ok(())
}

fn reply(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    if call.args.is(2, "on") {
        call.session.set_reply_mode(ReplyMode::On);
        call.reply.ok();
    } else if call.args.is(2, "off") {
        call.session.set_reply_mode(ReplyMode::Off);
    } else if call.args.is(2, "skip") {
        if call.session.reply_mode() != ReplyMode::Off {
            call.session.set_reply_mode(ReplyMode::Skip);
        }
    } else {
        return Err(Failure::Syntax);
    }
    Ok(())
}

fn on_or_off(call: &SessionCall<'_, '_, '_>) -> Result<bool, Failure> {
    match () {
        () if call.args.is(2, "on") => Ok(true),
        () if call.args.is(2, "off") => Ok(false),
        () => Err(Failure::Syntax),
    }
}

fn no_evict(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    let on = on_or_off(call)?;
    call.session.client.no_evict.store(on, Relaxed);
    call.reply.ok();
    Ok(())
}

fn no_touch(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    let on = on_or_off(call)?;
    call.session.client.no_touch.store(on, Relaxed);
    call.reply.ok();
    Ok(())
}

fn pause(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    let kind = match call.args.len() {
        3 => PauseKind::All,
        4 if call.args.is(3, "all") => PauseKind::All,
        4 if call.args.is(3, "write") => PauseKind::Writes,
        4 => return Err(Failure::text("ERR CLIENT PAUSE mode must be WRITE or ALL")),
        _ => return Err(miscalled("CLIENT", call.args.get(1))),
    };
    let ms = whole_timeout_ms(call.args.get(2))?;
    let now_ms = call.dispatcher.now_ms;
    let until_ms = now_ms + ms.unwrap_or(0);
    call.services().pause.start(until_ms, kind, now_ms);
    call.reply.ok();
    Ok(())
}

fn unpause(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    call.services().pause.end();
    call.reply.ok();
    Ok(())
}

fn durability(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    call.session.durability = match call.args.get(2).to_ascii_lowercase().as_slice() {
        b"always" => Some(Durability::Always),
        b"everysec" => Some(Durability::EverySec),
        b"no" => Some(Durability::No),
        b"default" => None,
        _ => return Err(Failure::Syntax),
    };
    call.reply.ok();
    Ok(())
}

fn show_help(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    help(
        call,
        "CLIENT",
        &[
            (
                "DURABILITY (ALWAYS|EVERYSEC|NO|DEFAULT)",
                "When writes of this connection are acknowledged.",
            ),
            ("GETNAME", "The name of this connection."),
            ("ID", "The number of this connection."),
            ("INFO", "What is known of this connection."),
            ("KILL <ip:port>", "Close the connection from this address."),
            (
                "KILL <option> <value> [<option> <value> [...]]",
                "Close connections by ID, ADDR, LADDR, TYPE, USER, MAXAGE; SKIPME (YES|NO).",
            ),
            ("LIST [TYPE <type> | ID <id> ...]", "What is known of all, or these, connections."),
            ("NO-EVICT (ON|OFF)", "Keep this connection when memory is short."),
            ("NO-TOUCH (ON|OFF)", "Whether reads leave the access times of keys alone."),
            ("PAUSE <timeout> [WRITE|ALL]", "Let clients wait for so many milliseconds."),
            ("REPLY (ON|OFF|SKIP)", "Whether replies are sent."),
            ("SETINFO (LIB-NAME|LIB-VER) <value>", "Note the library of this client."),
            ("SETNAME <name>", "Name this connection."),
            ("UNBLOCK <clientid> [TIMEOUT|ERROR]", "End a client's waiting for a key."),
            ("UNPAUSE", "End CLIENT PAUSE."),
        ],
    );
    Ok(())
}
