//! The exchange of frames between caller and kernel: what goes to which ring, and when.
//!
//! Generic over the kernel, so that tests can play it. All state is here; [`crate::xsk`] adds the
//! socket.

#[cfg(test)]
mod tests;

use crate::config::BURST_FRAMES;
use crate::counts::Counts;
use crate::ledger::Owner;
use crate::ring::{Consumer, Producer, RingMemory};
use crate::umem::Umem;
use libc::xdp_desc;
use queue::{Burst, Frame};
use std::io;

/// The receive share is topped up once it lacks so many frames, or a quarter: one store of the
/// FILL ring's cursor for all of them.
const REFILL_FRAMES: u32 = BURST_FRAMES / 2;

/// Completions are reaped by `rx_burst` once so many frames are being sent; `alloc` and `tx_burst`
/// reap when they need to.
const REAP_FRAMES: u32 = BURST_FRAMES;

/// Shortest packet that is sent: an Ethernet header, in bytes. (The kernel drops a descriptor of
/// length 0 and never completes it.)
const PACKET_LEN_MIN: u16 = 14;

/// The other side of the four rings.
pub(crate) trait Kernel {
    /// Memory of the FILL and of the COMPLETION ring.
    type Addresses: RingMemory<Entry = u64>;
    /// Memory of the RX and of the TX ring.
    type Descriptors: RingMemory<Entry = xdp_desc>;

    /// Makes it look at the TX ring.
    fn wake_tx(&self) -> io::Result<()>;

    /// Makes it look at the FILL ring.
    fn wake_rx(&self) -> io::Result<()>;
}

/// The four rings, from our side.
pub(crate) struct Rings<K: Kernel> {
    pub(crate) fill: Producer<K::Addresses>,
    pub(crate) completion: Consumer<K::Addresses>,
    pub(crate) rx: Consumer<K::Descriptors>,
    pub(crate) tx: Producer<K::Descriptors>,
}

/// How the frames are shared out, so that neither direction can starve the other.
///
/// Reception never has more than `rx`, transmission never more than `tx`; `alloc` leaves enough
/// free frames for reception to have all of `rx`. What the caller holds of received packets comes
/// off whichever is short, and is in its hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shares {
    /// Most frames in FILL and RX.
    pub(crate) rx: u32,
    /// Most frames in TX and COMPLETION.
    pub(crate) tx: u32,
}

impl Shares {
    /// Half of the frames each, as far as the rings hold them; receive rings are never overrun,
    /// because RX has a place for every frame in FILL, and COMPLETION one for every frame in TX.
    pub(crate) fn of(frame_count: u32, rx_ring_frames: u32, tx_ring_frames: u32) -> Self {
        let rx = rx_ring_frames.min(frame_count / 2);
        Self { rx, tx: tx_ring_frames.min(frame_count - rx) }
    }
}

/// What an exchange needs to know beside its rings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// How the frames are shared out.
    pub(crate) shares: Shares,
    /// Longest packet that the link carries, with its Ethernet header, in bytes.
    pub(crate) packet_len_max: u16,
    /// Whether our system calls drive the interface's NAPI.
    pub(crate) busy_poll: bool,
}

/// A queue without its socket.
pub(crate) struct Exchange<K: Kernel> {
    pub(crate) kernel: K,
    rings: Rings<K>,
    umem: Umem,
    settings: Settings,
    counts: Counts,
}

impl<K: Kernel> Exchange<K> {
    /// Gives the kernel its receive share and takes over the rings.
    pub(crate) fn new(kernel: K, rings: Rings<K>, umem: Umem, settings: Settings) -> Self {
        let mut exchange = Self { kernel, rings, umem, settings, counts: Counts::default() };
        exchange.refill();
        exchange
    }

