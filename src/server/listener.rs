//! Where clients come in: TCP and Unix sockets, and who is turned away.

use std::io::{self, ErrorKind, Write};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, UnixListener};

use crate::config::Config;
use crate::config::settings::Settings;
use crate::session::services::Services;
use crate::session::state::Session;

use super::spread::Team;
use super::stream::Accepted;
use super::workers::Workers;

/// What strangers are told while no password protects the data.
const PROTECTED: &[u8] = b"-DENIED Running in protected mode because protected mode is enabled \
and no password is set for the default user. In this mode connections are only accepted from the \
loopback interface. If you want to connect from external computers, you may adopt one of the \
following solutions: 1) Just disable protected mode sending the command 'CONFIG SET \
protected-mode no' from the loopback interface by connecting from the same host the server is \
running, however MAKE SURE it's not publicly accessible from internet if you do so. Use CONFIG \
REWRITE to make this change permanent. 2) Alternatively you can just disable the protected mode by \
editing the configuration file, and setting the protected mode option to 'no', and then restarting \
the server. 3) If you started the server manually just for testing, restart it with the \
'--protected-mode no' option. 4) Set up an authentication password for the default user. NOTE: You \
only need to do one of the above things in order for the server to start accepting connections \
from the outside.\r\n";
const TOO_MANY: &[u8] = b"-ERR max number of clients reached\r\n";
/// Pause after the system had no descriptor left, in milliseconds.
const EXHAUSTED_MS: u64 = 100;

/// A socket that listens.
pub enum Listener {
    /// TCP
    Tcp(TcpListener),
    /// Unix, with its path.
    Unix(UnixListener, String),
}

/// Listens wherever the directives say. Must be called on a runtime.
///
/// # Errors
/// One line that says what to do.
pub fn listen(config: &Config) -> Result<Vec<Listener>, String> {
    let mut listeners = Vec::new();
    let backlog: i32 = config.get("tcp-backlog").parse().unwrap_or(511);
    let port: u16 = config.get("port").parse().unwrap_or(0);
    if port != 0 {
        listen_tcp(&config.get("bind"), port, backlog, &mut listeners)?;
    }
    let path = config.get("unixsocket");
    if !path.is_empty() {
        let mode = u32::from_str_radix(&config.get("unixsocketperm"), 8).unwrap_or(0);
        let listener = listen_unix(&path, mode, backlog)
            .map_err(|error| format!("cannot listen on Unix socket {path}: {error}"))?;
        listeners.push(Listener::Unix(listener, path));
    }
    if listeners.is_empty() {
        return Err("nothing to listen on: set --port or --unixsocket".into());
    }
    Ok(listeners)
}

fn listen_tcp(
    bind: &str,
    port: u16,
    backlog: i32,
    listeners: &mut Vec<Listener>,
) -> Result<(), String> {
    for word in bind.split_whitespace() {
        let (host, is_optional) = match word.strip_prefix('-') {
            Some(host) => (host, true),
            None => (word, false),
        };
        for address in addresses(host, port)? {
            match listen_at(address, backlog) {
                Ok(listener) => listeners.push(Listener::Tcp(listener)),
                // As Redis does: a leading minus stands for "where this machine has the address".
                Err(error) if is_optional && error.kind() != ErrorKind::AddrInUse => {}
                Err(error) if error.kind() == ErrorKind::AddrInUse => {
                    return Err(format!(
                        "port {port} of {host} is in use; stop the other server or choose another \
                         port with --port"
                    ));
                }
                Err(error) => return Err(format!("cannot listen on {address}: {error}")),
            }
        }
    }
    Ok(())
}

fn addresses(host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    let host = match host {
        "*" => "0.0.0.0",
        "::*" => "::",
        host => host,
    };
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let found = (host, port).to_socket_addrs();
    let found = found.map_err(|error| format!("cannot resolve bind address '{host}': {error}"))?;
    Ok(found.take(1).collect())
}

fn listen_at(address: SocketAddr, backlog: i32) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    TcpListener::from_std(socket.into())
}

fn listen_unix(path: &str, mode: u32, backlog: i32) -> io::Result<UnixListener> {
    // What a server that was killed left behind is in the way; anything but a socket is not ours.
    if std::fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket()) {
        std::fs::remove_file(path)?;
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&socket2::SockAddr::unix(path)?)?;
    if mode != 0 {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    }
    socket.listen(backlog)?;
    UnixListener::from_std(socket.into())
}

/// Removes what [`listen`] has made in the file system. A failure is left alone: the next server
/// replaces the file.
pub fn remove_socket_file(config: &Config) {
    let path = config.get("unixsocket");
    if !path.is_empty() {
        let _ = std::fs::remove_file(path);
    }
}

