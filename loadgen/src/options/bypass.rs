//! The options of the transports that leave the kernel's TCP out.

use crate::plan::TransportKind;
use crate::transport::bypass::{Dpdk, Driver, Role, Settings, Sources};

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flag {
    /// `--source`.
    Source,
    /// `--socket`.
    Socket,
    /// `--role`.
    Role,
    /// `--id`.
    Id,
    /// `--secret`.
    Secret,
    /// `--interface`.
    Interface,
    /// `--queue`.
    Queue,
    /// `--eal`.
    Eal,
    /// `--port`.
    Port,
}

/// Lines for the usage.
pub(super) const USAGE: [&str; 18] = [
    "",
    "  Transports without the kernel's TCP (each thread polls, on a CPU of its own):",
    "    --transport memif --socket PATH --source ADDRESSES",
    "    --transport xdp --interface NAME --source ADDRESSES",
    "    --transport dpdk --eal ARGUMENTS --source ADDRESSES (where built with DPDK)",
    "        --source      <A>  Addresses to connect from, which nobody else has:",
    "                           198.18.0.20, 198.18.0.20-198.18.0.29 or 198.18.1.0/28",
    "        --socket      <F>  memif: Unix socket where the two ends meet",
    "        --role        <R>  memif: which end to be: client (brings the memory), server",
    "                           (listens) (client)",
    "        --id          <N>  memif: number of the interface, as at the other end (0)",
    "        --secret      <S>  memif: what a client must know to connect (nothing)",
    "        --interface   <I>  xdp: interface on the server's link",
    "        --queue       <N>  xdp: its queue that answers come to (0)",
    "        --eal         <A>  dpdk: arguments of its EAL, in one word, as",
    "                           '--no-huge -m 256 --vdev net_af_packet0,iface=sd-cli0';",
    "                           may be given several times, and they are joined",
    "        --port        <P>  dpdk: name of the port (the only one)",
];

impl Flag {
    /// All of them, with the long names under which they are given.
    pub(super) const ALL: [(Self, &'static str); 9] = [
        (Self::Source, "source"),
        (Self::Socket, "socket"),
        (Self::Role, "role"),
        (Self::Id, "id"),
        (Self::Secret, "secret"),
        (Self::Interface, "interface"),
        (Self::Queue, "queue"),
        (Self::Eal, "eal"),
        (Self::Port, "port"),
    ];
}

/// What was given of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Flags {
    source: Option<Sources>,
    socket: Option<String>,
    role: Option<Role>,
    id: Option<u32>,
    secret: Option<String>,
    interface: Option<String>,
    queue: Option<u32>,
    eal: Option<Vec<String>>,
    port: Option<String>,
}

impl Flags {
    /// Takes one with its value.
    ///
    /// # Errors
    /// A message that names it and what is wrong with the value.
    pub(super) fn take(&mut self, flag: Flag, value: String) -> Result<(), String> {
        match flag {
            Flag::Source => {
                let sources = value.parse().map_err(|why| format!("--source {value}: {why}"))?;
                self.source = Some(sources);
            }
            Flag::Socket => self.socket = Some(value),
            Flag::Role => {
                self.role = Some(value.parse().map_err(|why: String| format!("--role: {why}"))?);
            }
            Flag::Id => {
                let id = value.parse();
                self.id = Some(id.map_err(|_| format!("--id {value}: a number, as 0"))?);
            }
            Flag::Secret => self.secret = Some(value),
            Flag::Interface => self.interface = Some(value),
            Flag::Queue => {
                let queue = value.parse();
                self.queue = Some(queue.map_err(|_| format!("--queue {value}: a number, as 0"))?);
            }
            Flag::Eal => {
                let words = value.split_whitespace().map(str::to_owned);
                self.eal.get_or_insert_default().extend(words);
            }
            Flag::Port => self.port = Some(value),
        }
        Ok(())
    }

    /// What they amount to for a transport, `None` for one of the kernel's.
    ///
    /// # Errors
    /// A sentence where one is missing, or is of another transport.
    pub(super) fn settings(self, transport: TransportKind) -> Result<Option<Settings>, String> {
        if transport == TransportKind::Dpdk && !cfg!(feature = "dpdk") {
            let cure = Dpdk::CURE;
            return Err(format!("--transport dpdk: this loadgen is built without DPDK; {cure}"));
        }
        if let Some(name) = self.strange_to(transport) {
            return Err(format!("--{name} is of no use with --transport {transport}"));
        }
        let Self { source, socket, role, id, secret, interface, queue, eal, port } = self;
        let missing = |name: &str, example: &str| {
            format!("--transport {transport} needs --{name}, for example --{name} {example}")
        };
        let driver = match transport {
            TransportKind::Epoll | TransportKind::Uring => return Ok(None),
            TransportKind::Memif => Driver::Memif {
                socket: socket.ok_or_else(|| missing("socket", "/run/memif.sock"))?,
                role: role.unwrap_or(Role::Client),
                id: id.unwrap_or(0),
                secret: secret.unwrap_or_default(),
            },
            TransportKind::Xdp => Driver::Xdp {
                interface: interface.ok_or_else(|| missing("interface", "sd-cli0"))?,
                queue: queue.unwrap_or(0),
            },
            TransportKind::Dpdk => {
                let eal = eal.ok_or_else(|| missing("eal", "'--no-huge --vdev net_tap0'"))?;
                Driver::Dpdk(Dpdk::new(eal, port))
            }
        };
        let sources = source.ok_or_else(|| missing("source", "198.18.0.20"))?;
        Ok(Some(Settings { driver, sources }))
    }

