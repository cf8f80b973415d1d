//! The two rings of a queue, seen from one end.
//!
//! ```text
//!   C2S   the client fills buffers and moves head; the server takes them and moves tail
//!   S2C   the client offers empty buffers and moves head; the server fills them and moves tail
//! ```
//!
//! So the client moves the heads and the server the tails, and the client's buffers come back in
//! the order of the ring. Indices run freely through all 16 bits. Our own are kept here, never read
//! back; a peer's index is believed only where it lies between what it was and what it may reach.
//! A client does not read back where its own buffers lie, either.

use crate::config::{Config, Role};
use crate::link::{Link, RingPlace};
use crate::wire::{Descriptor, ring};
use std::sync::atomic::Ordering;

/// What a peer did that ends the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// An index went back, or further than the ring is long.
    Index,
    /// A descriptor names memory that is in no region, or more than a buffer.
    Descriptor,
    /// A packet goes on in a buffer that was not handed over, or in too many.
    Chain,
}

/// Bytes of one region: within it, checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) region: usize,
    pub(crate) offset: usize,
    pub(crate) len: usize,
    /// The packet goes on in the next one.
    pub(crate) goes_on: bool,
}

/// The index of the side that we are, and that of the peer as it was last seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cursor {
    ours: u16,
    theirs: u16,
}

impl Cursor {
    /// Takes over the peer's index where it has moved on by at most `most`.
    fn follow(&mut self, theirs: u16, most: u16) -> Result<(), Fault> {
        if theirs.wrapping_sub(self.theirs) > most {
            return Err(Fault::Index);
        }
        self.theirs = theirs;
        Ok(())
    }
}

/// What receiver and sender have in common.
#[derive(Clone, Debug)]
struct Ring {
    role: Role,
    place: RingPlace,
    /// Descriptors, a power of two.
    size: u16,
    /// The client's buffers: the first one's offset in region 0, and their length.
    buffers_offset: usize,
    buffer_bytes: usize,
}

impl Ring {
    fn new(link: &Link, place: RingPlace) -> Self {
        Self {
            role: link.role,
            place,
            size: 1 << place.log2_size,
            buffers_offset: place.buffers_offset,
            buffer_bytes: link.buffer_bytes as usize,
        }
    }

    /// Offset in its region of the descriptor that an index stands for.
    fn descriptor_offset(&self, index: u16) -> usize {
        let slot = usize::from(index & (self.size - 1));
        self.place.offset + ring::DESCRIPTORS + slot * ring::DESCRIPTOR_BYTES
    }

    /// Reads a descriptor, once.
    fn descriptor(&self, link: &Link, index: u16) -> Descriptor {
        let (region, offset) = (&link.regions[self.place.region], self.descriptor_offset(index));
        Descriptor::from_words([
            region.u64(offset).load(Ordering::Relaxed),
            region.u64(offset + 8).load(Ordering::Relaxed),
        ])
    }

    fn prefetch_descriptor(&self, link: &Link, index: u16) {
        link.regions[self.place.region].prefetch(self.descriptor_offset(index), 1);
    }

    fn prefetch_descriptor_to_write(&self, link: &Link, index: u16) {
        link.regions[self.place.region].prefetch_to_write(self.descriptor_offset(index), 1);
    }

    /// Where our own buffer of this index lies: what a client knows without looking.
    fn own_buffer(&self, index: u16) -> usize {
        self.buffers_offset + usize::from(index & (self.size - 1)) * self.buffer_bytes
    }

    /// Writes the descriptor of one of our own buffers.
    fn offer(&self, link: &Link, index: u16, length: usize, flags: u16) {
        let [length, offset] = [length, self.own_buffer(index)].map(|value| {
            u32::try_from(value).unwrap_or_else(|_| unreachable!("regions of ours are below 4 GiB"))
        });
        let [first, second] = Descriptor { flags, region: 0, length, offset }.to_words();
        let (region, at) = (&link.regions[self.place.region], self.descriptor_offset(index));
        region.u64(at).store(first, Ordering::Relaxed);
        region.u64(at + 8).store(second, Ordering::Relaxed);
    }

    /// Writes all of a descriptor but the offset.
    fn put_first_word(&self, link: &Link, index: u16, descriptor: Descriptor) {
        let word = link.regions[self.place.region].u64(self.descriptor_offset(index));
        word.store(descriptor.to_words()[0], Ordering::Relaxed);
    }

