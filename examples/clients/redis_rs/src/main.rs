//! Firn through the `redis` crate, from this folder: cargo run -- [PORT]

use redis::{Commands, Connection, RedisResult};

fn main() -> RedisResult<()> {
    let port = std::env::args().nth(1).unwrap_or_else(|| "6379".into());
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}/?protocol=resp3"))?;
    let mut connection = client.get_connection()?;

    // When the call returns, the value is on disk: acknowledged means durable.
    let () = connection.set_ex("greeting", "hello", 3600)?;
    let greeting: String = connection.get("greeting")?;
    let seconds: i64 = connection.ttl("greeting")?;
    println!("greeting: {greeting} for {seconds} s");

    // A pipeline sends many commands at once; they share one commit.
    let mut pipe = redis::pipe();
    for number in 0..1000 {
        pipe.set(format!("number:{number}"), number).ignore();
    }
    let () = pipe.query(&mut connection)?;
    let found = connection.scan_match::<_, String>("number:*")?.count();
    println!("keys: {found}");

    // A transaction with WATCH: it runs again when another client changed the balance meanwhile.
    let balance = add_interest(&mut connection)?;
    println!("balance: {balance}");

    // This connection waits for the disk at most once a second, whatever the server's default is.
    let mut relaxed = client.get_connection()?;
    let () = redis::cmd("CLIENT").arg(&["DURABILITY", "everysec"]).query(&mut relaxed)?;
    let () = relaxed.set("view-count", 1)?;

    let mut names: Vec<String> = (0..1000).map(|number| format!("number:{number}")).collect();
    names.extend(["greeting", "balance", "view-count"].map(String::from));
    connection.del(names)
}

fn add_interest(connection: &mut Connection) -> RedisResult<u64> {
    redis::transaction(connection, &["balance"], |connection, pipe| {
        let balance: u64 = connection.get::<_, Option<u64>>("balance")?.unwrap_or(100);
        let balance = balance + balance / 10;
        let done: Option<()> = pipe.set("balance", balance).ignore().query(connection)?;
        Ok(done.map(|()| balance))
    })
}
