//! Handshakes without a connection: a SYN cache of fixed size, and SYN cookies once it is full
//! (RFC 4987 §3.4 and §3.6). A SYN allocates nothing and takes no place among the connections.

use crate::counters::{Count, Counters};
use crate::emit::emit;
use crate::flow::{Flow, FlowTable};
use crate::packet::Mac;
use crate::transport::{Listened, Stranger};
use crate::wheel::Wheel;
use queue::BURST_MAX;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;
use tcp::{
    Config, FourTuple, HalfOpen, HalfOpenVerdict, Instant, Listen, Secret, Segment, SegmentOut,
    clock_offset, cookie, isn,
};

/// For how long after the last one was sent a cookie may come back: two of its periods of 64 s.
/// At other times no acknowledgement is looked at as one.
const COOKIE_LIFETIME: Duration = Duration::from_secs(128);

/// A handshake whose SYN-ACK has been sent.
#[derive(Debug)]
struct Entry {
    flow: Flow,
    mac: Mac,
    half_open: HalfOpen,
    /// When it is given up, whatever its retransmissions.
    limit: Instant,
}

/// Whose handshakes they are.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) address: Ipv4Addr,
    pub(super) secret: Secret,
    pub(super) config: Config,
    /// From a SYN to the end of the handshake.
    pub(super) timeout: Duration,
}

impl Host {
    pub(super) fn tuple(&self, flow: Flow) -> FourTuple {
        let local = SocketAddrV4::new(self.address, flow.local_port());
        FourTuple { local, remote: flow.peer() }
    }
}

/// All handshakes of an engine.
#[derive(Debug)]
pub(super) struct Handshakes {
    flows: FlowTable,
    entries: Vec<Entry>,
    spare: Vec<u32>,
    wheel: Wheel,
    cookies_until: Instant,
}

/// What becomes of a stranger: as [`Listened`], where a connection is still a half-open one.
pub(super) type Heard = Listened<HalfOpen>;

impl Handshakes {
    /// Room for `capacity` handshakes. Allocates once.
    pub(super) fn new(capacity: u32, key: &[u8; 16]) -> Self {
        let places = capacity as usize;
        Self {
            flows: FlowTable::new(places, key),
            entries: Vec::with_capacity(places),
            spare: Vec::with_capacity(places),
            wheel: Wheel::new(places),
            cookies_until: Instant::ZERO,
        }
    }

    /// Handshakes in the cache.
    pub(super) fn len(&self) -> usize {
        self.flows.len()
    }

    /// No handshake has anything to do before this.
    pub(super) fn next_timeout(&self) -> Instant {
        if self.len() == 0 {
            return Instant::NEVER;
        }
        self.wheel.next_deadline().unwrap_or(Instant::NEVER)
    }