    /// The bytes that a descriptor of this index names, if they are where they may be.
    fn part(&self, link: &Link, index: u16, descriptor: Descriptor) -> Result<Part, Fault> {
        let Descriptor { flags, region, length, offset } = descriptor;
        let goes_on = flags & Descriptor::FLAG_NEXT != 0;
        let (len, region) = (length as usize, usize::from(region));
        if self.role == Role::Client {
            let offset = self.own_buffer(index);
            let is_within = len <= self.buffer_bytes;
            let part = Part { region: 0, offset, len, goes_on };
            return if is_within { Ok(part) } else { Err(Fault::Descriptor) };
        }
        let offset = offset as usize;
        match link.regions.get(region) {
            Some(mapping) if offset + len <= mapping.len() => {
                Ok(Part { region, offset, len, goes_on })
            }
            _ => Err(Fault::Descriptor),
        }
    }

    fn load(&self, link: &Link, field: usize) -> u16 {
        link.regions[self.place.region].u16(self.place.offset + field).load(Ordering::Acquire)
    }

    fn store(&self, link: &Link, field: usize, index: u16) {
        let word = link.regions[self.place.region].u16(self.place.offset + field);
        word.store(index, Ordering::Release);
    }

    /// The field that the peer moves.
    const fn their_field(&self) -> usize {
        match self.role {
            Role::Server => ring::HEAD,
            Role::Client => ring::TAIL,
        }
    }

    /// The field that we move.
    const fn our_field(&self) -> usize {
        match self.role {
            Role::Server => ring::TAIL,
            Role::Client => ring::HEAD,
        }
    }
}

/// Most buffers that a client keeps before it offers them again, of an eighth of the ring at most:
/// to offer one is to write to two lines that the server reads, its descriptor's, with which its
/// neighbours go, and the head's. A packet never waits for those: the most buffers that one takes
/// are 24, and rings of fewer than 16 keep none.
const KEPT_MAX: u16 = 32;
const _: () = assert!((Config::MTU + 14).div_ceil(64) == 24, "in buffers of the least length");

/// The ring that packets come on: C2S at the server, S2C at the client.
#[derive(Clone, Debug)]
pub(crate) struct Receiver {
    ring: Ring,
    /// `ours` is the first packet not yet taken, `theirs` the end of those that came.
    cursor: Cursor,
    /// The first buffer that was taken and not yet offered again: at a server, `cursor.ours`.
    kept: u16,
    /// Where the next packet is expected to lie, and how far it is from one to the next.
    expected: Part,
    stride: usize,
}

impl Receiver {
    /// Begins to receive; a client hands out all its buffers.
    pub(crate) fn attach(link: &Link, place: RingPlace) -> Self {
        let ring = Ring::new(link, place);
        let expected = Part { offset: ring.own_buffer(0), len: EXPECTED_LEN, ..Part::default() };
        let stride = ring.buffer_bytes;
        let cursor = Cursor { ours: 0, theirs: 0 };
        let receiver = Self { ring, cursor, kept: 0, expected, stride };
        if receiver.ring.role == Role::Client {
            receiver.offer(link, 0, receiver.ring.size);
        }
        receiver
    }

    /// Buffers that have come and were not taken.
    pub(crate) fn available(&mut self, link: &Link) -> Result<u16, Fault> {
        let theirs = self.ring.load(link, self.ring.their_field());
        // What waits, and what was taken and kept, is not the peer's to fill.
        let not_theirs = self.cursor.theirs.wrapping_sub(self.kept);
        self.cursor.follow(theirs, self.ring.size - not_theirs)?;
        Ok(self.cursor.theirs.wrapping_sub(self.cursor.ours))
    }

    /// Hints that the first packet will be read, before its descriptor says where it is: to learn
    /// that first would be to wait for two lines of the peer's in turn.
    pub(crate) fn prefetch_expected(&self, link: &Link) {
        let Part { region, offset, len, .. } = self.expected;
        link.regions[region].prefetch(offset, len);
    }

    /// Learns from the parts that are now taken where the next one will be.
    fn expect_after(&mut self, taken: &[Part]) {
        let Some(last) = taken.last() else { return };
        let before = match taken {
            [.., before, _] => before.offset,
            _ => self.expected.offset.wrapping_sub(self.stride),
        };
        self.stride = last.offset.wrapping_sub(before);
        let offset = last.offset.wrapping_add(self.stride);
        self.expected = Part { offset, len: EXPECTED_LEN, ..*last };
    }

