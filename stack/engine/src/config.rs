//! The bounds and addresses of one engine.

use crate::emit::HOP_LIMIT;
use std::net::SocketAddrV4;
use std::ops::RangeInclusive;
use std::time::Duration;

/// Everything that an engine is told once. Sizes in bytes; every field is a bound or an address.
#[derive(Clone, Debug)]
pub struct Config {
    /// Our address (MUST-43), and the port that connections are accepted on.
    pub listen: SocketAddrV4,
    /// Connections in the table at a time, half-open ones included. Memory for the tables is
    /// taken when the engine is made, that of a connection when it opens.
    pub connections: u32,
    /// Half-open connections at a time; beyond it SYNs are answered with cookies if TCP can, else
    /// dropped.
    pub half_open: u32,
    /// Receive buffer of a connection: the largest window, and the most unread input.
    pub rx_buffer_bytes: usize,
    /// Send buffer of a connection: the most output that is unsent or unacknowledged.
    pub tx_buffer_bytes: usize,
    /// What all connections together may have of output beyond a chunk for each, and of unread or
    /// unordered input, where TCP keeps both in pools.
    pub tx_pool_bytes: usize,
    /// See [`tx_pool_bytes`](Self::tx_pool_bytes).
    pub rx_pool_bytes: usize,
    /// From a SYN to the end of the handshake.
    pub handshake_timeout: Duration,
    /// Output waiting and nothing heard of the peer: RFC 9293 §3.8.3 calls it R2.
    pub user_timeout: Duration,
    /// From the acknowledgement of our FIN to the peer's own, when the application closed both
    /// directions.
    pub fin_wait_timeout: Duration,
    /// Two maximum segment lifetimes (RFC 9293 §3.4.1).
    pub time_wait: Duration,
    /// Connections in TIME-WAIT at a time; beyond it the oldest is forgotten.
    pub time_wait_entries: u32,
    /// ARP requests and ICMP echo requests answered per second, each.
    pub control_replies_per_second: u32,
    /// Resets per second in answer to segments that belong to no connection.
    pub resets_per_second: u32,
    /// Active opens under way at a time, those that wait for the peer's MAC address included.
    pub connecting: u32,
    /// From [`Engine::connect`](crate::Engine::connect) to the end of the handshake. RFC 9293
    /// §3.8.3, MUST-23: at least three minutes by default.
    pub connect_timeout: Duration,
    /// Our ports of active opens; that of `listen` is never taken.
    pub ephemeral_ports: RangeInclusive<u16>,
    /// MUST-49: time to live of segments. Peers on the link see what it is, those behind routers
    /// are reached or not.
    pub hop_limit: u8,
    /// MAC addresses known or asked for at a time; only peers of active opens are asked for.
    pub neighbours: u32,
    /// Secret key of the hash tables, of initial sequence numbers and of ephemeral ports: 16 random
    /// bytes.
    pub key: [u8; 16],
}

impl Config {
    /// The defaults for a server at `listen`; `key` must come from a secure source.
    #[must_use]
    pub fn new(listen: SocketAddrV4, key: [u8; 16]) -> Self {
        Self {
            listen,
            connections: 16_384,
            half_open: 4096,
            rx_buffer_bytes: 64 * 1024,
            tx_buffer_bytes: 256 * 1024,
            tx_pool_bytes: 64 * 1024 * 1024,
            rx_pool_bytes: 64 * 1024 * 1024,
            handshake_timeout: Duration::from_secs(15),
            user_timeout: Duration::from_secs(100),
            fin_wait_timeout: Duration::from_secs(60),
            time_wait: Duration::from_secs(60),
            time_wait_entries: 65_536,
            control_replies_per_second: 1000,
            resets_per_second: 10_000,
            connecting: 4096,
            connect_timeout: Duration::from_secs(180),
            // RFC 6056 §3.2: as many as can be.
            ephemeral_ports: 1024..=u16::MAX,
            hop_limit: HOP_LIMIT,
            neighbours: 256,
            key,
        }
    }
}
