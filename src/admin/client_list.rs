//! CLIENT INFO and CLIENT LIST: one line for each client, in Redis's fields.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::command::spec::{Failure, quoted};
use crate::session::call::SessionCall;
use crate::session::clients::Client;
use crate::session::table::Table;

use super::integer;

/// Memory of a connection that is idle, about.
const CONNECTION_BYTES: usize = 1024;

/// CLIENT INFO
pub fn info(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    let mut text = String::new();
    describe(&mut text, &call.session.client, call);
    call.reply.verbatim("txt", &text);
    Ok(())
}

/// CLIENT LIST [TYPE type] [ID id ...]
pub fn list(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    let args = call.args;
    let clients: Vec<Arc<Client>> = match args.len() {
        2 => call.services().clients.all(),
        4 if args.is(2, "type") => {
            let all = call.services().clients.all();
            if client_type(args.get(3))? == "normal" { all } else { Vec::new() }
        }
        count if count > 3 && args.is(2, "id") => {
            let mut found = Vec::new();
            for index in 3..count {
                let id = integer(call, index);
                let id = id.ok_or(Failure::text("ERR Invalid client ID"))?;
                found.extend(call.services().clients.get(id as u64));
            }
            found
        }
        _ => return Err(Failure::Syntax),
    };
    let mut text = String::new();
    for client in &clients {
        describe(&mut text, client, call);
    }
    call.reply.verbatim("txt", &text);
    Ok(())
}

/// The name of a class of clients, as CLIENT LIST and CLIENT KILL take it.
pub fn client_type(word: &[u8]) -> Result<&'static str, Failure> {
    match word.to_ascii_lowercase().as_slice() {
        b"normal" => Ok("normal"),
        b"slave" | b"replica" => Ok("slave"),
        b"pubsub" => Ok("pubsub"),
        b"master" => Ok("master"),
        _ => Err(Failure::quoting(&[b"ERR Unknown client type '", quoted(word), b"'"])),
    }
}

fn describe(text: &mut String, client: &Client, call: &SessionCall<'_, '_, '_>) {
    line(text, client, call.dispatcher.now_ms, call.services().table);
}

fn line(text: &mut String, client: &Client, now_ms: u64, table: &Table) {
    let names = client.names();
    let word = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let seconds = |since_ms: u64| now_ms.saturating_sub(since_ms) / 1000;
    let input = client.input_bytes.load(Relaxed);
    let output = client.output_bytes.load(Relaxed);
    let row = table.rows().get(client.last_row.load(Relaxed));
    let _ = writeln!(
        text,
        "id={} addr={} laddr={} fd={} name={} age={} idle={} flags={} db={} sub=0 psub=0 ssub=0 \
         multi={} qbuf={input} qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl=0 oll={} \
         omem={output} tot-mem={} events={} cmd={} user=default redir=-1 resp={} lib-name={} \
         lib-ver={}",
        client.id,
        client.endpoint.peer,
        client.endpoint.local,
        client.endpoint.fd,
        word(&names.name),
        seconds(client.connected_ms),
        seconds(client.active_ms.load(Relaxed)),
        flags(client),
        client.db.load(Relaxed),
        client.queued(),
        usize::from(output > 0),
        input + output + CONNECTION_BYTES,
        if output > 0 { "rw" } else { "r" },
        row.map_or("NULL", |row| &row.name),
        if client.resp3.load(Relaxed) { 3 } else { 2 },
        word(&names.lib_name),
        word(&names.lib_version),
    );
}

fn flags(client: &Client) -> String {
    let flags = [
        (client.queued() >= 0, 'x'),
        (client.is_blocked() || client.is_paused.load(Relaxed), 'b'),
        (client.is_watch_changed(), 'd'),
        (client.is_killed(), 'c'),
        (client.endpoint.unix, 'U'),
        (client.no_evict.load(Relaxed), 'e'),
        (client.no_touch.load(Relaxed), 'T'),
    ];
    let flags: String = flags.iter().filter(|(set, _)| *set).map(|(_, c)| *c).collect();
    if flags.is_empty() { "N".into() } else { flags }
}
