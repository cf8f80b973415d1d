//! A queue pair, and the table of the mbufs that its caller holds.
//!
//! ```text
//!   rx ring ──▶ slot ──▶ tx ring        a frame's `addr` is the number of its slot
//!    stash ───▶ slot ──▶ freed
//! ```
//!
//! A slot that is occupied belongs to exactly one frame, and its mbuf to nobody but the slot: that
//! is why its bytes may be borrowed.

use super::device::Device;
use super::ffi;
use super::runtime::Errno;
use queue::{BURST_MAX, Burst, Frame, Meta};
use std::fmt;
use std::ptr::{NonNull, null_mut};
use std::sync::Arc;

/// Empty mbufs taken from the mempool at a time.
const STASH_MAX: u16 = 32;
const _: () = assert!((STASH_MAX as usize) <= BURST_MAX);

/// An mbuf of ours alone.
#[derive(Clone, Copy)]
struct Held {
    mbuf: NonNull<ffi::Mbuf>,
    /// The first byte of its packet.
    data: NonNull<u8>,
    /// Bytes from there to the end of its buffer.
    room: u16,
}

/// Dropped by the border itself, for its reasons.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dropped {
    pub(crate) rx_short_frames: u64,
    pub(crate) rx_long_frames: u64,
    pub(crate) rx_shared_frames: u64,
    pub(crate) rx_bad_checksum_frames: u64,
    pub(crate) tx_unsendable_frames: u64,
}

/// One RX/TX queue pair of a port that has been started.
pub(crate) struct QueuePair {
    id: u16,
    /// Whether the port checks checksums: what it does not say then is computed.
    verify: bool,
    /// Whether the port fills checksums in: then its driver must see packets beforehand.
    prepare: bool,
    /// What the caller holds.
    slots: Box<[Option<Held>]>,
    /// Slots that are empty; the last one emptied is the first one filled.
    vacant: Vec<u32>,
    /// Empty mbufs for `alloc`.
    stash: Vec<Held>,
    /// Freed by the caller, but not given back yet.
    freed: Vec<*mut ffi::Mbuf>,
    /// Where bursts cross the border.
    burst: Box<ffi::Burst>,
    device: Arc<Device>,
}

// SAFETY: DPDK's queues and mbufs belong to no thread; only one may use a queue at a time, which is
// the one that has `self` mutably.
unsafe impl Send for QueuePair {}

impl QueuePair {
    /// The queue pair of this number, which has been set up on a device that has been started.
    ///
    /// Whoever calls makes one of each number.
    pub(crate) fn new(device: &Arc<Device>, id: u16, frames: u32, (rx, tx): (bool, bool)) -> Self {
        let burst = ffi::Burst {
            mbufs: [null_mut(); BURST_MAX],
            data: [null_mut(); BURST_MAX],
            len: [0; BURST_MAX],
            room: [0; BURST_MAX],
            meta: [0; BURST_MAX],
            short_frames: 0,
            long_frames: 0,
            shared_frames: 0,
            bad_checksum_frames: 0,
            unsendable_frames: 0,
        };
        Self {
            id,
            verify: rx,
            prepare: tx,
            slots: vec![None; frames as usize].into_boxed_slice(),
            vacant: (0..frames).rev().collect(),
            stash: Vec::with_capacity(usize::from(STASH_MAX)),
            freed: Vec::with_capacity(BURST_MAX),
            burst: Box::new(burst),
            device: Arc::clone(device),
        }
    }

    /// Its number.
    pub(crate) const fn id(&self) -> u16 {
        self.id
    }

    /// Frames that the caller has.
    pub(crate) const fn outstanding(&self) -> usize {
        self.slots.len() - self.vacant.len()
    }

    /// Whether the caller can be given more.
    pub(crate) const fn is_full(&self) -> bool {
        self.vacant.is_empty()
    }

    /// What was dropped here.
    pub(crate) const fn dropped(&self) -> Dropped {
        Dropped {
            rx_short_frames: self.burst.short_frames,
            rx_long_frames: self.burst.long_frames,
            rx_shared_frames: self.burst.shared_frames,
            rx_bad_checksum_frames: self.burst.bad_checksum_frames,
            tx_unsendable_frames: self.burst.unsendable_frames,
        }
    }

