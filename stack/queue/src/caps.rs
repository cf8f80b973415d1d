//! What a queue can do, and what it counts.

/// Who computes and verifies TCP and IPv4 checksums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// The stack, in software, for every packet.
    Software,
    /// The port, for every packet.
    Offload,
}

/// How packets get between the NIC and the queue's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyMode {
    /// The kernel or the driver copies each packet once.
    Copy,
    /// The NIC writes to and reads from the queue's memory.
    ZeroCopy,
}

/// Where an XDP program runs, for queues that have one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attach {
    /// No program: the queue is not AF_XDP.
    None,
    /// In the driver, before the kernel allocates a socket buffer.
    Native,
    /// In the generic hook, after it has.
    Generic,
}

/// Whether the kernel's side of the queue is polled by us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BusyPoll {
    /// Interrupts (or the sender's softirq) drive the port.
    Off,
    /// `SO_PREFER_BUSY_POLL` and a budget are set: our system calls drive it.
    On,
}

/// What a queue can do, and the mode that was *really obtained*, not the one asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueCaps {
    /// Name of the driver, as in the mode's name: `xdp`, `memif`, `dpdk`, `sim`.
    pub driver: &'static str,
    /// MAC address of the port.
    pub mac: [u8; 6],
    /// Largest IPv4 packet the link carries, in bytes, without the Ethernet header.
    pub mtu: u16,
    /// Room for one packet in a frame of [`Queue::alloc`](crate::Queue::alloc), in bytes.
    pub frame_bytes: u16,
    /// Frames in the pool, in rings and outstanding together.
    pub frame_count: u32,
    /// Who checks checksums of received packets.
    pub rx_checksum: Checksum,
    /// Who fills in checksums of sent packets.
    pub tx_checksum: Checksum,
    /// How packets reach the queue's memory.
    pub copy_mode: CopyMode,
    /// Where the XDP program runs.
    pub attach: Attach,
    /// Whether the kernel's side is busy-polled.
    pub busy_poll: BusyPoll,
}

/// A named count. Names are snake case, unique, and end in the unit counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Counter(pub &'static str);
