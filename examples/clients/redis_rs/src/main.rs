//! Firn through the `redis` crate, from this folder: cargo run -- [PORT]

use std::collections::BTreeMap;
use std::thread;

use redis::streams::{StreamReadOptions, StreamReadReply};
use redis::{Client, Commands, Connection, Direction, RedisResult};

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
        pipe.hset("squares", number, number * number).ignore();
        pipe.sadd("remainders", number % 7).ignore();
        pipe.zadd("by-digits", number, number.to_string().len()).ignore();
    }
    let () = pipe.query(&mut connection)?;
    count_all(&mut connection)?;

    // A transaction with WATCH: it runs again when another client changed the balance meanwhile.
    let balance = add_interest(&mut connection)?;
    println!("balance: {balance}");

    // A worker waits for jobs. Moving one is a single durable step, so none is lost when it dies.
    let worker = thread::spawn({
        let client = client.clone();
        move || work(&client)
    });
    let () = connection.rpush("jobs", &["wash", "dry", "wash", "stop"])?;
    println!("done: {:?}", worker.join().expect("the worker ends")?);

    let packed = pack_orders(&mut connection)?;
    println!("packed: {packed:?}");

    // This connection waits for the disk at most once a second, whatever the server's default is.
    let mut relaxed = client.get_connection()?;
    let () = redis::cmd("CLIENT").arg(&["DURABILITY", "everysec"]).query(&mut relaxed)?;
    let () = relaxed.set("view-count", 1)?;

    let mut names: Vec<String> = (0..1000).map(|number| format!("number:{number}")).collect();
    let others = ["greeting", "balance", "history", "view-count", "squares", "remainders"];
    names.extend(others.map(String::from));
    names.extend(["by-digits", "running", "done", "orders"].map(String::from));
    connection.del(names)
}

/// Each scan returns what stays exactly once, whatever else happens meanwhile.
fn count_all(connection: &mut Connection) -> RedisResult<()> {
    let keys = connection.scan_match::<_, String>("number:*")?.count();
    let squares = connection.hscan::<_, (String, u64)>("squares")?.count();
    let remainders = connection.sscan::<_, u64>("remainders")?.count();
    let by_digits = connection.zscan::<_, (String, f64)>("by-digits")?.count();
    println!("keys: {keys}, squares: {squares}, remainders: {remainders}, digits: {by_digits}");
    Ok(())
}

/// All of a transaction is applied, or nothing of it, also after a crash.
fn add_interest(connection: &mut Connection) -> RedisResult<u64> {
    redis::transaction(connection, &["balance"], |connection, pipe| {
        let balance: u64 = connection.get::<_, Option<u64>>("balance")?.unwrap_or(100);
        let balance = balance + balance / 10;
        pipe.set("balance", balance).ignore();
        pipe.lpush("history", format!("now {balance}")).ignore();
        pipe.ltrim("history", 0, 9).ignore();
        let done: Option<()> = pipe.query(connection)?;
        Ok(done.map(|()| balance))
    })
}

/// A stream's group hands each entry to one consumer, and keeps it until it is acknowledged.
fn pack_orders(connection: &mut Connection) -> RedisResult<Vec<String>> {
    let () = connection.xgroup_create_mkstream("orders", "packers", "$")?;
    for item in ["tea", "cup"] {
        let () = connection.xadd("orders", "*", &[("item", item)])?;
    }
    let options = StreamReadOptions::default().group("packers", "ann").count(9).block(5000);
    let read: Option<StreamReadReply> = connection.xread_options(&["orders"], &[">"], &options)?;
    let mut packed = Vec::new();
    for order in read.iter().flat_map(|read| &read.keys).flat_map(|stream| &stream.ids) {
        packed.extend(order.get::<String>("item"));
        let () = connection.xack("orders", "packers", &[&order.id])?;
    }
    Ok(packed)
}

fn work(client: &Client) -> RedisResult<BTreeMap<String, u64>> {
    let mut connection = client.get_connection()?;
    loop {
        let (from, to) = (Direction::Left, Direction::Right);
        let job: Option<String> = connection.blmove("jobs", "running", from, to, 5.0)?;
        match job.as_deref() {
            None | Some("stop") => return connection.hgetall("done"),
            Some(job) => {
                let () = connection.hincr("done", job, 1)?;
                let () = connection.lrem("running", 1, job)?;
            }
        }
    }
}
