//! MAC addresses of the peers of active opens: an ARP cache that nobody else can fill (RFC 826).
//!
//! An entry exists because we asked, and is filled by the first answer to that question alone: no
//! request, no gratuitous announcement and no second answer changes it. It is good for a minute,
//! then forgotten, and asked for again by the next active open. Connections keep the address that
//! their peer's segments come from and never look here again.

use crate::app::ConnId;
use crate::flow::{Flow, FlowTable};
use crate::packet::{ETHERNET_LEN, Identity, Mac};
use crate::port::write_ethernet;
use crate::wheel::Wheel;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol,
};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;
use tcp::Instant;

/// Requests before a neighbour is taken for unreachable.
const REQUESTS_MAX: u8 = 3;
/// From one request to the next (RFC 1122 §2.3.2.1: at most one a second).
const REQUEST_INTERVAL: Duration = Duration::from_secs(1);
/// How long an answer is good.
const LIFETIME: Duration = Duration::from_secs(60);
/// Length of an ARP packet for Ethernet and IPv4, in bytes.
const ARP_LEN: usize = 28;
/// Length of a frame with a request.
pub(crate) const ARP_REQUEST_LEN: u16 = 42;
const _: () = assert!(ARP_REQUEST_LEN as usize == ETHERNET_LEN + ARP_LEN);

/// A neighbour that is known or asked for.
#[derive(Debug)]
struct Neighbour {
    address: Ipv4Addr,
    mac: Option<Mac>,
    /// Requests sent.
    requests: u8,
    /// Connections that wait for the answer; some may be over by then.
    waiting: Vec<ConnId>,
}

/// What is due.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// A request for this address is to be sent.
    Request(Ipv4Addr),
    /// Nobody has answered: these connections come to nothing.
    Unreachable(Vec<ConnId>),
}

/// The cache.
#[derive(Debug)]
pub(crate) struct Neighbours {
    /// Places by address.
    places: FlowTable,
    entries: Vec<Neighbour>,
    spare: Vec<u32>,
    wheel: Wheel,
    capacity: usize,
    /// Most connections that wait for one neighbour.
    waiting_max: usize,
    /// Where the search for an entry to give way begins.
    hand: usize,
}

impl Neighbours {
    pub(crate) fn new(capacity: u32, waiting_max: u32, key: &[u8; 16]) -> Self {
        let capacity = capacity as usize;
        Self {
            places: FlowTable::new(capacity, key),
            entries: Vec::with_capacity(capacity),
            spare: Vec::with_capacity(capacity),
            wheel: Wheel::new(capacity),
            capacity,
            waiting_max: waiting_max as usize,
            hand: 0,
        }
    }

