//! A blocking client of RESP2 and RESP3. Every read is bounded in time, so that no test can hang.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::value::Value;

/// Longest wait for a byte.
pub const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Deepest nesting of a reply that the client reads.
const DEPTH_MAX: usize = 16;

/// One connection.
pub struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    pub fn connect(port: u16) -> io::Result<Client> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(READ_TIMEOUT))?;
        stream.set_write_timeout(Some(READ_TIMEOUT))?;
        let stream = BufReader::with_capacity(64 << 10, stream);
        Ok(Client { stream })
    }

    pub fn set_read_timeout(&mut self, timeout: Duration) -> io::Result<()> {
        self.stream.get_ref().set_read_timeout(Some(timeout))
    }

    /// A second handle of the socket, to write or shut down from another thread.
    pub fn try_clone_stream(&self) -> io::Result<TcpStream> {
        self.stream.get_ref().try_clone()
    }

    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    pub fn send<A: AsRef<[u8]>>(&mut self, args: &[A]) -> io::Result<()> {
        let mut out = Vec::new();
        encode(&mut out, args);
        self.send_raw(&out)
    }

    /// Sends a command and reads its reply.
    pub fn call<A: AsRef<[u8]>>(&mut self, args: &[A]) -> io::Result<Value> {
        self.send(args)?;
        self.read()
    }

    /// [`Client::call`] for tests that cannot go on without an answer.
    pub fn ask(&mut self, words: &[&str]) -> Value {
        match self.call(words) {
            Ok(value) => value,
            Err(error) => panic!("{words:?}: {error}"),
        }
    }

    /// Whether the server closed the connection, without another byte.
    pub fn is_closed(&mut self) -> bool {
        match self.stream.fill_buf() {
            Ok(bytes) => bytes.is_empty(),
            Err(error) => error.kind() == ErrorKind::ConnectionReset,
        }
    }

    /// Reads one reply.
    pub fn read(&mut self) -> io::Result<Value> {
        self.read_nested(0)
    }

    fn read_nested(&mut self, depth: usize) -> io::Result<Value> {
        if depth > DEPTH_MAX {
            return Err(bad("a reply is nested too deeply"));
        }
        let line = self.read_line()?;
        let (kind, rest) = line.split_first().ok_or_else(|| bad("an empty line"))?;
        Ok(match kind {
            b'+' => Value::Simple(rest.to_vec()),
            b'-' => Value::Error(rest.to_vec()),
            b':' => Value::Integer(number(rest)?),
            b',' => Value::Double(rest.to_vec()),
            b'(' => Value::BigNumber(rest.to_vec()),
            b'#' => Value::Boolean(rest == b"t"),
            b'_' => Value::Null,
            b'$' if rest == b"-1" => Value::NullBulk,
            b'*' if rest == b"-1" => Value::NullArray,
            b'$' => Value::Bulk(self.read_bulk(number(rest)?)?),
            b'=' => Value::Verbatim(self.read_bulk(number(rest)?)?),
            b'*' => Value::Array(self.read_items(number(rest)?, depth)?),
            b'~' => Value::Set(self.read_items(number(rest)?, depth)?),
            b'>' => Value::Push(self.read_items(number(rest)?, depth)?),
            b'%' => {
                let mut items = self.read_items(2 * number(rest)?, depth)?.into_iter();
                let mut pairs = Vec::new();
                while let (Some(name), Some(value)) = (items.next(), items.next()) {
                    pairs.push((name, value));
                }
                Value::Map(pairs)
            }
            _ => return Err(bad(&format!("not a reply: {}", super::value::quote(&line)))),
        })
    }

    fn read_line(&mut self) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line)?;
        if !line.ends_with(b"\r\n") {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        line.truncate(line.len() - 2);
        Ok(line)
    }

    fn read_bulk(&mut self, length: i64) -> io::Result<Vec<u8>> {
        let length = usize::try_from(length).map_err(|_| bad("a negative length"))?;
        let mut bytes = vec![0; length + 2];
        self.stream.read_exact(&mut bytes)?;
        if !bytes.ends_with(b"\r\n") {
            return Err(bad("a bulk string without its end"));
        }
        bytes.truncate(length);
        Ok(bytes)
    }

    fn read_items(&mut self, count: i64, depth: usize) -> io::Result<Vec<Value>> {
        (0..count).map(|_| self.read_nested(depth + 1)).collect()
    }
}

/// Encodes a command as an array of bulk strings.
pub fn encode<A: AsRef<[u8]>>(out: &mut Vec<u8>, args: &[A]) {
    out.extend_from_slice(format!("*{}\r\n", args.len()).as_bytes());
    for arg in args {
        let arg = arg.as_ref();
        out.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
}

fn number(text: &[u8]) -> io::Result<i64> {
    let text = std::str::from_utf8(text).map_err(|_| bad("not a number"))?;
    text.parse().map_err(|_| bad(&format!("not a number: {text}")))
}

fn bad(reason: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, reason.to_owned())
}
