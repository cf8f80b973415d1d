//! The queue: a pool of frames of our own, and at times a link to copy them to and from.

use crate::config::Config;
use crate::counts::Counts;
use crate::link::Link;
use crate::pool::{FRAME_BYTES, Pool};
use crate::ring::{Fault, Part, Receiver, Sender};
use crate::shared::Shared;
use queue::{
    Attach, BURST_MAX, Burst, BusyPoll, Checksum, CopyMode, Counter, Frame, Queue, QueueCaps,
};
use std::fmt;
use std::sync::Arc;

/// Length of an Ethernet header, in bytes: the shortest packet.
const ETHER_LEN: u16 = 14;
/// Longest packet that is sent, in bytes.
const PACKET_LEN_MAX: u16 = Config::MTU + ETHER_LEN;
const _: () = assert!(PACKET_LEN_MAX <= FRAME_BYTES);

/// Descriptors looked at by one poll: a packet may take several.
#[expect(clippy::cast_possible_truncation, reason = "asserted below")]
const PARTS_MAX: u16 = BURST_MAX as u16;
const _: () = assert!(PARTS_MAX as usize == BURST_MAX);

/// Frames that `alloc` leaves for reception.
const RX_RESERVE: usize = BURST_MAX;

/// One burst in so many is followed by a look at whether the peer asks for interrupts.
const FLAG_PERIOD: u64 = 64;

/// How many descriptors ahead of the one at hand are brought near.
const PREFETCH_AHEAD: u16 = 8;

/// One queue of a memif: a pair of rings while there is a peer.
pub struct MemifQueue {
    caps: QueueCaps,
    id: usize,
    shared: Arc<Shared>,
    epoch: u64,
    attachment: Option<Attachment>,
    pool: Pool,
    tx_bursts: u64,
    counts: Counts,
}

/// The rings of the link of now.
struct Attachment {
    link: Arc<Link>,
    receiver: Receiver,
    sender: Sender,
}

/// A packet among the parts that were looked at.
struct Packet {
    /// How many parts it has.
    parts: usize,
    /// Its length, in bytes.
    len: u16,
}

impl MemifQueue {
    /// The queue of this number, without a peer.
    pub(crate) fn new(config: &Config, id: usize, shared: Arc<Shared>) -> Self {
        let caps = QueueCaps {
            driver: "memif",
            mac: config.mac,
            mtu: Config::MTU,
            frame_bytes: FRAME_BYTES,
            frame_count: config.frame_count,
            rx_checksum: Checksum::Software,
            tx_checksum: Checksum::Software,
            copy_mode: CopyMode::Copy,
            attach: Attach::None,
            busy_poll: BusyPoll::Off,
        };
        let pool = Pool::new(config.frame_count);
        let counts = Counts::default();
        Self { caps, id, shared, epoch: 0, attachment: None, pool, tx_bursts: 0, counts }
    }

    /// Its number in the port, from 0.
    #[must_use]
    pub const fn id(&self) -> usize {
        self.id
    }

    /// Whether there is a peer, and it offers this queue, as the last poll found.
    #[must_use]
    pub const fn is_up(&self) -> bool {
        self.attachment.is_some()
    }

    /// Checks that every frame has exactly one owner. Walks over all of them: for tests.
    ///
    /// # Panics
    /// If one has none or several.
    pub fn audit(&self) {
        self.pool.audit();
    }

    /// Takes over the link of now, if it is another one.
    #[inline]
    fn mind_link(&mut self) {
        if self.shared.epoch() != self.epoch {
            self.change_link();
        }
    }

    #[cold]
    fn change_link(&mut self) {
        let Some((epoch, link)) = self.shared.try_link() else { return };
        self.detach();
        self.epoch = epoch;
        let rings = link.and_then(|link| link.rings(self.id).map(|rings| (link, rings)));
        self.attachment = rings.map(|(link, (rx, tx))| Attachment {
            receiver: Receiver::attach(&link, rx),
            sender: Sender::attach(&link, tx),
            link,
        });
        self.counts.link_ups += u64::from(self.attachment.is_some());
    }

    fn detach(&mut self) {
        if self.attachment.take().is_some() {
            self.counts.link_downs += 1;
        }
    }

    /// Leaves a link whose peer breaks the rules, and has the control thread say so.
    #[cold]
    fn drop_link(&mut self, fault: Fault) {
        self.detach();
        self.shared.report(self.epoch, fault);
    }

