//! The versioned schema of a run and of what the load generator reports.
//!
//! Every number in a report is computed from a results folder; these types are what lies in it.
//! Keys carry their unit. A reader of a schema it does not know refuses the file.
//!
//! | file | holds |
//! |---|---|
//! | `summary.json` | one [`Summary`]: figures by mode, computed from the rest |
//! | `rounds.jsonl` | a [`Measurement`] on each line, in the order in which they were taken |
//! | `failures.jsonl` | a [`Failure`] on each line: measurements that gave no figure; absent without |
//! | `environment.json` | one [`Environment`] |
//! | `experiment.toml` | the experiment as it ran: `showdown run` takes it again |
//! | `topology.log` | the commands that built the network |
//! | `hosts.toml` | the two ends, where `showdown run --hosts` was told of some |
//! | `table.txt` | what was printed on the terminal |
//! | `MANIFEST.sha256` | SHA-256 of each of them, for `sha256sum -c` |
//!
//! `showdown report` puts `report.html`, `report.md`, `cells.csv`, `latency.csv` and `rounds.csv`
//! beside them. They are computed from the rest and can be generated again, so that the manifest
//! does not have them: `showdown report --check` compares them with what is generated.
//!
//! What it deliberately does not do: measure, compute statistics, or touch a file system.
#![forbid(unsafe_code)]

mod environment;
mod histogram;
mod load;
mod measurement;
mod summary;
mod verdict;

pub use environment::{CLIENT_MACHINE_CPUS, Environment, Git, Network, NetworkEnd, cpu_in_words};
pub use histogram::{HistogramError, decode_histogram, encode_histogram};
pub use load::{ErrnoCount, Latency, LoadClient, LoadCondition, LoadErrors, LoadReport, LoadSetup};
pub use measurement::{
    Cell, ClientRecord, Counts, CpuAccount, CpuTime, Failure, Measurement, Memory, ProcessCounts,
    ProcessTime, ServerRecord,
};
pub use summary::{
    CellFigures, Cost, CountsPerResponse, CpuCost, Disturbance, DisturbedRound, Estimate,
    FailedCell, Figures, LatencyRatios, Percentiles, Rounds, Step, Stop, Summary, Superseded,
};
pub use verdict::Verdict;
