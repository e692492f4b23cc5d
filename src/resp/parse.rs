//! Commands of clients: RESP arrays of bulk strings, or inline lines. Pure, incremental, zero-copy.
//!
//! A parser finds the arguments of one command after the other as ranges of the input. When the
//! input ends inside a command it remembers how far it came, so that no byte is looked at twice
//! however small the pieces are in which it arrives. It allocates by what has arrived, never by
//! what a header announces (D11). Limits and texts of errors are those of Redis.

use std::fmt;

/// Longest header or inline line, in bytes.
const LINE_BYTES_MAX: usize = 64 << 10;
/// Most arguments of one command.
const ARGUMENTS_MAX: i64 = i32::MAX as i64;
/// Most arguments before authentication.
const UNAUTHENTICATED_ARGUMENTS_MAX: i64 = 10;
/// Longest argument before authentication, in bytes.
const UNAUTHENTICATED_BULK_BYTES_MAX: u64 = 16 << 10;

/// Start and end of an argument.
pub type Range = (u32, u32);

/// What a client may send.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Longest argument, in bytes (`proto-max-bulk-len`).
    pub bulk_bytes_max: u64,
    /// Whether the client has authenticated, or need not.
    pub authenticated: bool,
}

/// A violation of the protocol. The client is told and disconnected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProtocolError {
    /// The number of arguments is no number, or too large.
    MultibulkLength,
    /// The length of an argument is no number, or too large.
    BulkLength,
    /// An argument does not start with `$`.
    ExpectedBulk(u8),
    /// The header of a command does not end.
    MultibulkLine,
    /// The header of an argument does not end.
    BulkLine,
    /// An inline command does not end.
    InlineLine,
    /// A quoted argument of an inline command does not end, or something sticks to its end.
    UnbalancedQuotes,
    /// Too many arguments before authentication.
    UnauthenticatedMultibulk,
    /// Too long an argument before authentication.
    UnauthenticatedBulk,
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            ProtocolError::MultibulkLength => "invalid multibulk length",
            ProtocolError::BulkLength => "invalid bulk length",
            ProtocolError::ExpectedBulk(byte) => {
                return write!(f, "expected '$', got '{}'", *byte as char);
            }
            ProtocolError::MultibulkLine => "too big mbulk count string",
            ProtocolError::BulkLine => "too big bulk count string",
            ProtocolError::InlineLine => "too big inline request",
            ProtocolError::UnbalancedQuotes => "unbalanced quotes in request",
            ProtocolError::UnauthenticatedMultibulk => "unauthenticated multibulk length",
            ProtocolError::UnauthenticatedBulk => "unauthenticated bulk length",
        };
        f.write_str(text)
    }
}

impl std::error::Error for ProtocolError {}

/// What one step found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Found {
    /// A command that ends before this offset of the input; its ranges are of the input.
    Command(usize),
    /// An inline command that ends before this offset; its ranges are of [`Parser::inline`].
    Inline(usize),
    /// The input ends before the command does, which starts at this offset.
    Incomplete(usize),
}

/// Where a header line ends and which number stands in it.
enum Header {
    Number { value: i64, next: usize },
    Malformed,
    Missing,
    TooLong,
}

/// The state between two pieces of input.
#[derive(Default, Debug)]
pub struct Parser {
    /// Arguments still to come; 0 when a command's header comes next.
    missing: u32,
    /// Length of the argument whose header was read.
    bulk_bytes: Option<u32>,
    /// Next byte to parse, counted from the start of the command.
    at: usize,
    /// Bytes known to hold no line end, counted from the start of the command.
    scanned: usize,
    /// Arguments found so far, when the command is incomplete; counted from its start.
    ranges: Vec<Range>,
    inline: Vec<u8>,
}

