//! The border to DPDK, and the only `unsafe` of this crate.
//!
//! What is safe here follows from ownership: a [`Runtime`] outlives its [`Device`]s, a [`Device`]
//! its [`QueuePair`]s and mempools, and a [`QueuePair`] is polled by whoever has it mutably, which
//! is one thread at a time.

mod device;
mod ffi;
mod pair;
mod pool;
mod runtime;
#[cfg(test)]
mod tests;

pub(crate) use device::{Device, Offloads, PortStats};
pub(crate) use pair::{Dropped, QueuePair};
pub(crate) use runtime::{Errno, Runtime, version};
