//! A port, from its name to its queues.

use crate::config::{ChecksumWish, Config};
use crate::dpdk::DpdkQueue;
use crate::eal::Eal;
use crate::error::Error;
use crate::monitor::Monitor;
use crate::sys::{Device, Errno, Offloads};
use std::ffi::CString;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// How the port chooses the queue of a received packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rss {
    /// There is one queue, or the driver or the peer chooses in its own way.
    None,
    /// By a hash of the addresses: one queue for all connections of a peer.
    Ipv4,
    /// By a hash of addresses and ports.
    Tcp,
}

impl fmt::Display for Rss {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::None => "none",
            Self::Ipv4 => "ipv4",
            Self::Tcp => "ipv4-tcp",
        })
    }
}

/// What was really obtained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obtained {
    /// The port's name.
    pub port: String,
    /// The name of its driver.
    pub driver: String,
    /// Its MAC address.
    pub mac: [u8; 6],
    /// Largest IPv4 packet, in bytes, without the Ethernet header.
    pub mtu: u16,
    /// How it chooses the queue of a packet.
    pub rss: Rss,
    /// Descriptors of each receive ring.
    pub rx_ring_frames: u16,
    /// Descriptors of each transmit ring.
    pub tx_ring_frames: u16,
    /// NUMA node of the device, where it has one.
    pub numa_node: Option<u32>,
    /// Whether packets lie in huge pages.
    pub has_huge_pages: bool,
    /// What the hardware does.
    pub(crate) offloads: Offloads,
}

impl Obtained {
    /// Whether the port verifies checksums of received packets.
    #[must_use]
    pub const fn offloads_rx_checksum(&self) -> bool {
        self.offloads.rx_checksum
    }

    /// Whether the port fills in TCP checksums of sent packets.
    #[must_use]
    pub const fn offloads_tx_checksum(&self) -> bool {
        self.offloads.tx_checksum
    }
}

/// A started port. It is closed when it and all of its queues have been dropped.
#[derive(Debug)]
pub struct Port {
    /// Not yet taken.
    queues: Vec<DpdkQueue>,
    config: Config,
    obtained: Obtained,
    /// Each queue has a share in it, which tells that it lives.
    lent: Arc<()>,
    /// Before the device: its thread has a share in it.
    monitor: Monitor,
    device: Arc<Device>,
}

impl Port {
    /// Configures and starts a port.
    ///
    /// # Errors
    /// [`Error`], whose text names the likely cause and its cure.
    pub fn open(eal: &Eal, config: &Config) -> Result<Self, Error> {
        config.check()?;
        let (id, name) = find(eal, config.port.as_deref())?;
        let step = |action, cure| {
            let port = name.clone();
            move |errno: Errno| Error::Step { port, action, text: errno.to_string(), cure }
        };
        let mut device = Device::claim(eal.runtime(), id)
            .map_err(step("take the port", "it is open in this process already"))?;
        let obtained = set_up(&mut device, config, &name)?;
        device.start().map_err(step("start the port", "EAL says more above"))?;
        let device = Arc::new(device);
        let monitor = Monitor::start(&device).map_err(|error| Error::Step {
            port: name,
            action: "start the thread that reads its counters",
            text: error.to_string(),
            cure: "",
        })?;
        let (lent, config) = (Arc::new(()), config.clone());
        let mut port = Self { queues: Vec::new(), config, obtained, lent, monitor, device };
        port.queues = port.make_queues();
        Ok(port)
    }

    /// The queues, in order, each for one thread. While one of them lives there are none the second
    /// time; then there are all of them again, with what has arrived in their rings meanwhile.
    pub fn take_queues(&mut self) -> Vec<DpdkQueue> {
        let queues = std::mem::take(&mut self.queues);
        if queues.is_empty() && Arc::strong_count(&self.lent) == 1 {
            return self.make_queues();
        }
        queues
    }

    /// Queues of which none lives.
    fn make_queues(&self) -> Vec<DpdkQueue> {
        let (board, config) = (self.monitor.board(), &self.config);
        let queue = |id| {
            let lent = Arc::clone(&self.lent);
            DpdkQueue::new((&self.device, board), id, config, &self.obtained, lent)
        };
        (0..self.config.queue_count).map(queue).collect()
    }

    /// What was really obtained.
    #[must_use]
    pub const fn obtained(&self) -> &Obtained {
        &self.obtained
    }

