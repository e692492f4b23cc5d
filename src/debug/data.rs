//! DEBUG on data: OBJECT, DIGEST, DIGEST-VALUE, RELOAD, LOADAOF. All of it runs off the worker.

use std::sync::Arc;

use crate::command::spec::Failure;
use crate::engine::unit::{Key, ValueRef, View};
use crate::engine::{Engine, Intent};
use crate::generic::object::{encoding, references};
use crate::info::server::lru_clock;
use crate::resp::write::{Output, Protocol, Reply};
use crate::session::call::{Outcome, SessionCall};
use crate::transfer::dump::encode;
use crate::types::Lsn;

use super::blocking::with_unit;
use super::digest::Digest;

/// Bytes of a DUMP payload that are not the value: its type, version and checksum.
const PAYLOAD_FRAME_BYTES: usize = 11;
/// Keys whose values are looked at under one lock hold.
const KEYS_AT_ONCE: usize = 64;

/// Runs work on the engine off the worker; its text is the reply, and its LSN what that reveals.
fn answer(
    call: &mut SessionCall<'_, '_, '_>,
    work: impl FnOnce(&Engine, &mut Reply<'_>) -> Result<Lsn, String> + Send + 'static,
) {
    let engine: Arc<Engine> = call.services().engine.clone();
    let gate = call.dispatcher.gate(call.session, Lsn::MAX);
    let run = move |out: &mut Output, protocol: Protocol| {
        let mark = out.mark();
        match work(&engine, &mut Reply::new(out, protocol)) {
            Ok(observed) => observed.min(gate),
            Err(text) => {
                out.truncate(mark);
                Reply::new(out, protocol).error(&text);
                0
            }
        }
    };
    call.outcome = Outcome::Job(Box::new(run));
}

/// DEBUG OBJECT
pub fn object(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    let (db, key) = (call.session.db, call.args.get(2).to_vec());
    answer(call, move |engine, reply| {
        let key = engine.key(db, &key);
        let now_ms = engine.now_ms();
        let (line, observed) = with_unit(
            engine,
            &[key],
            || Intent::read(now_ms),
            |unit| {
                let view = unit.probe(&key);
                view.map(|view| describe(&view, now_ms))
            },
        )?;
        reply.simple(&line.ok_or("ERR no such key")?);
        Ok(observed)
    });
    Ok(())
}

/// The line of DEBUG OBJECT.
fn describe(view: &View<'_>, now_ms: u64) -> String {
    let payload: usize = encode(view.value).iter().map(|piece| piece.len()).sum();
    let address = match view.value {
        ValueRef::String(value) => value.flat().map_or(0, |bytes| bytes.as_ptr().addr()),
        ValueRef::Packed(blob) => blob.as_ptr().addr(),
        ValueRef::Collection(collection) => std::ptr::from_ref(collection).addr(),
    };
    let accessed_ms = now_ms.saturating_sub(view.idle_seconds() * 1000);
    format!(
        "Value at:{address:#x} refcount:{} encoding:{} serializedlength:{} lru:{} \
         lru_seconds_idle:{}",
        references(view.value),
        encoding(view.value),
        payload - PAYLOAD_FRAME_BYTES,
        lru_clock(accessed_ms),
        view.idle_seconds()
    )
}

/// DEBUG DIGEST-VALUE
pub fn digest_value(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    let db = call.session.db;
    let keys: Vec<Vec<u8>> = call.args.iter_from(2).map(<[u8]>::to_vec).collect();
    answer(call, move |engine, reply| {
        let mut highest = 0;
        reply.array(keys.len());
        for key in &keys {
            let key = engine.key(db, key);
            let intent = || Intent::read(engine.now_ms());
            let (digest, observed) = with_unit(engine, &[key], intent, |unit| {
                let view = unit.probe(&key);
                view.map_or_else(Digest::default, |view| Digest::of_value(&view))
            })?;
            highest = highest.max(observed);
            reply.simple(&digest.hex());
        }
        Ok(highest)
    });
    Ok(())
}

/// DEBUG DIGEST
pub fn digest(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    let databases = call.dispatcher.settings.databases;
    answer(call, move |engine, reply| {
        let mut total = Digest::default();
        for db in 0..databases {
            digest_database(engine, db, &mut total)?;
        }
        reply.simple(&total.hex());
        Ok(engine.last_lsn())
    });
    Ok(())
}

/// Adds a database, unless it is empty.
fn digest_database(engine: &Engine, db: u32, total: &mut Digest) -> Result<(), String> {
    let mut cursor = 0;
    let mut has_begun = false;
    loop {
        let mut unit = engine.begin_scan();
        let page = unit.scan(db, cursor, KEYS_AT_ONCE).map_err(|error| format!("ERR {error}"))?;
        unit.finish();
        for names in page.keys.chunks(KEYS_AT_ONCE) {
            let keys: Vec<Key<'_>> = names.iter().map(|name| engine.key(db, name)).collect();
            let intent = || Intent::read(engine.now_ms());
            let (digests, _) = with_unit(engine, &keys, intent, |unit| {
                let digest = |key: &Key<'_>| Some(Digest::of_key(key.bytes, &unit.probe(key)?));
                keys.iter().filter_map(digest).collect::<Vec<Digest>>()
            })?;
            for digest in digests {
                if !std::mem::replace(&mut has_begun, true) {
                    total.begin_database(db);
                }
                total.add_key(digest);
            }
        }
        cursor = page.next;
        if cursor == 0 {
            return Ok(());
        }
    }
}

/// DEBUG RELOAD: a checkpoint, then everything in memory is forgotten and recovered.
pub fn reload(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    let mut saves = true;
    for word in call.args.iter_from(2) {
        match word.to_ascii_lowercase().as_slice() {
            b"nosave" => saves = false,
            // What is recovered is what was there, so nothing can conflict.
            b"merge" | b"noflush" => {}
            _ => {
                return Err(Failure::text(
                    "ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.",
                ));
            }
        }
    }
    recover(call, saves);
    Ok(())
}

/// DEBUG LOADAOF: the same from the log alone.
pub fn load_log(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    recover(call, false);
    Ok(())
}

fn recover(call: &mut SessionCall<'_, '_, '_>, saves: bool) {
    answer(call, move |engine, reply| {
        let saved = if saves { engine.checkpoint() } else { Ok(()) };
        saved.and_then(|()| engine.reload()).map_err(|error| format!("ERR {error}"))?;
        tracing::warn!("memory was forgotten and recovered by DEBUG");
        reply.ok();
        Ok(0)
    });
}
