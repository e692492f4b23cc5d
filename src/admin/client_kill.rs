//! CLIENT KILL, in its old form and with filters.

use std::sync::Arc;

use crate::command::spec::{Failure, quoted};
use crate::session::call::{Outcome, SessionCall};
use crate::session::clients::Client;

use super::client_list::client_type;
use super::integer;

/// Whom to kill; what is none does not matter.
#[derive(Default)]
struct Filter {
    id: Option<u64>,
    class: Option<&'static str>,
    address: Option<Vec<u8>>,
    local_address: Option<Vec<u8>>,
    age_s_max: Option<u64>,
    skips_me: bool,
}

impl Filter {
    fn covers(&self, client: &Client, me: u64, now_ms: u64) -> bool {
        let is = |wanted: &Option<Vec<u8>>, found: &str| {
            wanted.as_ref().is_none_or(|wanted| *wanted == found.as_bytes())
        };
        let age_s = now_ms.saturating_sub(client.connected_ms) / 1000;
        self.id.is_none_or(|id| id == client.id)
            && self.class.is_none_or(|class| class == "normal")
            && is(&self.address, &client.endpoint.peer)
            && is(&self.local_address, &client.endpoint.local)
            && self.age_s_max.is_none_or(|age| age_s >= age)
            && !(self.skips_me && client.id == me)
    }
}

/// CLIENT KILL
pub fn kill(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    let old_form = call.args.len() == 3;
    let filter = match old_form {
        true => Filter { address: Some(call.args.get(2).into()), ..Filter::default() },
        false => parse(call)?,
    };
    let (me, now_ms) = (call.session.client.id, call.dispatcher.now_ms);
    let clients = call.services().clients.all();
    let killed: Vec<&Arc<Client>> =
        clients.iter().filter(|client| filter.covers(client, me, now_ms)).collect();
    match (old_form, killed.len()) {
        (true, 0) => return Err(Failure::text("ERR No such client")),
        (true, _) => call.reply.ok(),
        (false, count) => call.reply.integer(count as i64),
    }
    for client in killed {
        // Whoever kills itself still gets the reply.
        if client.id == me {
            call.outcome = Outcome::Close;
        } else {
            client.kill();
        }
    }
    Ok(())
}

fn parse(call: &SessionCall<'_, '_, '_>) -> Result<Filter, Failure> {
    let args = call.args;
    let mut filter = Filter { skips_me: true, ..Filter::default() };
    for at in (2..args.len()).step_by(2) {
        if at + 1 >= args.len() {
            return Err(Failure::Syntax);
        }
        let value = args.get(at + 1);
        match args.get(at).to_ascii_lowercase().as_slice() {
            b"id" => {
                let id = integer(call, at + 1).filter(|id| *id > 0);
                let text = "ERR client-id should be greater than 0";
                filter.id = Some(id.ok_or(Failure::text(text))? as u64);
            }
            b"maxage" => {
                let age = integer(call, at + 1);
                let text = "ERR maxage is not an integer or out of range";
                let age = Some(age.ok_or(Failure::text(text))?).filter(|age| *age > 0);
                let text = "ERR maxage should be greater than 0";
                filter.age_s_max = Some(age.ok_or(Failure::text(text))? as u64);
            }
            b"type" => filter.class = Some(client_type(value)?),
            b"addr" => filter.address = Some(value.into()),
            b"laddr" => filter.local_address = Some(value.into()),
            b"user" if value == b"default" => {}
            b"user" => {
                return Err(Failure::quoting(&[b"ERR No such user '", quoted(value), b"'"]));
            }
            b"skipme" => match value.to_ascii_lowercase().as_slice() {
                b"yes" => filter.skips_me = true,
                b"no" => filter.skips_me = false,
                _ => return Err(Failure::Syntax),
            },
            _ => return Err(Failure::Syntax),
        }
    }
    Ok(filter)
}
