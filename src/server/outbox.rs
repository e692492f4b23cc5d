//! Replies of one connection on their way out, held back at gates until what they reveal is durable
//! (D2).
//!
//! Commands append to one buffer while the other is being sent, so that a client that never lets
//! the outbox run dry does not let it grow either. Buffers come from the worker's pool and go back
//! when the outbox is empty: an idle connection holds none.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};

use smallvec::SmallVec;

use crate::resp::write::Output;
use crate::types::Lsn;

use super::stream::Stream;

/// Capacity that a pooled buffer keeps, in bytes.
const BUFFER_BYTES_KEPT: usize = 64 << 10;
/// Buffers that a pool keeps.
const POOL_MAX: usize = 64;
/// Pieces handed to one system call.
const PIECES_MAX: usize = 64;

/// Empty buffers of a worker.
#[derive(Default)]
pub struct Pool(Vec<Output>);

impl Pool {
    fn take(&mut self) -> Output {
        self.0.pop().unwrap_or_default()
    }

    fn give(&mut self, mut output: Output) {
        if self.0.len() < POOL_MAX {
            output.clear(BUFFER_BYTES_KEPT);
            self.0.push(output);
        }
    }
}

/// Why an outbox stopped sending.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stopped {
    /// All is sent.
    Empty,
    /// The socket takes no more.
    Full,
    /// What comes next reveals this LSN, which is not durable yet.
    Gated(Lsn),
}

/// Replies on their way out. Offsets count from the first byte the connection ever sent.
#[derive(Default)]
pub struct Outbox {
    filling: Option<Output>,
    sending: Option<Output>,
    /// Offset of the first byte of `sending`, or of `filling` when nothing is being sent.
    start: u64,
    /// Bytes of `sending` that are sent.
    sent: usize,
    /// (offset, LSN): bytes from the offset on wait for the LSN. Both ascend.
    gates: VecDeque<(u64, Lsn)>,
}

impl Outbox {
    /// Where replies are appended.
    pub fn filling(&mut self, pool: &mut Pool) -> &mut Output {
        self.filling.get_or_insert_with(|| pool.take())
    }

    /// Offset behind the last reply.
    pub fn end(&self) -> u64 {
        self.start + (len(&self.sending) + len(&self.filling)) as u64
    }

    /// Bytes that wait.
    pub fn waiting_bytes(&self) -> usize {
        len(&self.sending) - self.sent + len(&self.filling)
    }

    /// Holds the bytes from `offset` on back until `lsn` is durable.
    pub fn gate(&mut self, offset: u64, lsn: Lsn) {
        // Replies keep their order, so a lower LSN behind a higher one needs no gate of its own.
        if self.gates.back().is_none_or(|(_, last)| *last < lsn) {
            self.gates.push_back((offset, lsn));
        }
    }

    /// The highest LSN that replies wait for; 0 for none.
    pub fn highest_gate(&self) -> Lsn {
        self.gates.back().map_or(0, |(_, lsn)| *lsn)
    }