    /// [`queue::Queue::rx_burst`].
    pub(crate) fn rx_burst(&mut self, burst: &mut Burst) -> usize {
        if self.umem.ledger.count(Owner::Tx) >= REAP_FRAMES {
            self.reap();
        }
        let before = burst.len();
        let wanted = u32::try_from(burst.room()).unwrap_or(BURST_FRAMES);
        let available = self.rings.rx.available(wanted);
        for _ in 0..available {
            let descriptor = self.rings.rx.pop();
            self.receive(descriptor, burst);
        }
        if available > 0 {
            self.rings.rx.release();
        }
        if self.rx_share_lacks() >= REFILL_FRAMES.min(self.settings.shares.rx / 4) {
            self.refill();
        }
        if self.rings.fill.needs_wakeup() || (self.settings.busy_poll && available == 0) {
            self.kick_rx();
        }
        self.check_sum();
        burst.len() - before
    }

    /// [`queue::Queue::tx_burst`].
    pub(crate) fn tx_burst(&mut self, burst: &mut Burst) -> usize {
        let wanted = u32::try_from(burst.len()).unwrap_or(BURST_FRAMES);
        let room = self.tx_room(wanted);
        self.counts.tx_refused_frames += u64::from(wanted - room);
        for frame in burst.drain(room as usize) {
            self.send(frame);
        }
        if room > 0 {
            self.rings.tx.commit();
        }
        self.kick_tx();
        self.check_sum();
        room as usize
    }

    /// [`queue::Queue::alloc`].
    pub(crate) fn alloc(&mut self) -> Option<Frame> {
        if !self.may_alloc() {
            self.reap();
            if !self.may_alloc() {
                self.counts.alloc_refusals += 1;
                return None;
            }
        }
        let index = self.umem.ledger.take(Owner::Caller)?;
        Some(self.umem.empty_frame(index))
    }

    /// [`queue::Queue::free`].
    ///
    /// # Panics
    /// If the caller does not own the frame.
    pub(crate) fn free(&mut self, frame: Frame) {
        let index = self.umem.index(frame.addr());
        let result = self.umem.ledger.put_back(index, Owner::Caller);
        assert!(result.is_ok(), "{frame:?} is not outstanding: freed twice, or another queue's");
    }

    /// [`queue::Queue::outstanding`].
    pub(crate) const fn outstanding(&self) -> u32 {
        self.umem.ledger.count(Owner::Caller)
    }

    /// The memory that packets lie in.
    pub(crate) const fn umem(&self) -> &Umem {
        &self.umem
    }

    /// The same, to write packets.
    pub(crate) const fn umem_mut(&mut self) -> &mut Umem {
        &mut self.umem
    }

    /// What was counted.
    pub(crate) const fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Passes one received packet to the caller, whose burst has room for it.
    fn receive(&mut self, descriptor: xdp_desc, burst: &mut Burst) {
        let index = self.umem.index(descriptor.addr);
        let frame = self.umem.frame(descriptor.addr, descriptor.len);
        let Some(frame) = frame.filter(|_| self.umem.ledger.owns(Owner::Rx, index)) else {
            self.counts.rx_bad_frames += 1;
            // If the frame was the kernel's, it is not lost; if it was not, it is not stolen.
            let _recovered = self.umem.ledger.put_back(index, Owner::Rx);
            return;
        };
        self.umem.prefetch(&frame);
        self.counts.rx_frames += 1;
        self.counts.rx_bytes += u64::from(frame.len());
        let passed = self.umem.ledger.pass(index, Owner::Rx, Owner::Caller);
        debug_assert!(passed.is_ok(), "its owner was looked at above");
        let pushed = burst.push(frame);
        debug_assert!(pushed.is_ok(), "no more are popped than the burst has room for");
    }

    /// Writes one packet to the TX ring, which has room for it, or drops it.
    ///
    /// # Panics
    /// If the caller does not own the frame.
    fn send(&mut self, frame: Frame) {
        let sendable = PACKET_LEN_MIN..=self.settings.packet_len_max;
        let len = u32::from(frame.len());
        let fits = u32::from(frame.start()) + len <= self.umem.chunk_bytes();
        if !sendable.contains(&frame.len()) || !fits {
            self.counts.tx_bad_length_frames += 1;
            return self.free(frame);
        }
        let index = self.umem.index(frame.addr());
        let passed = self.umem.ledger.pass(index, Owner::Caller, Owner::Tx);
        assert!(passed.is_ok(), "{frame:?} is not outstanding: sent twice, or another queue's");
        self.counts.tx_frames += 1;
        self.counts.tx_bytes += u64::from(len);
        let addr = frame.addr() + u64::from(frame.start());
        self.rings.tx.push(xdp_desc { addr, len, options: 0 });
    }