    /// Receives packets into the burst.
    fn receive(&mut self, burst: &mut Burst) -> Result<usize, Fault> {
        let Some(Attachment { link, receiver, .. }) = &mut self.attachment else { return Ok(0) };
        let available = receiver.available(link)?;
        if available == 0 {
            return Ok(0);
        }
        let mut parts = [Part::default(); BURST_MAX];
        let parts = look(link, receiver, available, &mut parts)?;
        let (mut taken, before) = (0, burst.len());
        while burst.room() > 0
            && let Some(packet) = next_packet(parts, taken)?
        {
            if !self.counts.drops(&packet) {
                let Some(mut frame) = self.pool.take() else {
                    self.counts.rx_starved_polls += 1;
                    break;
                };
                let bytes = self.pool.bytes_mut(&mut frame, packet.len);
                copy_in(link, &parts[taken..taken + packet.parts], bytes);
                self.counts.rx_frames += 1;
                self.counts.rx_bytes += u64::from(packet.len);
                let pushed = burst.push(frame);
                debug_assert!(pushed.is_ok(), "the burst has room");
            }
            if packet.parts > 1 {
                receiver.unchain(link, taken, packet.parts);
            }
            taken += packet.parts;
        }
        if taken > 0 {
            receiver.release(link, &parts[..taken]);
        }
        Ok(burst.len() - before)
    }

    /// Sends packets from the front of the burst; returns how many are done with.
    fn transmit(&mut self, burst: &Burst) -> Result<usize, Fault> {
        let Some(Attachment { link, sender, .. }) = &mut self.attachment else {
            self.counts.tx_link_down_frames += burst.len() as u64;
            return Ok(burst.len());
        };
        sender.room(link, u16::try_from(burst.len()).unwrap_or(PARTS_MAX))?;
        let (mut done, mut sent, mut sent_bytes) = (0, 0, 0);
        for frame in burst.frames() {
            if (ETHER_LEN..=PACKET_LEN_MAX).contains(&frame.len()) {
                if !copy_out(link, sender, self.pool.bytes(frame))? {
                    self.counts.tx_refused_frames += (burst.len() - done) as u64;
                    break;
                }
                sent += 1;
                sent_bytes += u64::from(frame.len());
            } else {
                self.counts.tx_bad_length_frames += 1;
            }
            done += 1;
        }
        if sent > 0 {
            sender.publish(link);
            sender.prefetch_next(link);
            self.counts.tx_frames += sent;
            self.counts.tx_bytes += sent_bytes;
            self.tx_bursts += 1;
            // The flag lies in a line that the peer writes to: to read it after each burst would
            // have the two cores pass that line back and forth.
            if self.tx_bursts.is_multiple_of(FLAG_PERIOD) {
                self.counts.tx_unmasked_bursts += u64::from(sender.wants_interrupts(link));
            }
        }
        Ok(done)
    }
}

impl Counts {
    /// Whether a packet is dropped for its length, which is counted.
    const fn drops(&mut self, packet: &Packet) -> bool {
        let is_short = packet.len < ETHER_LEN;
        let is_long = packet.len > FRAME_BYTES;
        self.rx_short_frames += is_short as u64;
        self.rx_long_frames += is_long as u64;
        is_short || is_long
    }
}

/// Reads the descriptors that have come, as many as there is room for, and brings near what they
/// name. Ends before one that breaks the rules, unless it is the first.
fn look<'a>(
    link: &Link,
    receiver: &Receiver,
    available: u16,
    parts: &'a mut [Part; BURST_MAX],
) -> Result<&'a [Part], Fault> {
    let count = available.min(PARTS_MAX);
    receiver.prefetch_expected(link);
    for ahead in (0..count).step_by(4) {
        receiver.prefetch(link, ahead);
    }
    for ahead in 0..count {
        match receiver.part(link, ahead) {
            Ok(part) => {
                link.regions[part.region].prefetch(part.offset, part.len);
                parts[usize::from(ahead)] = part;
            }
            Err(fault) if ahead == 0 => return Err(fault),
            Err(_) => return Ok(&parts[..usize::from(ahead)]),
        }
    }
    Ok(&parts[..usize::from(count)])
}

