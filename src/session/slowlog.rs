//! The slow log: the last commands that took longer than `slowlog-log-slower-than`.

use std::collections::VecDeque;
use std::sync::Mutex;

use crate::command::args::Args;
use crate::command::spec::flag;
use crate::config::directive;
use crate::config::table::{DIRECTIVES, find};

use super::dispatch::Dispatcher;
use super::latency::{COMMAND, FAST_COMMAND, Sample};
use super::state::Session;
use super::table::Row;

/// Arguments kept of one command, and bytes kept of one argument, as in Redis.
const ARGUMENTS_MAX: usize = 32;
const ARGUMENT_BYTES_MAX: usize = 128;
/// What stands for a secret, as in Redis.
const REDACTED: &[u8] = b"(redacted)";

/// One slow command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SlowEntry {
    /// Number, ever increasing.
    pub id: u64,
    /// Unix time in seconds.
    pub time_s: u64,
    /// Time it took, in microseconds.
    pub micros: u64,
    /// Its arguments, cut where they are many or long.
    pub args: Vec<Vec<u8>>,
    /// Address of the client.
    pub client: String,
    /// Name of the client.
    pub client_name: Vec<u8>,
}

#[derive(Default)]
struct Ring {
    entries: VecDeque<SlowEntry>,
    next_id: u64,
}

/// The log, newest first.
#[derive(Default)]
pub struct SlowLog(Mutex<Ring>);

impl SlowLog {
    /// Notes a command and forgets the oldest above `len_max` entries. The entry's number is set
    /// here.
    pub fn push(&self, mut entry: SlowEntry, len_max: usize) {
        let mut ring = self.0.lock().expect("a panic ends the process");
        entry.id = ring.next_id;
        ring.next_id += 1;
        ring.entries.push_front(entry);
        ring.entries.truncate(len_max);
    }

    /// The newest `count` entries.
    pub fn newest(&self, count: usize) -> Vec<SlowEntry> {
        let ring = self.0.lock().expect("a panic ends the process");
        ring.entries.iter().take(count).cloned().collect()
    }

    /// Entries kept.
    pub fn len(&self) -> usize {
        self.0.lock().expect("a panic ends the process").entries.len()
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets all.
    pub fn reset(&self) {
        self.0.lock().expect("a panic ends the process").entries.clear();
    }
}

impl Dispatcher<'_> {
    /// Notes a command that took this long, if that is slow.
    #[inline]
    pub fn note_slow(&self, session: &Session, row: &Row, args: &Args<'_>, micros: u64) {
        let is_slow = u64::try_from(self.settings.slow_micros).is_ok_and(|limit| micros >= limit)
            && !row.has(flag::SKIP_SLOWLOG);
        let latency_ms = self.settings.latency_ms;
        let is_event = latency_ms > 0 && micros / 1000 >= latency_ms;
        if is_event {
            self.note_event(row, micros / 1000);
        }
        if is_slow {
            self.note_command(session, row, args, micros);
        }
    }

    #[cold]
    fn note_event(&self, row: &Row, millis: u64) {
        let event = if row.has(flag::FAST) { FAST_COMMAND } else { COMMAND };
        let time_s = self.services.engine.now_ms() / 1000;
        self.services.latency.record(event, Sample { time_s, millis });
    }

    #[cold]
    fn note_command(&self, session: &Session, row: &Row, args: &Args<'_>, micros: u64) {
        let entry = SlowEntry {
            id: 0,
            time_s: std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs()),
            micros,
            args: shortened(args, |index| is_secret(row, args, index)),
            client: session.client.endpoint.peer.clone(),
            client_name: session.client.names().name,
        };
        self.services.slowlog.push(entry, self.settings.slowlog_len_max);
    }
}

/// Whether an argument may be a password.
fn is_secret(row: &Row, args: &Args<'_>, index: usize) -> bool {
    match row.name.as_str() {
        "auth" => index > 0,
        "hello" => {
            let mut option = 2;
            while option < args.len() && !args.is(option, "auth") {
                option += 2;
            }
            index == option + 1 || index == option + 2
        }
        "config|set" if index >= 3 && index % 2 == 1 => {
            let name = find(&String::from_utf8_lossy(args.get(index - 1)));
            name.is_some_and(|name| DIRECTIVES[name].has(directive::flag::SENSITIVE))
        }
        _ => false,
    }
}

/// The arguments of a call, cut as Redis cuts them; those that are secret are not shown.
pub fn shortened(args: &Args<'_>, is_secret: impl Fn(usize) -> bool) -> Vec<Vec<u8>> {
    let kept = match args.len() {
        len if len > ARGUMENTS_MAX => ARGUMENTS_MAX - 1,
        len => len,
    };
    let shown = args.iter_from(0).take(kept).enumerate().map(|(index, word)| {
        if is_secret(index) { REDACTED.to_vec() } else { shortened_argument(word) }
    });
    let mut words: Vec<Vec<u8>> = shown.collect();
    if kept < args.len() {
        let rest = args.len() - kept;
        words.push(format!("... ({rest} more arguments)").into_bytes());
    }
    words
}

fn shortened_argument(argument: &[u8]) -> Vec<u8> {
    if argument.len() <= ARGUMENT_BYTES_MAX {
        return argument.to_vec();
    }
    let rest = argument.len() - ARGUMENT_BYTES_MAX;
    let mut cut = argument[..ARGUMENT_BYTES_MAX].to_vec();
    cut.extend_from_slice(format!("... ({rest} more bytes)").as_bytes());
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(micros: u64) -> SlowEntry {
        SlowEntry {
            id: 0,
            time_s: 0,
            micros,
            args: vec![],
            client: String::new(),
            client_name: vec![],
        }
    }

    #[test]
    fn the_newest_entries_stay_and_numbers_go_on() {
        let log = SlowLog::default();
        (0..5).for_each(|n| log.push(entry(n), 3));
        let newest = log.newest(2);
        assert_eq!((newest[0].id, newest[0].micros, newest[1].id), (4, 4, 3));
        assert_eq!(log.len(), 3);
        log.reset();
        log.push(entry(9), 3);
        assert_eq!(log.newest(9)[0].id, 5);
    }

    #[test]
    fn long_calls_are_cut() {
        let word = vec![b'x'; 130];
        let ranges = vec![(0, 130); 40];
        let short = shortened(&Args::new(&word, &ranges, None), |_| false);
        assert_eq!(short.len(), 32);
        assert!(short[0].ends_with(b"... (2 more bytes)"));
        assert_eq!(short[31], b"... (9 more arguments)");
    }
}
