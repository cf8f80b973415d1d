//! A port: one interface with our program attached, to which queues are bound.

use crate::config::BusyPollWish;
use crate::exchange::{Settings, Shares};
use crate::sys::{
    AttachMode, BindMode, Channels, Interface, LOG_BYTES, MapKind, Socket, link_create, map_create,
    map_update, prog_load,
};
use crate::umem::Umem;
use crate::{AttachWish, Config, CopyWish, Error, XdpQueue, program, xsk};
use queue::{Attach, BusyPoll, Checksum, CopyMode, QueueCaps};
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

/// Most queues of an interface that sockets can be bound to.
const QUEUE_COUNT_MAX: u32 = 1024;

/// A queue whose socket was just closed stays busy until the kernel has freed its buffers, some
/// 300 ms; so binding is tried again for two seconds before it is called busy.
const BIND_TRIES: u32 = 200;
const BIND_PAUSE: Duration = Duration::from_millis(10);
const _: () = assert!(BIND_TRIES as u128 * BIND_PAUSE.as_millis() == 2000);

/// Length of an Ethernet header, in bytes.
const ETHER_LEN: u16 = 14;

/// An interface with our program attached.
///
/// Packets for the configured address go to the queues that [`bind`](Self::bind) adds, each on
/// the interface's queue of its number; what arrives on a queue without one goes to the kernel.
/// The program is detached when the port and all its queues are dropped, or the process ends.
#[derive(Debug)]
pub struct Port {
    config: Config,
    facts: Facts,
    attach: Attach,
    native_refusal: Option<io::Error>,
    attachment: Arc<Attachment>,
}

/// The descriptors on which the program's life hangs.
#[derive(Debug)]
pub(crate) struct Attachment {
    map: OwnedFd,
    _program: OwnedFd,
    _link: OwnedFd,
}

impl Port {
    /// Loads the program and attaches it to the interface.
    ///
    /// Needs `CAP_BPF` and `CAP_NET_ADMIN`; [`bind`](Self::bind) needs `CAP_NET_RAW`,
    /// `CAP_NET_ADMIN` if it busy-polls, and `CAP_IPC_LOCK` for a UMEM above the memlock limit.
    /// Once every queue is bound, all of them can be dropped.
    ///
    /// # Errors
    /// [`Error`], whose text names the likely cause and its cure.
    pub fn open(config: &Config) -> Result<Self, Error> {
        config.check()?;
        let facts = Facts::ask(&config.interface)?;
        if let Some(ip) = facts.addresses_of_kernel.iter().find(|ip| config.ips.contains(**ip)) {
            return Err(Error::KernelOwnsAddress { ip: *ip });
        }
        let map = map_create(MapKind::Xskmap, QUEUE_COUNT_MAX)
            .map_err(|error| Error::system("make a BPF map", "CAP_BPF or CAP_NET_ADMIN", error))?;
        let program = load(&program::assemble(config.ips, &config.ports, map.as_raw_fd()))?;
        let (link, attach, native_refusal) = attach(config, &program, facts.ifindex)?;
        let attachment = Arc::new(Attachment { map, _program: program, _link: link });
        Ok(Self { config: config.clone(), facts, attach, native_refusal, attachment })
    }

    /// Adds the queue `queue_id` of the interface: packets that it receives for the configured
    /// address go there from now on.
    ///
    /// Waits for up to two seconds while a socket that was just closed still has the queue.
    ///
    /// # Errors
    /// [`Error`], whose text names the likely cause and its cure.
    pub fn bind(&self, queue_id: u32) -> Result<XdpQueue, Error> {
        self.check_queue(queue_id)?;
        let Config { frame_count, rx_ring_frames, tx_ring_frames, .. } = self.config;
        let busy_poll = self.wants_busy_poll();
        let umem = Umem::map(frame_count, self.facts.chunk_bytes)
            .map_err(|error| Error::system("map a UMEM", "CAP_IPC_LOCK", error))?;
        let exchange = xsk::open(umem, rx_ring_frames, tx_ring_frames, self.settings(busy_poll))?;
        let socket = &exchange.kernel;
        self.bind_socket(socket, queue_id)?;
        xsk::set_polling(socket, busy_poll)?;
        let copy_mode = match socket.is_zero_copy() {
            Ok(true) => CopyMode::ZeroCopy,
            Ok(false) => CopyMode::Copy,
            Err(error) => {
                return Err(Error::System { action: "ask AF_XDP for its mode", error });
            }
        };
        // Not before the socket is bound: newer kernels take no other.
        let fd = socket.as_fd().as_raw_fd().cast_unsigned();
        map_update(self.attachment.map.as_fd(), queue_id, fd).map_err(|error| {
            Error::system("put a socket into the program's map", "CAP_BPF", error)
        })?;
        let caps = self.caps(copy_mode, busy_poll);
        Ok(XdpQueue::new(exchange, caps, queue_id, Arc::clone(&self.attachment)))
    }