/// The packet that begins at `parts[taken]`, if there is one. One that does not end is left for the
/// next poll, which finds it at the beginning; then its end should have come.
fn next_packet(parts: &[Part], taken: usize) -> Result<Option<Packet>, Fault> {
    let rest = &parts[taken..];
    match rest.iter().position(|part| !part.goes_on) {
        Some(last) => {
            let len = rest[..=last].iter().map(|part| part.len).sum::<usize>();
            // What is too long for a u16 is too long for a frame, too.
            let len = u16::try_from(len).unwrap_or(u16::MAX);
            Ok(Some(Packet { parts: last + 1, len }))
        }
        None if taken == 0 => Err(Fault::Chain),
        None => Ok(None),
    }
}

fn copy_in(link: &Link, parts: &[Part], mut target: &mut [u8]) {
    for part in parts {
        let (here, rest) = target.split_at_mut(part.len);
        link.regions[part.region].read(part.offset, here);
        target = rest;
    }
}

/// Copies a packet to the next buffers; false, and nothing filled, if there are too few.
fn copy_out(link: &Link, sender: &mut Sender, packet: &[u8]) -> Result<bool, Fault> {
    let kept = sender.filled();
    let mut rest = packet;
    while !rest.is_empty() {
        if sender.room(link, 1)? == 0 {
            // With all buffers there are, it will not fit tomorrow either.
            let is_hopeless = kept == 0 && sender.filled() == sender.size();
            sender.rewind(kept);
            return if is_hopeless { Err(Fault::Chain) } else { Ok(false) };
        }
        sender.prefetch(link, PREFETCH_AHEAD);
        let buffer = sender.buffer(link)?;
        let (here, later) = rest.split_at(rest.len().min(buffer.len));
        link.regions[buffer.region].write(buffer.offset, here);
        sender.fill(link, Part { len: here.len(), goes_on: !later.is_empty(), ..buffer });
        rest = later;
    }
    Ok(true)
}

impl Queue for MemifQueue {
    fn caps(&self) -> &QueueCaps {
        &self.caps
    }

    fn rx_burst(&mut self, burst: &mut Burst) -> usize {
        self.mind_link();
        match self.receive(burst) {
            Ok(received) => received,
            Err(fault) => {
                match fault {
                    Fault::Index => self.counts.rx_bad_indices += 1,
                    Fault::Descriptor => self.counts.rx_bad_descriptors += 1,
                    Fault::Chain => self.counts.rx_bad_chains += 1,
                }
                self.drop_link(fault);
                0
            }
        }
    }

    fn tx_burst(&mut self, burst: &mut Burst) -> usize {
        if burst.is_empty() {
            return 0;
        }
        self.mind_link();
        let done = match self.transmit(burst) {
            Ok(done) => done,
            Err(fault) => {
                match fault {
                    Fault::Index => self.counts.tx_bad_indices += 1,
                    Fault::Descriptor => self.counts.tx_bad_descriptors += 1,
                    Fault::Chain => self.counts.tx_bad_chains += 1,
                }
                self.drop_link(fault);
                0
            }
        };
        for frame in burst.drain(done) {
            self.pool.put_back(frame);
        }
        done
    }

    fn alloc(&mut self) -> Option<Frame> {
        if self.pool.free_count() <= RX_RESERVE {
            self.counts.alloc_refusals += 1;
            return None;
        }
        self.pool.take()
    }

    fn free(&mut self, frame: Frame) {
        self.pool.put_back(frame);
    }

    fn bytes(&self, frame: &Frame) -> &[u8] {
        self.pool.bytes(frame)
    }

    fn bytes_mut(&mut self, frame: &mut Frame, len: u16) -> &mut [u8] {
        self.pool.bytes_mut(frame, len)
    }

    fn outstanding(&self) -> usize {
        self.pool.outstanding()
    }

    fn counters(&self, visit: &mut dyn FnMut(Counter, u64)) {
        self.counts.visit(visit);
        visit(Counter("link_up_now"), u64::from(self.is_up()));
        // One thread serves the control channel of all queues: its counts are the first one's.
        if self.id == 0 {
            self.shared.counts.visit(visit);
        }
    }
}

impl fmt::Debug for MemifQueue {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("MemifQueue")
            .field("id", &self.id)
            .field("caps", &self.caps)
            .field("is_up", &self.is_up())
            .field("outstanding", &self.outstanding())
            .finish_non_exhaustive()
    }
}
