//! Bytes of one connection that have arrived and were not used up: the beginning of a command, or
//! all that stands behind one that has to wait.
//!
//! Most of the time there are none, and a batch runs right in the buffer that the worker's
//! connections share. Small leftovers go back to the front of that buffer; only large commands are
//! collected in memory of their own, which then becomes the value without a copy.

use std::io;
use std::task::{Context, Poll, ready};

use bytes::Bytes;

use super::stream::Stream;

/// Leftovers up to this size go to the front of the shared buffer, in bytes.
const SMALL_BYTES: usize = 16 << 10;
/// Least growth of a buffer of its own, in bytes.
const GROWTH_BYTES: usize = 64 << 10;
/// Arguments from this size on are kept without a copy, in bytes.
const SHARED_BYTES_MIN: usize = 16 << 10;

/// Where the bytes of a batch stand.
pub enum Batch {
    /// The command at the front is still incomplete; there is nothing to parse.
    Nothing,
    /// The first so many of the shared buffer.
    Scratch(usize),
    /// In memory of their own.
    Owned(Bytes),
}

/// Leftovers of one connection.
#[derive(Default)]
pub struct Input {
    rest: Vec<u8>,
    /// Whether `rest` may hold a whole command.
    is_unread: bool,
}

impl Input {
    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.rest.len()
    }

    /// Keeps what a batch did not use up. `is_unread`: it may hold a whole command already.
    pub fn keep(&mut self, rest: &[u8], is_unread: bool) {
        self.rest.clear();
        self.rest.extend_from_slice(rest);
        self.is_unread = is_unread && !rest.is_empty();
    }

    /// The same, of memory that the batch had of its own: all of it goes back without a copy.
    pub fn keep_owned(&mut self, bytes: Bytes, from: usize, is_unread: bool) {
        if from > 0 {
            return self.keep(&bytes[from..], is_unread);
        }
        self.rest = bytes.into();
        self.is_unread = is_unread && !self.rest.is_empty();
    }

    /// What was left behind a command that had to wait, if anything.
    pub fn take_unread(&mut self) -> Option<Bytes> {
        if !std::mem::take(&mut self.is_unread) {
            return None;
        }
        Some(std::mem::take(&mut self.rest).into())
    }

    /// Reads more; the batch begins with what was left. `missing_bytes` are known to be needed
    /// until the command at its front is complete. None at the end of the stream.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut Stream,
        scratch: &mut [u8],
        missing_bytes: usize,
    ) -> Poll<io::Result<Option<(Batch, usize)>>> {
        let kept = self.rest.len();
        if kept + missing_bytes <= SMALL_BYTES {
            scratch[..kept].copy_from_slice(&self.rest);
            let count = ready!(stream.poll_read(cx, &mut scratch[kept..]))?;
            if count == 0 {
                return Poll::Ready(Ok(None));
            }
            self.rest = Vec::new();
            return Poll::Ready(Ok(Some((Batch::Scratch(kept + count), count))));
        }
        let mut total = 0;
        loop {
            self.reserve(missing_bytes.saturating_sub(total));
            let read = stream.poll_read_vec(cx, &mut self.rest);
            match read {
                Poll::Pending if total == 0 => return Poll::Pending,
                Poll::Ready(Ok(0)) if total == 0 => return Poll::Ready(Ok(None)),
                Poll::Ready(Err(error)) if total == 0 => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(count)) if count > 0 => total += count,
                // What ended or failed does so again at the next call.
                _ => break,
            }
            if total >= missing_bytes.max(GROWTH_BYTES) {
                break;
            }
        }
        let batch = match total < missing_bytes {
            true => Batch::Nothing,
            false => Batch::Owned(std::mem::take(&mut self.rest).into()),
        };
        Poll::Ready(Ok(Some((batch, total))))
    }

    /// Makes room, by no more than has arrived or a fixed step beyond it (D11): exactly for the end
    /// of the command when that is near, so that its buffer can become the value.
    fn reserve(&mut self, missing_bytes: usize) {
        if self.rest.capacity() > self.rest.len() {
            return;
        }
        let most = self.rest.len().max(GROWTH_BYTES);
        match missing_bytes {
            0 => self.rest.reserve(most),
            missing => self.rest.reserve_exact(missing.min(most)),
        }
    }
}

