//! Connections of a worker over socket pairs: what clients see, without a port.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::admin;
use crate::config::{Config, defaults, table::find};
use crate::engine::Engine;
use crate::options::Options;
use crate::session::services::Services;
use crate::session::state::Session;
use crate::session::table::Table;

use super::batch::OUTPUT_BYTES_MAX;
use super::spread::Team;
use super::start::services;
use super::stream::Accepted;
use super::workers::Workers;

struct Server {
    services: Arc<Services>,
    workers: Workers,
    _dir: tempfile::TempDir,
}

impl Server {
    fn start(directives: &[(&str, &str)]) -> Server {
        Server::start_with(1, directives)
    }

    fn start_with(worker_count: usize, directives: &[(&str, &str)]) -> Server {
        let dir = tempfile::tempdir().unwrap();
        let mut values = defaults();
        for (name, value) in directives {
            values[find(name).unwrap()] = value.to_string();
        }
        let engine = Engine::open(Options::new(dir.path())).unwrap();
        let table = Table::leaked(admin::COMMANDS);
        let config = Config::new(values, None);
        let engine = Arc::new(engine);
        let services = services(config, engine, table, worker_count, Instant::now());
        let services = Arc::new(services);
        let workers = Workers::spawn(worker_count, &services).unwrap();
        let bells = workers.bells();
        let listener = move |durable| bells.iter().for_each(|bell| bell.ring(durable));
        services.engine.set_durable_listener(Box::new(listener));
        Server { services, workers, _dir: dir }
    }

    fn client(&self) -> Client {
        let (ours, theirs) = UnixStream::pair().unwrap();
        theirs.set_nonblocking(true).unwrap();
        let socket = Accepted::Unix(theirs, "pair".into());
        let endpoint = socket.endpoint().unwrap();
        let now_ms = self.services.engine.now_ms();
        let client = self.services.clients.connect(endpoint, now_ms, 100);
        let client = client.unwrap();
        let is_open = self.services.config.settings().password.is_empty();
        let team = Team::of(&self.services.stats);
        self.workers.take_on(socket, Session::new(client, is_open), team);
        ours.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Client(ours)
    }
}

/// Waits until the workers have so many connections.
fn await_loads(
    server: &Server,
    clients: &mut [Client],
    batch: &[u8],
    reply: &str,
    loads: [usize; 2],
) {
    let started = Instant::now();
    while server.workers.loads() != loads {
        assert!(started.elapsed() < Duration::from_secs(20), "{:?}", server.workers.loads());
        for client in &mut *clients {
            client.send(batch);
        }
        for client in &mut *clients {
            client.expect(reply);
        }
    }
}

#[test]
fn who_writes_to_one_partition_meets_at_its_worker() {
    let server = Server::start_with(2, &[]);
    let mut clients: Vec<Client> = (0..6).map(|_| server.client()).collect();
    assert_eq!(server.workers.loads(), [3, 3]);
    // A state that has to go along.
    clients[5].send("SELECT 3\r\nCLIENT SETNAME mover\r\n");
    clients[5].expect("+OK\r\n+OK\r\n");
    let position = server.services.engine.key(0, b"hot").position;
    let loads = if server.services.engine.partition_of(position).is_multiple_of(2) {
        [6, 0]
    } else {
        [0, 6]
    };
    let batch = [array(&[b"SET", b"hot", b"1"]), array(&[b"SET", b"hot", b"2"])].concat();
    await_loads(&server, &mut clients, &batch, "+OK\r\n+OK\r\n", loads);
    clients[5].send("CLIENT GETNAME\r\nGET hot\r\nDBSIZE\r\n");
    clients[5].expect("$5\r\nmover\r\n$1\r\n2\r\n:1\r\n");
    // Whoever does something else goes home.
    await_loads(&server, &mut clients, b"PING\r\n", "+PONG\r\n", [3, 3]);
    assert_eq!(server.services.clients.all().len(), 6);
}

