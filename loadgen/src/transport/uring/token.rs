//! What an operation carries in `user_data` and its completions bring back.
//!
//! ```text
//!   63        56 55                32 31                 0
//!  ┌────────────┬────────────────────┬────────────────────┐
//!  │ operation  │     generation     │        slot        │
//!  └────────────┴────────────────────┴────────────────────┘
//! ```

/// Names one connection of a slot: completions of the one before must not hit it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id {
    pub(super) slot: u32,
    pub(super) generation: u32,
}

impl Id {
    /// Generations wrap at this number. A stale completion would have to be late by as many
    /// connections of one slot to be mistaken for a fresh one.
    const GENERATIONS: u32 = 1 << 24;

    /// Of `slot`, before there was a connection.
    pub(super) const fn first(slot: u32) -> Self {
        Self { slot, generation: 0 }
    }

    /// The connection after this one in the same slot.
    pub(super) const fn next(self) -> Self {
        Self { slot: self.slot, generation: (self.generation + 1) % Self::GENERATIONS }
    }

    /// Index of the slot.
    pub(super) const fn slot(self) -> usize {
        self.slot as usize
    }
}

/// What was asked of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    /// To open a connection.
    Connect,
    /// Bytes from it, until it ends.
    Receive,
    /// A request, at once; of these only failures are completed.
    Send,
    /// The rest of a request, as soon as there is room for it.
    SendRest,
    /// To cancel or to close; only failures are completed.
    Quiet,
}

const OPS: [Op; 5] = [Op::Connect, Op::Receive, Op::Send, Op::SendRest, Op::Quiet];

/// Packs an operation on a connection into `user_data`.
pub(super) const fn pack(op: Op, id: Id) -> u64 {
    (op as u64) << 56 | (id.generation as u64) << 32 | id.slot as u64
}

/// Unpacks `user_data`.
///
/// # Panics
/// Where nothing was packed into it.
pub(super) fn unpack(user_data: u64) -> (Op, Id) {
    let [op, g2, g1, g0, s3, s2, s1, s0] = user_data.to_be_bytes();
    let id = Id {
        slot: u32::from_be_bytes([s3, s2, s1, s0]),
        generation: u32::from_be_bytes([0, g2, g1, g0]),
    };
    (OPS[usize::from(op)], id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_survives_user_data() {
        for op in OPS {
            for slot in [0, 1, 0xffff, u32::MAX] {
                for generation in [0, 1, Id::GENERATIONS - 1] {
                    let id = Id { slot, generation };
                    assert_eq!(unpack(pack(op, id)), (op, id));
                }
            }
        }
    }

    #[test]
    fn generations_differ_until_they_wrap() {
        let last = Id { slot: 7, generation: Id::GENERATIONS - 1 };
        assert_eq!(last.next(), Id::first(7));
        assert_ne!(last.next().next(), last.next());
    }
}