    /// Sends what may be sent; returns the bytes sent and why it stopped.
    ///
    /// # Errors
    /// Those of the socket; the connection is lost.
    pub fn send(
        &mut self,
        stream: &Stream,
        durable: Lsn,
        pool: &mut Pool,
    ) -> io::Result<(usize, Stopped)> {
        let mut total = 0;
        loop {
            if self.sending.is_none() {
                match self.filling.take() {
                    Some(output) if !output.is_empty() => self.sending = Some(output),
                    buffer => {
                        if let Some(buffer) = buffer {
                            pool.give(buffer);
                        }
                        self.gates.clear();
                        return Ok((total, Stopped::Empty));
                    }
                }
            }
            let (limit, gate) = self.limit(durable);
            let Some(output) = &self.sending else {
                unreachable!("a buffer was chosen above");
            };
            while self.sent < limit {
                match write(stream, output, self.sent, limit) {
                    Ok(0) => return Err(ErrorKind::WriteZero.into()),
                    Ok(count) => {
                        self.sent += count;
                        total += count;
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        return Ok((total, Stopped::Full));
                    }
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            if self.sent < output.len() {
                return Ok((total, Stopped::Gated(gate)));
            }
            self.start += self.sent as u64;
            self.sent = 0;
            if let Some(output) = self.sending.take() {
                pool.give(output);
            }
        }
    }

    /// How many bytes of `sending` may be sent, and the LSN that holds back the next one.
    fn limit(&mut self, durable: Lsn) -> (usize, Lsn) {
        while self.gates.front().is_some_and(|(_, lsn)| *lsn <= durable) {
            self.gates.pop_front();
        }
        let len = len(&self.sending);
        match self.gates.front() {
            Some((offset, lsn)) => (len.min((offset - self.start) as usize), *lsn),
            None => (len, 0),
        }
    }
}

fn len(output: &Option<Output>) -> usize {
    output.as_ref().map_or(0, Output::len)
}

fn write(stream: &Stream, output: &Output, from: usize, limit: usize) -> io::Result<usize> {
    if let Some(plain) = output.plain() {
        return stream.try_write(&plain[from..limit]);
    }
    let mut room = limit - from;
    let mut pieces: SmallVec<[IoSlice<'_>; PIECES_MAX]> = SmallVec::new();
    for piece in output.pieces(from).take(PIECES_MAX) {
        let piece = &piece[..piece.len().min(room)];
        room -= piece.len();
        if piece.is_empty() {
            break;
        }
        pieces.push(IoSlice::new(piece));
    }
    stream.try_write_vectored(&pieces)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use tokio::net::UnixStream;

    use super::*;

    struct Line {
        outbox: Outbox,
        pool: Pool,
        stream: Stream,
        other: std::os::unix::net::UnixStream,
    }

    impl Line {
        async fn new() -> Line {
            let (ours, other) = std::os::unix::net::UnixStream::pair().unwrap();
            ours.set_nonblocking(true).unwrap();
            other.set_nonblocking(true).unwrap();
            let stream = UnixStream::from_std(ours).unwrap();
            stream.writable().await.unwrap();
            Line {
                outbox: Outbox::default(),
                pool: Pool::default(),
                stream: Stream::Unix(stream),
                other,
            }
        }

        fn reply(&mut self, bytes: &[u8], lsn: Lsn) {
            let offset = self.outbox.end();
            self.outbox.filling(&mut self.pool).push_bytes(bytes);
            if lsn > 0 {
                self.outbox.gate(offset, lsn);
            }
        }

        fn send(&mut self, durable: Lsn) -> (String, Stopped) {
            let sent = self.outbox.send(&self.stream, durable, &mut self.pool);
            let (count, stopped) = sent.unwrap();
            let mut buffer = vec![0; count];
            self.other.read_exact(&mut buffer).unwrap();
            (String::from_utf8(buffer).unwrap(), stopped)
        }
    }

    fn run(test: impl AsyncFnOnce(Line)) {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().build().unwrap();
        runtime.block_on(async { test(Line::new().await).await });
    }

    #[test]
    fn replies_flow_up_to_the_first_gate_that_is_not_durable() {
        run(async |mut line| {
            line.reply(b"a", 0);
            line.reply(b"b", 5);
            line.reply(b"c", 3);
            line.reply(b"d", 0);
            line.reply(b"e", 7);
            assert_eq!(line.send(4), ("a".into(), Stopped::Gated(5)));
            assert_eq!(line.send(4), ("".into(), Stopped::Gated(5)));
            line.reply(b"f", 6);
            assert_eq!(line.send(6), ("bcd".into(), Stopped::Gated(7)));
            assert_eq!(line.outbox.waiting_bytes(), 2);
            assert_eq!(line.send(7), ("ef".into(), Stopped::Empty));
            assert_eq!(line.outbox.waiting_bytes(), 0);
        });
    }

    #[test]
    fn an_empty_outbox_gives_its_buffers_back() {
        run(async |mut line| {
            line.reply(b"a", 9);
            line.send(0);
            line.reply(b"b", 0);
            line.send(9);
            assert!(line.outbox.filling.is_none() && line.outbox.sending.is_none());
            assert_eq!(line.pool.0.len(), 2);
        });
    }

    #[test]
    fn shared_values_go_out_in_order_and_in_parts() {
        run(async |mut line| {
            line.reply(b"head ", 0);
            let output = line.outbox.filling(&mut line.pool);
            output.push_shared(bytes::Bytes::from_static(b"shared"));
            line.reply(b" tail", 2);
            assert_eq!(line.send(1), ("head shared".into(), Stopped::Gated(2)));
            assert_eq!(line.send(2), (" tail".into(), Stopped::Empty));
        });
    }

    #[test]
    fn a_full_socket_stops_and_goes_on_later() {
        run(async |mut line| {
            let bytes = vec![b'x'; 4 << 20];
            line.reply(&bytes, 0);
            let (mut seen, mut stopped) = line.send(0);
            assert_eq!(stopped, Stopped::Full);
            while stopped == Stopped::Full {
                let Stream::Unix(stream) = &line.stream else { unreachable!() };
                stream.writable().await.unwrap();
                let (part, again) = line.send(0);
                seen.push_str(&part);
                stopped = again;
            }
            assert_eq!((seen.len(), stopped), (bytes.len(), Stopped::Empty));
        });
    }
}
