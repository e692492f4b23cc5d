//! AUTH, HELLO, PING, ECHO, SELECT, QUIT, RESET.

use crate::command::row::block;
use crate::command::spec::{Arg, ArgKind, Failure, Group, Spec, flag, quoted};
use crate::resp::write::{Protocol, Reply};
use crate::session::call::{Outcome, SessionCall};
use crate::session::table::SessionCommand;
use crate::session::unknown::wrong_arity;

use super::client::check_name;
use super::{command, failure, integer};

/// The Redis version whose behaviour is promised.
pub const REDIS_VERSION: &str = "7.2.4";

const ALWAYS: u32 = flag::NOSCRIPT | flag::LOADING | flag::STALE | flag::FAST | flag::ALLOW_BUSY;
const BASE: Spec = Spec { group: Group::Connection, acl: &["connection"], ..Spec::EMPTY };

const USERNAME: Arg = Arg::new("username", ArgKind::String);
const PASSWORD: Arg = Arg::new("password", ArgKind::String);
const MESSAGE: Arg = Arg::new("message", ArgKind::String);

/// The family.
pub const COMMANDS: &[SessionCommand] = &[
    command(
        Spec {
            name: "auth",
            arity: -2,
            flags: ALWAYS | flag::NO_AUTH,
            complexity: "O(N) where N is the number of passwords of the user",
            summary: "Authenticates the connection.",
            args: &[USERNAME.since("6.0.0").optional(), PASSWORD],
            history: &[("6.0.0", "A user may be named in front of the password.")],
            ..BASE
        },
        auth,
    ),
    command(
        Spec {
            name: "hello",
            arity: -1,
            flags: ALWAYS | flag::NO_AUTH,
            since: "6.0.0",
            summary: "Chooses the protocol; may authenticate and name the connection.",
            args: &[block(
                "arguments",
                &[
                    Arg::new("protover", ArgKind::Integer),
                    block("auth", &[USERNAME, PASSWORD]).behind("AUTH").optional(),
                    Arg::new("clientname", ArgKind::String).behind("SETNAME").optional(),
                ],
            )
            .optional()],
            history: &[("6.2.0", "The protocol version may be left out.")],
            ..BASE
        },
        hello,
    ),
    command(
        Spec {
            name: "ping",
            arity: -1,
            flags: flag::FAST,
            summary: "Answers, so that a client knows that the connection lives.",
            args: &[MESSAGE.optional()],
            tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
            ..BASE
        },
        ping,
    ),
    command(
        Spec {
            name: "echo",
            arity: 2,
            flags: flag::LOADING | flag::STALE | flag::FAST,
            summary: "Answers with its argument.",
            args: &[MESSAGE],
            ..BASE
        },
        echo,
    ),
    command(
        Spec {
            name: "select",
            arity: 2,
            flags: flag::LOADING | flag::STALE | flag::FAST,
            summary: "Chooses the logical database of the connection.",
            args: &[Arg::new("index", ArgKind::Integer)],
            ..BASE
        },
        select,
    ),
    command(
        Spec {
            name: "quit",
            arity: -1,
            flags: ALWAYS | flag::NO_AUTH,
            summary: "Closes the connection once its replies are sent.",
            deprecated: Some(("7.2.0", "just closing the connection")),
            ..BASE
        },
        quit,
    ),
    command(
        Spec {
            name: "reset",
            arity: 1,
            flags: ALWAYS | flag::NO_AUTH,
            since: "6.2.0",
            summary: "Makes the connection as it was when it was opened.",
            ..BASE
        },
        reset,
    ),
];

/// Compares in a time that does not tell how much of the password was right.
fn is_password(given: &[u8], wanted: &[u8]) -> bool {
    let differences = given.iter().zip(wanted.iter().cycle());
    let differences = differences.fold(0, |sum, (a, b)| sum | (a ^ b));
    !wanted.is_empty() && given.len() == wanted.len() && differences == 0
}

fn authenticate(
    call: &mut SessionCall<'_, '_, '_>,
    user: &[u8],
    password: &[u8],
) -> Result<(), Failure> {
    let wanted = &call.dispatcher.settings.password;
    if user == b"default" && (wanted.is_empty() || is_password(password, wanted)) {
        call.session.set_authenticated(true);
        return Ok(());
    }
    Err(Failure::text("WRONGPASS invalid username-password pair or user is disabled."))
}