    /// Makes the calling thread known to DPDK.
    pub(crate) fn register_thread(&self) -> Result<(), Errno> {
        self.device.runtime().register_thread()
    }

    /// Receives packets into the burst; returns how many.
    #[inline]
    pub(crate) fn receive(&mut self, burst: &mut Burst) -> usize {
        self.give_back();
        let room = burst.room().min(self.vacant.len());
        if room == 0 {
            return 0;
        }
        let room = u16::try_from(room).unwrap_or(u16::MAX);
        let port = self.device.id();
        let raw = &raw mut *self.burst;
        // SAFETY: the queue pair is set up and started, and polled by nobody else, since `self` is
        // ours; the burst's arrays have room for what the shim writes, BURST_MAX at most.
        let came = unsafe { ffi::shim_rx_burst(port, self.id, self.verify, raw, room) };
        for place in 0..usize::from(came) {
            let frame = self.take_in(place);
            let pushed = burst.push(frame);
            debug_assert!(pushed.is_ok(), "no more came than there was room for");
        }
        usize::from(came)
    }

    /// Puts what lies at this place of the border's burst into a slot.
    fn take_in(&mut self, place: usize) -> Frame {
        let (len, meta) = (self.burst.len[place], Meta(self.burst.meta[place]));
        let held = self.held(place);
        self.occupy(held, len, meta)
    }

    fn held(&self, place: usize) -> Held {
        Held {
            mbuf: NonNull::new(self.burst.mbufs[place]).expect("the shim writes no null"),
            data: NonNull::new(self.burst.data[place]).expect("the shim writes no null"),
            room: self.burst.room[place],
        }
    }

    fn occupy(&mut self, held: Held, len: u16, meta: Meta) -> Frame {
        let slot = self.vacant.pop().expect("looked at before");
        self.slots[slot as usize] = Some(held);
        Frame::from_parts(u64::from(slot), 0, len, meta)
    }

    /// Sends the first `count` packets of the burst; returns how many are done with.
    #[inline]
    pub(crate) fn transmit(&mut self, burst: &mut Burst, count: usize) -> usize {
        for (place, frame) in burst.frames()[..count].iter().enumerate() {
            // Out of the slot, so that no two frames can send the same mbuf.
            let held = self.take_out(frame, frame.len());
            self.burst.mbufs[place] = held.mbuf.as_ptr();
            self.burst.data[place] = held.data.as_ptr();
            self.burst.room[place] = held.room;
            self.burst.len[place] = frame.len();
            self.burst.meta[place] = frame.meta().0;
        }
        let (port, offered) = (self.device.id(), u16::try_from(count).unwrap_or(u16::MAX));
        let raw = &raw mut *self.burst;
        // SAFETY: as in `receive`. The mbufs are ours, no two are the same, and their packets lie
        // within their room.
        let done = unsafe { ffi::shim_tx_burst(port, self.id, self.prepare, raw, offered) };
        let done = usize::from(done);
        for (place, frame) in burst.frames()[..count].iter().enumerate().skip(done) {
            self.slots[slot_of(frame)] = Some(self.held(place));
        }
        for frame in burst.drain(done) {
            self.vacate(&frame);
        }
        done
    }

    /// An empty frame.
    #[inline]
    pub(crate) fn alloc(&mut self) -> Option<Frame> {
        if self.vacant.is_empty() || (self.stash.is_empty() && !self.fill_stash()) {
            return None;
        }
        let held = self.stash.pop()?;
        Some(self.occupy(held, 0, Meta::default()))
    }

    fn fill_stash(&mut self) -> bool {
        self.give_back();
        let took = [STASH_MAX, 1].into_iter().find_map(|count| {
            let raw = &raw mut *self.burst;
            let pool = self.device.pool(self.id).raw();
            // SAFETY: the pool lives as long as the device, and the burst has room for so many.
            let took = unsafe { ffi::shim_alloc(pool, raw, count) };
            (took > 0).then_some(took)
        });
        for place in 0..usize::from(took.unwrap_or(0)) {
            let held = self.held(place);
            self.stash.push(held);
        }
        took.is_some()
    }

    /// Takes a frame back.
    #[inline]
    pub(crate) fn free(&mut self, frame: &Frame) {
        let held = self.take_out(frame, 0);
        self.vacate(frame);
        self.freed.push(held.mbuf.as_ptr());
        if self.freed.len() == BURST_MAX {
            self.give_back();
        }
    }

