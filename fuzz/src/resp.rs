//! The protocol's parser.

use firn::resp::parse::{Found, Limits, Parser, ProtocolError};

use crate::input::Input;

/// What a client sent: commands in order, and the violation that ended them.
type Parsed = (Vec<Vec<Vec<u8>>>, Option<ProtocolError>);

/// Parses bytes at once and in pieces; both must find the same.
pub fn resp_parse(data: &[u8]) {
    let mut input = Input(data);
    let settings = input.u8();
    let limits = Limits {
        bulk_bytes_max: if settings & 2 == 0 { 512 << 20 } else { 100 },
        authenticated: settings & 1 == 0,
    };
    let piece_bytes = usize::from(settings >> 2) + 1;
    let whole = parse(input.0, input.0.len().max(1), &limits);
    let pieces = parse(input.0, piece_bytes, &limits);
    assert_eq!(whole, pieces, "in pieces of {piece_bytes} bytes");
}

/// Feeds `bytes` in pieces, and forgets what was consumed as a connection does.
fn parse(bytes: &[u8], piece_bytes: usize, limits: &Limits) -> Parsed {
    let (mut parser, mut buffer) = (Parser::default(), Vec::new());
    let (mut commands, mut ranges) = (Vec::new(), Vec::new());
    for piece in bytes.chunks(piece_bytes) {
        buffer.extend_from_slice(piece);
        let mut start = 0;
        loop {
            ranges.clear();
            let found = match parser.next(&buffer, start, limits, &mut ranges) {
                Ok(found) => found,
                Err(error) => {
                    // Its text is sent to the client.
                    assert!(!error.to_string().is_empty());
                    return (commands, Some(error));
                }
            };
            let text = match found {
                Found::Command(_) => &buffer[..],
                Found::Inline(_) => parser.inline(),
                Found::Incomplete(_) => &[],
            };
            match found {
                Found::Command(end) | Found::Inline(end) => {
                    assert!(end > start && end <= buffer.len(), "a command has bytes");
                    assert!(!ranges.is_empty(), "commands without arguments are passed over");
                    let argument =
                        |&(from, to): &(u32, u32)| text[from as usize..to as usize].to_vec();
                    commands.push(ranges.iter().map(argument).collect());
                    start = end;
                }
                Found::Incomplete(at) => {
                    assert!(ranges.is_empty(), "an incomplete command keeps its ranges");
                    buffer.drain(..at);
                    break;
                }
            }
        }
    }
    (commands, None)
}