/// The owner of a batch's bytes, if an argument of this command may keep it alive: one that makes
/// up most of it.
pub fn owner_for<'b>(owner: Option<&'b Bytes>, ranges: &[(u32, u32)]) -> Option<&'b Bytes> {
    let owner = owner?;
    let longest = ranges.iter().map(|(start, end)| (end - start) as usize).max()?;
    (longest >= SHARED_BYTES_MIN && longest >= owner.len() / 4 * 3).then_some(owner)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// Reads once what `sent` puts on the wire behind `kept`.
    fn read(input: &mut Input, sent: &[u8], scratch: &mut [u8], missing: usize) -> Option<Batch> {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().build().unwrap();
        runtime.block_on(async {
            let (mut other, ours) = std::os::unix::net::UnixStream::pair().unwrap();
            ours.set_nonblocking(true).unwrap();
            let mut stream = Stream::Unix(tokio::net::UnixStream::from_std(ours).unwrap());
            other.write_all(sent).unwrap();
            drop(other);
            let poll = |cx: &mut Context<'_>| input.poll_read(cx, &mut stream, scratch, missing);
            let read = std::future::poll_fn(poll).await;
            read.unwrap().map(|(batch, _)| batch)
        })
    }

    #[test]
    fn small_leftovers_go_to_the_front_of_the_shared_buffer() {
        let mut input = Input::default();
        let mut scratch = vec![0; 1024];
        input.keep(b"abc", false);
        let batch = read(&mut input, b"def", &mut scratch, 0);
        assert!(matches!(batch, Some(Batch::Scratch(6))));
        assert_eq!((&scratch[..6], input.len()), (&b"abcdef"[..], 0));
    }

    #[test]
    fn a_large_command_ends_with_its_buffer() {
        let mut input = Input::default();
        let mut scratch = vec![0; 1024];
        let sent = vec![b'x'; 100_000];
        input.keep(b"head", false);
        let Some(Batch::Owned(bytes)) = read(&mut input, &sent, &mut scratch, sent.len()) else {
            panic!("it is complete and large");
        };
        assert_eq!(bytes.len(), 100_004);
        let owned: Vec<u8> = bytes.into();
        assert!(owned.capacity() < 2 * owned.len());
    }

    #[test]
    fn room_follows_what_arrived_and_not_what_was_announced() {
        let mut input = Input::default();
        let mut scratch = vec![0; 1024];
        input.keep(b"head", false);
        let batch = read(&mut input, b"little", &mut scratch, 512 << 20);
        assert!(matches!(batch, Some(Batch::Nothing)));
        assert_eq!(input.len(), 10);
        assert!(input.rest.capacity() <= 2 * GROWTH_BYTES);
    }

    #[test]
    fn the_end_of_the_stream_is_told() {
        let mut input = Input::default();
        assert!(read(&mut input, b"", &mut [0; 16], 0).is_none());
        input.keep(b"head", false);
        assert!(read(&mut input, b"", &mut [0; 16], 1 << 20).is_none());
    }

    #[test]
    fn only_arguments_that_make_up_most_of_a_buffer_keep_it() {
        let bytes = Bytes::from(vec![0; 100_000]);
        assert!(owner_for(Some(&bytes), &[(0, 3), (10, 90_010)]).is_some());
        assert!(owner_for(Some(&bytes), &[(0, 3), (10, 60_010)]).is_none());
        assert!(owner_for(None, &[(0, 90_000)]).is_none());
        let small = Bytes::from(vec![0; 100]);
        assert!(owner_for(Some(&small), &[(0, 100)]).is_none());
    }
}
