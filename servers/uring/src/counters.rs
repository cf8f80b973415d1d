//! What only this server counts, per thread.

use server_common::{Count, OwnCounters};

macro_rules! ring_counters {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// Counters of the ring. The field's name is the JSON key.
        #[derive(Debug, Default)]
        pub(crate) struct RingCounters {
            $($(#[doc = $doc])+ pub(crate) $name: Count,)+
        }

        impl OwnCounters for RingCounters {
            fn values(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name.value()),)+]
            }
        }
    };
}

ring_counters! {
    /// Calls of `io_uring_enter`.
    ring_enters,
    /// Receive buffers in use: 256 per thread at first, more after the kernel found none.
    receive_buffers_provided,
    /// Receives that found no provided buffer (ENOBUFS) and were started anew.
    receive_buffers_exhausted,
    /// Receives started: once per connection with multishot, plus once for each that ended early.
    receives_started,
    /// Receives stopped because the client does not take its answers.
    receives_paused,
    /// Sends started for what the one before had left.
    sends_continued,
    /// Calls of sendfile(2).
    sends_from_file,
    /// Sends started without a copy.
    sends_zero_copy,
    /// Those of them that the kernel has copied after all, because the device or the receiver,
    /// which may be this machine, needed a copy.
    sends_zero_copy_copied,
    /// Closes that the kernel did not let be an RST.
    resets_refused,
    /// Completions of connections that were gone.
    stale_completions,
}
