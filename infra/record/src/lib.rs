//! The versioned schema of a run and of what the load generator reports.
//!
//! Every number in a report is computed from a results folder; these types are what lies in it.
//! Keys carry their unit. A reader of a schema it does not know refuses the file.
//!
//! What it deliberately does not do: measure, compute statistics, or touch a file system.
#![forbid(unsafe_code)]

mod load;

pub use load::{Latency, LoadErrors, LoadReport, LoadSetup};
