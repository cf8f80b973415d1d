//! A shared object that lets Google's packetdrill drive our TCP, on a virtual clock.
//!
#![doc = include_str!("../README.md")]
#![deny(unsafe_code)]

mod calls;
mod connection;
mod information;
mod packet;
mod profile;
mod shared;
mod socket;
mod sockopt;
#[expect(unsafe_code, reason = "packetdrill's interface is one of C")]
mod sys;
#[cfg(test)]
mod tests;
mod world;