    /// Neighbours known or asked for.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.wheel.next_deadline()
    }

    /// The MAC address of `address`, if it is known.
    pub(crate) fn find(&self, address: Ipv4Addr) -> Option<Mac> {
        let place = self.places.find(name(address))?;
        self.entries[place as usize].mac
    }

    /// Whether [`wait`](Self::wait) for `address` would find room.
    pub(crate) fn has_room(&self, address: Ipv4Addr) -> bool {
        if let Some(place) = self.places.find(name(address)) {
            return self.entries[place as usize].waiting.len() < self.waiting_max;
        }
        self.places.len() < self.capacity || self.entries.iter().any(|entry| entry.mac.is_some())
    }

    /// Lets a connection wait for the MAC address of `address`, which is asked for at once unless
    /// it is being asked for already. There must be room.
    pub(crate) fn wait(&mut self, now: Instant, address: Ipv4Addr, connection: ConnId) {
        let place = match self.places.find(name(address)) {
            Some(place) => place,
            None => {
                let place = self.take_place(address);
                self.wheel.schedule(place, now);
                place
            }
        };
        self.entries[place as usize].waiting.push(connection);
    }

    /// A place for `address`: a spare one, a new one, or that of a neighbour who is known and will
    /// have to be asked again.
    fn take_place(&mut self, address: Ipv4Addr) -> u32 {
        let entry = Neighbour { address, mac: None, requests: 0, waiting: Vec::new() };
        if self.places.len() == self.capacity {
            let count = self.entries.len();
            let known = (self.hand..self.hand + count)
                .map(|place| place % count)
                .find(|place| self.entries[*place].mac.is_some())
                .expect("has_room() was asked");
            self.hand = known + 1;
            self.forget(u32::try_from(known).expect("the capacity is a u32"));
        }
        let place = if let Some(place) = self.spare.pop() {
            self.entries[place as usize] = entry;
            place
        } else {
            self.entries.push(entry);
            u32::try_from(self.entries.len() - 1).expect("the capacity is a u32")
        };
        self.places.insert(name(address), place);
        place
    }

    /// Removes an entry; returns who waited for it.
    fn forget(&mut self, place: u32) -> Vec<ConnId> {
        let entry = &mut self.entries[place as usize];
        let waiting = std::mem::take(&mut entry.waiting);
        entry.mac = None;
        self.places.remove(name(entry.address));
        self.wheel.cancel(place);
        self.spare.push(place);
        waiting
    }

    /// A reply arrives; returns who waited for it, `None` if nobody asked for it.
    pub(crate) fn reply_arrives(
        &mut self,
        now: Instant,
        address: Ipv4Addr,
        mac: Mac,
    ) -> Option<Vec<ConnId>> {
        let place = self.places.find(name(address))?;
        let entry = &mut self.entries[place as usize];
        if entry.mac.is_some() || entry.requests == 0 {
            return None;
        }
        entry.mac = Some(mac);
        self.wheel.schedule(place, now + LIFETIME);
        Some(std::mem::take(&mut entry.waiting))
    }

    /// The next thing that is due by `now`. Forgets what is too old, at a cost of `budget`.
    pub(crate) fn poll(&mut self, now: Instant, budget: &mut usize) -> Option<Due> {
        while let Some(place) = self.wheel.pop(now, budget) {
            let entry = &mut self.entries[place as usize];
            if entry.mac.is_some() {
                self.forget(place);
            } else if entry.requests == REQUESTS_MAX {
                return Some(Due::Unreachable(self.forget(place)));
            } else {
                entry.requests += 1;
                self.wheel.schedule(place, now + REQUEST_INTERVAL);
                return Some(Due::Request(entry.address));
            }
        }
        None
    }
}

/// The flow that stands for an address in the table: no connection has ports of zero.
fn name(address: Ipv4Addr) -> Flow {
    Flow::new(SocketAddrV4::new(address, 0), 0)
}

/// Who says in `frame` that he has which address, if it is an ARP reply to us alone, whose sender
/// is the sender of the frame.
pub(crate) fn read_arp_reply(identity: &Identity, frame: &[u8]) -> Option<(Ipv4Addr, Mac)> {
    let ethernet = EthernetFrame::new_checked(frame).ok()?;
    let reply = ArpRepr::parse(&ArpPacket::new_checked(ethernet.payload()).ok()?).ok()?;
    let ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Reply,
        source_hardware_addr,
        source_protocol_addr,
        target_hardware_addr,
        target_protocol_addr,
    } = reply
    else {
        return None;
    };
    let us = EthernetAddress(identity.mac);
    let is_to_us = ethernet.dst_addr() == us
        && target_hardware_addr == us
        && target_protocol_addr == identity.address;
    let is_his_own = source_hardware_addr == ethernet.src_addr();
    (is_to_us && is_his_own).then_some((source_protocol_addr, source_hardware_addr.0))
}

/// Writes the request for `address` to `frame`, of [`ARP_REQUEST_LEN`] bytes. For our own address
/// it is what RFC 5227 §1.1 calls an announcement.
pub(crate) fn write_arp_request(identity: &Identity, address: Ipv4Addr, frame: &mut [u8]) {
    let request = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Request,
        source_hardware_addr: EthernetAddress(identity.mac),
        source_protocol_addr: identity.address,
        target_hardware_addr: EthernetAddress([0; 6]),
        target_protocol_addr: address,
    };
    write_ethernet(frame, identity.mac, EthernetAddress::BROADCAST.0, EthernetProtocol::Arp);
    request.emit(&mut ArpPacket::new_unchecked(&mut frame[ETHERNET_LEN..]));
}