    /// The number of queues of the interface, where the driver says so. Packets on those without
    /// a socket go to the kernel, so bind all of them or steer flows to those that are bound.
    #[must_use]
    pub fn queue_count(&self) -> Option<u32> {
        self.facts.channels.map(|channels| channels.rx.max(channels.tx))
    }

    /// The interface's name.
    #[must_use]
    pub fn interface(&self) -> &str {
        &self.config.interface
    }

    /// The name of its driver in the kernel, for example `veth`.
    #[must_use]
    pub fn kernel_driver(&self) -> &str {
        &self.facts.kernel_driver
    }

    /// Its MAC address.
    #[must_use]
    pub const fn mac(&self) -> [u8; 6] {
        self.facts.mac
    }

    /// Where the program really runs.
    #[must_use]
    pub const fn attach(&self) -> Attach {
        self.attach
    }

    /// Why it does not run natively, if that was tried and the program is generic now.
    #[must_use]
    pub const fn native_refusal(&self) -> Option<&io::Error> {
        self.native_refusal.as_ref()
    }

    fn check_queue(&self, queue_id: u32) -> Result<(), Error> {
        let queue_count = self.queue_count().unwrap_or(QUEUE_COUNT_MAX).min(QUEUE_COUNT_MAX);
        if queue_id < queue_count {
            return Ok(());
        }
        Err(Error::NoQueue { interface: self.config.interface.clone(), queue_id, queue_count })
    }

    const fn wants_busy_poll(&self) -> bool {
        match self.config.busy_poll {
            BusyPollWish::Auto => self.facts.is_on_bus,
            BusyPollWish::On => true,
            BusyPollWish::Off => false,
        }
    }

    fn settings(&self, busy_poll: bool) -> Settings {
        let Config { frame_count, rx_ring_frames, tx_ring_frames, .. } = self.config;
        Settings {
            shares: Shares::of(frame_count, rx_ring_frames, tx_ring_frames),
            packet_len_max: self.facts.mtu + ETHER_LEN,
            busy_poll,
        }
    }

    fn caps(&self, copy_mode: CopyMode, busy_poll: bool) -> QueueCaps {
        QueueCaps {
            driver: "xdp",
            mac: self.facts.mac,
            mtu: self.facts.mtu,
            frame_bytes: packet_room(self.facts.chunk_bytes),
            frame_count: self.config.frame_count,
            rx_checksum: Checksum::Software,
            tx_checksum: Checksum::Software,
            copy_mode,
            attach: self.attach,
            busy_poll: if busy_poll { BusyPoll::On } else { BusyPoll::Off },
        }
    }

    /// Binds the socket, and waits while one that was just closed still has the queue.
    fn bind_socket(&self, socket: &Socket, queue_id: u32) -> Result<(), Error> {
        let mode = match (self.config.copy, self.attach) {
            // A generic program runs after the driver has copied the packet.
            (CopyWish::Copy, _) | (CopyWish::Auto, Attach::Generic) => BindMode::Copy,
            (CopyWish::Auto, _) => BindMode::Auto,
            (CopyWish::ZeroCopy, _) => BindMode::ZeroCopy,
        };
        let mut result = socket.bind(self.facts.ifindex, queue_id, mode);
        for _ in 1..BIND_TRIES {
            let is_busy = result.as_ref().is_err_and(|e| e.raw_os_error() == Some(libc::EBUSY));
            if !is_busy {
                break;
            }
            #[expect(clippy::disallowed_methods, reason = "the kernel gives no event to wait for")]
            std::thread::sleep(BIND_PAUSE);
            result = socket.bind(self.facts.ifindex, queue_id, mode);
        }
        result.map_err(|error| self.binding_failed(queue_id, error))
    }

