//! The shim's functions, as `shim.c` has them.

use queue::{BURST_MAX, Meta};
use std::ffi::{c_char, c_int};

/// A packet buffer of DPDK's. Only the shim looks inside.
#[repr(C)]
pub(super) struct Mbuf {
    opaque: [u8; 0],
}

/// A pool of them.
#[repr(C)]
pub(super) struct Mempool {
    opaque: [u8; 0],
}

/// `struct shim_burst`: a burst on its way through the border, as plain arrays.
#[repr(C)]
pub(super) struct Burst {
    pub(super) mbufs: [*mut Mbuf; BURST_MAX],
    /// Where each packet begins.
    pub(super) data: [*mut u8; BURST_MAX],
    /// Length of each packet, in bytes.
    pub(super) len: [u16; BURST_MAX],
    /// Bytes from its beginning to the end of its buffer.
    pub(super) room: [u16; BURST_MAX],
    /// Bits of [`Meta`].
    pub(super) meta: [u32; BURST_MAX],
    /// Dropped so far: shorter than an Ethernet header.
    pub(super) short_frames: u64,
    /// Dropped so far: spread over more memory than one buffer has.
    pub(super) long_frames: u64,
    /// Dropped so far: somebody else holds the buffer, too.
    pub(super) shared_frames: u64,
    /// Dropped so far: the port, or the shim in its stead, found the checksum wrong.
    pub(super) bad_checksum_frames: u64,
    /// Dropped so far: the port says that it can never send this packet.
    pub(super) unsendable_frames: u64,
}

const _: () = assert!(size_of::<Burst>() == BURST_MAX * 24 + 40, "as in shim.c");
const _: () = assert!(BURST_MAX == 64, "SHIM_BURST_MAX");
const _: () = assert!(Meta::CHECKSUM_GOOD.0 == 1 && Meta::CHECKSUM_FILL.0 == 2, "SHIM_CHECKSUM_*");

/// `SHIM_RX_CHECKSUM`.
pub(super) const RX_CHECKSUM: u32 = 1 << 0;
/// `SHIM_TX_CHECKSUM`.
pub(super) const TX_CHECKSUM: u32 = 1 << 1;
/// `SHIM_RSS_IPV4`.
pub(super) const RSS_IPV4: u32 = 1 << 2;
/// `SHIM_RSS_TCP`.
pub(super) const RSS_TCP: u32 = 1 << 3;
/// Counts of a port: `shim_port_stats`.
pub(super) const STATS: usize = 6;

unsafe extern "C" {
    pub(super) fn shim_eal_init(argc: c_int, argv: *mut *mut c_char) -> c_int;
    pub(super) safe fn shim_eal_cleanup() -> c_int;
    pub(super) safe fn shim_eal_has_huge_pages() -> c_int;
    pub(super) safe fn shim_version() -> *const c_char;
    pub(super) safe fn shim_error_text(error: c_int) -> *const c_char;
    pub(super) safe fn shim_thread_register() -> c_int;
    pub(super) safe fn shim_thread_unregister();
    pub(super) fn shim_device_probe(arguments: *const c_char) -> c_int;
    pub(super) fn shim_ports(ids: *mut u16, room: u16) -> u16;
    pub(super) fn shim_port_name(port: u16, name: *mut c_char, room: usize) -> c_int;
    pub(super) fn shim_port_driver(port: u16, name: *mut c_char, room: usize) -> c_int;
    pub(super) fn shim_port_limits(port: u16, limits: *mut u32) -> c_int;
    pub(super) fn shim_port_configure(
        port: u16,
        queues: u16,
        wanted: u32,
        obtained: *mut u32,
    ) -> c_int;
    pub(super) fn shim_port_adjust_rings(port: u16, rings: *mut u16) -> c_int;
    pub(super) fn shim_queue_setup(
        port: u16,
        queue: u16,
        rx_ring: u16,
        tx_ring: u16,
        pool: *mut Mempool,
    ) -> c_int;
    pub(super) fn shim_port_set_mac(port: u16, mac: *const u8) -> c_int;
    pub(super) fn shim_port_mac(port: u16, mac: *mut u8) -> c_int;
    pub(super) fn shim_port_mtu(port: u16, mtu: *mut u16) -> c_int;
    pub(super) fn shim_port_start(port: u16) -> c_int;
    pub(super) fn shim_port_stop(port: u16);
    pub(super) fn shim_port_close(port: u16);
    pub(super) fn shim_port_stats(port: u16, stats: *mut u64) -> c_int;
    pub(super) fn shim_port_link_is_up(port: u16) -> c_int;
    pub(super) fn shim_pool_create(
        name: *const c_char,
        frames: u32,
        socket: c_int,
        error: *mut c_int,
    ) -> *mut Mempool;
    pub(super) fn shim_pool_in_use(pool: *const Mempool) -> u32;
    pub(super) fn shim_pool_free(pool: *mut Mempool);
    pub(super) fn shim_rx_burst(
        port: u16,
        queue: u16,
        verify: bool,
        burst: *mut Burst,
        count: u16,
    ) -> u16;
    pub(super) fn shim_tx_burst(
        port: u16,
        queue: u16,
        prepare: bool,
        burst: *mut Burst,
        count: u16,
    ) -> u16;
    pub(super) fn shim_alloc(pool: *mut Mempool, burst: *mut Burst, count: u16) -> u16;
    pub(super) fn shim_free(mbufs: *mut *mut Mbuf, count: u16);
}
