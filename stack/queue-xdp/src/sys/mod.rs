//! The system calls of this crate, each wrapped once: nothing above this module is `unsafe`,
//! except the reading of mapped memory ([`crate::umem`], [`crate::ring`]).
//!
//! Errors are passed on as the kernel gave them; what they mean to the user is said in
//! [`crate::Error`].

mod bpf;
mod interface;
mod mapping;
mod socket;

#[cfg(test)]
pub(crate) use bpf::prog_test_run;
pub(crate) use bpf::{
    AttachMode, Instruction, LOG_BYTES, MapKind, link_create, map_create, map_update, prog_load,
};
pub(crate) use interface::{Channels, Interface};
pub(crate) use mapping::Mapping;
pub(crate) use socket::{BindMode, RingKind, Socket};