    /// Waits until the port has a link (`is_up`), or none. False where that takes longer than
    /// `timeout`.
    #[must_use]
    pub fn wait_for_link(&self, is_up: bool, timeout: Duration) -> bool {
        self.monitor.board().wait_for_link(is_up, timeout)
    }

    /// Closes the port; returns how many frames have not come back, which are lost or lie in
    /// another port's ring. None where a queue still lives: then it is closed with the last.
    #[must_use]
    pub fn close(self) -> Option<u32> {
        let Self { queues, monitor, device, .. } = self;
        drop(queues);
        drop(monitor);
        Arc::into_inner(device).map(Device::close)
    }
}

fn find(eal: &Eal, wanted: Option<&str>) -> Result<(u16, String), Error> {
    let runtime = eal.runtime();
    let ids = runtime.ports();
    let named = ids.into_iter().filter_map(|id| Some((id, runtime.port_name(id).ok()?)));
    let mut ports: Vec<(u16, String)> = named.collect();
    if ports.is_empty() {
        return Err(Error::NoPort);
    }
    let names = || ports.iter().map(|(_, name)| name.clone()).collect();
    match wanted {
        None if ports.len() > 1 => Err(Error::WhichPort { wanted: None, names: names() }),
        None => Ok(ports.remove(0)),
        Some(wanted) => {
            let place = ports.iter().position(|(_, name)| name == wanted);
            let missing = || Error::WhichPort { wanted: Some(wanted.to_owned()), names: names() };
            place.ok_or_else(missing).map(|place| ports.remove(place))
        }
    }
}

/// All steps from a port that was found to one that can be started.
fn set_up(device: &mut Device, config: &Config, name: &str) -> Result<Obtained, Error> {
    let step = |action, cure| {
        let port = name.to_owned();
        move |errno: Errno| Error::Step { port, action, text: errno.to_string(), cure }
    };
    let driver = device.runtime().port_driver(device.id()).map_err(step("ask for it", ""))?;
    let limits = device.limits().map_err(step("ask what it can do", ""))?;
    if u32::from(config.queue_count) > limits.queues {
        return Err(Error::Config(format!(
            "{} queues: {name} ({driver}) has {} at most; virtual devices get more by their \
             arguments",
            config.queue_count, limits.queues
        )));
    }
    let wanted = wanted(config);
    let offloads =
        device.configure(config.queue_count, wanted).map_err(step("configure it", MORE))?;
    let rings = [config.rx_ring_frames, config.tx_ring_frames];
    let rings = device.adjust_rings(rings).map_err(step("size its rings", ""))?;
    Config::check_frames(config.frame_count, rings).map_err(Error::Config)?;
    for queue in 0..config.queue_count {
        let pool = CString::new(format!("showdown-{}-{queue}", device.id())).unwrap_or_default();
        device.add_pool(&pool, config.frame_count).map_err(step(
            "make a mempool",
            "there is too little memory: more huge pages (infra/scripts/hugepages.sh), a larger \
             -m with --no-huge, or fewer frames",
        ))?;
        device.set_up_queue(queue, rings).map_err(step("set up a queue", MORE))?;
    }
    if let Some(mac) = config.mac {
        device.set_mac(mac).map_err(step(
            "change its MAC address",
            "its driver cannot: give the address to the device (--vdev …,mac=…), or keep its own",
        ))?;
    }
    Ok(Obtained {
        port: name.to_owned(),
        driver,
        mac: device.mac().map_err(step("ask for its MAC address", ""))?,
        mtu: device.mtu().map_err(step("ask for its MTU", ""))?,
        rss: match offloads {
            Offloads { rss_tcp: true, .. } => Rss::Tcp,
            Offloads { rss_ipv4: true, .. } => Rss::Ipv4,
            _ => Rss::None,
        },
        rx_ring_frames: rings[0],
        tx_ring_frames: rings[1],
        numa_node: limits.numa_node,
        has_huge_pages: device.runtime().has_huge_pages(),
        offloads,
    })
}

/// Where there is no better advice.
const MORE: &str = "EAL says more above";

fn wanted(config: &Config) -> Offloads {
    let checksum = config.checksum == ChecksumWish::Auto;
    let rss = config.queue_count > 1;
    Offloads { rx_checksum: checksum, tx_checksum: checksum, rss_ipv4: rss, rss_tcp: rss }
}
