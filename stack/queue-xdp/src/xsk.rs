//! One queue: an AF_XDP socket, its four rings and its UMEM, behind [`Queue`].

use crate::config::BURST_FRAMES;
use crate::counts;
use crate::error::Error;
use crate::exchange::{Exchange, Kernel, Rings, Settings};
use crate::ledger::Owner;
use crate::port::Attachment;
use crate::ring::{Consumer, Entry, Layout, MappedRing, Producer};
use crate::sys::{Mapping, RingKind, Socket};
use crate::umem::{Pages, Umem};
use libc::{xdp_desc, xdp_ring_offset};
use queue::{Burst, Counter, Frame, Queue, QueueCaps};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::{fmt, io};

impl Kernel for Socket {
    type Addresses = MappedRing<u64>;
    type Descriptors = MappedRing<xdp_desc>;

    fn wake_tx(&self) -> io::Result<()> {
        Self::wake_tx(self)
    }

    fn wake_rx(&self) -> io::Result<()> {
        Self::wake_rx(self)
    }
}

/// One RX/TX queue pair of a port, over AF_XDP.
///
/// Made by [`Port::bind`](crate::Port::bind). It may move to another thread, and is then polled by
/// that one only. Dropping it closes the socket: packets for the queue go to the kernel again.
///
/// # Panics
/// Handing back or looking at a frame that is not outstanding here is a programmer's error: every
/// method that takes a [`Frame`] panics on one that was freed or sent, or belongs to another queue.
pub struct XdpQueue {
    exchange: Exchange<Socket>,
    caps: QueueCaps,
    queue_id: u32,
    /// Keeps the program attached for as long as there is a queue, even without its port.
    _attachment: Arc<Attachment>,
}

impl XdpQueue {
    pub(crate) const fn new(
        exchange: Exchange<Socket>,
        caps: QueueCaps,
        queue_id: u32,
        attachment: Arc<Attachment>,
    ) -> Self {
        Self { exchange, caps, queue_id, _attachment: attachment }
    }

    /// The number of the interface's queue.
    #[must_use]
    pub const fn queue_id(&self) -> u32 {
        self.queue_id
    }

    /// The pages that its UMEM lies on.
    #[must_use]
    pub const fn pages(&self) -> Pages {
        self.exchange.umem().pages()
    }

    /// Checks that every frame has exactly one owner. Walks over all of them: for tests.
    ///
    /// # Panics
    /// If one has none or several.
    pub fn audit(&self) {
        self.exchange.umem().ledger.audit();
    }
}

impl fmt::Debug for XdpQueue {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("XdpQueue")
            .field("queue_id", &self.queue_id)
            .field("caps", &self.caps)
            .field("outstanding", &self.exchange.outstanding())
            .finish_non_exhaustive()
    }
}

impl Queue for XdpQueue {
    fn caps(&self) -> &QueueCaps {
        &self.caps
    }

    fn rx_burst(&mut self, burst: &mut Burst) -> usize {
        self.exchange.rx_burst(burst)
    }

    fn tx_burst(&mut self, burst: &mut Burst) -> usize {
        self.exchange.tx_burst(burst)
    }

    fn alloc(&mut self) -> Option<Frame> {
        self.exchange.alloc()
    }

    fn free(&mut self, frame: Frame) {
        self.exchange.free(frame);
    }

    fn bytes(&self, frame: &Frame) -> &[u8] {
        self.exchange.umem().bytes(frame)
    }

    fn bytes_mut(&mut self, frame: &mut Frame, len: u16) -> &mut [u8] {
        self.exchange.umem_mut().bytes_mut(frame, len)
    }

    fn outstanding(&self) -> usize {
        self.exchange.outstanding() as usize
    }

    fn counters(&self, visit: &mut dyn FnMut(Counter, u64)) {
        self.exchange.counts().visit(visit);
        let ledger = &self.exchange.umem().ledger;
        visit(Counter("rx_ring_frames"), u64::from(ledger.count(Owner::Rx)));
        visit(Counter("tx_ring_frames"), u64::from(ledger.count(Owner::Tx)));
        match self.exchange.kernel.statistics() {
            Ok(statistics) => counts::visit_kernel(&statistics, visit),
            Err(_) => visit(Counter("kernel_statistics_errors"), 1),
        }
    }
}

