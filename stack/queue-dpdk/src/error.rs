//! Why a port could not be opened, with the likely cause and its cure.

use std::{error, fmt};

/// Why a port could not be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// A value of the configuration is out of its bounds; the sentence says which.
    Config(String),
    /// EAL could not be set up.
    Eal {
        /// What it was given.
        arguments: String,
        /// DPDK's own words.
        text: String,
        /// What to do about it.
        cure: &'static str,
    },
    /// No driver takes this device, or its driver refuses it.
    Device {
        /// What was asked for, as behind `--vdev`.
        arguments: String,
        /// DPDK's own words.
        text: String,
    },
    /// There is no port at all.
    NoPort,
    /// There is no port of this name, or there are several and none was named.
    WhichPort {
        /// The name asked for.
        wanted: Option<String>,
        /// The names there are.
        names: Vec<String>,
    },
    /// A step of the port's set-up was refused.
    Step {
        /// The port's name.
        port: String,
        /// What was tried.
        action: &'static str,
        /// DPDK's own words.
        text: String,
        /// What to do about it, or nothing.
        cure: &'static str,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(sentence) => write!(out, "{sentence}"),
            Self::Eal { arguments, text, cure } => {
                write!(out, "EAL cannot be set up with `{arguments}`: {text}; {cure}")
            }
            Self::Device { arguments, text } => write!(
                out,
                "no driver takes the device `{arguments}`: {text}; EAL says more above, and \
                 `dpdk-pmdinfo.py` lists what drivers take"
            ),
            Self::NoPort => write!(
                out,
                "DPDK has found no port; where one was asked for, EAL says above why it is not \
                 there. Name a virtual device (--vdev net_memif0,role=client,socket=PATH,\
                 socket-abstract=no) or a NIC that infra/scripts/nic-bind.sh has taken (-a PCI)"
            ),
            Self::WhichPort { wanted: Some(name), names } => {
                write!(out, "there is no port `{name}`, but {}", names.join(", "))
            }
            Self::WhichPort { wanted: None, names } => {
                write!(out, "there are {} ports: name one of {}", names.len(), names.join(", "))
            }
            Self::Step { port, action, text, cure } => {
                let stop = if cure.is_empty() { "" } else { "; " };
                write!(out, "{port}: cannot {action}: {text}{stop}{cure}")
            }
        }
    }
}

impl error::Error for Error {}
