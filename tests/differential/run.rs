//! Runs a session on both servers and compares as it goes.

use std::collections::BTreeMap;
use std::fmt;
use std::io;

use crate::compare;
use crate::generate::{CONNECTIONS, Op};
use crate::support::client::Client;
use crate::support::value::{Value, show_command};

/// Databases that are compared at the end of a session.
const DATABASES: usize = 16;

/// A server and the connections of the session under way.
pub struct Side {
    pub name: &'static str,
    port: u16,
    clients: Vec<Client>,
    control: Client,
}

impl Side {
    pub fn new(name: &'static str, port: u16) -> Side {
        let control = Client::connect(port).expect("a connection");
        Side { name, port, clients: Vec::new(), control }
    }

    fn reset(&mut self) -> io::Result<()> {
        self.clients.clear();
        self.control.call(&["FLUSHALL"])?;
        for _ in 0..CONNECTIONS {
            self.clients.push(Client::connect(self.port)?);
        }
        Ok(())
    }

    fn call(&mut self, connection: usize, args: &[Vec<u8>]) -> Result<Value, String> {
        let reply = self.clients[connection].call(args);
        reply.map_err(|error| format!("{} gives no reply: {error}", self.name))
    }

    fn scan(
        &mut self,
        connection: usize,
        words: &[Vec<u8>],
        options: &[Vec<u8>],
    ) -> Result<Value, String> {
        let mut cursor = b"0".to_vec();
        let mut found = Vec::new();
        loop {
            let mut args = words.to_vec();
            args.push(cursor);
            args.extend_from_slice(options);
            let reply = self.call(connection, &args)?;
            let Some([next, page]) = reply.items() else {
                return Ok(reply);
            };
            found.extend_from_slice(page.items().unwrap_or_default());
            cursor = next.bytes().unwrap_or(b"0").to_vec();
            if cursor == b"0" {
                let mut found = Value::Array(found).sorted();
                if let Value::Array(items) = &mut found {
                    items.dedup();
                }
                return Ok(found);
            }
        }
    }

    /// Every key of every database: value, deadline and encoding.
    fn everything(&mut self) -> io::Result<Everything> {
        let mut all = BTreeMap::new();
        for db in 0..DATABASES {
            self.control.call(&["SELECT", &db.to_string()])?;
            let keys = self.control.call(&["KEYS", "*"])?;
            for key in keys.items().unwrap_or_default() {
                let key = key.bytes().unwrap_or_default().to_vec();
                let mut facts = Vec::new();
                let kind = self.control.call(&[b"TYPE", &key[..]])?.to_string();
                for (_, words, rest) in ASKED.iter().filter(|asked| kind.contains(asked.0)) {
                    let mut args: Vec<Vec<u8>> =
                        words.iter().map(|w| w.as_bytes().into()).collect();
                    args.push(key.clone());
                    args.extend(rest.iter().map(|word| word.as_bytes().to_vec()));
                    let reply = self.control.call(&args)?;
                    facts.push((args, reply));
                }
                all.insert((db, key), facts);
            }
        }
        self.control.call(&["SELECT", "0"])?;
        Ok(all)
    }
}

/// A command.
type Ask = Vec<Vec<u8>>;

/// For each database and key, what was asked and answered.
type Everything = BTreeMap<(usize, Vec<u8>), Vec<(Ask, Value)>>;

/// What is asked of every key at the end: of which type, the words in front of the key, and those
/// behind it.
const ASKED: [(&str, &[&str], &[&str]); 11] = [
    ("", &["TYPE"], &[]),
    ("", &["PTTL"], &[]),
    ("", &["OBJECT", "ENCODING"], &[]),
    ("string", &["GET"], &[]),
    ("string", &["DUMP"], &[]),
    ("list", &["LRANGE"], &["0", "-1"]),
    ("hash", &["HGETALL"], &[]),
    ("hash", &["HLEN"], &[]),
    ("set", &["SMEMBERS"], &[]),
    ("set", &["SCARD"], &[]),
    ("zset", &["ZRANGE"], &["0", "-1", "WITHSCORES"]),
];

/// The first difference of a session.
#[derive(Clone, Debug)]
pub struct Mismatch {
    /// The operation, or the number of operations when the final states differ.
    pub at: usize,
    pub what: String,
    pub left: String,
    pub right: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n  {}\n  {}", self.what, self.left, self.right)
    }
}

/// The two servers.
pub struct Pair {
    left: Side,
    right: Side,
    disturb: bool,
}

impl Pair {
    pub fn new(left: Side, right: Side, disturb: bool) -> Pair {
        Pair { left, right, disturb }
    }

    /// Runs a session from empty databases; the first difference.
    pub fn session(&mut self, ops: &[Op]) -> Option<Mismatch> {
        for side in [&mut self.left, &mut self.right] {
            side.reset().unwrap_or_else(|error| panic!("{} is gone: {error}", side.name));
        }
        let mut queued: Vec<Option<Vec<Ask>>> = vec![None; CONNECTIONS];
        for (at, op) in ops.iter().enumerate() {
            if let Err((left, right)) = self.step(op, &mut queued) {
                let left = format!("{:<7} {left}", self.left.name);
                let right = format!("{:<7} {right}", self.right.name);
                return Some(Mismatch { at, what: op.to_string(), left, right });
            }
        }
        self.compare_all(ops.len())
    }