    /// Gives what was freed back to its mempool, in one call.
    #[inline]
    fn give_back(&mut self) {
        if self.freed.is_empty() {
            return;
        }
        let count = u16::try_from(self.freed.len()).expect("at most BURST_MAX");
        // SAFETY: so many mbufs, which were ours, and which nobody names any more.
        unsafe { ffi::shim_free(self.freed.as_mut_ptr(), count) };
        self.freed.clear();
    }

    /// The packet in a frame.
    #[inline]
    pub(crate) fn bytes(&self, frame: &Frame) -> &[u8] {
        let held = self.slot(frame, frame.len());
        // SAFETY: the start is within the room, as `slot` has checked.
        let start = unsafe { held.data.add(usize::from(frame.start())) };
        // SAFETY: the mbuf is in an occupied slot, so that nobody else has it (the shim drops what
        // is shared); its memory was zeroed by the kernel, and the bytes are within the room. It
        // leaves the slot only by a call on `&mut self`.
        unsafe { std::slice::from_raw_parts(start.as_ptr(), usize::from(frame.len())) }
    }

    /// The same, to write to, after the frame's length was set.
    #[inline]
    pub(crate) fn bytes_mut(&mut self, frame: &mut Frame, len: u16) -> &mut [u8] {
        let held = *self.slot(frame, len);
        frame.resize(len);
        // SAFETY: as in `bytes`.
        let start = unsafe { held.data.add(usize::from(frame.start())) };
        // SAFETY: as in `bytes`; and `&mut self` is the only way to any slot.
        unsafe { std::slice::from_raw_parts_mut(start.as_ptr(), usize::from(len)) }
    }

    /// The slot of a frame, in which `len` bytes fit behind the frame's start.
    fn slot(&self, frame: &Frame, len: u16) -> &Held {
        let Some(Some(held)) = self.slots.get(slot_of(frame)) else {
            panic!("{frame:?} is not outstanding: it was freed or sent, or is another queue's");
        };
        let end = u32::from(frame.start()) + u32::from(len);
        assert!(end <= u32::from(held.room), "{len} bytes do not fit into {frame:?}");
        held
    }

    /// Empties the slot of a frame.
    fn take_out(&mut self, frame: &Frame, len: u16) -> Held {
        let held = *self.slot(frame, len);
        self.slots[slot_of(frame)] = None;
        held
    }

    /// Has the slot of a frame, which is empty by now, filled again.
    fn vacate(&mut self, frame: &Frame) {
        // Never allocates: it was made with room for every slot, and each is in it once.
        self.vacant.push(u32::try_from(frame.addr()).expect("a slot's number"));
    }

    /// Counts everything afresh and compares: for tests.
    pub(crate) fn audit(&self) {
        let mut is_vacant = vec![false; self.slots.len()];
        for &slot in &self.vacant {
            let slot = slot as usize;
            assert!(self.slots[slot].is_none(), "slot {slot} is vacant and occupied");
            assert!(!std::mem::replace(&mut is_vacant[slot], true), "slot {slot} twice");
        }
        let occupied = self.slots.iter().flatten().count();
        assert_eq!(occupied, self.outstanding(), "a slot is neither vacant nor occupied");
    }
}

/// The number of a frame's slot; of no slot for frames that nobody made here.
fn slot_of(frame: &Frame) -> usize {
    usize::try_from(frame.addr()).unwrap_or(usize::MAX)
}

impl Drop for QueuePair {
    fn drop(&mut self) {
        self.give_back();
        let held = self.slots.iter().flatten().chain(&self.stash);
        let mut mbufs: Vec<*mut ffi::Mbuf> = held.map(|held| held.mbuf.as_ptr()).collect();
        for chunk in mbufs.chunks_mut(BURST_MAX) {
            let count = u16::try_from(chunk.len()).expect("at most BURST_MAX");
            // SAFETY: as in `give_back`: frames that still name them find their queue gone.
            unsafe { ffi::shim_free(chunk.as_mut_ptr(), count) };
        }
    }
}

impl fmt::Debug for QueuePair {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("QueuePair")
            .field("id", &self.id)
            .field("outstanding", &self.outstanding())
            .finish_non_exhaustive()
    }
}
