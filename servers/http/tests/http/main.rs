//! What a connection answers, to the byte: rows of cases, splits, time-outs, back-pressure.

mod exact;
mod lending;
mod pressure;
mod rows;
mod split;
mod support;
mod timeouts;
