//! Names of entries outlive the server: a producer that did not hear of its entry sends it again,
//! and finds the one that is there.

mod support;

use support::server::Server;

#[test]
fn an_entry_that_is_sent_again_after_a_crash_is_there_once() {
    let (program, args) = support::server_under_test();
    let dir = tempfile::tempdir().expect("a folder");
    let mut server = Server::start(&program, dir.path(), &args);
    let mut client = server.connect();
    let named = ["XADD", "s", "IDMP", "p", "n", "*", "f", "v"];
    let hashed = ["XADD", "s", "IDMPAUTO", "p", "*", "a", "1", "b", "2"];
    let ids = [&named[..], &hashed].map(|words| client.ask(words));
    assert!(ids.iter().all(|id| id.bytes().is_some()), "{ids:?}");
    for round in 0..3 {
        if round == 1 {
            client.ask(&["SAVE"]);
        }
        let other = ["XADD", "s", "IDMP", "q", &round.to_string(), "*", "f", "v"];
        client.ask(&other);
        server.kill();
        server = Server::start(&program, dir.path(), &args);
        client = server.connect();
        assert_eq!([&named[..], &hashed].map(|words| client.ask(words)), ids, "round {round}");
        client.ask(&other);
        assert_eq!(client.ask(&["XLEN", "s"]).integer(), Some(3 + round), "round {round}");
    }
}