/// Opens a socket on `umem`, makes its rings and gives the kernel its receive share.
///
/// # Errors
/// [`Error`], by what the kernel returned.
pub(crate) fn open(
    umem: Umem,
    rx_ring_frames: u32,
    tx_ring_frames: u32,
    settings: Settings,
) -> Result<Exchange<Socket>, Error> {
    let socket = Socket::open()
        .map_err(|error| Error::system("open an AF_XDP socket", "CAP_NET_RAW", error))?;
    socket.register_umem(&umem).map_err(|error| match error.raw_os_error() {
        Some(libc::ENOBUFS) => Error::LockedMemory { umem_bytes: umem.len_bytes() },
        _ => Error::system("register a UMEM with AF_XDP", "CAP_NET_RAW", error),
    })?;
    let rings = map_rings(&socket, rx_ring_frames, tx_ring_frames)
        .map_err(|error| Error::system("make the rings of AF_XDP", "CAP_NET_RAW", error))?;
    Ok(Exchange::new(socket, rings, umem, settings))
}

/// Sets the options that say what one system call does.
///
/// # Errors
/// [`Error`], by what the kernel returned.
pub(crate) fn set_polling(socket: &Socket, busy_poll: bool) -> Result<(), Error> {
    // Before Linux 6.17 there is no such option, and one call sends 32: a burst takes two. Both
    // are counted as tx_kicks, and nothing else differs.
    match socket.raise_tx_budget(BURST_FRAMES) {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(libc::ENOPROTOOPT) => {}
        Err(error) => {
            return Err(Error::System { action: "set what one system call sends", error });
        }
    }
    if busy_poll {
        socket.prefer_busy_poll(BURST_FRAMES.cast_signed()).map_err(|error| {
            Error::system("busy-poll an interface (SO_PREFER_BUSY_POLL)", "CAP_NET_ADMIN", error)
        })?;
    }
    Ok(())
}

/// Makes the four rings of `socket` and maps them.
fn map_rings(
    socket: &Socket,
    rx_ring_frames: u32,
    tx_ring_frames: u32,
) -> io::Result<Rings<Socket>> {
    socket.create_ring(RingKind::Fill, rx_ring_frames)?;
    socket.create_ring(RingKind::Rx, rx_ring_frames)?;
    socket.create_ring(RingKind::Completion, tx_ring_frames)?;
    socket.create_ring(RingKind::Tx, tx_ring_frames)?;
    let offsets = socket.mmap_offsets()?;
    let fill = map_ring(socket, RingKind::Fill, &offsets.fr, rx_ring_frames)?;
    let completion = map_ring(socket, RingKind::Completion, &offsets.cr, tx_ring_frames)?;
    let rx = map_ring(socket, RingKind::Rx, &offsets.rx, rx_ring_frames)?;
    let tx = map_ring(socket, RingKind::Tx, &offsets.tx, tx_ring_frames)?;
    Ok(Rings {
        fill: Producer::new(fill),
        completion: Consumer::new(completion),
        rx: Consumer::new(rx),
        tx: Producer::new(tx),
    })
}

fn map_ring<T: Entry>(
    socket: &Socket,
    kind: RingKind,
    offset: &xdp_ring_offset,
    capacity: u32,
) -> io::Result<MappedRing<T>> {
    let in_memory = |offset| usize::try_from(offset).map_err(io::Error::other);
    let layout = Layout {
        producer: in_memory(offset.producer)?,
        consumer: in_memory(offset.consumer)?,
        flags: in_memory(offset.flags)?,
        entries: in_memory(offset.desc)?,
        capacity,
    };
    let mapping = Mapping::shared(socket.as_fd(), layout.bytes::<T>(), kind.page_offset())?;
    Ok(MappedRing::new(mapping, layout))
}
