//! Clients that wait, under load: many producers and consumers on a real server. Each element goes
//! to exactly one consumer, those of a producer in their order; whoever only reads sees all.

mod support;

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use support::client::Client;
use support::server::Server;
use support::value::Value;

const PRODUCERS: usize = 4;
const CONSUMERS: usize = 6;
/// Elements of each producer.
const ELEMENTS: usize = 300;
/// What ends a consumer.
const STOP: &str = "stop";
/// Longest wait for clients to have begun to wait.
const PATIENCE: Duration = Duration::from_secs(20);

fn start(dir: &tempfile::TempDir) -> Server {
    let (program, mut args) = support::server_under_test();
    args.extend(["--appendfsync", "no"].map(str::to_owned));
    Server::start(&program, dir.path(), &args)
}

/// Waits until so many clients wait.
fn until_blocked(client: &mut Client, count: usize) {
    let wanted = format!("blocked_clients:{count}\r\n");
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        let info = client.ask(&["INFO", "clients"]);
        if String::from_utf8_lossy(info.bytes().expect("INFO is text")).contains(&wanted) {
            return;
        }
        thread::sleep(Duration::from_millis(2));
    }
    panic!("{count} clients do not wait");
}

fn text(value: &Value) -> String {
    String::from_utf8(value.bytes().expect("a string").to_vec()).expect("text")
}

/// Runs producers and consumers, and checks who got what. `produce` adds an element, `consume`
/// waits for the next one.
fn each_element_goes_to_one_consumer(
    server: &Server,
    produce: fn(&mut Client, &str, usize),
    consume: fn(&mut Client, usize) -> String,
) {
    let got: Vec<Vec<String>> = thread::scope(|scope| {
        let consumers: Vec<_> = (0..CONSUMERS)
            .map(|number| {
                let mut client = server.connect();
                scope.spawn(move || {
                    let elements = std::iter::from_fn(|| Some(consume(&mut client, number)));
                    elements.take_while(|element| element != STOP).collect()
                })
            })
            .collect();
        let producers: Vec<_> = (0..PRODUCERS)
            .map(|producer| {
                let mut client = server.connect();
                scope.spawn(move || {
                    for number in 0..ELEMENTS {
                        produce(&mut client, &format!("{producer}:{number}"), number);
                    }
                })
            })
            .collect();
        producers.into_iter().for_each(|producer| producer.join().expect("a producer"));
        let mut client = server.connect();
        (0..CONSUMERS).for_each(|_| produce(&mut client, STOP, ELEMENTS));
        consumers.into_iter().map(|consumer| consumer.join().expect("a consumer")).collect()
    });
    let mut count = BTreeMap::new();
    for elements in &got {
        let mut last = BTreeMap::new();
        for element in elements {
            *count.entry(element.clone()).or_insert(0) += 1;
            let (producer, number) = element.split_once(':').expect("two numbers");
            let number: usize = number.parse().expect("a number");
            let before = last.insert(producer, number);
            assert!(before.is_none_or(|before| before < number), "{element} after {before:?}");
        }
    }
    assert_eq!(count.len(), PRODUCERS * ELEMENTS);
    assert!(count.values().all(|times| *times == 1), "some were delivered twice");
}

#[test]
fn list_elements_are_delivered_once_and_in_order() {
    let dir = tempfile::tempdir().expect("a folder");
    each_element_goes_to_one_consumer(
        &start(&dir),
        |client, element, _| drop(client.ask(&["RPUSH", "list", element])),
        |client, number| match number % 2 {
            0 => {
                let popped = client.ask(&["BLPOP", "none", "list", "0"]);
                text(&popped.items().expect("key and element")[1])
            }
            // The element is moved to a list of the consumer's own.
            _ => text(&client.ask(&[
                "BLMOVE",
                "list",
                &format!("own:{number}"),
                "LEFT",
                "LEFT",
                "0",
            ])),
        },
    );
}

#[test]
fn members_of_sorted_sets_are_delivered_once_and_in_order() {
    let dir = tempfile::tempdir().expect("a folder");
    each_element_goes_to_one_consumer(
        &start(&dir),
        |client, element, number| {
            // Those that stop are as many as consumers, so each is a member of its own.
            let own = match element {
                STOP => format!(
                    "{STOP}:{}",
                    client.ask(&["INCR", "stops"]).integer().expect("a number")
                ),
                _ => element.to_owned(),
            };
            client.ask(&["ZADD", "zset", &number.to_string(), &own]);
        },
        |client, _| {
            let popped = client.ask(&["BZPOPMIN", "zset", "0"]);
            let member = text(&popped.items().expect("key, member and score")[1]);
            if member.starts_with(STOP) { STOP.to_owned() } else { member }
        },
    );
}

