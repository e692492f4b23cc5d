//! Subcommands of DEBUG that are a few lines each.

use std::sync::Arc;
use std::time::Duration;

use crate::command::glob;
use crate::command::spec::Failure;
use crate::config::directive::parse_bytes;
use crate::resp::write::Reply;
use crate::session::call::{Outcome, SessionCall};
use crate::session::latency::{COMMAND, Sample};
use crate::session::pause::PauseKind;
use crate::session::services::Services;
use crate::session::slowlog::{SlowEntry, shortened};

pub fn nothing(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    call.reply.ok();
    Ok(())
}

/// A number of seconds as C reads it: what is no number, or negative, is none.
pub fn seconds(word: &[u8]) -> Duration {
    let number = std::str::from_utf8(word).ok().and_then(|word| word.parse().ok());
    let seconds: f64 = number.filter(|seconds| *seconds > 0.0).unwrap_or(0.0);
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

/// Nobody is served meanwhile, as in Redis.
pub fn sleep(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    /// A sleep is not longer than a day, so that its end can be told.
    const LONGEST: Duration = Duration::from_secs(86400);
    let time = seconds(call.args.get(2)).min(LONGEST);
    if call.in_exec {
        std::thread::sleep(time);
        call.reply.ok();
        return Ok(());
    }
    let now_ms = call.dispatcher.now_ms;
    let until_ms = now_ms + time.as_millis() as u64;
    if until_ms > now_ms {
        call.services().pause.start(until_ms, PauseKind::All, now_ms);
    }
    let note = slept(call, time);
    call.outcome = Outcome::Job(Box::new(move |out, protocol| {
        std::thread::sleep(time);
        note();
        Reply::new(out, protocol).ok();
        0
    }));
    Ok(())
}

/// What notes a sleep in slow log and latency monitor, where tests look for it.
fn slept(call: &SessionCall<'_, '_, '_>, time: Duration) -> impl FnOnce() + Send + 'static {
    let settings = call.dispatcher.settings;
    let (slow_micros, len_max) = (settings.slow_micros, settings.slowlog_len_max);
    let latency_ms = settings.latency_ms;
    let client = &call.session.client;
    let entry = SlowEntry {
        id: 0,
        time_s: call.dispatcher.now_ms / 1000,
        micros: time.as_micros() as u64,
        args: shortened(call.args, |_| false),
        client: client.endpoint.peer.clone(),
        client_name: client.names().name,
    };
    let services: Arc<Services> = call.dispatcher.services.clone();
    move || {
        let (micros, time_s) = (entry.micros, entry.time_s);
        if u64::try_from(slow_micros).is_ok_and(|limit| micros >= limit) {
            services.slowlog.push(entry, len_max);
        }
        let millis = micros / 1000;
        if latency_ms > 0 && millis >= latency_ms {
            services.latency.record(COMMAND, Sample { time_s, millis });
        }
    }
}

pub fn set_active_expire(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    // As C reads a number: what is none is 0.
    let enabled = crate::resp::parse::parse_integer(call.args.get(2)).unwrap_or(0) != 0;
    call.services().engine.set_active_expiry(enabled);
    call.reply.ok();
    Ok(())
}

pub fn error(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    call.reply.error_bytes(call.args.get(2));
    Ok(())
}

pub fn log(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    tracing::warn!("DEBUG LOG: {}", String::from_utf8_lossy(call.args.get(2)));
    call.reply.ok();
    Ok(())
}

pub fn string_match(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    let matches = glob::matches(call.args.get(2), call.args.get(3), false);
    call.reply.integer(i64::from(matches));
    Ok(())
}

/// There are no lists yet, so only the argument is looked at.
pub fn packed_threshold(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    let word = std::str::from_utf8(call.args.get(2)).ok();
    let bytes = word.and_then(parse_bytes).filter(|bytes| *bytes < 4 << 30);
    if bytes.is_none() {
        return Err(Failure::text(
            "ERR argument must be a memory value bigger than 1 and smaller than 4gb",
        ));
    }
    call.reply.ok();
    Ok(())
}

/// The process ends at once, as by a bug: what was acknowledged is on disk all the same.
pub fn crash(_: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    tracing::error!("a client asked for a crash");
    std::process::abort()
}
