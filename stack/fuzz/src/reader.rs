//! An input as a list of numbers.

/// What is left of an input.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(input: &'a [u8]) -> Self {
        Self(input)
    }

    /// The next operation, `None` at the end of the input.
    pub(crate) fn operation(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// The next byte, zero behind the end.
    pub(crate) fn byte(&mut self) -> u8 {
        self.operation().unwrap_or(0)
    }

    /// The next two bytes.
    pub(crate) fn short(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    /// A distance from a number: mostly short, sometimes across the circle.
    pub(crate) fn distance(&mut self) -> u32 {
        let short = i32::from(self.short().cast_signed());
        let scaled = if short % 16 == 0 { short.wrapping_mul(1 << 17) } else { short / 16 };
        scaled.cast_unsigned()
    }

    /// The next bytes, as many as the next byte says, or fewer at the end.
    pub(crate) fn bytes(&mut self) -> &'a [u8] {
        let count = usize::from(self.byte()).min(self.0.len());
        let (bytes, rest) = self.0.split_at(count);
        self.0 = rest;
        bytes
    }
}
