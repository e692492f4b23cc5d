//! DEBUG PROTOCOL: one value of each type, for the tests of clients.

use crate::command::spec::Failure;
use crate::resp::write::{Protocol, Reply};
use crate::session::call::SessionCall;

const WRONG_TYPE: Failure = Failure::text(
    "ERR Wrong protocol type name. Please use one of the following: \
     string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false",
);
const BIG_NUMBER: &str = "1234567999999999999999999999999999999";

/// Replies with a value of the type that argument 2 names.
pub fn protocol(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    value(&call.args.get(2).to_ascii_lowercase(), call.reply)
}

fn value(kind: &[u8], reply: &mut Reply<'_>) -> Result<(), Failure> {
    match kind {
        b"string" => reply.bulk(b"Hello World"),
        b"integer" => reply.integer(12345),
        b"double" => reply.double_text("3.141"),
        b"null" => reply.null(),
        b"array" => {
            reply.array(3);
            (0..3).for_each(|number| reply.integer(number));
        }
        b"set" => {
            reply.set(3);
            (0..3).for_each(|number| reply.integer(number));
        }
        b"map" => {
            reply.map(3);
            (0..3).for_each(|number| {
                reply.integer(number);
                reply.boolean(number == 1);
            });
        }
        b"verbatim" => reply.verbatim("txt", "This is a verbatim\nstring"),
        b"true" => reply.boolean(true),
        b"false" => reply.boolean(false),
        b"bignum" => big_number(reply),
        b"attrib" => attribute(reply),
        b"push" => return push(reply),
        _ => return Err(WRONG_TYPE),
    }
    Ok(())
}

fn big_number(reply: &mut Reply<'_>) {
    match reply.protocol() {
        Protocol::Resp2 => reply.bulk(BIG_NUMBER.as_bytes()),
        Protocol::Resp3 => {
            let line = format!("({BIG_NUMBER}\r\n");
            reply.output().push_bytes(line.as_bytes());
        }
    }
}

/// RESP2 knows no attributes, which may be left out anyhow.
fn attribute(reply: &mut Reply<'_>) {
    if reply.protocol() == Protocol::Resp3 {
        reply.output().push_bytes(b"|1\r\n");
        reply.bulk(b"key-popularity");
        reply.array(2);
        reply.bulk(b"key:123");
        reply.integer(90);
    }
    reply.bulk(b"Some real reply following the attribute");
}

/// A push is no reply to the command, so one follows it.
fn push(reply: &mut Reply<'_>) -> Result<(), Failure> {
    if reply.protocol() == Protocol::Resp2 {
        let text = "ERR RESP2 is not supported by this command";
        return Err(Failure::text(text));
    }
    reply.push(2);
    reply.bulk(b"server-cpu-usage");
    reply.integer(42);
    reply.bulk(b"Some real reply following the push reply");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::write::Output;

    fn encoded(kind: &str, protocol: Protocol) -> String {
        let mut output = Output::default();
        let result = value(kind.as_bytes(), &mut Reply::new(&mut output, protocol));
        let bytes = output.plain().unwrap().to_vec();
        match result {
            Ok(()) => String::from_utf8(bytes).unwrap().replace("\r\n", " "),
            Err(failure) => format!("{failure:?}"),
        }
    }

    #[test]
    fn values_stand_in_the_form_of_their_protocol() {
        use Protocol::{Resp2, Resp3};
        let cases = [
            ("double", Resp2, "$5 3.141 "),
            ("double", Resp3, ",3.141 "),
            ("bignum", Resp2, "$37 1234567999999999999999999999999999999 "),
            ("bignum", Resp3, "(1234567999999999999999999999999999999 "),
            ("map", Resp2, "*6 :0 :0 :1 :1 :2 :0 "),
            ("map", Resp3, "%3 :0 #f :1 #t :2 #f "),
            ("set", Resp3, "~3 :0 :1 :2 "),
            ("attrib", Resp2, "$39 Some real reply following the attribute "),
            (
                "push",
                Resp3,
                ">2 $16 server-cpu-usage :42 $40 Some real reply following the push reply ",
            ),
        ];
        for (kind, protocol, expected) in cases {
            assert_eq!(encoded(kind, protocol), expected, "{kind} {protocol:?}");
        }
        assert!(encoded("push", Resp2).contains("RESP2 is not supported"));
        assert!(encoded("foo", Resp3).contains("Wrong protocol type name"));
    }
}
