//! Reads all that an engine holds, as a server would.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use firn::engine::Engine;
use firn::engine::begin::{Begin, Intent};
use firn::error::Result;

use crate::content::Content;

/// What keys hold, by database and name, each with its deadline.
pub type Contents = BTreeMap<(u32, Vec<u8>), (Content, Option<u64>)>;

/// All keys of all databases.
///
/// # Errors
/// When one of them cannot be read.
pub fn contents(engine: &Engine) -> Result<Contents> {
    let mut contents = Contents::new();
    for db in 0..engine.options().databases {
        let mut cursor = 0;
        loop {
            let page = engine.scan(db, cursor, 10)?;
            for name in page.keys {
                if let Some(held) = content(engine, db, &name)? {
                    contents.insert((db, name), held);
                }
            }
            cursor = page.next;
            if cursor == 0 {
                break;
            }
        }
    }
    Ok(contents)
}

/// What a key holds, without the fields that are past their deadline.
///
/// # Errors
/// When it cannot be read.
pub fn content(engine: &Engine, db: u32, name: &[u8]) -> Result<Option<(Content, Option<u64>)>> {
    let keys = [engine.key(db, name)];
    loop {
        match engine.begin(&keys, Intent::read(engine.now_ms())) {
            Begin::Ready(mut unit) => {
                let now_ms = unit.now_ms();
                return Ok(unit.get(&keys[0]).map(|view| {
                    let (content, _) = Content::of(view.value);
                    (content.at(now_ms), view.expire_at_ms)
                }));
            }
            Begin::Cold(cold) => {
                let outcome = Arc::new(Mutex::new(Ok(())));
                let slot = outcome.clone();
                let done = move |done| *slot.lock().expect("nothing panics under it") = done;
                engine.fetch(cold, Box::new(done));
                std::mem::replace(&mut *outcome.lock().expect("nothing panics under it"), Ok(()))?;
            }
            Begin::Wait => engine.sync()?,
            Begin::Refused(error) => return Err(error),
        }
    }
}