/// The most usual command, if it is there as a whole: fewer than ten arguments of fewer than a
/// hundred bytes. Where it ends; none, and nothing appended, where it is another.
#[inline]
fn short_command(
    input: &[u8],
    start: usize,
    limits: &Limits,
    ranges: &mut Vec<Range>,
) -> Option<usize> {
    let [b'*', count @ b'1'..=b'9', b'\r', _, ..] = input.get(start..)? else { return None };
    if limits.bulk_bytes_max < 100 {
        return None;
    }
    let first = ranges.len();
    let mut at = start + 4;
    for _ in b'0'..*count {
        let (len, body) = match &input[at..] {
            [b'$', ones @ b'0'..=b'9', b'\r', ..] => (ones - b'0', at + 4),
            [b'$', tens @ b'1'..=b'9', ones @ b'0'..=b'9', b'\r', ..] => {
                ((tens - b'0') * 10 + ones - b'0', at + 5)
            }
            _ => break,
        };
        let end = body + usize::from(len);
        if end + 2 > input.len() {
            break;
        }
        ranges.push((body as u32, end as u32));
        at = end + 2;
    }
    if ranges.len() - first == usize::from(count - b'0') {
        return Some(at);
    }
    ranges.truncate(first);
    None
}

impl Parser {
    /// Finds the next command of `input`, which starts at `start`; appends its arguments to
    /// `ranges`.
    ///
    /// After [`Found::Incomplete`] the next call must be given the bytes from that offset on again,
    /// at any `start`, with more behind them. Commands without arguments are passed over.
    ///
    /// # Errors
    /// Violations of the protocol, in Redis's words.
    pub fn next(
        &mut self,
        input: &[u8],
        start: usize,
        limits: &Limits,
        ranges: &mut Vec<Range>,
    ) -> Result<Found, ProtocolError> {
        let first = ranges.len();
        let mut start = start;
        if self.at == 0 {
            if let Some(end) = short_command(input, start, limits, ranges) {
                self.scanned = 0;
                return Ok(Found::Command(end));
            }
            loop {
                match input.get(start) {
                    None => return Ok(Found::Incomplete(start)),
                    Some(b'*') => {}
                    Some(_) => match self.inline_line(input, start, ranges)? {
                        Found::Inline(end) if ranges.len() == first => {
                            start = end;
                            continue;
                        }
                        found => return Ok(found),
                    },
                }
                match self.command_header(input, start, limits)? {
                    None => return Ok(Found::Incomplete(start)),
                    Some(next) if self.missing == 0 => start = next,
                    Some(next) => {
                        self.at = next - start;
                        break;
                    }
                }
            }
        }
        self.arguments(input, start, limits, ranges)
    }

    /// The unquoted arguments of the last inline command.
    pub fn inline(&self) -> &[u8] {
        &self.inline
    }

    /// Bytes that the incomplete command certainly still needs, given what arrived of it.
    pub fn missing_bytes(&self, arrived: usize) -> usize {
        self.bulk_bytes.map_or(0, |len| (self.at + len as usize + 2).saturating_sub(arrived))
    }

    fn command_header(
        &mut self,
        input: &[u8],
        start: usize,
        limits: &Limits,
    ) -> Result<Option<usize>, ProtocolError> {
        match self.header(input, start, start) {
            Header::Missing => Ok(None),
            Header::TooLong => Err(ProtocolError::MultibulkLine),
            Header::Malformed => Err(ProtocolError::MultibulkLength),
            Header::Number { value, .. } if value > ARGUMENTS_MAX => {
                Err(ProtocolError::MultibulkLength)
            }
            Header::Number { value, .. }
                if value > UNAUTHENTICATED_ARGUMENTS_MAX && !limits.authenticated =>
            {
                Err(ProtocolError::UnauthenticatedMultibulk)
            }
            Header::Number { value, next } => {
                self.missing = value.max(0) as u32;
                Ok(Some(next))
            }
        }
    }