    /// The bytes of the buffer `ahead` of the first one; the caller asks for available ones.
    pub(crate) fn part(&self, link: &Link, ahead: u16) -> Result<Part, Fault> {
        let index = self.cursor.ours.wrapping_add(ahead);
        self.ring.part(link, index, self.ring.descriptor(link, index))
    }

    /// Hints that the descriptor `ahead` of the first one will be read.
    pub(crate) fn prefetch(&self, link: &Link, ahead: u16) {
        self.ring.prefetch_descriptor(link, self.cursor.ours.wrapping_add(ahead));
    }

    /// Takes the chaining off `count` buffers, from the one `ahead` of the first one on.
    ///
    /// NB: DPDK's client (22.11) clears the flag of no packet's first descriptor, so that a packet
    /// that fits into one buffer goes on where a longer one did, a lap before.
    pub(crate) fn unchain(&self, link: &Link, ahead: usize, count: usize) {
        for nth in ahead..ahead + count {
            let nth = u16::try_from(nth).unwrap_or_else(|_| unreachable!("a ring is shorter"));
            let index = self.cursor.ours.wrapping_add(nth);
            let descriptor = Descriptor { flags: 0, ..self.ring.descriptor(link, index) };
            self.ring.put_first_word(link, index, descriptor);
        }
    }

    /// Gives the first buffers back, those of the parts `taken`.
    pub(crate) fn release(&mut self, link: &Link, taken: &[Part]) {
        let count =
            u16::try_from(taken.len()).unwrap_or_else(|_| unreachable!("a ring is shorter"));
        self.cursor.ours = self.cursor.ours.wrapping_add(count);
        self.expect_after(taken);
        match self.ring.role {
            Role::Server => self.ring.store(link, ring::TAIL, self.cursor.ours),
            Role::Client => {
                let kept = self.cursor.ours.wrapping_sub(self.kept);
                if kept < KEPT_MAX.min(self.ring.size / 8).max(1) {
                    return;
                }
                self.offer(link, self.kept.wrapping_add(self.ring.size), kept);
            }
        }
        self.kept = self.cursor.ours;
    }

    /// Offers `count` empty buffers, from the index `first` on.
    fn offer(&self, link: &Link, first: u16, count: u16) {
        for ahead in 0..count {
            self.ring.offer(link, first.wrapping_add(ahead), self.ring.buffer_bytes, 0);
        }
        self.ring.store(link, ring::HEAD, first.wrapping_add(count));
    }
}

/// How much of a packet is brought near before its length is known, in bytes: a small request, or
/// the answer to one.
const EXPECTED_LEN: usize = 256;

/// The ring that packets go on: S2C at the server, C2S at the client.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    ring: Ring,
    /// `ours` is the first buffer not yet handed over; `theirs` is how far the server has taken
    /// them (client), or how far the client has offered them (server).
    cursor: Cursor,
    /// Buffers filled since the last [`publish`](Self::publish).
    filled: u16,
}

impl Sender {
    /// Begins to send.
    pub(crate) fn attach(link: &Link, place: RingPlace) -> Self {
        Self { ring: Ring::new(link, place), cursor: Cursor { ours: 0, theirs: 0 }, filled: 0 }
    }

    /// Buffers that can be filled: as many as were last seen, or, if those are fewer than `wanted`,
    /// as there are now.
    pub(crate) fn room(&mut self, link: &Link, wanted: u16) -> Result<u16, Fault> {
        if self.room_seen() < wanted {
            let theirs = self.ring.load(link, self.ring.their_field());
            let ahead = self.cursor.theirs.wrapping_sub(self.cursor.ours);
            let most = match self.ring.role {
                Role::Client => self.cursor.ours.wrapping_sub(self.cursor.theirs),
                Role::Server => self.ring.size - ahead,
            };
            self.cursor.follow(theirs, most)?;
        }
        Ok(self.room_seen())
    }

    fn room_seen(&self) -> u16 {
        let Cursor { ours, theirs } = self.cursor;
        let free = match self.ring.role {
            Role::Client => self.ring.size - ours.wrapping_sub(theirs),
            Role::Server => theirs.wrapping_sub(ours),
        };
        free - self.filled
    }