#[test]
fn entries_of_a_stream_are_delivered_once_to_a_group() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = start(&dir);
    let mut client = server.connect();
    client.ask(&["XGROUP", "CREATE", "stream", "group", "$", "MKSTREAM"]);
    each_element_goes_to_one_consumer(
        &server,
        |client, element, _| drop(client.ask(&["XADD", "stream", "*", "element", element])),
        |client, number| {
            let consumer = format!("consumer {number}");
            let words = ["XREADGROUP", "GROUP", "group", &consumer, "COUNT", "1", "BLOCK", "0"];
            let reply = client.ask(&[&words[..], &["STREAMS", "stream", ">"]].concat());
            let stream = &reply.items().expect("streams")[0];
            let entry = &stream.items().expect("key and entries")[1].items().expect("entries")[0];
            let [id, fields] = entry.items().expect("an entry") else { panic!("{entry}") };
            let acknowledged = client.ask(&["XACK", "stream", "group", &text(id)]);
            assert_eq!(acknowledged, Value::Integer(1));
            text(&fields.items().expect("a field and its value")[1])
        },
    );
    let pending = client.ask(&["XPENDING", "stream", "group"]);
    assert_eq!(pending.items().expect("a summary")[0], Value::Integer(0));
}

#[test]
fn every_reader_sees_every_entry() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = start(&dir);
    thread::scope(|scope| {
        for _ in 0..CONSUMERS {
            let mut client = server.connect();
            scope.spawn(move || {
                let (mut last, mut seen) = ("0".to_owned(), 0);
                while seen < PRODUCERS * ELEMENTS {
                    let reply = client.ask(&["XREAD", "BLOCK", "0", "STREAMS", "stream", &last]);
                    let stream = &reply.items().expect("streams")[0];
                    let entries = stream.items().expect("key and entries")[1].items();
                    let entries = entries.expect("entries");
                    seen += entries.len();
                    let entry = entries.last().expect("an entry").items().expect("an entry");
                    last = text(&entry[0]);
                }
                assert_eq!(seen, PRODUCERS * ELEMENTS);
            });
        }
        for _ in 0..PRODUCERS {
            let mut client = server.connect();
            scope.spawn(move || {
                (0..ELEMENTS).for_each(|_| drop(client.ask(&["XADD", "stream", "*", "a", "b"])));
            });
        }
    });
}

#[test]
fn who_waits_in_a_group_is_told_when_it_goes() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = start(&dir);
    let mut client = server.connect();
    let ends: [&[&str]; 4] = [
        &["XGROUP", "DESTROY", "stream", "group"],
        &["DEL", "stream"],
        &["SET", "stream", "a string"],
        &["RENAME", "stream", "other"],
    ];
    for end in ends {
        client.ask(&["DEL", "stream"]);
        client.ask(&["XGROUP", "CREATE", "stream", "group", "$", "MKSTREAM"]);
        let mut waiting: Vec<Client> = (0..3).map(|_| server.connect()).collect();
        for (number, client) in waiting.iter_mut().enumerate() {
            let consumer = number.to_string();
            let words = ["XREADGROUP", "GROUP", "group", &consumer, "BLOCK", "0"];
            let call = [&words[..], &["STREAMS", "stream", ">"]].concat();
            client.send(&call).expect("the server reads");
        }
        until_blocked(&mut client, 3);
        client.ask(end);
        for waiting in &mut waiting {
            let reply = waiting.read().expect("a reply");
            let wanted = if end[0] == "SET" { "WRONGTYPE" } else { "NOGROUP" };
            let is_told =
                matches!(&reply, Value::Error(text) if text.starts_with(wanted.as_bytes()));
            assert!(is_told, "{end:?}: {reply}");
        }
        until_blocked(&mut client, 0);
    }
}

/// Commands of a pipeline may run as one unit, but not before the eyes of who waits.
#[test]
fn who_waits_is_served_between_the_commands_of_a_pipeline() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = start(&dir);
    let (mut waiting, mut client) = (server.connect(), server.connect());
    waiting.send(&["BLPOP", "list", "0"]).expect("the server reads");
    until_blocked(&mut client, 1);
    let mut pipeline = Vec::new();
    for element in ["a", "b", "c"] {
        support::client::encode(&mut pipeline, &["LPUSH", "list", element]);
    }
    client.send_raw(&pipeline).expect("the server reads");
    let lengths = [1, 1, 2].map(Value::Integer);
    for length in lengths {
        assert_eq!(client.read().expect("a reply"), length);
    }
    let popped = waiting.read().expect("a reply");
    assert_eq!(text(&popped.items().expect("key and element")[1]), "a");
}

