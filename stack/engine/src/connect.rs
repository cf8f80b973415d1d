//! Active opens: a port, the peer's MAC address, the handshake, and what may come of them.

use crate::app::{App, Closed, ConnId, ConnectError};
use crate::core::Core;
use crate::counters::Count;
use crate::flow::Flow;
use crate::neighbours::{ARP_REQUEST_LEN, Due, write_arp_request};
use crate::packet::{Mac, may_be_a_peer};
use crate::port::Port;
use crate::table::Connection;
use crate::transport::Tcp;
use queue::Queue;
use std::net::{Ipv4Addr, SocketAddrV4};
use tcp::Instant;

/// Neighbours asked, given up or forgotten in one poll, at most.
const NEIGHBOURS_MAX: usize = 16;

impl<A: App, T: Tcp> Core<A, T> {
    /// OPEN, active (RFC 9293 §3.10.1).
    pub(crate) fn connect(
        &mut self,
        now: Instant,
        address: Ipv4Addr,
        peer: SocketAddrV4,
        token: u64,
    ) -> Result<(), ConnectError> {
        if self.is_draining {
            return Err(ConnectError::Draining);
        }
        if !may_be_a_peer(*peer.ip()) || *peer.ip() == address || peer.port() == 0 {
            return Err(ConnectError::Unaddressable);
        }
        let mac = self.neighbours.find(*peer.ip());
        let has_room = self.table.connecting() < self.config.connecting as usize
            && !self.table.is_full()
            && (mac.is_some() || self.neighbours.has_room(*peer.ip()));
        if !has_room {
            return Err(ConnectError::TableFull);
        }
        let (table, time_wait, listen) = (&self.table, &self.time_wait, self.config.listen.port());
        let is_free = |port: u16| {
            let flow = Flow::new(peer, port);
            port != listen && table.find(flow).is_none() && !time_wait.holds(flow)
        };
        let port = self.ports.pick(peer, is_free).ok_or(ConnectError::NoPort)?;
        let flow = Flow::new(peer, port);
        let tcp = self.tcp.connect(now, flow).ok_or(ConnectError::TableFull)?;
        let limit = now + self.config.connect_timeout;
        let connection =
            Connection { token: Some(token), ..Connection::new(now, tcp, flow, mac, limit) };
        let index = self.table.insert(connection);
        self.table.reschedule(index);
        match mac {
            Some(_) => self.table.push_output(index),
            None => self.neighbours.wait(now, *peer.ip(), self.table.id(index)),
        }
        self.counters.add(Count::Connects);
        Ok(())
    }

    /// Sends the ARP requests that are due, as far as there are frames for them, and gives up the
    /// connections whose peers answer none.
    pub(crate) fn ask_neighbours<Q: Queue>(&mut self, now: Instant, port: &mut Port<Q>) {
        let mut budget = NEIGHBOURS_MAX;
        while port.has_room() {
            match self.neighbours.poll(now, &mut budget) {
                None => break,
                Some(Due::Unreachable(waiting)) => {
                    self.counters.add(Count::ArpUnanswered);
                    waiting.into_iter().for_each(|id| self.is_unreachable(id));
                }
                Some(Due::Request(address)) => {
                    let Some(mut frame) = port.queue.alloc() else {
                        // Like a request that is lost: the next one follows in a second.
                        self.counters.add(Count::NoFrame);
                        continue;
                    };
                    let identity = port.identity;
                    let bytes = port.queue.bytes_mut(&mut frame, ARP_REQUEST_LEN);
                    write_arp_request(&identity, address, bytes);
                    self.counters.add(Count::ArpRequests);
                    port.send(frame, &mut self.counters);
                }
            }
        }
    }

    fn is_unreachable(&mut self, id: ConnId) {
        if let Some(connection) = self.table.by_id(id)
            && connection.mac.is_none()
        {
            connection.is_unreachable = true;
            connection.half_open_expired = true;
            self.table.push_output(id.index);
        }
    }

    /// An ARP reply to us arrives: the SYNs that wait for it may leave.
    pub(crate) fn neighbour_answers(&mut self, now: Instant, address: Ipv4Addr, mac: Mac) {
        let Some(waiting) = self.neighbours.reply_arrives(now, address, mac) else {
            return self.counters.add(Count::RxUnsolicitedArp);
        };
        self.counters.add(Count::ArpLearnt);
        for id in waiting {
            if let Some(connection) = self.table.by_id(id) {
                connection.mac.get_or_insert(mac);
                self.table.push_output(id.index);
            }
        }
    }

    /// An active open has come to nothing.
    pub(crate) fn connect_ends(&mut self, connection: &Connection<A::Conn, T::Conn>, token: u64) {
        let (why, count) = match connection.ended {
            _ if connection.is_unreachable => {
                (ConnectError::Unreachable, Count::ConnectUnreachable)
            }
            _ if connection.half_open_expired && self.is_draining => {
                (ConnectError::Draining, Count::ConnectDrained)
            }
            Some(Closed::DrainDeadline) => (ConnectError::Draining, Count::ConnectDrained),
            Some(Closed::ResetByPeer) => (ConnectError::Refused, Count::ConnectRefused),
            _ => (ConnectError::TimedOut, Count::ConnectTimedOut),
        };
        self.counters.add(count);
        self.app.connect_failed(token, why);
    }
}
