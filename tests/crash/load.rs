//! The load: writers that pipeline unique values to keys of their own, and a reader.

use std::io;
use std::sync::Mutex;

use crate::TORN_KEYS;
use crate::history::{Change, Unit};
use crate::support::client::{Client, encode};
use crate::support::prng::Prng;
use crate::support::value::Value;

/// A counter that all connections increment.
pub const COUNTER: &str = "shared:counter";

/// Deepest pipeline.
const DEPTH_MAX: u64 = 48;

/// Plain keys of one writer.
const KEYS: u64 = 200;

/// Deadlines are this far away, in seconds.
const EXPIRE_SECONDS: &str = "1000000";

/// What the connections know of each other's writes.
#[derive(Default)]
pub struct Shared {
    counter: Mutex<i64>,
    /// For each writer, the highest command that somebody else has read.
    seen: Mutex<Vec<u64>>,
}

impl Shared {
    /// Highest acknowledged value of the counter.
    pub fn counter(&self) -> i64 {
        *self.counter.lock().expect("no panic under the lock")
    }

    /// Highest command of a writer that the reader has seen.
    pub fn seen_of(&self, writer: usize) -> u64 {
        let seen = self.seen.lock().expect("no panic under the lock");
        seen.get(writer).copied().unwrap_or(0)
    }

    fn note_counter(&self, value: i64) {
        let mut counter = self.counter.lock().expect("no panic under the lock");
        *counter = value.max(*counter);
    }

    fn note_seen(&self, writer: usize, sequence: u64) {
        let mut seen = self.seen.lock().expect("no panic under the lock");
        if seen.len() <= writer {
            seen.resize(writer + 1, 0);
        }
        seen[writer] = sequence.max(seen[writer]);
    }
}

/// One connection that writes.
pub struct Writer {
    pub id: usize,
    pub sent: Vec<Unit>,
    /// How many of `sent` were acknowledged.
    pub acknowledged: usize,
    random: Prng,
    next: u64,
}

/// What a batch expects back for one unit.
enum Awaited {
    /// A reply that acknowledges the next unit.
    Unit,
    /// MULTI and QUEUED, of which nothing follows.
    Nothing,
    /// The counter.
    Counter,
    /// The EXEC that sets the common keys.
    Together,
}

impl Writer {
    pub fn new(id: usize, seed: u64, next: u64) -> Writer {
        Writer { id, sent: Vec::new(), acknowledged: 0, random: Prng::new(seed), next }
    }

    /// Writes until the server is gone.
    pub fn run(&mut self, port: u16, shared: &Shared) {
        let Ok(mut client) = Client::connect(port) else {
            return;
        };
        loop {
            let mut out = Vec::new();
            let mut awaited = Vec::new();
            for _ in 0..=self.random.below(DEPTH_MAX) {
                self.command(&mut out, &mut awaited);
            }
            if client
                .send_raw(&out)
                .and_then(|()| self.read(&mut client, &awaited, shared))
                .is_err()
            {
                return;
            }
        }
    }

    fn read(
        &mut self,
        client: &mut Client,
        awaited: &[Awaited],
        shared: &Shared,
    ) -> io::Result<()> {
        for kind in awaited {
            let reply = client.read()?;
            if let Value::Error(text) = &reply {
                // A server that is shutting down may refuse; then nothing more is acknowledged.
                return Err(io::Error::other(String::from_utf8_lossy(text).into_owned()));
            }
            match kind {
                Awaited::Unit => self.acknowledged += 1,
                Awaited::Counter => shared.note_counter(reply.integer().unwrap_or(0)),
                Awaited::Nothing | Awaited::Together => {}
            }
        }
        Ok(())
    }

    fn command(&mut self, out: &mut Vec<u8>, awaited: &mut Vec<Awaited>) {
        match self.random.below(100) {
            0..3 => {
                encode(out, &["INCR", COUNTER]);
                awaited.push(Awaited::Counter);
            }
            3..8 => self.together(out, awaited),
            8..14 => {
                let count = 2 + self.random.below(3);
                let changes: Vec<Change> = (0..count).map(|_| self.change()).collect();
                encode(out, &["MULTI"]);
                awaited.push(Awaited::Nothing);
                for change in &changes {
                    send(out, change);
                    awaited.push(Awaited::Nothing);
                }
                encode(out, &["EXEC"]);
                self.unit(changes, awaited);
            }
            14..17 => {
                let changes = (0..3).map(|_| self.set()).collect::<Vec<_>>();
                let mut words = vec![b"MSET".to_vec()];
                for change in &changes {
                    if let Change::Set { key, value } = change {
                        words.push(key.clone());
                        words.push(value.clone());
                    }
                }
                encode(out, &words);
                self.unit(changes, awaited);
            }
            _ => {
                let change = self.change();
                send(out, &change);
                self.unit(vec![change], awaited);
            }
        }
    }

