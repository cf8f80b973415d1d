//! What `wrk.lookup` and `wrk.connect` do: names to addresses, and whether one answers.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

/// How long `wrk.connect` waits. wrk waits as long as the kernel does, which is minutes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Where the system keeps the ports of services by name.
const SERVICES: &str = "/etc/services";

/// Looks a host and a service (a port or a name) up.
///
/// # Errors
/// In wrk's words.
pub(super) fn lookup(host: &str, service: &str) -> Result<Vec<SocketAddr>, String> {
    let unable = |why: &str| format!("unable to resolve {host}:{service} {why}");
    let port = port_of(service).ok_or_else(|| unable("Servname not supported for ai_socktype"))?;
    match (host, port).to_socket_addrs() {
        Ok(addresses) => Ok(addresses.collect()),
        Err(error) => {
            let text = strerror(&error);
            let prefix = "failed to lookup address information: ";
            Err(unable(text.strip_prefix(prefix).unwrap_or(&text)))
        }
    }
}

/// Whether a connection to an address, as its `Display` writes it, can be opened.
///
/// # Errors
/// The error of the attempt.
pub(super) fn connect(address: &str) -> io::Result<()> {
    let address: SocketAddr =
        address.parse().map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    TcpStream::connect_timeout(&address, CONNECT_TIMEOUT).map(drop)
}

fn port_of(service: &str) -> Option<u16> {
    match service {
        // The two that URLs have: machines without a list of services know them as well.
        "http" => Some(80),
        "https" => Some(443),
        _ if service.starts_with(|first: char| first.is_ascii_digit()) => service.parse().ok(),
        _ => find_service(&fs::read_to_string(SERVICES).ok()?, service),
    }
}

/// The port of a service over TCP in the text of `services(5)`.
fn find_service(services: &str, wanted: &str) -> Option<u16> {
    services.lines().find_map(|line| {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let (name, number) = (words.next()?, words.next()?);
        let port = number.strip_suffix("/tcp")?;
        if name == wanted || words.any(|alias| alias == wanted) { port.parse().ok() } else { None }
    })
}

/// The text of an error without the number that the standard library adds.
pub(super) fn strerror(error: &io::Error) -> String {
    // The kernel's own time-out has this name; the standard library's has another.
    if error.kind() == io::ErrorKind::TimedOut && error.raw_os_error().is_none() {
        return strerror(&io::Error::from_raw_os_error(libc::ETIMEDOUT));
    }
    let text = error.to_string();
    match text.find(" (os error ") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_numbers_or_names_of_services() {
        assert_eq!(port_of("http"), Some(80));
        assert_eq!(port_of("https"), Some(443));
        assert_eq!(port_of("8080"), Some(8080));
        assert_eq!(port_of("65536"), None);
        assert_eq!(port_of("no-such-service"), None);
        let services = "# all\nsmtp 25/tcp mail\nsyslog 514/udp\nshell 514/tcp cmd syslog # x\n";
        assert_eq!(find_service(services, "smtp"), Some(25));
        assert_eq!(find_service(services, "mail"), Some(25));
        assert_eq!(find_service(services, "syslog"), Some(514));
        assert_eq!(find_service(services, "all"), None);
    }

    #[test]
    fn addresses_need_no_name_server_and_unknown_services_are_told() {
        let found = lookup("127.0.0.1", "81").unwrap();
        assert_eq!(found, ["127.0.0.1:81".parse().unwrap()]);
        assert_eq!(lookup("::1", "http").unwrap(), ["[::1]:80".parse().unwrap()]);
        assert_eq!(
            lookup("127.0.0.1", "no-such-service").unwrap_err(),
            "unable to resolve 127.0.0.1:no-such-service Servname not supported for ai_socktype"
        );
    }

    #[test]
    fn connecting_tells_open_ports_from_closed_ones() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        connect(&address).unwrap();
        // Nobody listens at the client's end of a connection, and nobody else can while it is open.
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let refused = connect(&client.local_addr().unwrap().to_string()).unwrap_err();
        assert_eq!(strerror(&refused), "Connection refused");
    }
}