    fn binding_failed(&self, queue_id: u32, error: io::Error) -> Error {
        let interface = self.config.interface.clone();
        match error.raw_os_error() {
            Some(libc::EBUSY) => Error::QueueBusy { interface, queue_id },
            Some(libc::ENETDOWN) => Error::InterfaceDown { interface },
            Some(libc::ENODEV) => Error::NoInterface { interface },
            Some(libc::EOPNOTSUPP) => {
                Error::NoZeroCopy { interface, kernel_driver: self.facts.kernel_driver.clone() }
            }
            _ => Error::system("bind an AF_XDP socket to the queue", "CAP_NET_RAW", error),
        }
    }
}

/// Room for one packet in a chunk, received or sent, in bytes.
#[expect(clippy::cast_possible_truncation, reason = "asserted below")]
const fn packet_room(chunk_bytes: u32) -> u16 {
    (chunk_bytes - Umem::HEADROOM_BYTES) as u16
}
const _: () = assert!(Umem::CHUNK_BYTES_MAX <= u16::MAX as u32);

/// What the kernel says about the interface.
#[derive(Debug)]
struct Facts {
    ifindex: u32,
    mac: [u8; 6],
    mtu: u16,
    chunk_bytes: u32,
    kernel_driver: String,
    is_on_bus: bool,
    channels: Option<Channels>,
    addresses_of_kernel: Vec<Ipv4Addr>,
}

impl Facts {
    fn ask(name: &str) -> Result<Self, Error> {
        let failed = |error: io::Error| match error.raw_os_error() {
            Some(libc::ENODEV) => Error::NoInterface { interface: name.to_owned() },
            _ => Error::System { action: "ask about the interface", error },
        };
        let interface = Interface::named(name).map_err(failed)?;
        let ifindex = interface.index().map_err(failed)?;
        let Some(mac) = interface.mac().map_err(failed)? else {
            return Err(Error::NotEthernet { interface: name.to_owned() });
        };
        if !interface.is_up().map_err(failed)? {
            return Err(Error::InterfaceDown { interface: name.to_owned() });
        }
        let (mtu, chunk_bytes) = chunk_for(name, interface.mtu().map_err(failed)?)?;
        let (kernel_driver, bus) = unless_unsupported(interface.driver())
            .map_err(failed)?
            .unwrap_or_else(|| ("unknown".to_owned(), String::new()));
        let channels = unless_unsupported(interface.channels()).map_err(failed)?;
        let addresses_of_kernel = interface.addresses_of_kernel().map_err(failed)?;
        Ok(Self {
            ifindex,
            mac,
            mtu,
            chunk_bytes,
            kernel_driver,
            is_on_bus: !bus.is_empty(),
            channels,
            addresses_of_kernel,
        })
    }
}

/// The MTU, and the smallest chunk that holds such a packet behind the kernel's headroom.
fn chunk_for(interface: &str, mtu: u32) -> Result<(u16, u32), Error> {
    let max = u32::from(packet_room(Umem::CHUNK_BYTES_MAX) - ETHER_LEN);
    let fits = |chunk_bytes: &u32| mtu <= u32::from(packet_room(*chunk_bytes) - ETHER_LEN);
    let chunks = [Umem::CHUNK_BYTES_MIN, Umem::CHUNK_BYTES_MAX];
    match (u16::try_from(mtu), chunks.into_iter().find(fits)) {
        (Ok(mtu), Some(chunk_bytes)) => Ok((mtu, chunk_bytes)),
        _ => Err(Error::MtuTooLarge { interface: interface.to_owned(), mtu, max }),
    }
}

/// `None` where a driver does not answer this question.
fn unless_unsupported<T>(answer: io::Result<T>) -> io::Result<Option<T>> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => Ok(None),
        Err(error) => Err(error),
    }
}

