//! Makes sessions: random operations from the grammar, some of them bent into errors.

use std::fmt;

use crate::collections;
use crate::grammar;
use crate::support::prng::Prng;
use crate::support::value::show_command;
use crate::{geo, lists, streams, zsets};

/// Connections of a session.
pub const CONNECTIONS: usize = 2;

/// One operation of a session.
#[derive(Clone, Debug)]
pub enum Op {
    /// A command on a connection.
    Send { connection: usize, args: Vec<Vec<u8>> },
    /// A whole SCAN, SSCAN or HSCAN, compared as a set; `words` stand in front of the cursor.
    Scan { connection: usize, words: Vec<Vec<u8>>, options: Vec<Vec<u8>> },
    /// SPOP on one side; what it took is removed on the other.
    Pop { connection: usize, from_firn: bool, key: Vec<u8> },
    /// DUMP of a key on both sides; the payload of one side is given to RESTORE on both.
    Transfer { connection: usize, from_firn: bool, key: Vec<u8>, to: Vec<u8>, rest: Vec<Vec<u8>> },
    /// A checkpoint of the server under test (BGSAVE), or its memory forgotten (DEBUG RELOAD).
    Disturb { reload: bool },
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Op::Send { connection, args } => write!(f, "@{connection} {}", show_command(args)),
            Op::Scan { connection, words, options } => {
                let (words, options) = (show_command(words), show_command(options));
                write!(f, "@{connection} scan: {words} 0 {options}")
            }
            Op::Pop { connection, from_firn, key } => {
                let side = if *from_firn { "firn" } else { "the oracle" };
                let key = show_command(std::slice::from_ref(key));
                write!(f, "@{connection} SPOP {key} of {side}, SREM of the other")
            }
            Op::Transfer { connection, from_firn, key, to, rest } => {
                let side = if *from_firn { "firn's" } else { "the oracle's" };
                let key = show_command(std::slice::from_ref(key));
                let to = show_command(std::slice::from_ref(to));
                write!(f, "@{connection} RESTORE {to} {} of {side} DUMP {key}", show_command(rest))
            }
            Op::Disturb { reload: true } => f.write_str("firn only: DEBUG RELOAD"),
            Op::Disturb { reload: false } => f.write_str("firn only: BGSAVE"),
        }
    }
}

/// The source of a session's operations.
pub struct Generator {
    pub random: Prng,
    theme: &'static [grammar::Row],
    watching: [bool; CONNECTIONS],
    in_multi: [bool; CONNECTIONS],
    ops: Vec<Op>,
}

impl Generator {
    pub fn new(seed: u64) -> Generator {
        Generator {
            random: Prng::new(seed),
            theme: grammar::THEMES[(seed % grammar::THEMES.len() as u64) as usize],
            watching: [false; CONNECTIONS],
            in_multi: [false; CONNECTIONS],
            ops: Vec::new(),
        }
    }

    /// The same about another theme.
    pub fn about(self, theme: &'static [grammar::Row]) -> Generator {
        Generator { theme, ..self }
    }

    /// All operations of one session.
    pub fn session(mut self, count: u64) -> Vec<Op> {
        while (self.ops.len() as u64) < count {
            self.step();
        }
        self.ops
    }

    fn step(&mut self) {
        let connection = usize::from(self.random.percent(30));
        match self.random.below(1000) {
            0..20 if !self.in_multi[connection] => {
                let words = vec![b"SCAN".to_vec()];
                let options = grammar::scan_options(&mut self.random);
                self.ops.push(Op::Scan { connection, words, options });
            }
            127..145 if !self.in_multi[connection] => {
                let words = collections::scan_words(&mut self.random);
                let options = collections::scan_options(&mut self.random);
                self.ops.push(Op::Scan { connection, words, options });
            }
            145..155 if !self.in_multi[connection] => {
                let from_firn = self.random.percent(50);
                let key = collections::set_key(&mut self.random);
                self.ops.push(Op::Pop { connection, from_firn, key });
            }
            20..50 if !self.in_multi[connection] => self.transfer(connection),
            50..56 if !self.watching.contains(&true) && !self.in_multi.contains(&true) => {
                let reload = self.random.percent(50);
                self.ops.push(Op::Disturb { reload });
            }
            56..120 => self.transaction_step(connection),
            120..127 => {
                let version = self.random.pick(&["2", "3"]);
                self.send(connection, vec![b"HELLO".to_vec(), version.as_bytes().to_vec()]);
            }
            _ => self.data_command(connection),
        }
    }

