//! Why a port could not be opened, with the likely cause and its cure.

use std::{error, fmt, io};

/// Why a port could not be opened.
#[derive(Debug)]
pub enum Error {
    /// A value of the configuration is out of its bounds; the sentence says which.
    Config(String),
    /// Another process listens on the socket.
    SocketInUse {
        /// Its path or name.
        socket: String,
    },
    /// The socket could not be listened on.
    Listen {
        /// Its path or name.
        socket: String,
        /// What the kernel returned.
        error: io::Error,
    },
    /// Any other refusal by the kernel.
    System {
        /// What was tried.
        action: &'static str,
        /// What the kernel returned.
        error: io::Error,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(sentence) => write!(out, "{sentence}"),
            Self::SocketInUse { socket } => write!(
                out,
                "another process listens on `{socket}`: `ss -xlp` names it; stop it, or choose \
                 another socket"
            ),
            Self::Listen { socket, error } => write!(
                out,
                "cannot listen on `{socket}`: {error}; choose a path in a folder that is there \
                 and that you may write to, and that is no file yet"
            ),
            Self::System { action, error } => write!(out, "cannot {action}: {error}"),
        }
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Listen { error, .. } | Self::System { error, .. } => Some(error),
            Self::Config(_) | Self::SocketInUse { .. } => None,
        }
    }
}