fn load(instructions: &[crate::sys::Instruction]) -> Result<OwnedFd, Error> {
    let mut log = vec![0; LOG_BYTES as usize];
    prog_load(instructions, &mut log).map_err(|error| {
        let text = String::from_utf8_lossy(log.split(|&byte| byte == 0).next().unwrap_or(&[]));
        match error.raw_os_error() {
            // The verifier's own refusals are EACCES and EINVAL, with a log.
            Some(libc::EPERM) => {
                Error::system("load an XDP program", "CAP_BPF or CAP_NET_ADMIN", error)
            }
            _ => Error::ProgramRejected { error, log: text.into_owned() },
        }
    })
}

/// A link, where the program runs, and why it does not run natively.
type Attached = (OwnedFd, Attach, Option<io::Error>);

fn attach(config: &Config, program: &OwnedFd, ifindex: u32) -> Result<Attached, Error> {
    let link = |mode| link_create(program.as_fd(), ifindex, mode);
    let refused = |mode, error: io::Error| attaching_failed(&config.interface, mode, error);
    match config.attach {
        AttachWish::Native => link(AttachMode::Native)
            .map(|link| (link, Attach::Native, None))
            .map_err(|error| refused("native", error)),
        AttachWish::Generic => link(AttachMode::Generic)
            .map(|link| (link, Attach::Generic, None))
            .map_err(|error| refused("generic", error)),
        AttachWish::Auto => match link(AttachMode::Native) {
            Ok(link) => Ok((link, Attach::Native, None)),
            Err(error) if is_final(&error) || config.copy == CopyWish::ZeroCopy => {
                Err(refused("native", error))
            }
            Err(native) => link(AttachMode::Generic)
                .map(|link| (link, Attach::Generic, Some(native)))
                .map_err(|error| refused("generic", error)),
        },
    }
}

/// Whether the other mode would fail alike.
fn is_final(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EPERM | libc::EBUSY | libc::EEXIST | libc::ENODEV))
}

fn attaching_failed(interface: &str, mode: &'static str, error: io::Error) -> Error {
    let interface = interface.to_owned();
    match error.raw_os_error() {
        Some(libc::EBUSY | libc::EEXIST) => Error::ProgramAttached { interface },
        Some(libc::ENODEV) => Error::NoInterface { interface },
        Some(libc::EPERM) => Error::system("attach an XDP program", "CAP_NET_ADMIN", error),
        _ => Error::AttachRefused { interface, mode, error },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TcpPorts;

    fn check(interface: &str, ip: Ipv4Addr, expect: &str) {
        let config = Config::new(interface, ip, TcpPorts::List(vec![8080]));
        let text = Port::open(&config).expect_err("refused").to_string();
        assert!(text.contains(expect), "{text:?} lacks {expect:?}");
    }

    #[test]
    fn refusals_name_cause_and_cure() {
        let ours = Ipv4Addr::new(198, 18, 0, 2);
        check("sd-none0", ours, "there is no interface `sd-none0`");
        check("an-impossibly-long-name", ours, "`ip link` lists");
        check("lo", ours, "`lo` is not an Ethernet interface");
    }

    #[test]
    fn chunks_hold_the_mtu_behind_the_headroom() {
        assert_eq!(chunk_for("x", 1500).expect("fits"), (1500, 2048));
        assert_eq!(chunk_for("x", 1778).expect("fits"), (1778, 2048));
        assert_eq!(chunk_for("x", 1779).expect("fits"), (1779, 4096));
        assert_eq!(chunk_for("x", 3826).expect("fits"), (3826, 4096));
        let text = chunk_for("x", 9000).expect_err("too large").to_string();
        assert!(text.contains("`ip link set x mtu 3826`"), "{text}");
        assert!(chunk_for("x", 65_536).is_err());
    }

    #[test]
    fn refusals_to_attach_are_told_apart() {
        let text = |errno| {
            attaching_failed("sd-x", "native", io::Error::from_raw_os_error(errno)).to_string()
        };
        assert!(text(libc::EBUSY).contains("`ip -d link show sd-x` names it"));
        assert!(text(libc::EEXIST).contains("another XDP program is attached to `sd-x`"));
        assert!(text(libc::EOPNOTSUPP).contains("takes no native XDP program"));
    }
}
