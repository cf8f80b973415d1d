//! Flags of every server on the userspace stack.

use clap::{Args, ValueEnum};
use std::net::{SocketAddr, SocketAddrV4};

/// Which TCP implementation runs the connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TcpChoice {
    /// The off-the-shelf stack, with one socket set per connection.
    Smoltcp,
    /// The project's own, with pooled buffers.
    Native,
}

impl TcpChoice {
    /// The flag's spelling.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Smoltcp => "smoltcp",
            Self::Native => "native",
        }
    }
}

/// Smallest receive buffer: the longest head that the default limits take must fit.
const RX_BUFFER_MIN: u64 = 64 * 1024;
/// Smallest send buffer: the head of any answer fits many times.
const TX_BUFFER_MIN: u64 = 4 * 1024;
/// Default of the send buffer: as much output as HTTP lets wait for a client. With a quarter of it,
/// a few connections with long bodies wait for acknowledgements more than they send.
const TX_BUFFER: u64 = 256 * 1024;
/// Default of each pool: a thousand connections have 64 KiB each.
const POOL: u64 = 64 * 1024 * 1024;
/// Largest pool of either kind.
const POOL_MAX: u64 = 16 * 1024 * 1024 * 1024;
/// Largest buffer of either kind: what a scaled window can offer, far above any use.
const BUFFER_MAX: u64 = 16 * 1024 * 1024;

/// The flags of the stack.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Userspace TCP")]
pub struct StackFlags {
    /// Which TCP implementation runs the connections
    #[arg(long, value_enum, default_value_t = TcpChoice::Native)]
    pub tcp: TcpChoice,
    /// Receive buffer of each connection in bytes; memory is taken as it is used
    #[arg(
        long,
        value_name = "BYTES",
        default_value_t = RX_BUFFER_MIN,
        value_parser = clap::value_parser!(u64).range(RX_BUFFER_MIN..=BUFFER_MAX)
    )]
    pub rx_buffer: u64,
    /// Send buffer of each connection in bytes; memory is taken as it is used
    #[arg(
        long,
        value_name = "BYTES",
        default_value_t = TX_BUFFER,
        value_parser = clap::value_parser!(u64).range(TX_BUFFER_MIN..=BUFFER_MAX)
    )]
    pub tx_buffer: u64,
    /// What all connections of a thread may hold of output beyond 1 KiB each; native TCP only
    #[arg(
        long,
        value_name = "BYTES",
        default_value_t = POOL,
        value_parser = clap::value_parser!(u64).range(0..=POOL_MAX)
    )]
    pub tx_pool: u64,
    /// What they may hold of unread input beyond 2 KiB each; native TCP only
    #[arg(
        long,
        value_name = "BYTES",
        default_value_t = POOL,
        value_parser = clap::value_parser!(u64).range(0..=POOL_MAX)
    )]
    pub rx_pool: u64,
    /// Connections in TIME-WAIT remembered by each thread
    #[arg(
        long,
        value_name = "N",
        default_value_t = 65_536,
        value_parser = clap::value_parser!(u32).range(0..=1_048_576)
    )]
    pub time_wait_entries: u32,
}

impl StackFlags {
    /// The address to listen on, which for this stack is one IPv4 address and one port.
    ///
    /// # Errors
    /// A sentence for the user where it is not.
    pub fn listen(listen: SocketAddr) -> Result<SocketAddrV4, String> {
        let SocketAddr::V4(address) = listen else {
            return Err(format!(
                "--listen {listen} is IPv6, which the userspace stack does not speak: \
                 give an IPv4 address, for example --listen 198.18.0.2:8080"
            ));
        };
        let ip = address.ip();
        if ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || ip.is_broadcast() {
            return Err(format!(
                "--listen {ip} is not an address that a host has on a link: the userspace stack \
                 needs one of its own, which the kernel does not have, for example 198.18.0.2:8080"
            ));
        }
        if address.port() == 0 {
            return Err("--listen with port 0: the userspace stack picks no port by itself, \
                        give one, for example 8080"
                .to_owned());
        }
        Ok(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_ipv4_address_of_its_own_with_a_port_is_taken() {
        let check = |text: &str, part: &str| {
            let address: SocketAddr = text.parse().expect("an address");
            match StackFlags::listen(address) {
                Ok(address) => assert_eq!((address.to_string().as_str(), part), (text, "")),
                Err(message) => {
                    assert!(!part.is_empty() && message.contains(part), "{text}: {message}");
                }
            }
        };
        check("198.18.0.2:8080", "");
        check("[::1]:8080", "IPv6");
        check("127.0.0.1:8080", "of its own");
        check("0.0.0.0:8080", "of its own");
        check("239.1.1.1:80", "of its own");
        check("198.18.0.2:0", "port 0");
    }
}
