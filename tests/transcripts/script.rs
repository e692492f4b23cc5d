//! The language of the transcripts.
//!
//! A block is lines of commands, `---`, and one line of reply for each; blank lines part blocks and
//! `#` opens a comment. A command is words and `"quoted strings"` (escapes `\r \n \t \" \\ \xNN`; a
//! following `*N` repeats it). In front of it may stand `@name`, the connection (default `@1`), and
//! filters:
//!
//! - `sorted:` the elements of the reply are put in order
//! - `kind:` only the kind of reply is shown
//! - `about:` a number is shown as positive, zero or negative
//! - `field NAME:` only this field of a map, or of an array of pairs, or line `NAME:` of a text
//! - `scan:` the cursor is followed to its end; all elements, in order
//! - `dumped:` the payload of DUMP is decoded
//! - `raw:` the one string is sent as it is, and one reply is read; `sent:` reads none
//! - `waits:` the command is sent, and the server says that one more client waits for a key
//! - `read:` one more reply is read; `closed:` says whether the server hung up

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::support::client::Client;
use crate::support::dump;
use crate::support::value::{Value, quote};

/// A reply that takes longer counts as none.
const REPLY_TIMEOUT: Duration = Duration::from_secs(10);

/// Commands and their recorded replies.
pub struct Block {
    pub line: usize,
    pub comments: Vec<String>,
    pub steps: Vec<Step>,
    pub replies: Vec<String>,
}

/// One line of a script.
pub struct Step {
    pub line: usize,
    pub text: String,
    connection: String,
    filters: Vec<String>,
    args: Vec<Vec<u8>>,
}

/// Reads a transcript.
pub fn parse(text: &str) -> Result<Vec<Block>, String> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut open: Option<(Block, bool)> = None;
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        if line.trim().is_empty() {
            blocks.extend(open.take().map(|(block, _)| block));
            continue;
        }
        let (block, answers) = open.get_or_insert_with(|| {
            let empty = (Vec::new(), Vec::new(), Vec::new());
            let (comments, steps, replies) = empty;
            (Block { line: number, comments, steps, replies }, false)
        });
        if *answers {
            block.replies.push(line.to_owned());
        } else if line == "---" {
            *answers = true;
        } else if line.starts_with('#') {
            block.comments.push(line.to_owned());
        } else {
            let step = parse_step(number, line).map_err(|why| format!("line {number}: {why}"))?;
            block.steps.push(step);
        }
    }
    blocks.extend(open.map(|(block, _)| block));
    Ok(blocks)
}

/// Writes a block with new replies.
pub fn show(block: &Block, replies: &[String]) -> String {
    let mut lines = block.comments.clone();
    if !block.steps.is_empty() {
        lines.extend(block.steps.iter().map(|step| step.text.clone()));
        lines.push("---".to_owned());
        lines.extend_from_slice(replies);
    }
    lines.join("\n") + "\n\n"
}

fn parse_step(line: usize, text: &str) -> Result<Step, String> {
    let mut rest = text;
    let mut connection = "1".to_owned();
    if let Some(named) = rest.strip_prefix('@') {
        let (name, after) = named.split_once(' ').ok_or("a connection without a command")?;
        connection = name.to_owned();
        rest = after;
    }
    let mut filters = Vec::new();
    while let Some((filter, after)) = split_filter(rest) {
        filters.push(filter.to_owned());
        rest = after.trim_start();
    }
    let args = parse_args(rest.as_bytes())?;
    Ok(Step { line, text: text.to_owned(), connection, filters, args })
}

fn split_filter(text: &str) -> Option<(&str, &str)> {
    const WORDS: [&str; 10] =
        ["sorted", "kind", "about", "scan", "dumped", "raw", "sent", "waits", "read", "closed"];
    let (filter, after) = text.split_once(':')?;
    let field = filter.strip_prefix("field ").is_some_and(|name| !name.contains([' ', '"']));
    (field || WORDS.contains(&filter)).then_some((filter, after))
}

fn parse_args(text: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let mut args = Vec::new();
    let mut at = 0;
    while at < text.len() {
        if text[at] == b' ' {
            at += 1;
        } else if text[at] == b'"' {
            let (mut bytes, next) = parse_quoted(text, at + 1)?;
            at = next;
            if text.get(at) == Some(&b'*') {
                let end = text[at..].iter().position(|b| *b == b' ').map_or(text.len(), |n| at + n);
                let count = String::from_utf8_lossy(&text[at + 1..end]);
                bytes = bytes.repeat(count.parse().map_err(|_| format!("repeat {count}"))?);
                at = end;
            }
            args.push(bytes);
        } else {
            let end = text[at..].iter().position(|b| *b == b' ').map_or(text.len(), |n| at + n);
            args.push(text[at..end].to_vec());
            at = end;
        }
    }
    Ok(args)
}

/// The bytes of a quoted string, and where the text goes on behind it.
fn parse_quoted(text: &[u8], mut at: usize) -> Result<(Vec<u8>, usize), String> {
    let mut bytes = Vec::new();
    loop {
        match text.get(at).ok_or("a string without its end")? {
            b'"' => return Ok((bytes, at + 1)),
            b'\\' => {
                let escape = *text.get(at + 1).ok_or("a string without its end")?;
                at += 2;
                bytes.push(match escape {
                    b'r' => b'\r',
                    b'n' => b'\n',
                    b't' => b'\t',
                    b'x' => {
                        let digits = text.get(at..at + 2).ok_or("\\x without digits")?;
                        at += 2;
                        let digits = String::from_utf8_lossy(digits);
                        u8::from_str_radix(&digits, 16).map_err(|error| error.to_string())?
                    }
                    other => other,
                });
            }
            other => {
                bytes.push(*other);
                at += 1;
            }
        }
    }
}