/// One entry serves a client of each group, and each has room in the log for the name of the key.
#[test]
fn long_names_of_what_is_waited_for_have_room_in_the_log() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = start(&dir);
    let mut client = server.connect();
    let key = "k".repeat(300_000);
    let mut waiting: Vec<Client> = (0..4).map(|_| server.connect()).collect();
    for (number, waiting) in waiting.iter_mut().enumerate() {
        let group = format!("group {number}");
        client.ask(&["XGROUP", "CREATE", &key, &group, "$", "MKSTREAM"]);
        let words = ["XREADGROUP", "GROUP", &group, "consumer", "BLOCK", "0"];
        waiting.send(&[&words[..], &["STREAMS", &key, ">"]].concat()).expect("the server reads");
    }
    until_blocked(&mut client, 4);
    client.ask(&["XADD", &key, "*", "field", "value"]);
    for waiting in &mut waiting {
        assert_eq!(waiting.read().expect("a reply").items().expect("a stream").len(), 1);
    }
    assert_eq!(client.ask(&["XLEN", &key]), Value::Integer(1), "the server lives");
}

/// What a transaction makes ready is looked at in the order of the call, and a reader is told of
/// all streams.
#[test]
fn who_waits_for_several_keys_sees_all_that_a_transaction_has_changed() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = start(&dir);
    let mut client = server.connect();
    for stream in ["first", "second", "third"] {
        client.ask(&["XGROUP", "CREATE", stream, "group", "$", "MKSTREAM"]);
    }
    let streams = ["STREAMS", "first", "third", "second"];
    let read = [&["XREAD", "BLOCK", "0"], &streams[..], &["$", "$", "$"]].concat();
    let group = ["XREADGROUP", "GROUP", "group", "me", "BLOCK", "0"];
    let group = [&group[..], &streams[..], &[">", ">", ">"]].concat();
    // Whichever partition comes first, one of the two pairs stands the other way round.
    let pop = ["BLPOP", "one", "two", "three", "0"];
    let other = ["BLPOP", "one", "{three}", "{two}", "0"];
    let calls = [&read[..], &group[..], &pop, &other];
    let mut waiting: Vec<Client> = (0..calls.len()).map(|_| server.connect()).collect();
    for (waiting, call) in waiting.iter_mut().zip(calls) {
        waiting.send(call).expect("the server reads");
    }
    until_blocked(&mut client, waiting.len());
    client.ask(&["MULTI"]);
    for stream in ["second", "first"] {
        client.ask(&["XADD", stream, "7-1", "field", "value"]);
    }
    for list in ["three", "two", "{two}", "{three}"] {
        client.ask(&["RPUSH", list, "element"]);
    }
    client.ask(&["EXEC"]);
    let entries = r#"[["7-1", ["field", "value"]]]"#;
    let streams = format!(r#"[["first", {entries}], ["second", {entries}]]"#);
    let popped = [r#"["two", "element"]"#, r#"["{three}", "element"]"#];
    let wanted = [&streams[..], &streams, popped[0], popped[1]];
    for (waiting, wanted) in waiting.iter_mut().zip(wanted) {
        assert_eq!(waiting.read().expect("a reply").to_string(), wanted);
    }
    assert_eq!(client.ask(&["LLEN", "three"]), Value::Integer(1));
}

/// An entry that is left pending while they wait goes to one of them once it is idle enough, though
/// nobody touches the stream; then it waits for the other one.
#[test]
fn who_waits_in_a_group_claims_what_others_leave() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = start(&dir);
    let mut client = server.connect();
    client.ask(&["XGROUP", "CREATE", "stream", "group", "$", "MKSTREAM"]);
    let mut waiting: Vec<Client> = (0..2).map(|_| server.connect()).collect();
    for (number, client) in waiting.iter_mut().enumerate() {
        let consumer = number.to_string();
        let words = ["XREADGROUP", "GROUP", "group", &consumer, "BLOCK", "0", "CLAIM", "150"];
        client
            .send(&[&words[..], &["STREAMS", "none", "stream", ">", ">"]].concat())
            .expect("sent");
        let refused = client.read().expect("a reply");
        assert!(matches!(refused, Value::Error(_)), "one of the streams has no group: {refused}");
        client.send(&[&words[..], &["STREAMS", "stream", ">"]].concat()).expect("sent");
    }
    until_blocked(&mut client, 2);
    // Both commands are one unit, so nobody is served in between.
    client.ask(&["MULTI"]);
    client.ask(&["XADD", "stream", "1-1", "field", "value"]);
    client.ask(&["XREADGROUP", "GROUP", "group", "other", "STREAMS", "stream", ">"]);
    client.ask(&["EXEC"]);
    let begun = Instant::now();
    let mut waits = Vec::new();
    for waiting in &mut waiting {
        waiting.set_read_timeout(PATIENCE).expect("a time");
        let reply = format!("{}", waiting.read().expect("a reply"));
        assert!(reply.contains("1-1") && reply.contains("value"), "{reply}");
        waits.push(begun.elapsed());
    }
    waits.sort();
    assert!(waits[0] >= Duration::from_millis(140), "{waits:?}");
    assert!(waits[1] >= Duration::from_millis(290), "{waits:?}");
    let pending = format!("{}", client.ask(&["XPENDING", "stream", "group", "-", "+", "9"]));
    assert!(pending.contains("1-1") && pending.contains('3'), "delivered three times: {pending}");
}