    fn arguments(
        &mut self,
        input: &[u8],
        start: usize,
        limits: &Limits,
        ranges: &mut Vec<Range>,
    ) -> Result<Found, ProtocolError> {
        let first = ranges.len();
        self.take_ranges(start, ranges);
        let mut at = start + self.at;
        while self.missing > 0 {
            let len = match self.bulk_bytes {
                Some(len) => len,
                None => match self.bulk_header(input, start, at, limits)? {
                    Some((len, next)) => {
                        at = next;
                        self.bulk_bytes = Some(len);
                        len
                    }
                    None => break,
                },
            };
            let end = at + len as usize;
            // The two bytes behind an argument are passed over unseen, as Redis does.
            if end + 2 > input.len() {
                break;
            }
            ranges.push((at as u32, end as u32));
            at = end + 2;
            self.bulk_bytes = None;
            self.missing -= 1;
        }
        if self.missing == 0 {
            self.at = 0;
            return Ok(Found::Command(at));
        }
        self.at = at - start;
        self.keep_ranges(start, first, ranges);
        Ok(Found::Incomplete(start))
    }

    fn bulk_header(
        &mut self,
        input: &[u8],
        start: usize,
        at: usize,
        limits: &Limits,
    ) -> Result<Option<(u32, usize)>, ProtocolError> {
        let header = self.header(input, start, at);
        match header {
            Header::Missing => return Ok(None),
            Header::TooLong => return Err(ProtocolError::BulkLine),
            _ => {}
        }
        if input[at] != b'$' {
            return Err(ProtocolError::ExpectedBulk(input[at]));
        }
        match header {
            Header::Number { value, next } if value >= 0 => {
                if value as u64 > limits.bulk_bytes_max {
                    return Err(ProtocolError::BulkLength);
                }
                if value as u64 > UNAUTHENTICATED_BULK_BYTES_MAX && !limits.authenticated {
                    return Err(ProtocolError::UnauthenticatedBulk);
                }
                let len = u32::try_from(value).map_err(|_| ProtocolError::BulkLength)?;
                Ok(Some((len, next)))
            }
            _ => Err(ProtocolError::BulkLength),
        }
    }

    /// The line at `at`: one byte of kind, a number, a line end.
    #[inline]
    fn header(&mut self, input: &[u8], start: usize, at: usize) -> Header {
        let line = &input[at.min(input.len())..];
        // The common case: one to eight digits and a line end.
        let mut value = 0i64;
        for (index, &byte) in line.iter().enumerate().skip(1).take(9) {
            let digit = byte.wrapping_sub(b'0');
            if digit < 10 {
                value = value * 10 + i64::from(digit);
                continue;
            }
            let zero_ahead = line[1] == b'0' && index > 2;
            if byte == b'\r' && index > 1 && line.len() > index + 1 && !zero_ahead {
                self.scanned = 0;
                return Header::Number { value, next: at + index + 2 };
            }
            break;
        }
        self.unusual_header(input, start, at)
    }

    #[cold]
    fn unusual_header(&mut self, input: &[u8], start: usize, at: usize) -> Header {
        let from = at.max(start + self.scanned);
        let Some(end) = find(&input[from.min(input.len())..], b'\r').map(|i| from + i) else {
            if input.len() - at > LINE_BYTES_MAX {
                return Header::TooLong;
            }
            self.scanned = input.len() - start;
            return Header::Missing;
        };
        if end + 1 >= input.len() {
            self.scanned = end - start;
            return Header::Missing;
        }
        self.scanned = 0;
        match parse_integer(&input[(at + 1).min(end)..end]) {
            Some(value) => Header::Number { value, next: end + 2 },
            None => Header::Malformed,
        }
    }

    /// Puts the ranges kept from the call before in front, counted from the input's start again.
    fn take_ranges(&mut self, start: usize, ranges: &mut Vec<Range>) {
        if self.ranges.is_empty() {
            return;
        }
        if start > 0 {
            shift(&mut self.ranges, |at| at + start as u32);
        }
        if ranges.is_empty() {
            // The vectors change places: a command of a million arguments is not copied each time.
            std::mem::swap(ranges, &mut self.ranges);
        } else {
            ranges.append(&mut self.ranges);
        }
    }

    /// Keeps the ranges of an incomplete command, counted from its own start.
    fn keep_ranges(&mut self, start: usize, first: usize, ranges: &mut Vec<Range>) {
        if first == 0 {
            std::mem::swap(ranges, &mut self.ranges);
        } else {
            self.ranges.extend(ranges.drain(first..));
        }
        if start > 0 {
            shift(&mut self.ranges, |at| at - start as u32);
        }
    }