/// The connections of one run.
pub struct Session {
    port: u16,
    connections: BTreeMap<String, Client>,
}

impl Session {
    pub fn new(port: u16) -> Session {
        Session { port, connections: BTreeMap::new() }
    }

    /// Runs one line; the reply as it stands in a transcript.
    pub fn run(&mut self, step: &Step) -> String {
        if !self.connections.contains_key(&step.connection) {
            let mut client = Client::connect(self.port).expect("a connection");
            client.set_read_timeout(REPLY_TIMEOUT).expect("a timeout");
            self.connections.insert(step.connection.clone(), client);
        }
        let client = self.connections.get_mut(&step.connection).expect("just put there");
        let has = |name: &str| step.filters.iter().any(|filter| filter == name);
        if has("closed") {
            let closed = client.is_closed();
            self.connections.remove(&step.connection);
            return if closed { "closed" } else { "open" }.to_owned();
        }
        let reply = if has("sent") {
            client.send_raw(&step.args.concat()).map(|()| Value::Simple(b"sent".to_vec()))
        } else if has("raw") {
            client.send_raw(&step.args.concat()).and_then(|()| client.read())
        } else if has("waits") {
            send_to_wait(client, self.port, &step.args)
        } else if has("read") {
            client.read()
        } else if has("scan") {
            scan_all(client, &step.args)
        } else {
            client.call(&step.args)
        };
        match reply {
            Ok(value) => filtered(value, &step.filters),
            Err(error) => format!("(no reply: {:?})", error.kind()),
        }
    }
}

/// Sends a command and returns when the server counts one more client that waits.
fn send_to_wait(client: &mut Client, port: u16, args: &[Vec<u8>]) -> std::io::Result<Value> {
    let mut control = Client::connect(port)?;
    let mut waiting = || -> std::io::Result<Value> {
        let info = control.call(&["INFO", "clients"])?;
        Ok(field(&info, "blocked_clients"))
    };
    let before = waiting()?;
    client.send(args)?;
    let begun = Instant::now();
    while waiting()? == before {
        if begun.elapsed() > REPLY_TIMEOUT {
            return Ok(Value::Simple(b"does not wait".to_vec()));
        }
    }
    Ok(Value::Simple(b"waits".to_vec()))
}

/// Follows a SCAN to its end. A cursor stands where the command says `0`, its second word.
fn scan_all(client: &mut Client, args: &[Vec<u8>]) -> std::io::Result<Value> {
    let mut args = args.to_vec();
    let mut found = Vec::new();
    loop {
        let reply = client.call(&args)?;
        let Some([cursor, page]) = reply.items() else {
            return Ok(reply);
        };
        found.extend_from_slice(page.items().unwrap_or_default());
        args[1] = cursor.bytes().unwrap_or(b"0").to_vec();
        if args[1] == b"0" {
            break;
        }
    }
    found.sort_by_key(ToString::to_string);
    found.dedup();
    Ok(Value::Array(found))
}

fn filtered(mut value: Value, filters: &[String]) -> String {
    for filter in filters {
        match filter.as_str() {
            "sorted" => value = value.sorted(),
            "kind" => return value.kind().to_owned(),
            "about" => return about(&value),
            "dumped" if !value.is_nil() => {
                return match dump::decode(value.bytes().unwrap_or_default()) {
                    Ok(dumped) => format!("dumped {}", quote(&dumped.value)),
                    Err(error) => format!("(not a payload: {error})"),
                };
            }
            other => {
                if let Some(name) = other.strip_prefix("field ") {
                    value = field(&value, name);
                }
            }
        }
    }
    value.to_string()
}

fn about(value: &Value) -> String {
    let text = match value {
        Value::Integer(number) => number.to_string(),
        other => String::from_utf8_lossy(other.bytes().unwrap_or_default()).into_owned(),
    };
    match text.parse::<f64>() {
        Ok(number) if number > 0.0 => "positive".to_owned(),
        Ok(0.0) => "zero".to_owned(),
        Ok(_) => "negative".to_owned(),
        Err(_) => value.to_string(),
    }
}

fn field(value: &Value, name: &str) -> Value {
    let missing = Value::Simple(format!("(no field {name})").into_bytes());
    if let Value::Map(pairs) = value {
        let found = pairs.iter().find(|(key, _)| key.bytes() == Some(name.as_bytes()));
        return found.map_or(missing, |(_, value)| value.clone());
    }
    if let Some(items) = value.items() {
        let at = items.iter().step_by(2).position(|key| key.bytes() == Some(name.as_bytes()));
        return at.and_then(|at| items.get(2 * at + 1).cloned()).unwrap_or(missing);
    }
    let text = String::from_utf8_lossy(value.bytes().unwrap_or_default()).into_owned();
    for word in text.split(['\r', '\n', ' ']) {
        if let Some((key, value)) = word.split_once([':', '='])
            && key == name
        {
            return Value::Bulk(value.as_bytes().to_vec());
        }
    }
    missing
}
