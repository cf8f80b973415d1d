//! A port of DPDK: configured, started, closed when dropped.

use super::ffi;
use super::pool::Pool;
use super::runtime::{Errno, Runtime, check};
use std::ffi::{CStr, c_int};
use std::sync::Arc;

/// What a port can have at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Queue pairs.
    pub(crate) queues: u32,
    /// NUMA node of the device, where it has one.
    pub(crate) numa_node: Option<u32>,
}

/// What is wanted of the hardware, and what was obtained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Offloads {
    /// Checksums of received packets are verified.
    pub(crate) rx_checksum: bool,
    /// TCP checksums of sent packets are filled in.
    pub(crate) tx_checksum: bool,
    /// Queues are chosen by a hash of the addresses.
    pub(crate) rss_ipv4: bool,
    /// Queues are chosen by a hash of addresses and ports.
    pub(crate) rss_tcp: bool,
}

impl Offloads {
    const fn bits(self) -> [(bool, u32); 4] {
        [
            (self.rx_checksum, ffi::RX_CHECKSUM),
            (self.tx_checksum, ffi::TX_CHECKSUM),
            (self.rss_ipv4, ffi::RSS_IPV4),
            (self.rss_tcp, ffi::RSS_TCP),
        ]
    }

    fn mask(self) -> u32 {
        self.bits().into_iter().filter(|(wanted, _)| *wanted).map(|(_, bit)| bit).sum()
    }

    const fn of_mask(mask: u32) -> Self {
        Self {
            rx_checksum: mask & ffi::RX_CHECKSUM != 0,
            tx_checksum: mask & ffi::TX_CHECKSUM != 0,
            rss_ipv4: mask & ffi::RSS_IPV4 != 0,
            rss_tcp: mask & ffi::RSS_TCP != 0,
        }
    }
}

/// The counts of the whole port, all queues together, under the names of `rte_eth_stats`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PortStats {
    pub(crate) ipackets: u64,
    pub(crate) opackets: u64,
    pub(crate) imissed: u64,
    pub(crate) ierrors: u64,
    pub(crate) rx_nombuf: u64,
    pub(crate) oerrors: u64,
}

/// A port that nobody else has. The mempools of its queues live until it is closed.
#[derive(Debug)]
pub(crate) struct Device {
    id: u16,
    /// The nth is the nth queue's.
    pools: Vec<Pool>,
    stage: Stage,
    runtime: Arc<Runtime>,
}

/// How far a port is: what must be undone in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Found,
    Configured,
    Started,
}

impl Device {
    /// Takes a port; `Errno::BUSY` where somebody has it.
    pub(crate) fn claim(runtime: &Arc<Runtime>, id: u16) -> Result<Self, Errno> {
        if !runtime.claim(id) {
            return Err(Errno::BUSY);
        }
        let (pools, runtime) = (Vec::new(), Arc::clone(runtime));
        Ok(Self { id, pools, stage: Stage::Found, runtime })
    }

    /// Its number.
    pub(crate) const fn id(&self) -> u16 {
        self.id
    }

    /// EAL.
    pub(crate) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// What it can have at most.
    pub(crate) fn limits(&self) -> Result<Limits, Errno> {
        let mut limits = [0; 3];
        // SAFETY: three numbers are written.
        check(unsafe { ffi::shim_port_limits(self.id, limits.as_mut_ptr()) })?;
        let [rx, tx, node] = limits;
        Ok(Limits { queues: rx.min(tx), numa_node: (node != u32::MAX).then_some(node) })
    }

    /// Configures it with so many queue pairs; returns what it offers of what is wanted.
    pub(crate) fn configure(&mut self, queues: u16, wanted: Offloads) -> Result<Offloads, Errno> {
        let mut obtained = 0;
        let wanted = wanted.mask();
        // SAFETY: room for one number.
        check(unsafe { ffi::shim_port_configure(self.id, queues, wanted, &raw mut obtained) })?;
        self.stage = Stage::Configured;
        Ok(Offloads::of_mask(obtained))
    }

