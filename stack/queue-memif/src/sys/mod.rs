//! Memory that another process can write, and the only `unsafe` of this crate.

mod mapping;

pub(crate) use mapping::Mapping;