    fn send(&mut self, connection: usize, args: Vec<Vec<u8>>) {
        self.ops.push(Op::Send { connection, args });
    }

    fn transfer(&mut self, connection: usize) {
        let from_firn = self.random.percent(50);
        let any_key = match self.random.percent(30) {
            true => streams::stream_key,
            false => grammar::key,
        };
        let [key, to] = [(); 2].map(|()| any_key(&mut self.random));
        let rest = grammar::restore_rest(&mut self.random);
        self.ops.push(Op::Transfer { connection, from_firn, key, to, rest });
    }

    /// WATCH, MULTI, EXEC, DISCARD, UNWATCH, mostly where they make sense.
    fn transaction_step(&mut self, connection: usize) {
        let name = match (self.in_multi[connection], self.random.below(100)) {
            (true, 0..75) => "EXEC",
            (true, 75..90) => "DISCARD",
            (true, _) => "UNWATCH",
            (false, 0..55) => "MULTI",
            (false, 55..90) => "WATCH",
            (false, 90..95) => "UNWATCH",
            (false, 95..98) => "EXEC",
            (false, _) => "DISCARD",
        };
        let mut args = vec![name.as_bytes().to_vec()];
        match name {
            "WATCH" => {
                for _ in 0..=self.random.below(2) {
                    args.push(grammar::key(&mut self.random));
                }
                self.watching[connection] = true;
            }
            "MULTI" => self.in_multi[connection] = true,
            "EXEC" | "DISCARD" => {
                self.in_multi[connection] = false;
                self.watching[connection] = false;
            }
            // UNWATCH in MULTI is only queued; it may fail with the rest.
            _ if !self.in_multi[connection] => self.watching[connection] = false,
            _ => {}
        }
        self.send(connection, args);
    }

    fn data_command(&mut self, connection: usize) {
        let mut args = grammar::command(&mut self.random, self.theme);
        if self.random.percent(5) && !zsets::is_delicate(&args) {
            grammar::bend(&mut self.random, &mut args);
        }
        if args[0] == b"BITCOUNT" && args.len() == 3 {
            // Redis 7.2 wants both ends of the range or none, Valkey 8.1 takes one.
            args.pop();
        }
        let is_unit = |word: &[u8]| [b"BIT".as_slice(), b"BYTE"].contains(&word);
        if args[0] == b"BITCOUNT" && args.len() == 5 && !is_unit(&args[4].to_ascii_uppercase()) {
            // Of a wrong unit and a wrong end, Redis 7.2 reports the end and Valkey 8.1 the unit.
            args.pop();
        }
        zsets::tame(&mut args);
        geo::tame(&mut args);
        if args[0] == b"SETBIT" && args.len() == 4 && self.watching.contains(&true) {
            // A bit that stays as it is makes a short string raw: Firn logs that, so WATCH sees it.
            args[0] = b"GETBIT".to_vec();
            args.pop();
        }
        lists::tame(&mut args);
        if args[0] == b"SPOP" && args.len() == 2 {
            // Who pops one member, and which, is for `Op::Pop`.
            args.push(b"0".to_vec());
        }
        if self.random.percent(3) {
            args[0].make_ascii_lowercase();
        }
        let leaves_expired = grammar::may_leave_an_expired_key(&args);
        let key = args.get(1).cloned();
        self.send(connection, args);
        if let (true, Some(key)) = (leaves_expired, key) {
            // Whether DBSIZE counts a key that is expired and still there is up to the moment.
            self.send(connection, vec![b"EXISTS".to_vec(), key]);
        }
    }
}