    fn inline_line(
        &mut self,
        input: &[u8],
        start: usize,
        ranges: &mut Vec<Range>,
    ) -> Result<Found, ProtocolError> {
        let from = start + self.scanned;
        let Some(end) = find(&input[from..], b'\n').map(|i| from + i) else {
            if input.len() - start > LINE_BYTES_MAX {
                return Err(ProtocolError::InlineLine);
            }
            self.scanned = input.len() - start;
            return Ok(Found::Incomplete(start));
        };
        self.scanned = 0;
        let line = &input[start..end];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        self.inline.clear();
        split_inline(line, &mut self.inline, ranges).ok_or(ProtocolError::UnbalancedQuotes)?;
        Ok(Found::Inline(end + 1))
    }
}

fn shift(ranges: &mut [Range], by: impl Fn(u32) -> u32) {
    for (start, end) in ranges {
        (*start, *end) = (by(*start), by(*end));
    }
}

fn find(bytes: &[u8], wanted: u8) -> Option<usize> {
    bytes.iter().position(|&byte| byte == wanted)
}

/// A decimal as Redis reads it: an optional minus, no plus, no blanks, no leading zeros.
pub fn parse_integer(digits: &[u8]) -> Option<i64> {
    let (negative, unsigned) = match digits {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, digits),
    };
    match unsigned {
        [] => return None,
        [b'0'] if !negative => return Some(0),
        [b'0', ..] => return None,
        _ => {}
    }
    unsigned.iter().try_fold(0i64, |value, byte| {
        let digit = i64::from(byte.wrapping_sub(b'0'));
        if digit > 9 {
            return None;
        }
        let signed = if negative { -digit } else { digit };
        value.checked_mul(10)?.checked_add(signed)
    })
}

/// Splits an inline command at blanks by the rules of `redis-cli`: `"..."` knows escapes, `'...'`
/// knows `\'` alone, and a closing quote must be followed by a blank. Vertical tabs and form feeds
/// are blanks between words only. None when quotes are unbalanced.
pub fn split_inline(line: &[u8], text: &mut Vec<u8>, ranges: &mut Vec<Range>) -> Option<()> {
    let blank = |byte: u8| byte.is_ascii_whitespace() || byte == 0x0b;
    let ends_word = |byte: u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
    let mut at = 0;
    loop {
        at += line[at..].iter().take_while(|&&byte| blank(byte)).count();
        if at >= line.len() {
            return Some(());
        }
        let start = text.len();
        while at < line.len() && !ends_word(line[at]) {
            match line[at] {
                quote @ (b'"' | b'\'') => {
                    at = quoted(line, at + 1, quote, text)?;
                    if line.get(at).is_some_and(|&byte| !blank(byte)) {
                        return None;
                    }
                    break;
                }
                byte => {
                    text.push(byte);
                    at += 1;
                }
            }
        }
        ranges.push((start as u32, text.len() as u32));
    }
}

/// Copies what stands between quotes; the offset behind the closing one.
fn quoted(line: &[u8], from: usize, quote: u8, text: &mut Vec<u8>) -> Option<usize> {
    let mut at = from;
    loop {
        let byte = *line.get(at)?;
        let next = line.get(at + 1).copied();
        if byte == quote {
            return Some(at + 1);
        }
        let (unescaped, taken) = match (quote, byte, next) {
            (b'"', b'\\', Some(b'x')) => match line.get(at + 2..at + 4).and_then(hex_byte) {
                Some(value) => (value, 4),
                None => (b'x', 2),
            },
            (b'"', b'\\', Some(escaped)) => (unescape(escaped), 2),
            (b'\'', b'\\', Some(b'\'')) => (b'\'', 2),
            _ => (byte, 1),
        };
        text.push(unescaped);
        at += taken;
    }
}

fn unescape(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        other => other,
    }
}