    /// One that was given, and is of another transport.
    fn strange_to(&self, transport: TransportKind) -> Option<&'static str> {
        let is = |kind| transport == kind;
        let (is_memif, is_xdp) = (is(TransportKind::Memif), is(TransportKind::Xdp));
        let given = [
            ("source", self.source.is_some(), transport.is_bypass()),
            ("socket", self.socket.is_some(), is_memif),
            ("role", self.role.is_some(), is_memif),
            ("id", self.id.is_some(), is_memif),
            ("secret", self.secret.is_some(), is_memif),
            ("interface", self.interface.is_some(), is_xdp),
            ("queue", self.queue.is_some(), is_xdp),
            ("eal", self.eal.is_some(), is(TransportKind::Dpdk)),
            ("port", self.port.is_some(), is(TransportKind::Dpdk)),
        ];
        let mut strange = given.into_iter().filter(|(_, is_given, is_its)| *is_given && !is_its);
        strange.next().map(|(name, ..)| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What options, as `name=value`, amount to for a transport.
    fn read(transport: TransportKind, options: &[&str]) -> Result<Option<Settings>, String> {
        let mut flags = Flags::default();
        for option in options {
            let (name, value) = option.split_once('=').unwrap();
            let (flag, _) = Flag::ALL.into_iter().find(|(_, known)| *known == name).unwrap();
            flags.take(flag, value.to_owned())?;
        }
        flags.settings(transport)
    }

    #[test]
    fn every_option_stands_in_the_usage() {
        let usage = USAGE.concat();
        for (_, name) in Flag::ALL {
            assert!(usage.contains(&format!("        --{name} ")), "{name}");
        }
    }

    #[test]
    fn a_transport_is_set_up_from_its_own_options() {
        let memif = read(TransportKind::Memif, &["socket=/run/m", "source=198.18.0.3"]);
        let driver = Driver::memif("/run/m", Role::Client);
        let sources = "198.18.0.3".parse().unwrap();
        assert_eq!(memif, Ok(Some(Settings { driver, sources })));
        let words = ["socket=/run/m", "source=198.18.0.3", "role=server", "id=7", "secret=hush"];
        let driver = Driver::Memif {
            socket: "/run/m".to_owned(),
            role: Role::Server,
            id: 7,
            secret: "hush".to_owned(),
        };
        assert_eq!(read(TransportKind::Memif, &words), Ok(Some(Settings { driver, sources })));
        let words = ["interface=sd-cli0", "queue=3", "source=198.18.0.3-198.18.0.9"];
        let driver = Driver::Xdp { interface: "sd-cli0".to_owned(), queue: 3 };
        let sources = "198.18.0.3-198.18.0.9".parse().unwrap();
        assert_eq!(read(TransportKind::Xdp, &words), Ok(Some(Settings { driver, sources })));
        assert_eq!(read(TransportKind::Epoll, &[]), Ok(None));
    }

    #[test]
    fn what_is_missing_or_of_another_transport_is_named() {
        let check = |transport, options: &[&str], expect: &str| {
            let refusal = read(transport, options).unwrap_err();
            assert!(refusal.contains(expect), "{refusal:?} lacks {expect:?}");
        };
        check(TransportKind::Memif, &[], "needs --socket, for example --socket /run/memif.sock");
        check(TransportKind::Memif, &["socket=/m"], "needs --source");
        check(TransportKind::Xdp, &["source=198.18.0.3"], "needs --interface");
        check(TransportKind::Epoll, &["source=198.18.0.3"], "--source is of no use with");
        check(TransportKind::Xdp, &["socket=/m"], "--socket is of no use with --transport xdp");
        check(TransportKind::Memif, &["queue=1"], "--queue is of no use with --transport memif");
        check(TransportKind::Memif, &["role=master"], "--role: `master` is none of: server, cl");
        check(TransportKind::Xdp, &["queue=x"], "--queue x: a number");
        check(TransportKind::Memif, &["id=x"], "--id x: a number");
        check(TransportKind::Xdp, &["id=1"], "--id is of no use with --transport xdp");
        check(TransportKind::Xdp, &["secret=x"], "--secret is of no use with --transport xdp");
        check(TransportKind::Memif, &["eal=-m"], "--eal is of no use with --transport memif");
        check(TransportKind::Epoll, &["port=net0"], "--port is of no use with --transport epoll");
        check(TransportKind::Memif, &["source=::1"], "--source ::1: '::1' is no IPv4 address");
    }
    #[cfg(not(feature = "dpdk"))]
    #[test]
    fn without_dpdk_its_transport_is_refused_with_the_cure() {
        let refusal = read(TransportKind::Dpdk, &["eal=-m 64", "source=198.18.0.3"]).unwrap_err();
        assert!(refusal.contains("built without DPDK; as root: apt-get install"), "{refusal}");
        assert!(refusal.contains("--package loadgen --features dpdk"), "{refusal}");
    }

    #[cfg(feature = "dpdk")]
    #[test]
    fn a_port_of_dpdk_is_set_up_from_words_of_eal() {
        let words = ["eal=--no-huge  -m 64", "eal=--vdev net_tap0", "source=198.18.0.3"];
        let eal = ["--no-huge", "-m", "64", "--vdev", "net_tap0"].map(str::to_owned).to_vec();
        let (driver, sources) = (Driver::Dpdk(Dpdk::new(eal, None)), "198.18.0.3".parse().unwrap());
        assert_eq!(read(TransportKind::Dpdk, &words), Ok(Some(Settings { driver, sources })));
        let refusal = read(TransportKind::Dpdk, &["source=198.18.0.3"]).unwrap_err();
        assert!(refusal.contains("needs --eal, for example --eal '--no-huge"), "{refusal}");
        let refusal = read(TransportKind::Dpdk, &["socket=/m"]).unwrap_err();
        assert!(refusal.contains("--socket is of no use with --transport dpdk"), "{refusal}");
    }
}