/// Accepts for as long as it is polled, and hands connections to the worker that has the fewest.
pub async fn accept(listener: Listener, services: Arc<Services>, workers: Arc<Workers>) {
    loop {
        match accept_one(&listener).await {
            Ok(socket) => admit(socket, &services, &workers),
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
            Err(error) => {
                // No descriptors are left, most likely; some come back when clients go.
                tracing::warn!("cannot accept a connection: {error}");
                tokio::time::sleep(Duration::from_millis(EXHAUSTED_MS)).await;
            }
        }
    }
}

async fn accept_one(listener: &Listener) -> io::Result<Accepted> {
    Ok(match listener {
        Listener::Tcp(listener) => Accepted::Tcp(listener.accept().await?.0.into_std()?),
        Listener::Unix(listener, path) => {
            Accepted::Unix(listener.accept().await?.0.into_std()?, path.clone())
        }
    })
}

fn admit(socket: Accepted, services: &Services, workers: &Workers) {
    let settings = services.config.settings();
    let Ok(endpoint) = socket.endpoint() else {
        return;
    };
    let is_open = !settings.protected_mode || !settings.password.is_empty();
    if !is_open && !endpoint.is_local() {
        return turn_away(socket, services, PROTECTED);
    }
    if let Accepted::Tcp(stream) = &socket {
        prepare(stream, &settings);
    }
    let now_ms = services.engine.now_ms();
    let clients = &services.clients;
    let Some(client) = clients.connect(endpoint, now_ms, settings.clients_max) else {
        return turn_away(socket, services, TOO_MANY);
    };
    let session = Session::new(client, settings.password.is_empty());
    workers.take_on(socket, session, Team::of(&services.stats));
}

/// Failures are left alone: a connection works without these, only less well.
fn prepare(stream: &std::net::TcpStream, settings: &Settings) {
    let _ = stream.set_nodelay(true);
    if settings.keepalive_s > 0 {
        let idle = Duration::from_secs(settings.keepalive_s.into());
        let probes = TcpKeepalive::new()
            .with_time(idle)
            .with_interval((idle / 3).max(Duration::from_secs(1)))
            .with_retries(3);
        let _ = SockRef::from(stream).set_tcp_keepalive(&probes);
    }
}

fn turn_away(socket: Accepted, services: &Services, text: &[u8]) {
    services.stats.connection_rejected();
    // The socket does not block: what it does not take at once the client does not learn.
    let _ = match &socket {
        Accepted::Tcp(stream) => { stream }.write(text),
        Accepted::Unix(stream, _) => { stream }.write(text),
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{defaults, table::find};

    #[test]
    fn stars_stand_for_all_addresses() {
        let all = |host| addresses(host, 1).unwrap()[0].to_string();
        assert_eq!((all("*"), all("::*")), ("0.0.0.0:1".into(), "[::]:1".into()));
        assert_eq!(all("::1"), "[::1]:1");
    }

    #[tokio::test]
    async fn a_used_port_is_told_in_one_line() {
        let mut listeners = Vec::new();
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = listen_tcp("127.0.0.1", port, 1, &mut listeners).unwrap_err();
        assert!(error.contains("is in use") && error.contains(&port.to_string()));
    }

    #[tokio::test]
    async fn optional_addresses_may_fail() {
        let mut listeners = Vec::new();
        // 192.0.2.0/24 is for documentation; no machine has it.
        listen_tcp("-192.0.2.1", 7, 1, &mut listeners).unwrap();
        assert!(listeners.is_empty());
        assert!(listen_tcp("192.0.2.1", 7, 1, &mut listeners).is_err());
    }

    #[tokio::test]
    async fn the_socket_file_goes_with_the_server() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let mut values = defaults();
        for (name, value) in [("port", "0"), ("unixsocket", path.to_str().unwrap())] {
            values[find(name).unwrap()] = value.to_string();
        }
        let config = Config::new(values, None);
        let _listeners = listen(&config).unwrap();
        assert!(path.exists());
        remove_socket_file(&config);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_stale_socket_file_is_replaced_and_another_file_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let path = path.to_str().unwrap();
        drop(listen_unix(path, 0o700, 1).unwrap());
        drop(listen_unix(path, 0o700, 1).unwrap());
        let mode = std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        std::fs::remove_file(path).unwrap();
        std::fs::write(path, "mine").unwrap();
        assert!(listen_unix(path, 0, 1).is_err());
        assert_eq!(std::fs::read_to_string(path).unwrap(), "mine");
    }
}
