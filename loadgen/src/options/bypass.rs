//! The options of the transports that leave the kernel's TCP out.

use crate::plan::TransportKind;
use crate::transport::bypass::{Driver, Role, Settings, Sources};

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flag {
    /// `--source`.
    Source,
    /// `--socket`.
    Socket,
    /// `--role`.
    Role,
    /// `--interface`.
    Interface,
    /// `--queue`.
    Queue,
}

/// Lines for the usage.
pub(super) const USAGE: [&str; 11] = [
    "",
    "  Transports without the kernel's TCP (each thread polls, on a CPU of its own):",
    "    --transport memif --socket PATH --source ADDRESSES",
    "    --transport xdp --interface NAME --source ADDRESSES",
    "        --source      <A>  Addresses to connect from, which nobody else has:",
    "                           198.18.0.20, 198.18.0.20-198.18.0.29 or 198.18.1.0/28",
    "        --socket      <F>  memif: Unix socket where the two ends meet",
    "        --role        <R>  memif: which end to be: client (brings the memory), server",
    "                           (listens) (client)",
    "        --interface   <I>  xdp: interface on the server's link",
    "        --queue       <N>  xdp: its queue that answers come to (0)",
];

impl Flag {
    /// All of them, with the long names under which they are given.
    pub(super) const ALL: [(Self, &'static str); 5] = [
        (Self::Source, "source"),
        (Self::Socket, "socket"),
        (Self::Role, "role"),
        (Self::Interface, "interface"),
        (Self::Queue, "queue"),
    ];
}

/// What was given of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Flags {
    source: Option<Sources>,
    socket: Option<String>,
    role: Option<Role>,
    interface: Option<String>,
    queue: Option<u32>,
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
            Flag::Interface => self.interface = Some(value),
            Flag::Queue => {
                let queue = value.parse();
                self.queue = Some(queue.map_err(|_| format!("--queue {value}: a number, as 0"))?);
            }
        }
        Ok(())
    }

    /// What they amount to for a transport, `None` for one of the kernel's.
    ///
    /// # Errors
    /// A sentence where one is missing, or is of another transport.
    pub(super) fn settings(self, transport: TransportKind) -> Result<Option<Settings>, String> {
        let Self { source, socket, role, interface, queue } = self;
        let (is_memif, is_xdp) =
            (transport == TransportKind::Memif, transport == TransportKind::Xdp);
        let given = [
            ("source", source.is_some(), transport.is_bypass()),
            ("socket", socket.is_some(), is_memif),
            ("role", role.is_some(), is_memif),
            ("interface", interface.is_some(), is_xdp),
            ("queue", queue.is_some(), is_xdp),
        ];
        for (name, is_given, is_its) in given {
            if is_given && !is_its {
                return Err(format!("--{name} is of no use with --transport {transport}"));
            }
        }
        let missing = |name: &str, example: &str| {
            format!("--transport {transport} needs --{name}, for example --{name} {example}")
        };
        let driver = match transport {
            TransportKind::Epoll | TransportKind::Uring => return Ok(None),
            TransportKind::Memif => Driver::Memif {
                socket: socket.ok_or_else(|| missing("socket", "/run/memif.sock"))?,
                role: role.unwrap_or(Role::Client),
            },
            TransportKind::Xdp => Driver::Xdp {
                interface: interface.ok_or_else(|| missing("interface", "sd-cli0"))?,
                queue: queue.unwrap_or(0),
            },
        };
        let sources = source.ok_or_else(|| missing("source", "198.18.0.20"))?;
        Ok(Some(Settings { driver, sources }))
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
        let driver = Driver::Memif { socket: "/run/m".to_owned(), role: Role::Client };
        let sources = "198.18.0.3".parse().unwrap();
        assert_eq!(memif, Ok(Some(Settings { driver, sources })));
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
        check(TransportKind::Memif, &["source=::1"], "--source ::1: '::1' is no IPv4 address");
    }
}
