//! Units for work off the worker: what a connection would wait for is waited for in place.

use std::sync::mpsc;
use std::time::Duration;

use crate::engine::unit::{Key, Unit};
use crate::engine::{Begin, Engine, Intent};
use crate::session::unknown::refusal_text;
use crate::types::Lsn;

/// How long a full log queue is left alone before it is asked again.
const LOG_ROOM_WAIT: Duration = Duration::from_millis(1);

/// Runs `body` in a unit over `keys`, cold ones too; the LSN is what its answer reveals.
///
/// # Errors
/// The text of an error reply.
pub fn with_unit<T>(
    engine: &Engine,
    keys: &[Key<'_>],
    intent: impl Fn() -> Intent,
    body: impl FnOnce(&mut Unit<'_>) -> T,
) -> Result<(T, Lsn), String> {
    loop {
        match engine.begin(keys, intent()) {
            Begin::Ready(mut unit) => {
                let answer = body(&mut unit);
                return Ok((answer, unit.finish().observed));
            }
            Begin::Cold(fetch) => {
                let (sender, receiver) = mpsc::channel();
                let done = move |result| {
                    let _ = sender.send(result);
                };
                engine.fetch(fetch, Box::new(done));
                if let Ok(Err(error)) = receiver.recv() {
                    return Err(format!("ERR {error}"));
                }
            }
            Begin::Wait => {
                engine.request_sync(engine.last_lsn());
                std::thread::sleep(LOG_ROOM_WAIT);
            }
            Begin::Refused(error) => return Err(refusal_text(&error)),
        }
    }
}
