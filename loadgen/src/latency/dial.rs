//! Names into addresses, and connections to them, with errors that say what to do.

use socket2::Socket;
use std::io;
use std::net::{Ipv6Addr, SocketAddr, ToSocketAddrs};

/// Which addresses of a name count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Any,
    V4,
    V6,
}

/// The target as it goes into a `Host` field, and the first address that it has.
///
/// `target` is `host`, `host:port`, `[v6]:port`, a bare IPv6 address, or a URL of scheme `http`;
/// where it names no port, it is `port`.
///
/// # Errors
/// A sentence where there is no such address.
pub(super) fn resolve(
    target: &str,
    port: u16,
    family: Family,
) -> Result<(String, SocketAddr), String> {
    let host = target.strip_prefix("http://").unwrap_or(target);
    let host = host.split('/').next().unwrap_or_default();
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
    let authority = if host.parse::<Ipv6Addr>().is_ok() {
        format!("[{host}]:{port}")
    } else if has_port {
        host.to_owned()
    } else {
        format!("{host}:{port}")
    };
    let addresses = authority.to_socket_addrs();
    let mut addresses = addresses.map_err(|error| format!("{target} has no address: {error}"))?;
    let address = addresses.find(|address| match family {
        Family::Any => true,
        Family::V4 => address.is_ipv4(),
        Family::V6 => address.is_ipv6(),
    });
    let address = address.ok_or_else(|| format!("{target} has no address of that family"))?;
    Ok((authority, address))
}

/// Connects, and waits for it.
///
/// # Errors
/// A sentence with the likely cause.
pub(super) fn connect(socket: &Socket, address: SocketAddr) -> Result<(), String> {
    socket.connect(&address.into()).map_err(|error| match error.kind() {
        io::ErrorKind::ConnectionRefused => format!(
            "nobody listens on {address}: {error}; start for example \
             server-epoll --service echo --listen {address}"
        ),
        io::ErrorKind::AddrNotAvailable => format!(
            "no local port is free for a connection to {address}: those that were used wait in \
             TIME-WAIT (ss -tan state time-wait | wc -l); --close rst leaves none behind, and \
             net.ipv4.ip_local_port_range says how many there are"
        ),
        _ => format!("no connection to {address}: {error}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_taken_apart() {
        let check = |target: &str, authority: &str, address: &str| {
            let expect = (authority.to_owned(), address.parse().expect(address));
            assert_eq!(resolve(target, 8080, Family::Any), Ok(expect), "{target}");
        };
        check("127.0.0.1", "127.0.0.1:8080", "127.0.0.1:8080");
        check("127.0.0.1:9", "127.0.0.1:9", "127.0.0.1:9");
        check("http://127.0.0.1:9/bytes/1", "127.0.0.1:9", "127.0.0.1:9");
        check("::1", "[::1]:8080", "[::1]:8080");
        check("[::1]", "[::1]:8080", "[::1]:8080");
        check("[::1]:9", "[::1]:9", "[::1]:9");
    }

    #[test]
    fn the_family_is_obeyed_and_nonsense_refused() {
        let family = |family| resolve("127.0.0.1", 1, family);
        assert!(family(Family::V4).is_ok());
        assert!(family(Family::V6).expect_err("none").contains("of that family"));
        let message = resolve("127.0.0.1:port", 1, Family::Any).expect_err("no number");
        assert!(message.contains("has no address"), "{message}");
    }
}
