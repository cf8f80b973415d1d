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
}

/// Lines for the usage.
pub(super) const USAGE: [&str; 8] = [
    "",
    "  Transports without the kernel's TCP (each thread polls, on a CPU of its own):",
    "    --transport memif --socket PATH --source ADDRESSES",
    "        --source      <A>  Addresses to connect from, which nobody else has:",
    "                           198.18.0.20, 198.18.0.20-198.18.0.29 or 198.18.1.0/28",
    "        --socket      <F>  memif: Unix socket where the two ends meet",
    "        --role        <R>  memif: which end to be: client (brings the memory), server",
    "                           (listens) (client)",
];

impl Flag {
    /// All of them, with the long names under which they are given.
    pub(super) const ALL: [(Self, &'static str); 3] =
        [(Self::Source, "source"), (Self::Socket, "socket"), (Self::Role, "role")];
}

/// What was given of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Flags {
    source: Option<Sources>,
    socket: Option<String>,
    role: Option<Role>,
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
        }
        Ok(())
    }

    /// What they amount to for a transport, `None` for one of the kernel's.
    ///
    /// # Errors
    /// A sentence where one is missing, or is of another transport.
    pub(super) fn settings(self, transport: TransportKind) -> Result<Option<Settings>, String> {
        let Self { source, socket, role } = self;
        let given = [
            ("source", source.is_some(), true),
            ("socket", socket.is_some(), transport == TransportKind::Memif),
            ("role", role.is_some(), transport == TransportKind::Memif),
        ];
        for (name, is_given, is_its) in given {
            if is_given && !(is_its && transport.is_bypass()) {
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
        };
        let sources = source.ok_or_else(|| missing("source", "198.18.0.20"))?;
        Ok(Some(Settings { driver, sources }))
    }
}
