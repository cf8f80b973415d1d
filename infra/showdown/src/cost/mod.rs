//! What a response costs beside its CPU time: system calls, context switches, memory, idle polls.
//!
//! ```text
//!   counted    a load of its own before the rounds ──► events, process_tree
//!   memory     resident memory of a server, idle and at its peak
//!   polls      polls of a spinning server that found nothing
//!   per_response   sums over the rounds, divided by their responses ──► section, of the table
//! ```
//!
//! Counting system calls slows each of them down, most of all those servers that make many, so
//! that nothing is counted while speed is measured.

mod counted;
mod events;
mod memory;
mod per_response;
mod polls;
pub(crate) mod process_tree;
mod section;

pub(crate) use counted::{COUNTED_S, count_all, count_both};
pub(crate) use memory::MemoryWatch;
pub(crate) use per_response::{counts_of, of_cell};
pub(crate) use polls::IdlePolls;
pub(crate) use section::section;
