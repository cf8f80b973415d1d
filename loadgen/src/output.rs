//! What a run leaves beside wrk's text: percentiles of choice, files for the tools of HdrHistogram,
//! a row a second, conditions that fail the run, a line that shows how it goes.
//!
//! ```text
//! worker ─▶ interval::Tap ═▶ Intervals ─▶ Row ─▶ hlog, csv, progress
//! outcome ─▶ Figures ─▶ percentiles, spectrum (hgrm), condition (--fail-if)
//! ```
//!
//! Everything here is a function of figures and rows; only [`live`] opens files and has a thread.
//! An open loop measures two latencies. The one that is reported is *corrected*: from the time at
//! which a request was due. The other is the *service* latency: from the time at which it was sent.
//! A closed loop has only the latter, raw as it is, which then is the one that is reported.

pub mod condition;
pub mod csv;
pub mod figures;
pub mod hlog;
pub mod live;
pub mod percentiles;
pub mod progress;
pub mod row;
pub mod settings;
pub mod spectrum;
