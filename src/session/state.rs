//! The state of one client between two commands.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Relaxed};

use crate::engine::Engine;
use crate::engine::staging::Staged;
use crate::error::Error;
use crate::resp::write::Protocol;
use crate::types::Durability;

use super::clients::Client;
use super::fieldsets::Fieldsets;
use super::transaction::Transaction;

/// What CLIENT REPLY asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ReplyMode {
    /// Replies are sent.
    #[default]
    On,
    /// None are sent.
    Off,
    /// That of the next command is not sent.
    Skip,
    /// That of the command under way is not sent.
    Skipping,
}

/// The keys a client watches, and whether one of them changed.
#[derive(Default)]
pub struct Watches {
    keys: Vec<(u32, Box<[u8]>)>,
    changed: Arc<AtomicBool>,
}

impl Watches {
    /// Watches one more key.
    ///
    /// # Errors
    /// When the engine has stopped.
    pub fn add(&mut self, engine: &Engine, db: u32, key: &[u8]) -> Result<(), Error> {
        if self.keys.iter().any(|(d, k)| *d == db && **k == *key) {
            return Ok(());
        }
        engine.watch(&engine.key(db, key), &self.changed)?;
        self.keys.push((db, key.into()));
        Ok(())
    }

    /// Watches nothing any more.
    pub fn clear(&mut self, engine: &Engine) {
        if self.keys.is_empty() {
            return;
        }
        for (db, key) in self.keys.drain(..) {
            // An engine that has stopped watches nothing either.
            let _ = engine.unwatch(&engine.key(db, &key), &self.changed);
        }
        // A fresh flag: a writer that still holds the old one must not spoil the next transaction.
        self.changed = Arc::default();
    }

    /// The keys.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = (u32, &[u8])> {
        self.keys.iter().map(|(db, key)| (*db, &key[..]))
    }

    /// Whether one of them changed.
    pub fn changed(&self) -> bool {
        self.changed.load(Acquire)
    }
}

/// One client's state. Its face to other clients is [`Client`].
pub struct Session {
    /// The client's entry in the registry.
    pub client: Arc<Client>,
    /// The selected database.
    pub db: u32,
    /// The protocol of replies.
    pub protocol: Protocol,
    /// The client's own durability level, where it chose one.
    pub durability: Option<Durability>,
    /// The commands between MULTI and EXEC.
    pub transaction: Option<Transaction>,
    /// WATCH.
    pub watches: Watches,
    /// HIMPORT.
    pub fieldsets: Fieldsets,
    /// What has been logged ahead for the command under way.
    pub staged: Vec<Arc<Staged>>,
    /// A cold key of the command under way could not be read, or something not be logged ahead; the
    /// text of its error.
    pub fetch_failure: Option<String>,
    authenticated: bool,
    reply_mode: ReplyMode,
    attention: bool,
}

impl Session {
    /// A fresh client.
    pub fn new(client: Arc<Client>, authenticated: bool) -> Session {
        let mut session = Session {
            client,
            db: 0,
            protocol: Protocol::Resp2,
            durability: None,
            transaction: None,
            watches: Watches::default(),
            fieldsets: Fieldsets::default(),
            staged: Vec::new(),
            fetch_failure: None,
            authenticated,
            reply_mode: ReplyMode::On,
            attention: false,
        };
        session.look_closer();
        session
    }

    /// Whether something about the client needs more than the plain way of a command.
    #[inline]
    pub fn needs_attention(&self) -> bool {
        self.attention
    }

    fn look_closer(&mut self) {
        self.attention =
            !self.authenticated || self.transaction.is_some() || self.reply_mode != ReplyMode::On;
    }

    /// Whether the client has authenticated, or need not.
    pub fn is_authenticated(&self) -> bool {
        self.authenticated
    }

    /// The client has authenticated, or has lost that.
    pub fn set_authenticated(&mut self, authenticated: bool) {
        self.authenticated = authenticated;
        self.look_closer();
    }

    /// The reply mode.
    pub fn reply_mode(&self) -> ReplyMode {
        self.reply_mode
    }

    /// Whether what is replied now is not sent.
    pub fn is_muted(&self) -> bool {
        matches!(self.reply_mode, ReplyMode::Off | ReplyMode::Skipping)
    }

    /// Sets the reply mode.
    pub fn set_reply_mode(&mut self, mode: ReplyMode) {
        self.reply_mode = mode;
        self.look_closer();
    }

    /// Opens a transaction.
    pub fn open_transaction(&mut self) {
        self.transaction = Some(Transaction::default());
        self.client.set_queued(0);
        self.look_closer();
    }

    /// Takes the transaction, which is over then.
    pub fn close_transaction(&mut self) -> Option<Transaction> {
        let transaction = self.transaction.take();
        self.client.set_queued(-1);
        self.look_closer();
        transaction
    }

    /// Watches one more key of the selected database.
    ///
    /// # Errors
    /// When the engine has stopped.
    pub fn watch(&mut self, engine: &Engine, key: &[u8]) -> Result<(), Error> {
        self.watches.add(engine, self.db, key)?;
        self.client.watch(self.watches.changed.clone());
        Ok(())
    }

    /// Watches nothing any more.
    pub fn unwatch(&mut self, engine: &Engine) {
        if self.watches.keys().len() > 0 {
            self.watches.clear(engine);
            self.client.watch(self.watches.changed.clone());
        }
    }

    /// Selects a database.
    pub fn select(&mut self, db: u32) {
        self.db = db;
        self.client.db.store(db, Relaxed);
    }

    /// Speaks another protocol from the next reply on.
    pub fn set_protocol(&mut self, protocol: Protocol) {
        self.protocol = protocol;
        self.client.resp3.store(protocol == Protocol::Resp3, Relaxed);
    }

    /// RESET: as if the client had just connected.
    pub fn reset(&mut self, engine: &Engine, authenticated: bool) {
        self.close_transaction();
        self.unwatch(engine);
        self.select(0);
        self.set_protocol(Protocol::Resp2);
        self.durability = None;
        self.fieldsets.discard_all();
        self.client.reset();
        self.reply_mode = ReplyMode::On;
        self.set_authenticated(authenticated);
    }
}