    /// A segment of no connection arrives.
    pub(super) fn segment_arrives(
        &mut self,
        now: Instant,
        host: &Host,
        stranger: &Stranger<'_>,
        (segment, reply): (&Segment<'_>, &mut [u8]),
        counters: &mut Counters,
    ) -> Heard {
        let flow = stranger.flow;
        let answer = |segment: &SegmentOut, reply: &mut [u8]| {
            Listened::Reply(emit(host.address, flow, segment, reply))
        };
        if let Some(place) = self.flows.find(flow) {
            let half_open = self.entries[place as usize].half_open;
            return match half_open.segment_arrives(now, &host.config, segment) {
                HalfOpenVerdict::Ignore => Listened::Drop(Count::HalfOpenIgnored),
                HalfOpenVerdict::Answer(segment) => answer(&segment, reply),
                // The peer sends it again, or data that do as well.
                HalfOpenVerdict::Establish if stranger.is_full => {
                    Listened::Drop(Count::AcceptTableFull)
                }
                HalfOpenVerdict::Establish => {
                    self.remove(place);
                    Listened::Complete(half_open)
                }
                HalfOpenVerdict::Remove(_) => {
                    self.remove(place);
                    Listened::Drop(Count::HalfOpenAborted)
                }
            };
        }
        match tcp::listen(segment) {
            Listen::Ignore => Listened::Drop(Count::ListenIgnored),
            Listen::Answer(_) => self.cookie_returns(now, host, stranger, segment, counters),
            Listen::Open if stranger.is_full => Listened::Drop(Count::SynTableFull),
            Listen::Open if self.has_room() => {
                counters.add(Count::HalfOpened);
                answer(&self.begin(now, host, stranger, segment), reply)
            }
            Listen::Open => {
                counters.add(Count::SynCookiesSent);
                self.cookies_until = now + COOKIE_LIFETIME;
                let tuple = host.tuple(flow);
                answer(&cookie::encode(&host.secret, &tuple, now, &host.config, segment), reply)
            }
        }
    }

    fn has_room(&self) -> bool {
        !self.spare.is_empty() || self.entries.len() < self.entries.capacity()
    }

    /// Enters the handshake that the SYN `segment` begins; returns the SYN-ACK.
    fn begin(
        &mut self,
        now: Instant,
        host: &Host,
        stranger: &Stranger<'_>,
        segment: &Segment<'_>,
    ) -> SegmentOut {
        let Stranger { flow, mac, .. } = *stranger;
        let tuple = host.tuple(flow);
        let iss = isn(&host.secret, &tuple, now);
        let offset = clock_offset(&host.secret, &tuple);
        let half_open = HalfOpen::new(now, &host.config, iss, offset, segment);
        let limit = now + host.timeout;
        let syn_ack = half_open.syn_ack(now, &host.config);
        let due = half_open.poll_timeout().min(limit);
        let entry = Entry { flow, mac, half_open, limit };
        let place = if let Some(place) = self.spare.pop() {
            self.entries[place as usize] = entry;
            place
        } else {
            self.entries.push(entry);
            u32::try_from(self.entries.len() - 1).expect("the capacity is a u32")
        };
        self.flows.insert(flow, place);
        self.wheel.schedule(place, due);
        syn_ack
    }

    /// An ACK to the listener: it may complete a handshake that was not remembered.
    fn cookie_returns(
        &self,
        now: Instant,
        host: &Host,
        stranger: &Stranger<'_>,
        segment: &Segment<'_>,
        counters: &mut Counters,
    ) -> Heard {
        if now >= self.cookies_until {
            return Listened::Refuse;
        }
        let tuple = host.tuple(stranger.flow);
        match cookie::decode(&host.secret, &tuple, now, &host.config, segment) {
            None => {
                counters.add(Count::SynCookiesRejected);
                Listened::Refuse
            }
            Some(_) if stranger.is_full => Listened::Drop(Count::AcceptTableFull),
            Some(half_open) => {
                counters.add(Count::SynCookiesAccepted);
                Listened::Complete(half_open)
            }
        }
    }

    fn remove(&mut self, place: u32) {
        self.flows.remove(self.entries[place as usize].flow);
        self.wheel.cancel(place);
        self.spare.push(place);
    }

    /// Writes the next SYN-ACK that is to be sent again into `buffer`, and forgets handshakes that
    /// have taken too long; a bounded number of both.
    pub(super) fn poll(
        &mut self,
        now: Instant,
        host: &Host,
        buffer: &mut [u8],
        counters: &mut Counters,
    ) -> Option<(usize, Mac)> {
        let mut budget = BURST_MAX;
        while let Some(place) = self.wheel.pop(now, &mut budget) {
            let entry = &mut self.entries[place as usize];
            let is_late = entry.limit <= now;
            let again =
                if is_late { None } else { entry.half_open.handle_timeout(now, &host.config) };
            let Some(syn_ack) = again else {
                // Nothing is sent: whoever sent the SYN is not there, or never was.
                counters.add(Count::HalfOpenExpired);
                self.remove(place);
                continue;
            };
            self.wheel.schedule(place, entry.half_open.poll_timeout().min(entry.limit));
            counters.add(Count::SynAckRetransmits);
            return Some((emit(host.address, entry.flow, &syn_ack, buffer), entry.mac));
        }
        None
    }

    /// What is under way has until `limit`. Looks at every entry, once in the life of an engine.
    pub(super) fn expire_at(&mut self, limit: Instant) {
        for (place, entry) in (0_u32..).zip(&mut self.entries) {
            if self.flows.find(entry.flow) == Some(place) {
                entry.limit = entry.limit.min(limit);
                self.wheel.schedule(place, entry.half_open.poll_timeout().min(entry.limit));
            }
        }
    }
}
