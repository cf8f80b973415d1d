//! Sockets: what a descriptor stands for, and its options.

use crate::packet::IpFields;
use crate::profile::Profile;
use crate::world::ConnectionId;
use std::collections::VecDeque;
use std::fs::File;
use std::net::SocketAddrV4;
use std::time::Duration;
use tcp::{Config, KeepAlive};

/// A socket.
#[derive(Debug)]
pub(crate) struct Socket {
    /// What makes the descriptor a real one, which packetdrill closes on its own at the end.
    pub(crate) file: File,
    pub(crate) is_nonblocking: bool,
    pub(crate) options: Options,
    pub(crate) role: Role,
}

/// What a socket is there for.
#[derive(Debug)]
pub(crate) enum Role {
    /// Neither yet.
    Fresh {
        bound: Option<SocketAddrV4>,
    },
    Listener(Listener),
    Stream(ConnectionId),
}

#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) local: SocketAddrV4,
    pub(crate) backlog: usize,
    /// Connections that wait to be accepted.
    pub(crate) ready: VecDeque<ConnectionId>,
}

impl Listener {
    pub(crate) fn hears(&self, address: &SocketAddrV4) -> bool {
        let ip = self.local.ip();
        self.local.port() == address.port() && (ip.is_unspecified() || ip == address.ip())
    }

    /// Linux lets one connection more than the backlog wait.
    pub(crate) fn is_full(&self) -> bool {
        self.ready.len() > self.backlog
    }
}

/// Options, inherited by what a listener accepts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) receive_bytes: u32,
    pub(crate) send_bytes: u32,
    pub(crate) has_reuse_address: bool,
    pub(crate) has_no_delay: bool,
    /// `TCP_MAXSEG`, in bytes.
    pub(crate) max_segment: Option<u16>,
    pub(crate) has_keep_alive: bool,
    pub(crate) keep_alive: KeepAlive,
    pub(crate) user_timeout: Option<Duration>,
    /// `SO_LINGER`
    pub(crate) linger: Option<Duration>,
    /// `TCP_INQ`: `recvmsg` says how much there is still to be read.
    pub(crate) tells_unread: bool,
    pub(crate) ip: IpFields,
}

impl Options {
    pub(crate) fn new(profile: &Profile) -> Self {
        Self {
            receive_bytes: profile.receive_bytes,
            send_bytes: profile.send_bytes,
            has_reuse_address: false,
            has_no_delay: false,
            max_segment: None,
            has_keep_alive: false,
            keep_alive: profile.keep_alive,
            user_timeout: None,
            linger: None,
            tells_unread: false,
            ip: IpFields::default(),
        }
    }

    /// What a connection with these options is told.
    pub(crate) fn config(&self, profile: &Profile) -> Config {
        let config = &profile.config;
        Config {
            receive_capacity_bytes: self.receive_bytes,
            receive_capacity_max_bytes: profile.receive_max_bytes,
            // IPv4 and TCP headers lie between the largest segment and the largest packet.
            mtu: self.max_segment.map_or(config.mtu, |mss| config.mtu.min(mss + 40)),
            nagle: !self.has_no_delay,
            user_timeout: self.user_timeout.unwrap_or(config.user_timeout),
            keep_alive: self.has_keep_alive.then_some(self.keep_alive),
            ..*config
        }
    }
}