#[test]
fn connections_gather_on_the_worker_that_serves_their_kind() {
    let server = Server::start_with(2, &[]);
    let mut clients: Vec<Client> = (0..6).map(|_| server.client()).collect();
    server.services.stats.set_serving(1);
    await_loads(&server, &mut clients, b"GET a\r\n", "$-1\r\n", [0, 6]);
    await_loads(&server, &mut clients, b"SET a 1\r\n", "+OK\r\n", [6, 0]);
    await_loads(&server, &mut clients[..2], b"GET a\r\n", "$1\r\n1\r\n", [4, 2]);
    clients.push(server.client());
    assert_eq!(server.workers.loads(), [4, 3], "who is new has not written yet");
    server.services.stats.set_serving(2);
    await_loads(&server, &mut clients[..6], b"PING\r\n", "+PONG\r\n", [3, 4]);
}

struct Client(UnixStream);

impl Client {
    fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).unwrap();
    }

    fn expect(&mut self, reply: impl AsRef<[u8]>) {
        let reply = reply.as_ref();
        let mut seen = vec![0; reply.len()];
        self.0.read_exact(&mut seen).unwrap();
        if seen != reply {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            panic!("expected {:?}, got {:?}", text(reply), text(&seen));
        }
    }

    fn ask(&mut self, line: &str, reply: &str) {
        self.send(format!("{line}\r\n"));
        self.expect(reply);
    }

    fn expect_end(&mut self) {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).unwrap();
        assert_eq!(String::from_utf8_lossy(&rest), "");
    }
}

