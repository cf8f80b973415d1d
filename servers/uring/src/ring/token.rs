//! What an SQE carries in `user_data` and its CQEs bring back: operation, slot and generation.
//!
//! ```text
//!   63        56 55                32 31                 0
//!  ┌────────────┬────────────────────┬────────────────────┐
//!  │ operation  │     generation     │        slot        │
//!  └────────────┴────────────────────┴────────────────────┘
//! ```

/// Names one connection of a thread: its slot, and how often the slot was used before.
///
/// A completion or a timer that outlives its connection names a generation that is gone, so it is
/// recognised as stale instead of hitting the connection that has the slot now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConnId {
    slot: u32,
    generation: u32,
}

impl ConnId {
    /// Generations wrap at this number. A stale completion would have to be late by as many
    /// connections in one slot to be mistaken for a fresh one.
    const GENERATIONS: u32 = 1 << 24;

    /// The first connection of `slot`.
    pub(crate) const fn first(slot: u32) -> Self {
        Self { slot, generation: 0 }
    }

    /// The connection after this one in the same slot.
    pub(crate) const fn next(self) -> Self {
        Self { slot: self.slot, generation: (self.generation + 1) % Self::GENERATIONS }
    }

    /// Number of the slot.
    pub(crate) const fn number(self) -> u32 {
        self.slot
    }

    /// Index of the slot.
    pub(crate) const fn slot(self) -> usize {
        self.slot as usize
    }
}

/// What was asked of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    /// Connections from a listener.
    Accept,
    /// Bytes from a connection, into provided buffers.
    Receive,
    /// Bytes to a connection.
    Send,
    /// An end to other operations, or a close: only failures are reported.
    Quiet,
    /// The request to drain.
    Shutdown,
    /// A datagram, into the slot that the id names.
    ReceiveDatagram,
    /// A datagram, from the slot that the id names.
    SendDatagram,
    /// A descriptor for a socket that has none.
    Install,
    /// Room for what a connection sends without the ring.
    AwaitRoom,
}

impl Op {
    const ALL: [Self; 9] = [
        Self::Accept,
        Self::Receive,
        Self::Send,
        Self::Quiet,
        Self::Shutdown,
        Self::ReceiveDatagram,
        Self::SendDatagram,
        Self::Install,
        Self::AwaitRoom,
    ];
}

/// An operation on a connection (or on none: then the id is not looked at).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) op: Op,
    pub(crate) id: ConnId,
}

impl Token {
    /// An operation that belongs to no connection.
    pub(crate) const fn without_connection(op: Op) -> Self {
        Self { op, id: ConnId::first(0) }
    }

    /// Packs it into `user_data`.
    pub(crate) const fn user_data(self) -> u64 {
        (self.op as u64) << 56 | (self.id.generation as u64) << 32 | self.id.slot as u64
    }

    /// Unpacks `user_data`, or `None` where no token was packed into it.
    pub(crate) fn from_user_data(user_data: u64) -> Option<Self> {
        let [op, generation @ .., s3, s2, s1, s0] = user_data.to_be_bytes();
        let [g2, g1, g0] = generation;
        let id = ConnId {
            slot: u32::from_be_bytes([s3, s2, s1, s0]),
            generation: u32::from_be_bytes([0, g2, g1, g0]),
        };
        Op::ALL.get(usize::from(op)).map(|&op| Self { op, id })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_token_survives_user_data() {
        for op in Op::ALL {
            for slot in [0, 1, 0xffff, u32::MAX] {
                for generation in [0, 1, 0xff_ffff] {
                    let token = Token { op, id: ConnId { slot, generation } };
                    assert_eq!(Token::from_user_data(token.user_data()), Some(token));
                }
            }
        }
    }

    #[test]
    fn each_part_has_its_bits() {
        let id = ConnId { slot: 0x8765_4321, generation: 0x00ab_cdef };
        assert_eq!(Token { op: Op::Send, id }.user_data(), 0x02ab_cdef_8765_4321);
    }

    #[test]
    fn an_unknown_operation_is_no_token() {
        assert_eq!(Token::from_user_data(0x09 << 56), None);
        assert_eq!(Token::from_user_data(u64::MAX), None);
    }

    #[test]
    fn generations_differ_until_they_wrap() {
        let first = ConnId::first(7);
        assert_ne!(first.next(), first);
        assert_eq!(first.next().slot(), 7);
        let last = ConnId { slot: 7, generation: ConnId::GENERATIONS - 1 };
        assert_eq!(last.next(), first);
    }
}
