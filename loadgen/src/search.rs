//! Several runs that answer one question: how latency grows with the rate (`loadgen sweep`), and
//! which is the highest rate that still holds an objective (`loadgen search`).
//!
//! ```text
//! command line ─▶ sweep  (rates)      ─┐
//!              ─▶ search (objective)  ─┴─▶ Trial: one open-loop run at one rate ─▶ tables, JSON
//! ```
//!
//! What decides on the next rate is a state machine that knows neither clock nor server
//! ([`bisect::Bisection`]), and what runs a load is a [`trial::Trial`], so that both questions are
//! tested with servers made of arithmetic.

pub mod bisect;
pub mod command;
pub mod load;
pub mod objective;
pub mod rates;
pub mod row;
pub mod sweep;
pub mod trial;
