//! wrk's Lua scripts: the same globals, the same hooks, called at the same moments.
//!
//! A script file is run once in a main VM and once in a VM for each thread:
//!
//! ```text
//!            main VM ([`Session`])              VM of each thread ([`ThreadScript`])
//! before     setup(thread), for each thread     init(args); on thread 0 one request() to verify
//! during                                        delay(), request(), response(status, …)
//! after      done(summary, latency, requests),
//!            which may read globals of the threads: their VMs outlive the run
//! ```
//!
//! The API is written in Lua (`script/prelude.lua`) on a few native functions. A [`ThreadScript`]
//! is a [`Source`](crate::source::Source): it belongs to one thread and is asked before each send.
//!
//! Where wrk aborts ("PANIC: unprotected error") a [`SourceError`](crate::source::SourceError)
//! names file, line and hook; what can be found before the load starts is found then, since every
//! thread is prepared before the first one runs. A script that cannot be loaded is a warning, as in
//! wrk: the run goes on without it.
//!
//! What it does not do: sandbox. A script may do whatever the user may.
//!
//! Entry point: [`prepare()`]. References: wrk's SCRIPTING and README, wrk2's README.

mod figures;
mod outcome;
mod prepare;
mod resolve;
mod session;
#[expect(unsafe_code, reason = "a VM with every library of LuaJIT")]
mod sys;
mod thread;
mod transfer;
mod verify;
mod vm;

pub use figures::{Errors, RATE_MAX_RPS, Recorded, Summary, WrkFigures};
pub use outcome::figures;
pub use prepare::{Prepared, prepare};
pub use session::{Session, Setup};
pub use thread::ThreadScript;

#[cfg(test)]
mod tests;