    fn step(&mut self, op: &Op, queued: &mut [Option<Vec<Ask>>]) -> Result<(), (String, String)> {
        match op {
            Op::Send { connection, args } => {
                let (left, right) = self.both(*connection, args)?;
                let same = judge(&mut queued[*connection], args, &left, &right);
                agree(same, &left, &right)
            }
            Op::Scan { connection, words, options } => {
                let left = self.left.scan(*connection, words, options).map_err(no_reply)?;
                let right = self.right.scan(*connection, words, options).map_err(no_reply)?;
                agree(left == right, &left, &right)
            }
            Op::Pop { connection, from_firn, key } => self.pop(*connection, *from_firn, key),
            Op::Transfer { connection, from_firn, key, to, rest } => {
                let dump = [b"DUMP".to_vec(), key.clone()];
                let (left, right) = self.both(*connection, &dump)?;
                agree(compare::same(&dump, &left, &right), &left, &right)?;
                let payload = if *from_firn { left } else { right };
                let payload = payload.bytes().unwrap_or(b"no payload").to_vec();
                let mut args = vec![b"RESTORE".to_vec(), to.clone(), rest[0].clone(), payload];
                args.extend_from_slice(&rest[1..]);
                let (left, right) = self.both(*connection, &args)?;
                agree(left == right, &left, &right)
            }
            Op::Disturb { .. } if !self.disturb => Ok(()),
            Op::Disturb { reload } => {
                let words: &[&str] = if *reload { &["DEBUG", "RELOAD"] } else { &["BGSAVE"] };
                match self.left.control.call(words) {
                    Ok(Value::Simple(_)) => Ok(()),
                    // A checkpoint that still runs is no fault.
                    Ok(reply) if !reload => agree(reply.is_error(), &reply, &reply),
                    Ok(reply) => Err((reply.to_string(), "(not asked)".to_owned())),
                    Err(error) => Err(no_reply(error.to_string())),
                }
            }
        }
    }

    fn pop(
        &mut self,
        connection: usize,
        from_firn: bool,
        key: &[u8],
    ) -> Result<(), (String, String)> {
        let (from, other) = match from_firn {
            true => (&mut self.left, &mut self.right),
            false => (&mut self.right, &mut self.left),
        };
        let popped = from.call(connection, &[b"SPOP".to_vec(), key.to_vec()]).map_err(no_reply)?;
        let args = match popped.bytes() {
            Some(member) => vec![b"SREM".to_vec(), key.to_vec(), member.to_vec()],
            None => vec![b"SCARD".to_vec(), key.to_vec()],
        };
        let removed = other.call(connection, &args).map_err(no_reply)?;
        let expected = match &popped {
            Value::Error(_) => popped.clone(),
            _ => Value::Integer(i64::from(popped.bytes().is_some())),
        };
        agree(removed == expected, &popped, &removed)
    }

    fn both(&mut self, at: usize, args: &[Vec<u8>]) -> Result<(Value, Value), (String, String)> {
        let left = self.left.call(at, args).map_err(no_reply)?;
        let right = self.right.call(at, args).map_err(no_reply)?;
        Ok((left, right))
    }

    /// Compares all keys of all databases.
    fn compare_all(&mut self, at: usize) -> Option<Mismatch> {
        let left = self.left.everything().expect("the final state of the first server");
        let mut right = self.right.everything().expect("the final state of the second server");
        let differs = |what: String, left: String, right: String| {
            Some(Mismatch { at, what: format!("at the end: {what}"), left, right })
        };
        for ((db, key), facts) in &left {
            let shown = format!("db {db}, key {}", show_command(std::slice::from_ref(key)));
            let Some(others) = right.remove(&(*db, key.clone())) else {
                return differs(shown, "only the first server has it".into(), String::new());
            };
            for ((args, left), (_, right)) in facts.iter().zip(&others) {
                if !compare::same(args, left, right) {
                    let what = format!("{shown}: {}", show_command(args));
                    return differs(what, left.to_string(), right.to_string());
                }
            }
        }
        let ((db, key), _) = right.into_iter().next()?;
        let what = format!("db {db}, key {}", show_command(&[key]));
        differs(what, "only the second server has it".into(), String::new())
    }
}

fn no_reply(error: String) -> (String, String) {
    (error, String::new())
}

fn agree(same: bool, left: &Value, right: &Value) -> Result<(), (String, String)> {
    match same {
        true => Ok(()),
        false => Err((left.to_string(), right.to_string())),
    }
}

/// Compares the replies to a command, and keeps count of what is queued in MULTI.
fn judge(queued: &mut Option<Vec<Ask>>, args: &[Vec<u8>], left: &Value, right: &Value) -> bool {
    let is = |name: &str| args[0].eq_ignore_ascii_case(name.as_bytes());
    if left == &Value::Simple(b"QUEUED".to_vec()) && left == right {
        queued.get_or_insert_default().push(args.to_vec());
        return true;
    }
    if is("EXEC") || is("DISCARD") {
        let queued = queued.take().unwrap_or_default();
        return compare::same_exec(&queued, left, right);
    }
    compare::same(args, left, right)
}