fn auth(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    let args = call.args;
    let (user, password) = match args.len() {
        2 if call.dispatcher.settings.password.is_empty() => {
            return Err(Failure::text(
                "ERR AUTH <password> called without any password configured for the default \
                 user. Are you sure your configuration is correct?",
            ));
        }
        2 => (&b"default"[..], args.get(1)),
        3 => (args.get(1), args.get(2)),
        _ => return Err(Failure::Syntax),
    };
    authenticate(call, user, password)?;
    call.reply.ok();
    Ok(())
}

fn hello(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    let args = call.args;
    let version = match args.len() {
        1 => None,
        _ => Some(
            integer(call, 1)
                .ok_or(Failure::text("ERR Protocol version is not an integer or out of range"))?,
        ),
    };
    let protocol = match version {
        None => call.session.protocol,
        Some(2) => Protocol::Resp2,
        Some(3) => Protocol::Resp3,
        Some(_) => return Err(Failure::text("NOPROTO unsupported protocol version")),
    };
    let (mut login, mut name) = (None, None);
    let mut at = 2;
    while at < args.len() {
        let more = args.len() - 1 - at;
        if args.is(at, "auth") && more >= 2 {
            login = Some((args.get(at + 1), args.get(at + 2)));
            at += 3;
        } else if args.is(at, "setname") && more >= 1 {
            check_name(args.get(at + 1))?;
            name = Some(args.get(at + 1));
            at += 2;
        } else {
            let text = b"ERR Syntax error in HELLO option '";
            return Err(Failure::quoting(&[text, quoted(args.get(at)), b"'"]));
        }
    }
    if let Some((user, password)) = login {
        authenticate(call, user, password)?;
    }
    if call.dispatcher.lacks_authentication(call.session) {
        return Err(Failure::text(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the \
             HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and \
             select the RESP protocol version at the same time",
        ));
    }
    if let Some(name) = name {
        call.session.client.rename(|names| names.name = name.into());
    }
    call.session.set_protocol(protocol);
    introduce(call, protocol);
    Ok(())
}

fn introduce(call: &mut SessionCall<'_, '_, '_>, protocol: Protocol) {
    let id = call.session.client.id as i64;
    let mut reply = Reply::new(call.reply.output(), protocol);
    reply.map(7);
    reply.bulk(b"server");
    reply.bulk(b"redis");
    reply.bulk(b"version");
    reply.bulk(REDIS_VERSION.as_bytes());
    reply.bulk(b"proto");
    reply.integer(if protocol == Protocol::Resp3 { 3 } else { 2 });
    reply.bulk(b"id");
    reply.integer(id);
    reply.bulk(b"mode");
    reply.bulk(b"standalone");
    reply.bulk(b"role");
    reply.bulk(b"master");
    reply.bulk(b"modules");
    reply.array(0);
}

fn ping(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    match call.args.len() {
        1 => call.reply.simple("PONG"),
        2 => call.reply.bulk(call.args.get(1)),
        _ => return Err(failure(wrong_arity("ping"))),
    }
    Ok(())
}

fn echo(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    call.reply.bulk(call.args.get(1));
    Ok(())
}

fn select(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    let index = integer(call, 1).ok_or(Failure::NotInteger)?;
    let index = i32::try_from(index).map_err(|_| {
        Failure::text("ERR value is out of range, value must between -2147483648 and 2147483647")
    })?;
    let out_of_range = Failure::text("ERR DB index is out of range");
    match u32::try_from(index) {
        Ok(index) if index < call.dispatcher.settings.databases => call.session.select(index),
        _ => return Err(out_of_range),
    }
    call.reply.ok();
    Ok(())
}

fn quit(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    call.reply.ok();
    call.outcome = Outcome::Close;
    Ok(())
}

fn reset(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    let free = call.dispatcher.settings.password.is_empty();
    let engine = &call.services().engine;
    call.session.reset(engine, free);
    Reply::new(call.reply.output(), Protocol::Resp2).simple("RESET");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::is_password;

    #[test]
    fn only_the_whole_password_is_right() {
        assert!(is_password(b"abc", b"abc"));
        for wrong in [&b""[..], b"ab", b"abcd", b"abcabc", b"abd"] {
            assert!(!is_password(wrong, b"abc"));
        }
        assert!(!is_password(b"", b""));
    }
}
