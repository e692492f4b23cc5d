//! A closed-loop load: many connections on one thread, each with a full pipeline under way.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::client::{command, key, reply_length, value};
use crate::histogram::Histogram;

/// What the connections send.
#[derive(Clone, Copy)]
pub struct Load {
    pub connections: usize,
    /// Commands under way on each connection.
    pub depth: usize,
    /// Of a hundred commands, how many are GET; the others are SET.
    pub get_percent: u64,
    /// Keys that are drawn from.
    pub keys: u64,
    pub seed: u64,
}

/// What came of it.
#[derive(Default)]
pub struct Outcome {
    pub get: Histogram,
    pub set: Histogram,
    pub errors: u64,
}

struct Connection {
    stream: TcpStream,
    out: Vec<u8>,
    written: usize,
    inbox: Vec<u8>,
    /// Start and kind (is GET) of what is under way.
    waiting: VecDeque<(Instant, bool)>,
}

/// Runs a load until `stop`, or for `duration`.
pub fn run(port: u16, load: Load, duration: Duration, stop: &AtomicBool) -> io::Result<Outcome> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut connections = Vec::new();
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    for token in 0..load.connections {
        let blocking = std::net::TcpStream::connect(address)?;
        blocking.set_nodelay(true)?;
        blocking.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(blocking);
        let both = Interest::READABLE | Interest::WRITABLE;
        poll.registry().register(&mut stream, Token(token), both)?;
        let (out, inbox, waiting) = (Vec::new(), Vec::new(), VecDeque::new());
        connections.push(Connection {
            stream,
            out,
            written: 0,
            inbox,
            waiting,
        });
    }
    let mut random = load.seed;
    let mut outcome = Outcome::default();
    let end = Instant::now() + duration;
    for connection in &mut connections {
        connection.refill(&load, &mut random);
        connection.flush()?;
    }
    while Instant::now() < end && !stop.load(Ordering::Relaxed) {
        poll.poll(&mut events, Some(Duration::from_millis(100)))?;
        for event in &events {
            let connection = &mut connections[event.token().0];
            if event.is_readable() {
                connection.receive(&mut outcome)?;
                connection.refill(&load, &mut random);
            }
            connection.flush()?;
        }
    }
    Ok(outcome)
}

impl Connection {
    /// Sends the next pipeline when all of the last was answered.
    fn refill(&mut self, load: &Load, random: &mut u64) {
        if !self.waiting.is_empty() {
            return;
        }
        let now = Instant::now();
        for _ in 0..load.depth {
            let number = next(random) % load.keys;
            let is_get = next(random) % 100 < load.get_percent;
            match is_get {
                true => command(&mut self.out, &[b"GET", key(number).as_bytes()]),
                false => command(
                    &mut self.out,
                    &[b"SET", key(number).as_bytes(), &value(number)],
                ),
            }
            self.waiting.push_back((now, is_get));
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.written < self.out.len() {
            match self.stream.write(&self.out[self.written..]) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.out.clear();
        self.written = 0;
        Ok(())
    }

    fn receive(&mut self, outcome: &mut Outcome) -> io::Result<()> {
        let mut chunk = [0; 64 << 10];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => self.inbox.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let now = Instant::now();
        let mut used = 0;
        while let Some(length) = reply_length(&self.inbox[used..]) {
            outcome.errors += u64::from(self.inbox[used] == b'-');
            used += length;
            if let Some((sent, is_get)) = self.waiting.pop_front() {
                let histogram = if is_get {
                    &mut outcome.get
                } else {
                    &mut outcome.set
                };
                histogram.record(now - sent);
            }
        }
        self.inbox.drain(..used);
        Ok(())
    }
}

/// SplitMix64.
pub fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