fn array(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

#[test]
fn a_deep_pipeline_is_answered_in_order() {
    let server = Server::start(&[]);
    let mut client = server.client();
    let mut reply = String::new();
    let mut sent = Vec::new();
    for n in 0..5000 {
        let (key, value) = (format!("k{}", n % 700), format!("v{n}"));
        sent.extend(array(&[b"SET", key.as_bytes(), value.as_bytes()]));
        sent.extend(array(&[b"get", key.as_bytes()]));
        reply.push_str(&format!("+OK\r\n${}\r\n{value}\r\n", value.len()));
    }
    let mut writer = client.0.try_clone().unwrap();
    let writing = std::thread::spawn(move || writer.write_all(&sent).unwrap());
    client.expect(reply);
    writing.join().unwrap();
}

#[test]
fn commands_may_come_a_byte_at_a_time() {
    let server = Server::start(&[]);
    let mut client = server.client();
    for byte in array(&[b"SET", b"key", b"value"]) {
        client.send([byte]);
        std::thread::sleep(Duration::from_micros(300));
    }
    client.expect("+OK\r\n");
    client.ask("GET key", "$5\r\nvalue\r\n");
}

#[test]
fn large_values_come_back_whole() {
    let server = Server::start(&[]);
    let mut client = server.client();
    let value: Vec<u8> = (0..3_000_000u32).map(|n| ((n * 31) >> 7) as u8).collect();
    let mut sent = array(&[b"SET", b"big", &value]);
    sent.extend(array(&[b"GET", b"big"]));
    let mut writer = client.0.try_clone().unwrap();
    let writing = std::thread::spawn(move || writer.write_all(&sent).unwrap());
    client.expect("+OK\r\n$3000000\r\n");
    client.expect(&value);
    client.expect("\r\n");
    writing.join().unwrap();
}

#[test]
fn a_transaction_runs_as_one_and_only_if_its_keys_stayed() {
    let server = Server::start(&[]);
    let (mut client, mut other) = (server.client(), server.client());
    client.ask("MULTI", "+OK\r\n");
    client.ask("SET a 1", "+QUEUED\r\n");
    client.ask("GET a", "+QUEUED\r\n");
    other.ask("GET a", "$-1\r\n");
    client.ask("EXEC", "*2\r\n+OK\r\n$1\r\n1\r\n");
    client.ask("WATCH a", "+OK\r\n");
    other.ask("SET a 2", "+OK\r\n");
    client.send("MULTI\r\nSET a 3\r\nEXEC\r\nGET a\r\n");
    client.expect("+OK\r\n+QUEUED\r\n*-1\r\n$1\r\n2\r\n");
    client.send("WATCH a\r\nMULTI\r\nSELECT 1\r\nSET a 9\r\nEXEC\r\nGET a\r\n");
    client.expect("+OK\r\n+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n+OK\r\n$1\r\n9\r\n");
    other.ask("GET a", "$1\r\n2\r\n");
}

#[test]
fn cold_keys_are_found_behind_a_swap_in_a_transaction() {
    let server = Server::start(&[("enable-debug-command", "yes")]);
    let mut client = server.client();
    client.send("SET a zero\r\nSELECT 1\r\nSET a one\r\nSET b two\r\nSELECT 0\r\n");
    client.expect("+OK\r\n".repeat(5));
    client.ask("DEBUG RELOAD", "+OK\r\n");
    client.send("MULTI\r\nSWAPDB 0 1\r\nGET a\r\nAPPEND b x\r\nSELECT 1\r\nSWAPDB 1 2\r\n");
    client.send("SELECT 2\r\nGET a\r\nEXEC\r\n");
    client.expect(format!("+OK\r\n{}", "+QUEUED\r\n".repeat(7)));
    client.expect("*7\r\n+OK\r\n$3\r\none\r\n:4\r\n+OK\r\n+OK\r\n+OK\r\n$4\r\nzero\r\n");
    client.send("DBSIZE\r\nSELECT 1\r\nDBSIZE\r\nSELECT 0\r\nDBSIZE\r\n");
    client.expect(":1\r\n+OK\r\n:0\r\n+OK\r\n:2\r\n");
}

/// The log asserts that no frame is larger than the room that was reserved for it.
#[test]
fn frames_larger_than_their_requests_have_room_in_the_log() {
    let server = Server::start(&[]);
    let mut client = server.client();
    let log = || server.services.engine.stats().log;
    let grows_and_copies = [
        "SETRANGE a 3000000 x",
        "COPY a b",
        "RENAME b c",
        "APPEND c y",
        "COPY c d",
        "SETBIT d 40000000 1",
        "BITOP NOT e d",
        "BITFIELD f SET u8 #6000000 1",
        "SWAPDB 0 1",
        "SELECT 1",
        "COPY f g",
        "MOVE g 0",
        "INCRBYFLOAT h 1e4900",
        "COPY h i",
    ];
    client.ask("MULTI", "+OK\r\n");
    for line in grows_and_copies {
        client.ask(line, "+QUEUED\r\n");
    }
    let before = log().frame_bytes;
    client.ask("EXEC", "*14\r\n:3000001\r\n:1\r\n+OK\r\n:3000002\r\n");
    client.expect(":1\r\n:0\r\n:5000001\r\n*1\r\n:0\r\n+OK\r\n+OK\r\n:1\r\n:1\r\n$4901\r\n");
    client.0.read_exact(&mut [0; 4903]).unwrap();
    client.expect(":1\r\n");
    assert!(log().frame_bytes - before > 26_000_000);
}

/// A claim writes who claims, what is claimed and what is gone: three records with the key.
#[test]
fn each_record_of_a_frame_has_room_for_its_key() {
    let server = Server::start(&[]);
    let mut client = server.client();
    let key = "k".repeat(200_000);
    let mut ask = |words: &[&str], reply: &str| {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        client.send(array(&words));
        client.expect(reply);
    };
    let entry = |ms: &str| format!("*2\r\n$3\r\n{ms}-1\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n");
    for id in ["1-1", "2-1"] {
        ask(&["XADD", &key, id, "f", "v"], &format!("$3\r\n{id}\r\n"));
    }
    ask(&["XGROUP", "CREATE", &key, "g", "0"], "+OK\r\n");
    let both = format!("*1\r\n*2\r\n$200000\r\n{key}\r\n*2\r\n{}{}", entry("1"), entry("2"));
    ask(&["XREADGROUP", "GROUP", "g", "ann", "STREAMS", &key, ">"], &both);
    ask(&["XDEL", &key, "1-1"], ":1\r\n");
    let claimed = format!("*1\r\n{}", entry("2"));
    ask(&["XCLAIM", &key, "g", "bob", "0", "1-1", "2-1"], &claimed);
}

/// An entry with a name writes the entry, what is cut off, what is pending of that, names that go
/// and names that come: five records with the key, one of them with both names.
#[test]
fn the_names_of_entries_have_room_in_a_frame() {
    let server = Server::start(&[]);
    let mut client = server.client();
    let [key, producer, name] = ["k", "p", "n"].map(|text| text.repeat(70_000));
    let ask = |client: &mut Client, words: &[&str], reply: &str| {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        client.send(array(&words));
        client.expect(reply);
    };
    let client = &mut client;
    let entry = |ms: &str| format!("*2\r\n$3\r\n{ms}-1\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n");
    for id in ["1-1", "2-1"] {
        ask(client, &["XADD", &key, id, "f", "v"], &format!("$3\r\n{id}\r\n"));
    }
    ask(client, &["XGROUP", "CREATE", &key, "g", "0"], "+OK\r\n");
    let both = format!("*1\r\n*2\r\n$70000\r\n{key}\r\n*2\r\n{}{}", entry("1"), entry("2"));
    ask(client, &["XREADGROUP", "GROUP", "g", "ann", "STREAMS", &key, ">"], &both);
    ask(client, &["XCFGSET", &key, "IDMP-MAXSIZE", "1"], "+OK\r\n");
    ask(client, &["XIDMPRECORD", &key, "other", "name", "1-1"], "+OK\r\n");
    ask(client, &["XIDMPRECORD", &key, &producer, &name, "2-1"], "+OK\r\n");
    for count in 0..3 {
        let (name, reply) = (format!("{name}{count}"), "$15\r\n");
        let options = ["IDMP", &producer, &name, "MAXLEN", "1", "DELREF", "*", "f", "v"];
        ask(client, &[&["XADD", &key], &options[..]].concat(), reply);
        client.0.read_exact(&mut [0; 17]).unwrap();
    }
    ask(client, &["XCFGSET", &key, "IDMP-MAXSIZE", "2"], "+OK\r\n");
}

#[test]
fn a_transaction_reserves_about_what_it_copies() {
    let server = Server::start(&[]);
    let mut client = server.client();
    client.send(array(&[b"SET", b"a", &[b'x'; 60_000]]));
    client.expect("+OK\r\n");
    client.send(format!("MULTI\r\n{}EXEC\r\n", "COPY a b REPLACE\r\nSET c 1\r\n".repeat(300)));
    client.expect(format!("+OK\r\n{}*600\r\n", "+QUEUED\r\n".repeat(600)));
    client.expect(":1\r\n+OK\r\n".repeat(300));
    // 18 MB are written, and as much is made ready for what comes next.
    let bytes = server.services.engine.stats().log.segment_bytes;
    assert!(bytes < 200 << 20, "{bytes} bytes of segments");
}

#[test]
fn a_huge_collection_is_logged_in_many_frames_before_it_is_copied() {
    let server = Server::start(&[]);
    let mut client = server.client();
    for batch in 0..40 {
        let members = (0..3000).map(|number| format!("a-member-of-some-length:{batch}:{number}"));
        let members: Vec<String> = members.collect();
        let words = [&b"SADD"[..], b"big"].into_iter().chain(members.iter().map(|m| m.as_bytes()));
        client.send(array(&words.collect::<Vec<_>>()));
        client.expect(":3000\r\n");
    }
    let mut frames = |line: &str, reply: &str| {
        let before = server.services.engine.stats().log.frames;
        client.ask(line, reply);
        server.services.engine.stats().log.frames - before
    };
    assert!(frames("COPY big a", ":1\r\n") > 5);
    assert_eq!(frames("COPY big a", ":0\r\n"), 0);
    assert_eq!(frames("COPY big a REPLACE now", "-ERR syntax error\r\n"), 0);
    assert!(frames("COPY big a REPLACE", ":1\r\n") > 5);
    assert!(frames("RENAME a b", "+OK\r\n") > 5);
    assert_eq!(frames("RENAMENX b big", ":0\r\n"), 0);
    assert!(frames("MOVE b 1", ":1\r\n") > 5);
    assert_eq!(frames("MOVE b 1", ":0\r\n"), 0);
    assert!(frames("COPY big c DB 1", ":1\r\n") > 5);
    frames("MULTI", "+OK\r\n");
    for line in [
        "COPY big d",
        "COPY big e",
        "SREM big a-member-of-some-length:7:7",
        "RENAME big f",
        "SELECT 1",
        "COPY c big",
    ] {
        assert_eq!(frames(line, "+QUEUED\r\n"), 0);
    }
    // That of SREM is not known beforehand: RENAME logs its value in the one frame of all.
    assert!(frames("EXEC", "*6\r\n:1\r\n:1\r\n:1\r\n+OK\r\n+OK\r\n:1\r\n") > 15);
    for key in ["b", "c", "big"] {
        frames(&format!("SCARD {key}"), ":120000\r\n");
    }
    frames("SELECT 0", "+OK\r\n");
    for (key, count) in [("big", 0), ("a", 0), ("d", 120_000), ("e", 120_000), ("f", 119_999)] {
        frames(&format!("SCARD {key}"), &format!(":{count}\r\n"));
    }
}

#[test]
fn expired_keys_that_a_reader_meets_have_room_in_the_log() {
    let server = Server::start(&[]);
    let mut client = server.client();
    let keys: Vec<String> = (0..2000).map(|i| format!("key:{i}")).collect();
    let sets = keys.iter().map(|key| format!("SET {key} v PX 30\r\n"));
    client.send(sets.collect::<String>());
    client.expect("+OK\r\n".repeat(2000));
    std::thread::sleep(Duration::from_millis(40));
    client.send(format!("EXISTS {}\r\n", keys.join(" ")));
    client.expect(":0\r\n");
}

#[test]
fn neighbours_on_one_partition_share_a_frame_and_others_do_not() {
    let server = Server::start_with(2, &[]);
    let mut client = server.client();
    let last_lsn = || server.services.engine.last_lsn();
    let before = last_lsn();
    let calls: [&[&[u8]]; 4] = [
        &[b"SADD", b"{k}s", b"a"],
        &[b"LPUSH", b"{k}s", b"x"],
        &[b"LPUSH", b"{k}l", b"x", b"y"],
        &[b"SADD", b"{k}s", b"a"],
    ];
    client.send(calls.map(array).concat());
    let wrong = "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n";
    client.expect(format!(":1\r\n{wrong}:2\r\n:0\r\n"));
    assert_eq!(last_lsn() - before, 1);
    let calls: [&[&[u8]]; 4] = [
        &[b"SADD", b"{k}s", b"b"],
        &[b"GET", b"{k}none"],
        &[b"LPUSH", b"{k}l", b"x"],
        &[b"LPUSH", b"{other}l", b"x"],
    ];
    client.send(calls.map(array).concat());
    client.expect(":1\r\n$-1\r\n:3\r\n:1\r\n");
    assert_eq!(last_lsn() - before, 4);
    // What is popped is logged, which is bounded by what stands there before.
    let calls: [&[&[u8]]; 3] =
        [&[b"SPOP", b"{k}s", b"9"], &[b"LPOP", b"{k}l"], &[b"SPOP", b"{k}s"]];
    client.send(calls.map(array).concat());
    client.expect("*2\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nx\r\n$-1\r\n");
    assert_eq!(last_lsn() - before, 5);
}

#[test]
fn neighbours_on_any_partition_share_a_frame_where_one_worker_serves() {
    let server = Server::start_with(2, &[]);
    server.services.stats.set_serving(1);
    let (mut client, mut waiting) = (server.client(), server.client());
    let last_lsn = || server.services.engine.last_lsn();
    let call = |number: u32| array(&[b"INCR", number.to_string().as_bytes()]);
    let calls: Vec<u8> = (0..30).flat_map(call).collect();
    client.send(&calls);
    client.expect(":1\r\n".repeat(30));
    assert_eq!(last_lsn(), 1);
    // No more than a small frame takes.
    let value = [b'x'; 4000];
    let calls = [b"a", b"b", b"c", b"d"].map(|key| array(&[b"SET", key, &value]));
    client.send(calls.concat());
    client.expect("+OK\r\n".repeat(4));
    assert_eq!(last_lsn(), 3);
    // Who waits for one of them is served between two others.
    waiting.send("BLPOP 7l 0\r\n");
    while server.services.blocked.load(Ordering::Relaxed) == 0 {
        std::thread::yield_now();
    }
    let calls = (0..9).flat_map(|number| {
        let list = format!("{number}l");
        array(&[b"RPUSH", list.as_bytes(), b"x"])
    });
    client.send(calls.collect::<Vec<u8>>());
    client.expect(":1\r\n".repeat(9));
    waiting.expect("*2\r\n$2\r\n7l\r\n$1\r\nx\r\n");
    client.ask("EXISTS 6l 7l 8l", ":2\r\n");
}

#[test]
fn a_transaction_with_a_mistake_is_discarded() {
    let server = Server::start(&[]);
    let mut client = server.client();
    client.send("MULTI\r\nSET a 1\r\nGET\r\nEXEC\r\nGET a\r\n");
    client.expect("+OK\r\n+QUEUED\r\n");
    client.expect("-ERR wrong number of arguments for 'get' command\r\n");
    client.expect("-EXECABORT Transaction discarded because of previous errors.\r\n$-1\r\n");
}

#[test]
fn strangers_may_only_authenticate() {
    let server = Server::start(&[("requirepass", "secret")]);
    let mut client = server.client();
    client.ask("GET a", "-NOAUTH Authentication required.\r\n");
    client.send("AUTH wrong\r\n");
    client.expect("-WRONGPASS invalid username-password pair or user is disabled.\r\n");
    // The command behind AUTH in one piece is judged by what AUTH did.
    let mut sent = array(&[b"AUTH", b"secret"]);
    sent.extend(array(&[b"SET", b"a", &[b'x'; 20_000]]));
    client.send(sent);
    client.expect("+OK\r\n+OK\r\n");
    let mut stranger = server.client();
    stranger.send("*11\r\n");
    stranger.expect("-ERR Protocol error: unauthenticated multibulk length\r\n");
    stranger.expect_end();
}

#[test]
fn violations_of_the_protocol_end_the_connection_behind_what_was_right() {
    let server = Server::start(&[]);
    let mut client = server.client();
    client.send("PING\r\n*1\r\n!4\r\nPING\r\nPING\r\n");
    client.expect("+PONG\r\n-ERR Protocol error: expected '$', got '!'\r\n");
    client.expect_end();
}

#[test]
fn replies_can_be_switched_off() {
    let server = Server::start(&[]);
    let mut client = server.client();
    client.send("CLIENT REPLY SKIP\r\nECHO a\r\nECHO b\r\nCLIENT REPLY OFF\r\nECHO c\r\n");
    client.send("CLIENT REPLY ON\r\nECHO d\r\n");
    client.expect("$1\r\nb\r\n+OK\r\n$1\r\nd\r\n");
}

#[test]
fn writers_wait_while_they_are_paused() {
    let server = Server::start(&[]);
    let (mut client, mut other) = (server.client(), server.client());
    client.ask("CLIENT PAUSE 100000 WRITE", "+OK\r\n");
    other.send("GET a\r\nSET a 1\r\nGET a\r\n");
    other.expect("$-1\r\n");
    client.ask("GET a", "$-1\r\n");
    client.ask("CLIENT UNPAUSE", "+OK\r\n");
    other.expect("+OK\r\n$1\r\n1\r\n");
}

#[test]
fn killed_clients_go_and_the_killer_gets_its_reply() {
    let server = Server::start(&[]);
    let (mut client, mut other) = (server.client(), server.client());
    other.ask("CLIENT ID", ":2\r\n");
    client.ask("CLIENT KILL ID 2", ":1\r\n");
    other.expect_end();
    client.send("CLIENT KILL ID 1 SKIPME NO\r\nPING\r\n");
    client.expect(":1\r\n");
    client.expect_end();
}

#[test]
fn a_client_that_dies_inside_a_command_leaves_nothing() {
    let server = Server::start(&[]);
    let mut client = server.client();
    client.send("*3\r\n$3\r\nSET\r\n$1\r\na\r\n$100\r\nhalf");
    drop(client);
    let mut other = server.client();
    other.ask("GET a", "$-1\r\n");
    let deadline = Instant::now() + Duration::from_secs(20);
    while server.services.clients.count() > 1 {
        assert!(Instant::now() < deadline, "the dead client is still listed");
        std::thread::yield_now();
    }
}

#[test]
fn clients_that_die_while_they_wait_are_let_go() {
    let server = Server::start(&[]);
    let mut other = server.client();
    let waiting = ["WAIT 1 0\r\n", "WAIT 1 0\r\nPING\r\n", "WAITAOF 1 1 100000000\r\n"];
    for line in waiting {
        let mut client = server.client();
        client.send(format!("PING\r\n{line}"));
        client.expect("+PONG\r\n");
        client.send("PING\r\n");
    }
    other.ask("CLIENT PAUSE 100000000 WRITE", "+OK\r\n");
    server.client().send("SET a 1\r\n");
    let deadline = Instant::now() + Duration::from_secs(20);
    while server.services.clients.count() > 1 {
        assert!(Instant::now() < deadline, "{} are listed", server.services.clients.count());
        std::thread::sleep(Duration::from_millis(10));
    }
    other.ask("PING", "+PONG\r\n");
}

#[test]
fn who_waits_for_replicas_can_be_told_to_go_on() {
    let server = Server::start(&[]);
    let (mut client, mut other) = (server.client(), server.client());
    let error = "-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n";
    for (how, reply) in [("TIMEOUT", ":0\r\n"), ("ERROR", error)] {
        client.send("WAIT 1 0\r\n");
        while server.services.blocked.load(Ordering::Relaxed) == 0 {
            std::thread::yield_now();
        }
        other.ask(&format!("CLIENT UNBLOCK 1 {how}"), ":1\r\n");
        client.expect(reply);
    }
}

#[test]
fn replies_that_nobody_reads_are_bounded() {
    // One runs with its neighbours in one unit, the other by itself.
    let commands: [&[&[u8]]; 2] = [&[b"GET", b"big"], &[b"GETRANGE", b"big", b"0", b"-1"]];
    for command in commands {
        let server = Server::start(&[]);
        let (mut client, mut other) = (server.client(), server.client());
        let value = vec![b'x'; 4 << 20];
        client.send(array(&[b"SET", b"big", &value]));
        client.expect("+OK\r\n");
        client.send(array(command).repeat(200));
        let waiting = || {
            let client = server.services.clients.get(1).unwrap();
            client.output_bytes.load(Ordering::Relaxed)
        };
        let deadline = Instant::now() + Duration::from_secs(20);
        while waiting() <= OUTPUT_BYTES_MAX {
            assert!(Instant::now() < deadline, "only {} bytes wait", waiting());
            std::thread::yield_now();
        }
        other.ask("PING", "+PONG\r\n");
        assert!(waiting() <= OUTPUT_BYTES_MAX + (5 << 20), "{} bytes wait", waiting());
        for _ in 0..200 {
            client.expect("$4194304\r\n");
            client.expect(&value);
            client.expect("\r\n");
        }
    }
}

#[test]
fn what_ran_is_counted() {
    let server = Server::start(&[("slowlog-log-slower-than", "0")]);
    let mut client = server.client();
    client.ask("PING", "+PONG\r\n");
    client.ask("GET", "-ERR wrong number of arguments for 'get' command\r\n");
    client.ask("SELECT x", "-ERR value is not an integer or out of range\r\n");
    let rows = server.services.table.rows().iter();
    let row = |name: &str| rows.clone().find(|row| row.name == name).unwrap().id;
    let stats = &server.services.stats;
    assert_eq!(stats.command(row("ping")).calls, 1);
    assert_eq!(stats.command(row("get")).rejected, 1);
    assert_eq!(stats.command(row("select")).failed, 1);
    assert_eq!(stats.errors()["ERR"], 2);
    let slow = server.services.slowlog.newest(9);
    assert!(slow.iter().any(|entry| entry.args == [b"PING".to_vec()]));
}

#[test]
fn only_what_runs_is_counted_as_a_call() {
    let server = Server::start(&[]);
    let mut client = server.client();
    client.send("MULTI\r\nSET a 1\r\nSET a 2\r\nEXEC\r\nMULTI\r\nSET a 3\r\nDISCARD\r\nGET\r\n");
    let queued = "+QUEUED\r\n";
    client.expect(format!("+OK\r\n{queued}{queued}*2\r\n+OK\r\n+OK\r\n+OK\r\n{queued}+OK\r\n"));
    client.expect("-ERR wrong number of arguments for 'get' command\r\n");
    client.send("MULTI\r\nSAVE\r\nEXEC\r\n");
    client.expect("+OK\r\n-ERR Command not allowed inside a transaction\r\n");
    client.expect("-EXECABORT Transaction discarded because of previous errors.\r\n");
    let counts = |name: &str| {
        let rows = server.services.table.rows();
        let row = rows.iter().find(|row| row.name == name).unwrap();
        let count = server.services.stats.command(row.id);
        (count.calls, count.rejected, count.failed)
    };
    // The figures of a batch are complete once its replies are out.
    client.ask("PING", "+PONG\r\n");
    assert_eq!(counts("set"), (2, 0, 0));
    assert_eq!(counts("get"), (0, 1, 0));
    assert_eq!(counts("save"), (0, 1, 0));
    assert_eq!((counts("multi"), counts("discard")), ((3, 0, 0), (1, 0, 0)));
    assert_eq!(counts("exec"), (2, 0, 1));
}

#[test]
fn the_slow_log_has_what_transactions_run_and_no_passwords() {
    let server = Server::start(&[("slowlog-log-slower-than", "0")]);
    let mut client = server.client();
    client.ask("CONFIG SET masterauth secret timeout 0", "+OK\r\n");
    client.send("AUTH default secret\r\nHELLO 2 SETNAME n AUTH default secret\r\nGET\r\n");
    client.send("MULTI\r\nCONFIG SET requirepass secret\r\nEXEC\r\nECHO end\r\n");
    let mut seen = Vec::new();
    let mut byte = [0];
    while !seen.ends_with(b"end\r\n") {
        client.0.read_exact(&mut byte).unwrap();
        seen.push(byte[0]);
    }
    let slow = server.services.slowlog.newest(99);
    let calls = slow.iter().rev().map(|entry| String::from_utf8(entry.args.join(&b' ')).unwrap());
    let calls: Vec<String> = calls.collect();
    let expected = [
        "CONFIG SET masterauth (redacted) timeout 0",
        "AUTH (redacted) (redacted)",
        "HELLO 2 SETNAME n AUTH (redacted) (redacted)",
        "MULTI",
        "CONFIG SET requirepass (redacted)",
    ];
    assert_eq!(calls[..5], expected);
}

#[test]
fn flags_of_clients_tell_who_is_held_up_and_whose_keys_changed() {
    let server = Server::start(&[]);
    let (mut client, mut other) = (server.client(), server.client());
    other.ask("WATCH a", "+OK\r\n");
    let flags = |client: &mut Client| {
        client.send("CLIENT LIST ID 2\r\n");
        let mut line = Vec::new();
        let mut byte = [0];
        while !line.ends_with(b"\n\r\n") {
            client.0.read_exact(&mut byte).unwrap();
            line.push(byte[0]);
        }
        let line = String::from_utf8(line).unwrap();
        let flags = line.split(' ').find_map(|word| word.strip_prefix("flags="));
        flags.unwrap().to_string()
    };
    assert_eq!(flags(&mut client), "U");
    client.ask("SET a 1", "+OK\r\n");
    assert_eq!(flags(&mut client), "dU");
    other.ask("UNWATCH", "+OK\r\n");
    client.ask("CLIENT PAUSE 100000 WRITE", "+OK\r\n");
    other.send("SET a 2\r\n");
    let started = Instant::now();
    while flags(&mut client) != "bU" {
        assert!(started.elapsed() < Duration::from_secs(20), "it is not told to wait");
    }
    server.services.clients.kill_idle(u64::MAX, 0);
    client.expect_end();
    server.services.pause.end();
    other.expect("+OK\r\n");
}
