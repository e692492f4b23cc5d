//! Blocking connections: single calls, and the bulk loader.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::load::next;

const TIMEOUT: Duration = Duration::from_secs(120);

/// Commands of the loader that are under way at once.
const LOAD_DEPTH: u64 = 1000;

/// Connections of the loader.
const LOAD_CONNECTIONS: u64 = 2;

/// One connection.
pub struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    pub fn connect(port: u16) -> io::Result<Client> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        Ok(Client {
            stream,
            buffer: Vec::new(),
        })
    }

    /// Sends a command; its reply as it came.
    pub fn call(&mut self, words: &[&str]) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        command(
            &mut out,
            &words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>(),
        );
        self.stream.write_all(&out)?;
        loop {
            if let Some(length) = reply_length(&self.buffer) {
                return Ok(self.buffer.drain(..length).collect());
            }
            let mut chunk = [0; 16 << 10];
            match self.stream.read(&mut chunk)? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                count => self.buffer.extend_from_slice(&chunk[..count]),
            }
        }
    }
}

/// Commands of [`Client::send_all`] that are under way at once.
const SEND_DEPTH: usize = 500;

impl Client {
    /// Sends commands, pipelined; each must be answered by one line that is no error.
    pub fn send_all(&mut self, commands: impl Iterator<Item = Vec<String>>) -> io::Result<()> {
        let mut commands = commands.peekable();
        while commands.peek().is_some() {
            let (mut out, mut sent) = (Vec::new(), 0);
            for words in commands.by_ref().take(SEND_DEPTH) {
                command(
                    &mut out,
                    &words.iter().map(String::as_bytes).collect::<Vec<_>>(),
                );
                sent += 1;
            }
            self.stream.write_all(&out)?;
            while sent > 0 {
                let mut chunk = [0; 16 << 10];
                let count = self.stream.read(&mut chunk)?;
                if count == 0 {
                    return Err(ErrorKind::UnexpectedEof.into());
                }
                if chunk[..count].contains(&b'-') {
                    return Err(io::Error::other("a command was answered with an error"));
                }
                sent -= chunk[..count].iter().filter(|byte| **byte == b'\n').count();
            }
        }
        Ok(())
    }
}

/// Encodes a command.
pub fn command(out: &mut Vec<u8>, words: &[&[u8]]) {
    out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

/// Length of the first reply, when it is there as a whole. Lists are not among what is asked.
pub fn reply_length(buffer: &[u8]) -> Option<usize> {
    let end = buffer.windows(2).position(|pair| pair == b"\r\n")? + 2;
    if buffer[0] != b'$' {
        return Some(end);
    }
    let digits = std::str::from_utf8(&buffer[1..end - 2]).ok()?;
    let length = match digits.parse::<i64>().ok()? {
        -1 => end,
        length => end + usize::try_from(length).ok()? + 2,
    };
    (buffer.len() >= length).then_some(length)
}

/// A key as redis-benchmark names it: 16 bytes.
pub fn key(number: u64) -> String {
    format!("key:{number:012}")
}

/// The value that belongs to a key: 64 bytes that no compression makes smaller.
pub fn value(number: u64) -> Vec<u8> {
    let mut state = number;
    (0..8)
        .flat_map(|_| next(&mut state).to_le_bytes())
        .collect()
}

/// Sets keys `from..to`, each to its value, pipelined over a few connections.
pub fn load(port: u16, from: u64, to: u64) -> Result<(), String> {
    let share = (to - from).div_ceil(LOAD_CONNECTIONS);
    let parts = (0..LOAD_CONNECTIONS).map(|part| {
        let low = from + part * share;
        (low.min(to), (low + share).min(to))
    });
    let threads: Vec<_> = parts
        .map(|(low, high)| std::thread::spawn(move || load_part(port, low, high)))
        .collect();
    for thread in threads {
        let result = thread
            .join()
            .map_err(|_| "the loader panicked".to_owned())?;
        result.map_err(|error| format!("loading: {error}"))?;
    }
    Ok(())
}

fn load_part(port: u16, from: u64, to: u64) -> io::Result<()> {
    let mut client = Client::connect(port)?;
    let mut out = Vec::new();
    let mut next = from;
    while next < to {
        out.clear();
        let count = LOAD_DEPTH.min(to - next);
        for number in next..next + count {
            command(&mut out, &[b"SET", key(number).as_bytes(), &value(number)]);
        }
        client.stream.write_all(&out)?;
        let mut replies = vec![0; 5 * count as usize];
        client.stream.read_exact(&mut replies)?;
        if !replies.chunks(5).all(|reply| reply == b"+OK\r\n") {
            return Err(io::Error::other("SET was not answered with OK"));
        }
        next += count;
    }
    Ok(())
}