fn hex_byte(digits: &[u8]) -> Option<u8> {
    let digit = |byte: u8| (byte as char).to_digit(16);
    Some((digit(digits[0])? << 4 | digit(digits[1])?) as u8)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: Limits = Limits { bulk_bytes_max: 512 << 20, authenticated: true };

    type Commands = Vec<Vec<Vec<u8>>>;

    /// Feeds `input` in pieces that end at `cuts`, as a connection does: what is left of an
    /// incomplete command moves to the front of the next buffer.
    fn parse_in_pieces(
        input: &[u8],
        cuts: &[usize],
        limits: &Limits,
    ) -> (Commands, Option<ProtocolError>) {
        let mut parser = Parser::default();
        let mut commands = Vec::new();
        let mut buffer = Vec::new();
        let mut ranges = Vec::new();
        let mut from = 0;
        for &cut in cuts.iter().chain(std::iter::once(&input.len())) {
            buffer.extend_from_slice(&input[from..cut]);
            from = cut;
            let mut at = 0;
            loop {
                let first = ranges.len();
                match parser.next(&buffer, at, limits, &mut ranges) {
                    Err(error) => return (commands, Some(error)),
                    Ok(Found::Incomplete(start)) => {
                        assert_eq!(ranges.len(), first);
                        buffer.drain(..start);
                        break;
                    }
                    Ok(found) => {
                        let (text, end) = match found {
                            Found::Inline(end) => (parser.inline(), end),
                            Found::Command(end) => (&buffer[..], end),
                            Found::Incomplete(_) => unreachable!(),
                        };
                        let arguments = ranges[first..].iter();
                        commands.push(
                            arguments
                                .map(|&(a, b)| text[a as usize..b as usize].to_vec())
                                .collect(),
                        );
                        at = end;
                    }
                }
            }
            ranges.clear();
        }
        (commands, None)
    }

    fn parse(input: &[u8]) -> (Commands, Option<ProtocolError>) {
        parse_in_pieces(input, &[], &LIMITS)
    }

    fn words(text: &[&str]) -> Vec<Vec<u8>> {
        text.iter().map(|word| word.as_bytes().to_vec()).collect()
    }

    fn encode(command: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = format!("*{}\r\n", command.len()).into_bytes();
        for argument in command {
            bytes.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
            bytes.extend_from_slice(argument);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes
    }

    #[test]
    fn pipelined_arrays_and_inline_lines_mix() {
        let (commands, error) =
            parse(b"*2\r\n$3\r\nGET\r\n$1\r\na\r\nPING  x\r\n*1\r\n$4\r\nPING\r\n");
        let expected = vec![words(&["GET", "a"]), words(&["PING", "x"]), words(&["PING"])];
        assert_eq!((commands, error), (expected, None));
    }

    #[test]
    fn empty_commands_are_passed_over() {
        let (commands, error) = parse(b"\r\n*0\r\n*-7\r\n   \r\n*1\r\n$4\r\nPING\r\n");
        assert_eq!((commands, error), (vec![words(&["PING"])], None));
    }

    #[test]
    fn violations_are_named_in_redis_words() {
        let cases: &[(&[u8], &str)] = &[
            (b"*x\r\n", "invalid multibulk length"),
            (b"*2147483648\r\n", "invalid multibulk length"),
            (b"*9223372036854775808\r\n", "invalid multibulk length"),
            (b"*01\r\n", "invalid multibulk length"),
            (b"*1\r\n$-1\r\n", "invalid bulk length"),
            (b"*1\r\n$536870913\r\n", "invalid bulk length"),
            (b"*1\r\n$\r\n", "invalid bulk length"),
            (b"*1\r\nx\r\n", "expected '$', got 'x'"),
            (b"foo \"a\r\n", "unbalanced quotes in request"),
            (b"foo 'a'b\r\n", "unbalanced quotes in request"),
        ];
        for (input, text) in cases {
            let (commands, error) = parse(input);
            assert_eq!(commands, Commands::new());
            assert_eq!(error.map(|e| e.to_string()).as_deref(), Some(*text), "{input:?}");
        }
    }

    #[test]
    fn lines_without_an_end_are_refused_above_64_kib() {
        for (head, text) in [
            (&b"*"[..], "too big mbulk count string"),
            (b"*1\r\n$", "too big bulk count string"),
            (b"GET ", "too big inline request"),
        ] {
            let input = [head, &vec![b'1'; LINE_BYTES_MAX - 8]].concat();
            assert_eq!(parse(&input).1, None);
            let input = [head, &vec![b'1'; LINE_BYTES_MAX + 1]].concat();
            assert_eq!(parse(&input).1.map(|e| e.to_string()).as_deref(), Some(text));
        }
    }

    #[test]
    fn strangers_may_send_little() {
        let strict = Limits { authenticated: false, ..LIMITS };
        let cases: &[(&[u8], Option<&str>)] = &[
            (b"*10\r\n", None),
            (b"*11\r\n", Some("unauthenticated multibulk length")),
            (b"*1\r\n$16384\r\n", None),
            (b"*1\r\n$16385\r\n", Some("unauthenticated bulk length")),
        ];
        for (input, text) in cases {
            let (_, error) = parse_in_pieces(input, &[], &strict);
            assert_eq!(error.map(|e| e.to_string()).as_deref(), *text);
        }
    }

    #[test]
    fn inline_quotes_follow_redis_cli() {
        let (commands, _) = parse(b"set \"a\\x41\\n\\q\\xzz\" 'it\\'s \\n' b\"c\" \"\"\n");
        let expected: Vec<&[u8]> = vec![b"set", b"aA\nqxzz", b"it's \\n", b"bc", b""];
        assert_eq!(commands, vec![expected.into_iter().map(Vec::from).collect::<Vec<_>>()]);
    }

    #[test]
    fn vertical_tabs_and_form_feeds_are_blanks_between_words_only() {
        let (commands, _) = parse(b"\x0bset a\x0bb \x0c\"c\"\x0bd\x0c\n");
        let expected = [&b"set"[..], b"a\x0bb", b"c", b"d\x0c"].map(Vec::from).to_vec();
        assert_eq!(commands, vec![expected]);
    }

    #[test]
    fn announced_lengths_allocate_nothing() {
        let mut parser = Parser::default();
        let mut ranges = Vec::new();
        let input = b"*2147483647\r\n$536870912\r\nabc";
        let found = parser.next(input, 0, &LIMITS, &mut ranges);
        assert_eq!(found, Ok(Found::Incomplete(0)));
        assert_eq!((ranges.capacity(), parser.ranges.capacity()), (0, 0));
        assert_eq!(parser.missing_bytes(input.len()), (512 << 20) + 2 - 3);
    }

    fn commands() -> impl Strategy<Value = Commands> {
        let argument = prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..12),
            proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'$')], 0..6),
            (100usize..2000).prop_map(|len| vec![b'x'; len]),
        ];
        proptest::collection::vec(proptest::collection::vec(argument, 1..5), 1..6)
    }

    proptest! {
        #[test]
        fn commands_survive_a_cut_at_every_byte(commands in commands()) {
            let input: Vec<u8> = commands.iter().flat_map(|command| encode(command)).collect();
            for cut in 0..=input.len() {
                let (found, error) = parse_in_pieces(&input, &[cut], &LIMITS);
                prop_assert_eq!((&found, error), (&commands, None));
            }
            let every: Vec<usize> = (0..input.len()).collect();
            prop_assert_eq!(parse_in_pieces(&input, &every, &LIMITS).0, commands);
        }

        #[test]
        fn pieces_do_not_change_what_random_bytes_mean(
            input in proptest::collection::vec(
                prop_oneof![
                    Just(b'*'), Just(b'$'), Just(b'\r'), Just(b'\n'), Just(b'0'), Just(b'1'),
                    Just(b'2'), Just(b'-'), Just(b'"'), Just(b'\''), Just(b'\\'), any::<u8>()
                ],
                0..80,
            ),
        ) {
            let whole = parse(&input);
            let every: Vec<usize> = (0..input.len()).collect();
            prop_assert_eq!(parse_in_pieces(&input, &every, &LIMITS), whole);
        }
    }
}
