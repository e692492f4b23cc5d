//! Clients that wait for a key: the call is kept, and answered by whoever makes the key ready.

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::command::args::Args;
use crate::command::block::Block;
use crate::command::encodings::Encodings;
use crate::command::spec::Call;
use crate::engine::unit::{Key, Unit};
use crate::engine::waiting::{Serve, Ticket};
use crate::resp::write::{Output, Protocol, Reply};
use crate::types::Lsn;

use super::dispatch::Dispatcher;
use super::transaction::OwnedArgs;
use super::unknown::failure_text;

/// The call that waits.
pub struct Waiting<'a> {
    /// Its arguments.
    pub args: &'a Args<'a>,
    /// The client's database.
    pub db: u32,
    /// The client's protocol.
    pub protocol: Protocol,
}

/// What a client that waits is told.
pub enum Event {
    /// Its reply, which reveals this LSN.
    Served(Output, Lsn),
    /// One of its keys may be ready: it tries by itself.
    Ready,
    /// It tries by itself in so many milliseconds.
    RetryIn(u64),
}

/// A client that waits, on its connection's side.
pub struct Blocked {
    /// Its place among those who wait.
    pub ticket: Ticket,
    /// What it is told.
    pub events: UnboundedReceiver<Event>,
    /// Milliseconds to wait; none is for ever.
    pub timeout_ms: Option<u64>,
    /// Milliseconds after which it tries by itself.
    pub retry_ms: Option<u64>,
    /// Whether the reply is not sent (CLIENT REPLY).
    pub is_silent: bool,
}

/// The kept call.
struct KeptCall {
    args: OwnedArgs,
    db: u32,
    encodings: Encodings,
    block: Block,
    protocol: Protocol,
    output: Output,
    events: UnboundedSender<Event>,
}

impl Dispatcher<'_> {
    /// Registers a call that found nothing, under the locks under which it found nothing.
    pub fn wait_for(&self, unit: &mut Unit<'_>, call: Waiting<'_>, block: Block) -> Blocked {
        let (sender, events) = unbounded_channel();
        let (timeout_ms, retry_ms) = (block.timeout_ms, block.retry_ms);
        let mut keys: Vec<Key<'_>> = Vec::new();
        for index in block.keys.clone() {
            let key = unit.key(call.db, call.args.get(index));
            // A key that is named twice is waited for once.
            if !keys.iter().any(|known| known.bytes == key.bytes) {
                keys.push(key);
            }
        }
        let kept = KeptCall {
            args: OwnedArgs::with(call.args, &block.resolved),
            db: call.db,
            encodings: self.settings.encodings,
            block,
            protocol: call.protocol,
            output: Output::default(),
            events: sender,
        };
        let ticket = unit.wait_for(&keys, Box::new(kept));
        Blocked { ticket, events, timeout_ms, retry_ms, is_silent: false }
    }
}

impl Serve for KeptCall {
    fn other_key(&self) -> Option<(u32, &[u8])> {
        let index = self.block.other_key?;
        Some((self.db, self.args.get_bytes(index)))
    }

    fn minds_absence(&self) -> bool {
        self.block.minds_absence
    }

    fn is_ready(&self, unit: &mut Unit<'_>, key: &Key<'_>) -> bool {
        self.block.is_enough.is_none_or(|is_enough| is_enough(&self.args.get(), unit, key))
    }

    fn frame_bytes(&self, unit: &mut Unit<'_>, key: &Key<'_>) -> u64 {
        (self.block.served_bytes)(&self.args.get(), unit, key)
    }

    fn serve(&mut self, unit: &mut Unit<'_>, key: &Key<'_>) -> bool {
        let mark = self.output.mark();
        let mut call = Call {
            unit,
            db: self.db,
            args: &self.args.get(),
            encodings: &self.encodings,
            // What waits makes no strings.
            string_bytes_max: 0,
            reply: &mut Reply::new(&mut self.output, self.protocol),
            may_block: false,
            block: None,
        };
        match (self.block.serve)(&mut call, key) {
            Ok(served) => {
                if let Some(ms) = call.block.and_then(|block| block.retry_ms) {
                    let _ = self.events.send(Event::RetryIn(ms));
                }
                served
            }
            Err(failure) => {
                self.output.truncate(mark);
                Reply::new(&mut self.output, self.protocol).error_bytes(&failure_text(failure));
                true
            }
        }
    }

    fn served(self: Box<Self>, lsn: Lsn) {
        // A client that is gone meanwhile has its reply on the way, as if it had just been sent.
        let _ = self.events.send(Event::Served(self.output, lsn));
    }

    fn wake(&self) {
        let _ = self.events.send(Event::Ready);
    }
}
