//! The texts of errors that stand before any command: unknown names, wrong counts, failures.

use std::borrow::Cow;

use crate::command::args::Args;
use crate::command::spec::{Failure, quoted};
use crate::error::Error;

/// Bytes of a client's words that an error quotes, as in Redis.
const QUOTED_BYTES_MAX: usize = 128;

/// The client has not authenticated.
pub const NOAUTH: &str = "NOAUTH Authentication required.";

fn cut(word: &[u8]) -> &[u8] {
    let word = quoted(word);
    &word[..word.len().min(QUOTED_BYTES_MAX)]
}

/// No such command.
pub fn unknown_command(args: &Args<'_>) -> Vec<u8> {
    let mut text = b"ERR unknown command '".to_vec();
    text.extend_from_slice(cut(args.get(0)));
    text.extend_from_slice(b"', with args beginning with: ");
    let mut preview: Vec<u8> = Vec::new();
    for word in args.iter_from(1) {
        let Some(room) = QUOTED_BYTES_MAX.checked_sub(preview.len()).filter(|r| *r > 0) else {
            break;
        };
        let word = cut(word);
        preview.push(b'\'');
        preview.extend_from_slice(&word[..word.len().min(room)]);
        preview.extend_from_slice(b"' ");
    }
    text.extend_from_slice(&preview);
    text
}

/// A container without this subcommand.
pub fn unknown_subcommand(args: &Args<'_>) -> Vec<u8> {
    let mut text = b"ERR unknown subcommand '".to_vec();
    text.extend_from_slice(cut(args.get(1)));
    text.extend_from_slice(b"'. Try ");
    text.extend_from_slice(&cut(args.get(0)).to_ascii_uppercase());
    text.extend_from_slice(b" HELP.");
    text
}

/// Too many or too few arguments.
pub fn wrong_arity(name: &str) -> String {
    format!("ERR wrong number of arguments for '{name}' command")
}

/// The error reply of a failed command.
pub fn failure_text(failure: Failure) -> Cow<'static, [u8]> {
    let text = match failure {
        Failure::WrongType => "WRONGTYPE Operation against a key holding the wrong kind of value",
        Failure::Syntax => "ERR syntax error",
        Failure::NotInteger => "ERR value is not an integer or out of range",
        Failure::NotFloat => "ERR value is not a valid float",
        Failure::NoSuchKey => "ERR no such key",
        Failure::Text(Cow::Borrowed(text)) => text,
        Failure::Text(Cow::Owned(text)) => return Cow::Owned(text.into_bytes()),
        Failure::Quoting(text) => return Cow::Owned(text),
    };
    Cow::Borrowed(text.as_bytes())
}

/// The error reply of a command that the engine refused.
pub fn refusal_text(error: &Error) -> String {
    match error {
        Error::DiskFull => format!("MISCONF {error}"),
        Error::LimitExceeded { what: "maxmemory" } => {
            "OOM command not allowed when used memory > 'maxmemory'.".to_string()
        }
        Error::WrongType => String::from_utf8_lossy(&failure_text(Failure::WrongType)).into_owned(),
        _ => format!("ERR {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(words: &[&[u8]], f: impl Fn(&Args<'_>) -> Vec<u8>) -> String {
        let input = words.concat();
        let mut at = 0;
        let ranges: Vec<(u32, u32)> = words
            .iter()
            .map(|word| {
                at += word.len() as u32;
                (at - word.len() as u32, at)
            })
            .collect();
        String::from_utf8(f(&Args::new(&input, &ranges, None))).unwrap()
    }

    #[test]
    fn unknown_commands_are_quoted_as_redis_quotes_them() {
        let beginning = "ERR unknown command 'foo', with args beginning with: ";
        assert_eq!(text(&[b"foo"], unknown_command), beginning);
        assert_eq!(
            text(&[b"foo", b"a", b"c d"], unknown_command),
            format!("{beginning}'a' 'c d' ")
        );
        let long = [b'e'; 200];
        assert_eq!(
            text(&[b"foo", b"a", b"b", b"c d", &long], unknown_command),
            format!("{beginning}'a' 'b' 'c d' '{}' ", "e".repeat(114))
        );
        assert_eq!(
            text(&[&[b'x'; 200]], unknown_command),
            format!("ERR unknown command '{}', with args beginning with: ", "x".repeat(128))
        );
    }

    #[test]
    fn unknown_subcommands_point_to_help() {
        assert_eq!(
            text(&[b"client", b"foo"], unknown_subcommand),
            "ERR unknown subcommand 'foo'. Try CLIENT HELP."
        );
    }
}