    /// The next buffer to fill; the caller has asked for its room.
    pub(crate) fn buffer(&self, link: &Link) -> Result<Part, Fault> {
        let index = self.cursor.ours.wrapping_add(self.filled);
        match self.ring.role {
            Role::Client => {
                let (offset, len) = (self.ring.own_buffer(index), self.ring.buffer_bytes);
                Ok(Part { region: 0, offset, len, goes_on: false })
            }
            Role::Server => {
                let descriptor = self.ring.descriptor(link, index);
                let part = self.ring.part(link, index, descriptor)?;
                // An empty buffer would never be filled, however many of them there are.
                if part.len == 0 { Err(Fault::Descriptor) } else { Ok(part) }
            }
        }
    }

    /// Hints that the buffer `ahead` of the next one will be filled.
    pub(crate) fn prefetch(&self, link: &Link, ahead: u16) {
        let index = self.cursor.ours.wrapping_add(self.filled).wrapping_add(ahead);
        self.ring.prefetch_descriptor_to_write(link, index);
    }

    /// Takes the lines of the next buffer and of its descriptor from the peer, who has read them a
    /// lap ago, so that the next packet does not wait for them.
    pub(crate) fn prefetch_next(&self, link: &Link) {
        self.prefetch(link, 0);
        if self.room_seen() > 0
            && let Ok(Part { region, offset, .. }) = self.buffer(link)
        {
            link.regions[region].prefetch_to_write(offset, EXPECTED_LEN);
        }
    }

    /// Says that the next buffer, which is at `part`, was filled as far as `part` says.
    pub(crate) fn fill(&mut self, link: &Link, part: Part) {
        let index = self.cursor.ours.wrapping_add(self.filled);
        let flags = if part.goes_on { Descriptor::FLAG_NEXT } else { 0 };
        match self.ring.role {
            Role::Client => self.ring.offer(link, index, part.len, flags),
            Role::Server => {
                // The buffer stays where the client said, in the other word.
                let [region, length] = [part.region, part.len];
                let descriptor = Descriptor {
                    flags,
                    region: u16::try_from(region).unwrap_or(u16::MAX),
                    length: u32::try_from(length).unwrap_or(u32::MAX),
                    offset: 0,
                };
                self.ring.put_first_word(link, index, descriptor);
            }
        }
        self.filled += 1;
    }

    /// Takes back what was filled since the last `publish`, down to the first `kept` buffers.
    pub(crate) fn rewind(&mut self, kept: u16) {
        debug_assert!(kept <= self.filled, "nothing else was filled");
        self.filled = kept;
    }

    /// Buffers of the ring.
    pub(crate) const fn size(&self) -> u16 {
        self.ring.size
    }

    /// Buffers filled and not yet published.
    pub(crate) const fn filled(&self) -> u16 {
        self.filled
    }

    /// Hands over what was filled.
    pub(crate) fn publish(&mut self, link: &Link) {
        self.cursor.ours = self.cursor.ours.wrapping_add(self.filled);
        self.filled = 0;
        self.ring.store(link, self.ring.our_field(), self.cursor.ours);
    }

    /// Whether the receiver asks for interrupts, which it does not get.
    pub(crate) fn wants_interrupts(&self, link: &Link) -> bool {
        let flags = self.ring.load(link, ring::FLAGS);
        flags & ring::FLAG_MASK_INTERRUPTS == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::Dimensions;

    #[test]
    fn the_next_packet_is_expected_as_far_on_as_the_last_one() {
        let dimensions = Dimensions { queue_count: 1, log2_ring_size: 6, buffer_bytes: 2048 };
        let (link, _fd) = Link::make(dimensions).expect("memory");
        let mut receiver = Receiver::attach(&link, link.pairs[0].s2c);
        assert_eq!(receiver.expected.offset, receiver.ring.own_buffer(0));
        let part = |offset| Part { region: 0, offset, len: 60, goes_on: false };
        let mut expect = |taken: &[usize], next: usize| {
            receiver.expect_after(&taken.iter().map(|offset| part(*offset)).collect::<Vec<_>>());
            assert_eq!(receiver.expected, Part { len: EXPECTED_LEN, ..part(next) }, "{taken:?}");
        };
        expect(&[4096, 6144], 8192);
        expect(&[8192], 10_240);
        // The ring begins anew, and the hint is wrong once.
        expect(&[4096], 4096_usize.wrapping_sub(4096));
        expect(&[6144, 8192, 10_240], 12_288);
    }
}
