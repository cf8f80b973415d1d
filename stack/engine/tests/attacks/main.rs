//! Attacks, by topic: each ends with a fresh connection that is served in good order, every table
//! empty, and every frame at home. The README of this crate says which test is for which attack.
#![allow(unreachable_pub, reason = "a test binary exports nothing")]

mod control;
mod data;
mod fragments;
mod header;
mod link;
mod readme;
mod state;
mod victim;