    fn unit(&mut self, changes: Vec<Change>, awaited: &mut Vec<Awaited>) {
        self.sent.push(Unit { sequence: self.next, changes });
        self.next += 1;
        awaited.push(Awaited::Unit);
    }

    /// One EXEC that sets keys of all connections to one value.
    fn together(&mut self, out: &mut Vec<u8>, awaited: &mut Vec<Awaited>) {
        let value = format!("{}:{}", self.id, self.random.next());
        encode(out, &["MULTI"]);
        for key in TORN_KEYS {
            encode(out, &["SET", key, &value]);
        }
        encode(out, &["EXEC"]);
        awaited.extend((0..=TORN_KEYS.len()).map(|_| Awaited::Nothing));
        awaited.push(Awaited::Together);
    }

    fn set(&mut self) -> Change {
        let key = key_of(self.id, self.random.below(KEYS));
        let padding = "p".repeat(self.random.below(150) as usize);
        // The number of the command leads, so that a reader knows what it has seen.
        let value = format!("{}:{}:{padding}", self.id, self.next).into_bytes();
        Change::Set { key, value }
    }

    fn change(&mut self) -> Change {
        let id = self.id;
        let text = format!("<{}.{}>", id, self.next).into_bytes();
        let named = |kind: &str, number: u64| format!("{kind}:{id}:{number}").into_bytes();
        match self.random.below(100) {
            0..45 => self.set(),
            45..60 => Change::Increment { key: named("counter", self.random.below(10)) },
            60..70 => Change::Append { key: named("text", self.random.below(20)), value: text },
            70..72 => {
                // Beyond one page of a paged string, so that pages are logged and flushed alone.
                let value = text.repeat(self.random.below(5_000) as usize + 1);
                Change::Set { key: named("large", self.random.below(4)), value }
            }
            72..82 => {
                let offset = self.random.below(150_000) as usize;
                Change::SetRange { key: named("large", self.random.below(4)), offset, value: text }
            }
            82..92 => {
                let number = self.random.below(KEYS);
                let key = match self.random.below(10) {
                    0 => named("text", number % 20),
                    1 => named("large", number % 4),
                    2 => named("counter", number % 10),
                    _ => key_of(id, number),
                };
                Change::Delete { key }
            }
            _ => Change::Expire { key: key_of(id, self.random.below(KEYS)) },
        }
    }
}

fn key_of(writer: usize, number: u64) -> Vec<u8> {
    format!("key:{writer}:{number}").into_bytes()
}

fn send(out: &mut Vec<u8>, change: &Change) {
    let key = change.key();
    match change {
        Change::Set { value, .. } => encode(out, &[b"SET", key, value]),
        Change::Increment { .. } => encode(out, &[b"INCR", key]),
        Change::Append { value, .. } => encode(out, &[b"APPEND", key, value]),
        Change::SetRange { offset, value, .. } => {
            encode(out, &[b"SETRANGE", key, offset.to_string().as_bytes(), value]);
        }
        Change::Delete { .. } => encode(out, &[b"DEL", key]),
        Change::Expire { .. } => encode(out, &[b"EXPIRE", key, EXPIRE_SECONDS.as_bytes()]),
    }
}

/// Reads keys of all writers: what was answered must survive, acknowledged or not.
pub fn observe(port: u16, seed: u64, shared: &Shared) {
    let mut random = Prng::new(seed);
    let Ok(mut client) = Client::connect(port) else {
        return;
    };
    loop {
        let writer = random.below(crate::WRITERS as u64) as usize;
        let Ok(reply) = client.call(&[b"GET".to_vec(), key_of(writer, random.below(KEYS))]) else {
            return;
        };
        let text = String::from_utf8_lossy(reply.bytes().unwrap_or_default()).into_owned();
        let mut fields = text.split(':').skip(1);
        if let Some(sequence) = fields.next().and_then(|field| field.parse().ok()) {
            shared.note_seen(writer, sequence);
        }
    }
}