    /// How many of `wanted` packets can be sent now, after reaping if need be.
    fn tx_room(&mut self, wanted: u32) -> u32 {
        if self.tx_share_left() < wanted {
            self.reap();
        }
        let room = self.tx_share_left().min(wanted);
        self.rings.tx.room(room)
    }

    fn tx_share_left(&self) -> u32 {
        self.settings.shares.tx - self.umem.ledger.count(Owner::Tx)
    }

    fn rx_share_lacks(&self) -> u32 {
        self.settings.shares.rx - self.umem.ledger.count(Owner::Rx)
    }

    /// Whether a free frame is left beyond those that reception may still claim.
    fn may_alloc(&self) -> bool {
        self.umem.ledger.count(Owner::Free) > self.rx_share_lacks()
    }

    /// Takes back every frame that was sent.
    fn reap(&mut self) {
        let completed = self.rings.completion.available(u32::MAX);
        for _ in 0..completed {
            let index = self.umem.index(self.rings.completion.pop());
            match self.umem.ledger.put_back(index, Owner::Tx) {
                Ok(()) => self.counts.tx_completed_frames += 1,
                Err(_) => self.counts.tx_bad_completions += 1,
            }
        }
        if completed > 0 {
            self.rings.completion.release();
        }
    }

    /// Gives the kernel free frames, up to the receive share.
    fn refill(&mut self) {
        let lacks = self.rx_share_lacks();
        let room = self.rings.fill.room(lacks.min(self.umem.ledger.count(Owner::Free)));
        if room < lacks {
            self.counts.rx_starved_refills += 1;
        }
        for _ in 0..room {
            let Some(index) = self.umem.ledger.take(Owner::Rx) else { break };
            self.rings.fill.push(self.umem.chunk_address(index));
        }
        if room > 0 {
            self.rings.fill.commit();
        }
    }

    fn kick_rx(&mut self) {
        self.counts.rx_kicks += 1;
        if self.kernel.wake_rx().is_err() {
            self.counts.rx_kick_errors += 1;
        }
    }

    /// Wakes the kernel until it has taken every packet or refuses to take one more.
    ///
    /// In copy mode one call sends a bounded number and asks for another with EAGAIN. Each turn of
    /// the loop shortens what is pending, so it ends; what the kernel refuses now is offered again
    /// by the next call of `tx_burst`, also one with an empty burst.
    fn kick_tx(&mut self) {
        let mut pending = self.rings.tx.pending();
        while pending > 0 && (self.settings.busy_poll || self.rings.tx.needs_wakeup()) {
            self.counts.tx_kicks += 1;
            let Err(error) = self.kernel.wake_tx() else { return };
            *self.tx_error_count(&error) += 1;
            let left = self.rings.tx.pending();
            if left >= pending {
                return;
            }
            pending = left;
        }
    }

    fn tx_error_count(&mut self, error: &io::Error) -> &mut u64 {
        match error.raw_os_error() {
            Some(libc::EAGAIN) => &mut self.counts.tx_again_errors,
            Some(libc::EBUSY) => &mut self.counts.tx_busy_errors,
            Some(libc::ENOBUFS | libc::ENOMEM) => &mut self.counts.tx_no_buffer_errors,
            Some(libc::ENETDOWN) => &mut self.counts.tx_link_down_errors,
            _ => &mut self.counts.tx_other_errors,
        }
    }

    /// Every frame has one owner: free, rx, tx and outstanding add up.
    fn check_sum(&self) {
        let owners = [Owner::Free, Owner::Rx, Owner::Caller, Owner::Tx];
        let sum: u32 = owners.iter().map(|&owner| self.umem.ledger.count(owner)).sum();
        debug_assert_eq!(sum, self.umem.frame_count(), "frames were lost or made");
    }
}
