//! Replies, encoded straight into a connection's output in RESP2 or RESP3.

use bytes::Bytes;

/// Bulk strings from this size on are handed over by reference, in bytes.
pub const SHARED_BULK_BYTES_MIN: usize = 16 << 10;

/// Protocol version of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Protocol {
    /// RESP2, until HELLO 3.
    #[default]
    Resp2,
    /// RESP3.
    Resp3,
}

/// Encoded replies that wait to be written: plain bytes, with large shared values spliced in.
#[derive(Default, Debug)]
pub struct Output {
    bytes: Vec<u8>,
    /// (offset in `bytes` that a value precedes, value), ascending.
    shared: Vec<(usize, Bytes)>,
    shared_bytes: usize,
}

/// A place in an [`Output`] to cut back to.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    bytes: usize,
    shared: usize,
}

impl Output {
    /// All bytes that wait, shared values included.
    pub fn len(&self) -> usize {
        self.bytes.len() + self.shared_bytes
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The end, to cut back to when a command fails half way.
    pub fn mark(&self) -> Mark {
        Mark { bytes: self.bytes.len(), shared: self.shared.len() }
    }

    /// Drops everything behind `mark`.
    pub fn truncate(&mut self, mark: Mark) {
        self.bytes.truncate(mark.bytes);
        for (_, value) in self.shared.drain(mark.shared..) {
            self.shared_bytes -= value.len();
        }
    }

    /// Appends encoded bytes.
    pub fn push_bytes(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Appends a shared value.
    pub fn push_shared(&mut self, value: Bytes) {
        self.shared_bytes += value.len();
        self.shared.push((self.bytes.len(), value));
    }

    /// The plain bytes, when no shared value waits: the fast way to the socket.
    pub fn plain(&self) -> Option<&[u8]> {
        self.shared.is_empty().then_some(&self.bytes)
    }

    /// The pieces in order, from `from` bytes on.
    pub fn pieces(&self, from: usize) -> impl Iterator<Item = &[u8]> {
        let mut skip = from;
        let mut start = 0;
        let ends = self.shared.iter().map(|(at, value)| (*at, Some(value)));
        ends.chain(std::iter::once((self.bytes.len(), None)))
            .flat_map(move |(at, value)| {
                let plain = &self.bytes[start..at];
                start = at;
                [Some(plain), value.map(|v| &v[..])]
            })
            .flatten()
            .filter_map(move |piece| {
                let cut = skip.min(piece.len());
                skip -= cut;
                (cut < piece.len()).then(|| &piece[cut..])
            })
    }

    /// Forgets everything; keeps up to `keep_bytes` of capacity.
    pub fn clear(&mut self, keep_bytes: usize) {
        self.bytes.clear();
        self.bytes.shrink_to(keep_bytes);
        self.shared.clear();
        self.shared_bytes = 0;
    }
}

/// The reply of one command.
pub struct Reply<'o> {
    output: &'o mut Output,
    protocol: Protocol,
}

impl<'o> Reply<'o> {
    /// A reply that is appended to `output`.
    pub fn new(output: &'o mut Output, protocol: Protocol) -> Reply<'o> {
        Reply { output, protocol }
    }

    /// The protocol that is spoken.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// The output behind the reply.
    pub fn output(&mut self) -> &mut Output {
        self.output
    }

    #[inline]
    fn head(&mut self, kind: u8, number: i64) {
        let bytes = &mut self.output.bytes;
        let digit = |digit: i64| b'0' + digit as u8;
        match number {
            0..10 => bytes.extend_from_slice(&[kind, digit(number), b'\r', b'\n']),
            10..100 => {
                let head = [kind, digit(number / 10), digit(number % 10), b'\r', b'\n'];
                bytes.extend_from_slice(&head);
            }
            _ => self.long_head(kind, number),
        }
    }

    fn long_head(&mut self, kind: u8, number: i64) {
        let mut digits = itoa::Buffer::new();
        let bytes = &mut self.output.bytes;
        bytes.push(kind);
        bytes.extend_from_slice(digits.format(number).as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }

    fn line(&mut self, kind: u8, text: &str) {
        let bytes = &mut self.output.bytes;
        bytes.push(kind);
        bytes.extend_from_slice(text.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }

    /// `+text`; the text has no line break.
    pub fn simple(&mut self, text: &str) {
        self.line(b'+', text);
    }

    /// `+OK`
    pub fn ok(&mut self) {
        self.output.bytes.extend_from_slice(b"+OK\r\n");
    }

    /// `-text`, with its prefix; line breaks become blanks.
    pub fn error(&mut self, text: &str) {
        let bytes = &mut self.output.bytes;
        bytes.push(b'-');
        bytes.extend(text.bytes().map(|b| if b == b'\r' || b == b'\n' { b' ' } else { b }));
        bytes.extend_from_slice(b"\r\n");
    }

    /// `-text` of raw bytes, for messages that quote a client's argument.
    pub fn error_bytes(&mut self, text: &[u8]) {
        let bytes = &mut self.output.bytes;
        bytes.push(b'-');
        bytes.extend(text.iter().map(|&b| if b == b'\r' || b == b'\n' { b' ' } else { b }));
        bytes.extend_from_slice(b"\r\n");
    }

    /// `:number`
    pub fn integer(&mut self, number: i64) {
        self.head(b':', number);
    }

    /// A bulk string, copied.
    pub fn bulk(&mut self, value: &[u8]) {
        self.head(b'$', value.len() as i64);
        let bytes = &mut self.output.bytes;
        bytes.extend_from_slice(value);
        bytes.extend_from_slice(b"\r\n");
    }

    /// A bulk string that is handed over by reference when it is large.
    pub fn bulk_shared(&mut self, value: Bytes) {
        self.bulk_pieces(value.len(), std::iter::once(value));
    }

    /// A bulk string of `len` bytes in pieces.
    pub fn bulk_pieces(&mut self, len: usize, pieces: impl Iterator<Item = Bytes>) {
        self.head(b'$', len as i64);
        for piece in pieces {
            if piece.len() < SHARED_BULK_BYTES_MIN {
                self.output.push_bytes(&piece);
            } else {
                self.output.push_shared(piece);
            }
        }
        self.output.bytes.extend_from_slice(b"\r\n");
    }

    /// A bulk string of a number's decimal digits.
    pub fn bulk_integer(&mut self, number: i64) {
        let mut digits = itoa::Buffer::new();
        self.bulk(digits.format(number).as_bytes());
    }

    /// The null value (`$-1` in RESP2).
    pub fn null(&mut self) {
        let null: &[u8] = if self.protocol == Protocol::Resp3 { b"_\r\n" } else { b"$-1\r\n" };
        self.output.bytes.extend_from_slice(null);
    }

    /// The null array (`*-1` in RESP2).
    pub fn null_array(&mut self) {
        let null: &[u8] = if self.protocol == Protocol::Resp3 { b"_\r\n" } else { b"*-1\r\n" };
        self.output.bytes.extend_from_slice(null);
    }

    /// An array of `len` replies that follow.
    pub fn array(&mut self, len: usize) {
        self.head(b'*', len as i64);
    }

    /// A map of `len` pairs that follow (an array of twice as many in RESP2).
    pub fn map(&mut self, len: usize) {
        match self.protocol {
            Protocol::Resp2 => self.head(b'*', 2 * len as i64),
            Protocol::Resp3 => self.head(b'%', len as i64),
        }
    }

    /// A set of `len` replies that follow (an array in RESP2).
    pub fn set(&mut self, len: usize) {
        let kind = if self.protocol == Protocol::Resp3 { b'~' } else { b'*' };
        self.head(kind, len as i64);
    }

    /// An out-of-band push of `len` replies that follow (an array in RESP2).
    pub fn push(&mut self, len: usize) {
        let kind = if self.protocol == Protocol::Resp3 { b'>' } else { b'*' };
        self.head(kind, len as i64);
    }

    /// A boolean (1 or 0 in RESP2).
    pub fn boolean(&mut self, value: bool) {
        match (self.protocol, value) {
            (Protocol::Resp2, _) => self.integer(i64::from(value)),
            (Protocol::Resp3, true) => self.output.bytes.extend_from_slice(b"#t\r\n"),
            (Protocol::Resp3, false) => self.output.bytes.extend_from_slice(b"#f\r\n"),
        }
    }

    /// A number already formatted as Redis formats doubles (a bulk string in RESP2).
    pub fn double_text(&mut self, text: &str) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(text.as_bytes()),
            Protocol::Resp3 => self.line(b',', text),
        }
    }

    /// Text with a three letter format, `txt` or `mkd` (a bulk string in RESP2).
    pub fn verbatim(&mut self, format: &str, text: &str) {
        debug_assert_eq!(format.len(), 3);
        match self.protocol {
            Protocol::Resp2 => self.bulk(text.as_bytes()),
            Protocol::Resp3 => {
                self.head(b'=', text.len() as i64 + 4);
                let bytes = &mut self.output.bytes;
                bytes.extend_from_slice(format.as_bytes());
                bytes.push(b':');
                bytes.extend_from_slice(text.as_bytes());
                bytes.extend_from_slice(b"\r\n");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_length_are_written() {
        for number in [i64::MIN, -10, -1, 0, 9, 10, 42, 99, 100, 1234, i64::MAX] {
            let mut output = Output::default();
            Reply::new(&mut output, Protocol::Resp2).integer(number);
            assert_eq!(output.bytes, format!(":{number}\r\n").into_bytes());
        }
        let mut output = Output::default();
        Reply::new(&mut output, Protocol::Resp2).bulk(&[b'x'; 12]);
        assert_eq!(output.bytes, b"$12\r\nxxxxxxxxxxxx\r\n");
    }
}
