//! A server process on a free loopback port, stopped when its handle is dropped.

use std::fs::File;
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::client::Client;
use super::value::Value;

/// Longest wait for a server to answer, or to go away.
pub const START_TIMEOUT: Duration = Duration::from_secs(60);

/// Pause between two looks at a process.
const POLL: Duration = Duration::from_millis(2);

/// Starts that are tried, each on a new port, when another process takes the port first.
const START_ATTEMPTS: usize = 5;

/// A running server.
pub struct Server {
    child: Child,
    pub port: u16,
    output: PathBuf,
}

impl Server {
    /// Starts `program` with its data in `dir` and waits until it answers.
    ///
    /// The files of the server are in `dir/data`, what it prints is in `dir/output`.
    pub fn start(program: &Path, dir: &Path, args: &[String]) -> Server {
        let mut last = String::new();
        for _ in 0..START_ATTEMPTS {
            let mut server = Server::spawn(program, dir, args);
            match server.wait_ready() {
                Ok(()) => return server,
                Err(error) => last = format!("{error}\n{}", server.printed()),
            }
            if !last.to_lowercase().contains("in use") {
                break;
            }
        }
        panic!("{} does not start: {last}", program.display());
    }

    /// Starts `program` and does not wait for it.
    pub fn spawn(program: &Path, dir: &Path, args: &[String]) -> Server {
        let data = dir.join("data");
        let output = dir.join("output");
        let port = free_port();
        let start = || -> io::Result<Child> {
            std::fs::create_dir_all(&data)?;
            let out = File::options().create(true).append(true).open(&output)?;
            Command::new(program)
                .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--dir"])
                .arg(&data)
                .args(["--save", ""])
                .args(args)
                .stdin(Stdio::null())
                .stdout(out.try_clone()?)
                .stderr(out)
                .spawn()
        };
        match start() {
            Ok(child) => Server { child, port, output },
            Err(error) => panic!("cannot start {}: {error}", program.display()),
        }
    }

    /// Waits until the server answers PING.
    pub fn wait_ready(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Err(io::Error::other(format!("it ended: {status}")));
            }
            if let Ok(mut client) = Client::connect(self.port)
                && let Ok(reply) = client.call(&["PING"])
                && !matches!(&reply, Value::Error(text) if text.starts_with(b"LOADING"))
            {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(io::Error::other("it does not answer PING"));
            }
            std::thread::sleep(POLL);
        }
    }

    /// A new connection.
    pub fn connect(&self) -> Client {
        match Client::connect(self.port) {
            Ok(client) => client,
            Err(error) => panic!("cannot connect: {error}\n{}", self.printed()),
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends the server as `kill -9` does, and reaps it.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends a signal by name (`TERM`, `INT`, `STOP`, `CONT`).
    pub fn signal(&self, name: &str) {
        let line = format!("kill -{name} {}", self.pid());
        let status = Command::new("sh").args(["-c", &line]).status();
        assert!(status.is_ok_and(|status| status.success()), "{line}");
    }

    /// Waits for the end of the process.
    pub fn wait_exit(&mut self) -> io::Result<ExitStatus> {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                return Err(io::Error::other("the server does not end"));
            }
            std::thread::sleep(POLL);
        }
    }

    /// The last lines that the server printed.
    pub fn printed(&self) -> String {
        let text = std::fs::read(&self.output).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port that nobody listens on now.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    match listener {
        Ok(address) => address.port(),
        Err(error) => panic!("no free port: {error}"),
    }
}
