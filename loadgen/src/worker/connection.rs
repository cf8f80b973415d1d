//! One connection, as HTTP and the schedule see it.

use super::tally::Batch;
use crate::response::Parser;

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It is being opened, or waits to be.
    Closed,
    /// It is open and has nothing to send.
    Free {
        /// Since when.
        since_ns: u64,
    },
    /// It rests before its next batch. It may be reopened meanwhile, which does not end the rest.
    Resting {
        /// Whether it is open.
        open: bool,
    },
    /// Its rest ended before it was open: it sends as soon as it is.
    Rested,
    /// It has sent a batch and awaits the responses.
    Busy(Batch),
}

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) parser: Parser,
    pub(super) phase: Phase,
    /// In the list of free connections, perhaps though it is free no longer.
    pub(super) listed: bool,
    /// A timer will look whether its batch hangs.
    pub(super) watched: bool,
    /// Since when the transport has been opening it, while it does.
    pub(super) opening_ns: Option<u64>,
    /// A timer will look whether its opening hangs.
    pub(super) opening_watched: bool,
    /// What it sends, where each batch is made for itself.
    pub(super) request: Vec<u8>,
    /// The response so far, where the source wants it.
    pub(super) response: Vec<u8>,
}

impl Connection {
    pub(super) fn new(head_only: bool) -> Self {
        Self {
            parser: Parser::new(head_only),
            phase: Phase::Closed,
            listed: false,
            watched: false,
            opening_ns: None,
            opening_watched: false,
            request: Vec::new(),
            response: Vec::new(),
        }
    }

    /// The connection is of no more use. Returns the batch that it carried.
    pub(super) fn close(&mut self) -> Option<Batch> {
        self.parser.reset();
        self.response.clear();
        let phase = self.phase;
        self.phase = match phase {
            Phase::Resting { .. } => Phase::Resting { open: false },
            Phase::Rested => Phase::Rested,
            Phase::Closed | Phase::Free { .. } | Phase::Busy(_) => Phase::Closed,
        };
        match phase {
            Phase::Busy(batch) => Some(batch),
            _ => None,
        }
    }
}
