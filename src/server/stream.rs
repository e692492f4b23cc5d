//! A socket of either family.

use std::io::{self, IoSlice};
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncReadExt, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use crate::session::clients::Endpoint;

/// A socket as the listener accepted it, not yet bound to a runtime.
pub enum Accepted {
    /// TCP
    Tcp(std::net::TcpStream),
    /// Unix, with the path it was accepted on.
    Unix(std::os::unix::net::UnixStream, String),
}

impl Accepted {
    /// Where it comes from.
    ///
    /// # Errors
    /// When the other side has gone already.
    pub fn endpoint(&self) -> io::Result<Endpoint> {
        Ok(match self {
            Accepted::Tcp(stream) => Endpoint {
                peer: stream.peer_addr()?.to_string(),
                local: stream.local_addr()?.to_string(),
                fd: stream.as_raw_fd(),
                unix: false,
            },
            Accepted::Unix(stream, path) => Endpoint {
                peer: format!("{path}:0"),
                local: format!("{path}:0"),
                fd: stream.as_raw_fd(),
                unix: true,
            },
        })
    }

    /// Binds it to the runtime of this thread.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn attach(self) -> io::Result<Stream> {
        Ok(match self {
            Accepted::Tcp(stream) => Stream::Tcp(TcpStream::from_std(stream)?),
            Accepted::Unix(stream, _) => Stream::Unix(UnixStream::from_std(stream)?),
        })
    }
}

/// A socket of a worker.
pub enum Stream {
    /// TCP
    Tcp(TcpStream),
    /// Unix
    Unix(UnixStream),
}

impl Stream {
    /// Takes it from the runtime of this thread. Where a Unix socket was accepted is forgotten: the
    /// registry knows it.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn detach(self) -> io::Result<Accepted> {
        Ok(match self {
            Stream::Tcp(stream) => Accepted::Tcp(stream.into_std()?),
            Stream::Unix(stream) => Accepted::Unix(stream.into_std()?, String::new()),
        })
    }

    /// Reads into the front of `buffer`; 0 at the end.
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        ready!(match self {
            Stream::Tcp(stream) => Pin::new(stream).poll_read(cx, &mut buffer),
            Stream::Unix(stream) => Pin::new(stream).poll_read(cx, &mut buffer),
        })?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    /// Reads into the spare capacity of `buffer`; 0 at the end.
    pub fn poll_read_vec(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut Vec<u8>,
    ) -> Poll<io::Result<usize>> {
        use std::future::Future;
        match self {
            Stream::Tcp(stream) => std::pin::pin!(stream.read_buf(buffer)).poll(cx),
            Stream::Unix(stream) => std::pin::pin!(stream.read_buf(buffer)).poll(cx),
        }
    }

    /// Writes what the socket takes at once.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.try_write(bytes),
            Stream::Unix(stream) => stream.try_write(bytes),
        }
    }

    /// Writes what the socket takes at once of several pieces.
    pub fn try_write_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.try_write_vectored(pieces),
            Stream::Unix(stream) => stream.try_write_vectored(pieces),
        }
    }

    /// Whether the other side has ended its stream. Costs no system call, and sees what the runtime
    /// has been told: it may come late, but does come.
    pub async fn is_ended(&self) -> io::Result<bool> {
        let ready = match self {
            Stream::Tcp(stream) => stream.ready(Interest::READABLE).await,
            Stream::Unix(stream) => stream.ready(Interest::READABLE).await,
        };
        ready.map(|ready| ready.is_read_closed())
    }

    /// Ready when there may be something to read.
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Stream::Tcp(stream) => stream.poll_read_ready(cx),
            Stream::Unix(stream) => stream.poll_read_ready(cx),
        }
    }

    /// Ready when the socket may take more.
    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Stream::Tcp(stream) => stream.poll_write_ready(cx),
            Stream::Unix(stream) => stream.poll_write_ready(cx),
        }
    }
}
