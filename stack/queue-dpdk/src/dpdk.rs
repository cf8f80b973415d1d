//! The queue: a queue pair of a port, as the rest of the stack knows queues.

use crate::Error;
use crate::config::Config;
use crate::counts::Counts;
use crate::monitor::Board;
use crate::port::Obtained;
use crate::sys::{Device, Offloads, QueuePair};
use queue::{
    Attach, BURST_MAX, Burst, BusyPoll, Checksum, CopyMode, Counter, Frame, Queue, QueueCaps,
};
use std::fmt;
use std::sync::Arc;

/// Length of an Ethernet header, in bytes: the shortest packet.
const ETHER_LEN: u16 = 14;
/// Room for a packet in an mbuf, in bytes: `RTE_MBUF_DEFAULT_DATAROOM`.
const FRAME_BYTES: u16 = 2048;

/// One queue pair of a port of DPDK.
pub struct DpdkQueue {
    pair: QueuePair,
    caps: QueueCaps,
    /// Longest packet that is sent, in bytes.
    packet_len_max: u16,
    /// Most frames that `alloc` lets the caller have: a burst can be received with both rings full.
    alloc_max: usize,
    counts: Counts,
    board: Arc<Board>,
    port: String,
    /// Tells the port that this queue lives. After the pair, which must be gone first.
    _lent: Arc<()>,
}

impl DpdkQueue {
    pub(crate) fn new(
        (device, board): (&Arc<Device>, &Arc<Board>),
        id: u16,
        config: &Config,
        obtained: &Obtained,
        lent: Arc<()>,
    ) -> Self {
        let Offloads { rx_checksum, tx_checksum, .. } = obtained.offloads;
        let by = |port: bool| if port { Checksum::Offload } else { Checksum::Software };
        let caps = QueueCaps {
            driver: "dpdk",
            mac: obtained.mac,
            mtu: obtained.mtu.min(FRAME_BYTES - ETHER_LEN),
            frame_bytes: FRAME_BYTES,
            frame_count: config.frame_count,
            rx_checksum: by(rx_checksum),
            tx_checksum: by(tx_checksum),
            // Whether the driver copies is nothing that DPDK tells.
            copy_mode: CopyMode::ZeroCopy,
            attach: Attach::None,
            busy_poll: BusyPoll::Off,
        };
        let rings = u32::from(obtained.rx_ring_frames) + u32::from(obtained.tx_ring_frames);
        let frames = config.frame_count;
        Self {
            pair: QueuePair::new(device, id, frames, (rx_checksum, tx_checksum)),
            packet_len_max: caps.mtu + ETHER_LEN,
            alloc_max: (frames - rings) as usize - BURST_MAX,
            caps,
            counts: Counts::default(),
            board: Arc::clone(board),
            port: obtained.port.clone(),
            _lent: lent,
        }
    }

    /// Whether the port has a link, as was seen a tenth of a second ago at most.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.board.link_is_up()
    }

    /// Its number in the port, from 0.
    #[must_use]
    pub const fn id(&self) -> u16 {
        self.pair.id()
    }

    /// Makes the calling thread known to DPDK until it ends, so that its mempools have a cache for
    /// it. Call it once on the thread that polls; without it every mbuf is taken from memory that
    /// all threads share, which is correct but slow.
    ///
    /// # Errors
    /// [`Error::Step`] where there are too many threads (128 in Debian's build).
    pub fn register_thread(&self) -> Result<(), Error> {
        self.pair.register_thread().map_err(|errno| Error::Step {
            port: self.port.clone(),
            action: "register the thread that polls",
            text: errno.to_string(),
            cure: "DPDK was built for fewer threads, or has secondary processes",
        })
    }

    /// Checks that every frame has exactly one owner. Walks over all of them: for tests.
    ///
    /// # Panics
    /// If one has none or several.
    pub fn audit(&self) {
        self.pair.audit();
    }

    const fn can_send(&self, frame: &Frame) -> bool {
        ETHER_LEN <= frame.len() && frame.len() <= self.packet_len_max
    }
}

impl Queue for DpdkQueue {
    fn caps(&self) -> &QueueCaps {
        &self.caps
    }

    fn rx_burst(&mut self, burst: &mut Burst) -> usize {
        self.counts.rx_starved_polls += u64::from(self.pair.is_full());
        let before = burst.len();
        let came = self.pair.receive(burst);
        self.counts.rx_frames += came as u64;
        self.counts.rx_bytes += bytes_of(&burst.frames()[before..]);
        came
    }

    fn tx_burst(&mut self, burst: &mut Burst) -> usize {
        let before = burst.len();
        while !burst.is_empty() {
            let good = burst.frames().iter().take_while(|frame| self.can_send(frame)).count();
            if good == 0 {
                self.counts.tx_bad_length_frames += 1;
                for frame in burst.drain(1) {
                    self.pair.free(&frame);
                }
                continue;
            }
            let (bytes, unsendable) =
                (bytes_of(burst.frames()), self.pair.dropped().tx_unsendable_frames);
            let done = self.pair.transmit(burst, good);
            let unsendable = self.pair.dropped().tx_unsendable_frames - unsendable;
            self.counts.tx_frames += done as u64 - unsendable;
            self.counts.tx_bytes += bytes - bytes_of(burst.frames());
            if done < good && unsendable == 0 {
                if !self.is_up() {
                    // What waits for a peer that is gone would keep everything behind it waiting.
                    self.counts.tx_link_down_frames += burst.len() as u64;
                    let left = burst.len();
                    for frame in burst.drain(left) {
                        self.pair.free(&frame);
                    }
                    break;
                }
                self.counts.tx_refused_frames += burst.len() as u64;
                break;
            }
        }
        before - burst.len()
    }

    fn alloc(&mut self) -> Option<Frame> {
        let frame = if self.pair.outstanding() < self.alloc_max { self.pair.alloc() } else { None };
        self.counts.alloc_refusals += u64::from(frame.is_none());
        frame
    }

    fn free(&mut self, frame: Frame) {
        self.pair.free(&frame);
    }

    fn bytes(&self, frame: &Frame) -> &[u8] {
        self.pair.bytes(frame)
    }

    fn bytes_mut(&mut self, frame: &mut Frame, len: u16) -> &mut [u8] {
        self.pair.bytes_mut(frame, len)
    }

    fn outstanding(&self) -> usize {
        self.pair.outstanding()
    }

    fn counters(&self, visit: &mut dyn FnMut(Counter, u64)) {
        self.counts.visit(visit);
        self.pair.dropped().visit(visit);
        // The port counts for all its queues: its counts are the first one's.
        if self.pair.id() == 0 {
            let reading = self.board.reading();
            reading.stats.visit(visit);
            visit(Counter("port_stats_failures"), reading.failures);
            visit(Counter("link_ups"), reading.link_ups);
            visit(Counter("link_up_now"), u64::from(reading.link_is_up));
        }
    }
}

fn bytes_of(frames: &[Frame]) -> u64 {
    frames.iter().map(|frame| u64::from(frame.len())).sum()
}

impl fmt::Debug for DpdkQueue {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("DpdkQueue")
            .field("port", &self.port)
            .field("pair", &self.pair)
            .field("caps", &self.caps)
            .finish_non_exhaustive()
    }
}
