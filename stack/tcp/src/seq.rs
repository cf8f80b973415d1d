//! Sequence numbers: 32 bits that wrap (RFC 9293 §3.4).

use core::ops::{Add, AddAssign, Sub};

/// A sequence number.
///
/// It has no `Ord`, since order modulo 2^32 is not transitive: `lt` and its kin say which of two
/// numbers comes first, as long as they lie less than 2^31 apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Seq(pub u32);

impl Seq {
    /// Whether `self` comes before `other`.
    #[must_use]
    pub const fn lt(self, other: Self) -> bool {
        self.0.wrapping_sub(other.0).cast_signed() < 0
    }

    /// Whether `self` comes before `other` or is equal to it.
    #[must_use]
    pub const fn le(self, other: Self) -> bool {
        self.0.wrapping_sub(other.0).cast_signed() <= 0
    }

    /// Whether `self` comes behind `other`.
    #[must_use]
    pub const fn gt(self, other: Self) -> bool {
        other.lt(self)
    }

    /// Whether `self` comes behind `other` or is equal to it.
    #[must_use]
    pub const fn ge(self, other: Self) -> bool {
        other.le(self)
    }

    /// Whether `self` is one of the `len` numbers from `start` on.
    #[must_use]
    pub const fn in_window(self, start: Self, len: u32) -> bool {
        self.0.wrapping_sub(start.0) < len
    }

    /// The distance from `earlier` to `self`, zero if `earlier` in fact comes behind.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u32 {
        if self.lt(earlier) { 0 } else { self.0.wrapping_sub(earlier.0) }
    }

    /// The one that comes first.
    #[must_use]
    pub const fn first(self, other: Self) -> Self {
        if other.lt(self) { other } else { self }
    }

    /// The one that comes last.
    #[must_use]
    pub const fn last(self, other: Self) -> Self {
        if self.lt(other) { other } else { self }
    }
}

impl Add<u32> for Seq {
    type Output = Self;

    fn add(self, count: u32) -> Self {
        Self(self.0.wrapping_add(count))
    }
}

impl AddAssign<u32> for Seq {
    fn add_assign(&mut self, count: u32) {
        *self = *self + count;
    }
}

impl Sub<u32> for Seq {
    type Output = Self;

    fn sub(self, count: u32) -> Self {
        Self(self.0.wrapping_sub(count))
    }
}

/// The numbers from `start` up to, but not including, `end`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// The first number.
    pub start: Seq,
    /// The number behind the last.
    pub end: Seq,
}

impl Block {
    /// How many numbers.
    #[must_use]
    pub const fn len(self) -> u32 {
        self.end.since(self.start)
    }

    /// Whether there are none, or `end` even comes before `start`.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.end.le(self.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn order_wraps() {
        let (before, behind) = (Seq(u32::MAX - 1), Seq(3));
        assert!(before.lt(behind) && before.le(behind) && behind.gt(before) && behind.ge(before));
        assert!(before.le(before) && before.ge(before) && !before.lt(before));
        assert_eq!(behind.since(before), 5);
        assert_eq!(before.since(behind), 0);
        assert_eq!(before.first(behind), before);
        assert_eq!(before.last(behind), behind);
        assert_eq!(before + 5, behind);
        assert_eq!(behind - 5, before);
    }

    #[test]
    fn a_window_of_zero_holds_nothing() {
        assert!(!Seq(7).in_window(Seq(7), 0));
        assert!(Seq(7).in_window(Seq(7), 1));
        assert!(!Seq(8).in_window(Seq(7), 1));
        assert!(Seq(1).in_window(Seq(u32::MAX), 3));
    }

    proptest! {
        #[test]
        fn adding_less_than_half_the_space_goes_forward(start: u32, count in 1_u32..1 << 31) {
            let start = Seq(start);
            prop_assert!(start.lt(start + count));
            prop_assert_eq!((start + count).since(start), count);
            prop_assert!((start + count - 1).in_window(start, count));
            prop_assert!(!(start + count).in_window(start, count));
        }
    }
}