    /// What it makes of so many descriptors of a receive and of a transmit ring.
    pub(crate) fn adjust_rings(&mut self, rings: [u16; 2]) -> Result<[u16; 2], Errno> {
        let mut rings = rings;
        // SAFETY: two numbers are read and written.
        check(unsafe { ffi::shim_port_adjust_rings(self.id, rings.as_mut_ptr()) })?;
        Ok(rings)
    }

    /// Makes a mempool for the next queue, near the device.
    pub(crate) fn add_pool(&mut self, name: &CStr, frames: u32) -> Result<(), Errno> {
        let node = self.limits()?.numa_node.and_then(|node| c_int::try_from(node).ok());
        self.pools.push(Pool::create(name, frames, node.unwrap_or(-1))?);
        Ok(())
    }

    /// Sets up a queue pair, over the mempool of the same number.
    pub(crate) fn set_up_queue(&mut self, queue: u16, [rx, tx]: [u16; 2]) -> Result<(), Errno> {
        let pool = self.pools[usize::from(queue)].raw();
        // SAFETY: the pool lives until the port is closed: see `drop`.
        check(unsafe { ffi::shim_queue_setup(self.id, queue, rx, tx, pool) })
    }

    /// Changes its MAC address.
    pub(crate) fn set_mac(&mut self, mac: [u8; 6]) -> Result<(), Errno> {
        // SAFETY: six bytes are read.
        check(unsafe { ffi::shim_port_set_mac(self.id, mac.as_ptr()) })
    }

    /// Its MAC address.
    pub(crate) fn mac(&self) -> Result<[u8; 6], Errno> {
        let mut mac = [0; 6];
        // SAFETY: six bytes are written.
        check(unsafe { ffi::shim_port_mac(self.id, mac.as_mut_ptr()) })?;
        Ok(mac)
    }

    /// Largest IPv4 packet, in bytes.
    pub(crate) fn mtu(&self) -> Result<u16, Errno> {
        let mut mtu = 0;
        // SAFETY: room for one number.
        check(unsafe { ffi::shim_port_mtu(self.id, &raw mut mtu) })?;
        Ok(mtu)
    }

    /// Starts it: from now on packets move.
    pub(crate) fn start(&mut self) -> Result<(), Errno> {
        // SAFETY: takes a number. Queue pairs are only made of a device that has been started.
        check(unsafe { ffi::shim_port_start(self.id) })?;
        self.stage = Stage::Started;
        Ok(())
    }

    /// What it has counted.
    pub(crate) fn stats(&self) -> Result<PortStats, Errno> {
        let mut stats = [0; ffi::STATS];
        // SAFETY: so many numbers are written.
        check(unsafe { ffi::shim_port_stats(self.id, stats.as_mut_ptr()) })?;
        let [ipackets, opackets, imissed, ierrors, rx_nombuf, oerrors] = stats;
        Ok(PortStats { ipackets, opackets, imissed, ierrors, rx_nombuf, oerrors })
    }

    /// Whether it has a link.
    pub(crate) fn link_is_up(&self) -> bool {
        // SAFETY: takes a number.
        unsafe { ffi::shim_port_link_is_up(self.id) != 0 }
    }

    /// The mempool of a queue.
    pub(super) fn pool(&self, queue: u16) -> &Pool {
        &self.pools[usize::from(queue)]
    }

    /// Closes it; returns how many mbufs have not come back: they are lost, or in another port's
    /// ring.
    pub(crate) fn close(mut self) -> u32 {
        let pools = std::mem::take(&mut self.pools);
        drop(self);
        pools.iter().map(Pool::in_use).sum()
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        if self.stage == Stage::Started {
            // SAFETY: no queue pair of the port lives, since each holds on to `self`.
            unsafe { ffi::shim_port_stop(self.id) };
        }
        // A port that was only looked at stays there for whoever asks rightly.
        if self.stage != Stage::Found {
            // SAFETY: as above, and `self` is the port's only owner. The mempools live until its
            // rings have given all mbufs back: they are dropped later, as fields or by `close`.
            unsafe { ffi::shim_port_close(self.id) };
        }
        self.runtime.release(self.id);
    }
}
