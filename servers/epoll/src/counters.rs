//! What only this server counts, per thread.

use server_common::{Count, OwnCounters};

macro_rules! epoll_counters {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// Counters of the epoll instance. The field's name is the JSON key.
        #[derive(Debug, Default)]
        pub(crate) struct EpollCounters {
            $($(#[doc = $doc])+ pub(crate) $name: Count,)+
        }

        impl OwnCounters for EpollCounters {
            fn values(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name.value()),)+]
            }
        }
    };
}

epoll_counters! {
    /// Calls of `epoll_wait`.
    epoll_waits,
    /// Connections that came by no device that can be polled, although `--wait` says to poll: a
    /// thread that last heard of one of these sleeps as with `--wait block`.
    connections_not_polled,
}
