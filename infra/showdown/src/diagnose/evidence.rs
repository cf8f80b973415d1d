//! What a folder says about one bypass cell, and the sums that rules ask for.

use record::{Cell, CellFigures, Environment, Measurement, NetworkEnd, Summary};

/// A bypass cell with its measurements in the rounds used; never without one.
pub(super) struct Case<'a> {
    /// What the cell is called.
    pub(super) label: String,
    pub(super) figures: &'a CellFigures,
    pub(super) measurements: Vec<&'a Measurement>,
    pub(super) environment: &'a Environment,
}

impl<'a> Case<'a> {
    pub(super) fn new(
        summary: &'a Summary,
        label: String,
        figures: &'a CellFigures,
        measurements: &'a [Measurement],
    ) -> Self {
        let used =
            |of: &&Measurement| of.cell == figures.cell && summary.rounds.used.contains(&of.round);
        Self {
            label,
            figures,
            measurements: measurements.iter().filter(used).collect(),
            environment: &summary.environment,
        }
    }

    pub(super) fn cell(&self) -> &Cell {
        &self.figures.cell
    }

    /// A word of the server's ready line.
    pub(super) fn obtained(&self, key: &str) -> Option<&'a str> {
        self.figures.obtained.get(key)?.as_str()
    }

    /// A number of the server's ready line.
    pub(super) fn obtained_count(&self, key: &str) -> Option<u64> {
        self.figures.obtained.get(key)?.as_u64()
    }

    /// The sum of a counter of the server's exit lines, 0 where no server has it.
    pub(super) fn counter(&self, name: &str) -> u64 {
        let exits = self.measurements.iter().filter_map(|of| of.server.exit.as_ref());
        exits.filter_map(|exit| exit.get("counters")?.get(name)?.as_u64()).sum()
    }

    /// The sum of several counters.
    pub(super) fn counters(&self, names: &[&str]) -> u64 {
        names.iter().map(|name| self.counter(name)).sum()
    }

    /// The mean over the measurements; 0 where there is none.
    pub(super) fn mean(&self, of: impl Fn(&Measurement) -> f64) -> f64 {
        let sum: f64 = self.measurements.iter().map(|measurement| of(measurement)).sum();
        sum / as_f64(self.measurements.len() as u64).max(1.0)
    }

    /// The mean over those measurements that have a value; none where none has.
    pub(super) fn mean_of_some(&self, of: impl Fn(&Measurement) -> Option<f64>) -> Option<f64> {
        let values: Vec<f64> =
            self.measurements.iter().filter_map(|measurement| of(measurement)).collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / as_f64(values.len() as u64))
    }

    /// Share of a CPU's window in some of its time, the mean over the measurements, 0 to 1.
    pub(super) fn share_of_cpu(&self, cpu: usize, time: impl Fn(&record::CpuTime) -> f64) -> f64 {
        self.mean(|of| {
            let times = of.cpu.cpus.iter().filter(|of| of.cpu == cpu);
            if of.window_s > 0.0 { times.map(&time).sum::<f64>() / of.window_s } else { 0.0 }
        })
    }

    /// The server's end of the network that a cell over veth uses.
    pub(super) fn server_end(&self) -> Option<&'a NetworkEnd> {
        if self.cell().link.as_deref() == Some("veth") {
            self.environment.network.ends.first()
        } else {
            None
        }
    }

    /// A setting of the server's interface as a number: `napi_defer_hard_irqs`.
    pub(super) fn knob(&self, name: &str) -> Option<u64> {
        self.server_end()?.knobs.get(name)?.parse().ok()
    }
}

/// A count as a number to calculate with.
#[expect(clippy::cast_precision_loss, reason = "no count of a run comes near 2^53")]
pub(super) fn as_f64(count: u64) -> f64 {
    count as f64
}
