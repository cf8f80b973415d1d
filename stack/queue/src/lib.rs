//! The driver boundary: one RX/TX queue pair of a port, its frames and its bursts.
//!
//! ```text
//!             rx_burst                 rx ring / tx ring
//!   engine  ◀───────────  Queue  ◀────────────────────────▶  NIC, peer or simulator
//!           ───────────▶  (one driver crate per kind)
//!             tx_burst
//!              alloc, free: frames that the caller holds ("outstanding")
//! ```
//!
//! A [`Frame`] is a move-only handle; the bytes stay in the queue's memory and are reached through
//! [`Queue::bytes`] and [`Queue::bytes_mut`], so the borrow checker sees only the queue.
//!
//! What it deliberately does not do: know any protocol, block, allocate once it runs, ask the
//! time, or hide a drop. A driver that must drop counts it under a name ([`Counter`]).
//!
//! Entry point: [`Queue`]. Model: DPDK's `rte_eth_rx_burst`/`rte_eth_tx_burst`.
#![forbid(unsafe_code)]

mod burst;
mod caps;
mod frame;

pub use burst::{BURST_MAX, Burst};
pub use caps::{Attach, BusyPoll, Checksum, CopyMode, Counter, QueueCaps};
pub use frame::{FRAME_LEN_MAX, Frame, Meta};

/// One RX/TX queue pair of a port, polled by exactly one core.
///
/// Every method is non-blocking and free of allocation. Frames are owned by exactly one side at a
/// time: between a successful [`rx_burst`](Queue::rx_burst) or [`alloc`](Queue::alloc) and the
/// matching [`tx_burst`](Queue::tx_burst) or [`free`](Queue::free) the caller owns them, and
/// [`outstanding`](Queue::outstanding) says how many there are.
pub trait Queue {
    /// What this queue can do, and the mode that was really obtained.
    fn caps(&self) -> &QueueCaps;

    /// Appends received frames to `burst`, up to its capacity; returns how many were appended.
    ///
    /// Never blocks. Also reaps completed transmissions and refills the receive ring.
    fn rx_burst(&mut self, burst: &mut Burst) -> usize;

    /// Hands frames from the front of `burst` to the port; returns how many were taken.
    ///
    /// Refused frames stay in the burst, in order. A call with an empty burst kicks the port if it
    /// needs a kick, so a caller that polls makes progress even after a refusal.
    fn tx_burst(&mut self, burst: &mut Burst) -> usize;

    /// Takes an empty frame of `len` 0 for transmission, or `None` while the pool is empty.
    fn alloc(&mut self) -> Option<Frame>;

    /// Returns a frame to the pool.
    fn free(&mut self, frame: Frame);

    /// The packet, from the destination MAC on, without FCS.
    fn bytes(&self, frame: &Frame) -> &[u8];

    /// The packet as a mutable slice, after its length was set to `len` bytes.
    ///
    /// # Panics
    /// If `len` exceeds [`QueueCaps::frame_bytes`]: a programmer's error.
    fn bytes_mut(&mut self, frame: &mut Frame, len: u16) -> &mut [u8];

    /// Frames the caller holds, not those in rings. Zero at rest.
    fn outstanding(&self) -> usize;

    /// Calls `visit` with every counter: what was received, sent, and dropped for which reason.
    fn counters(&self, visit: &mut dyn FnMut(Counter, u64));
}
