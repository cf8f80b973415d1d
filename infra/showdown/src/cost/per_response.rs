//! From measurements to what a response cost.

use record::{Cell, Cost, Counts, CountsPerResponse, CpuTime, Measurement, Memory, ProcessCounts};

/// With fewer connections than this, what a server happens to allocate hides what each adds.
const CONNECTIONS_MIN: u64 = 256;

/// The counts of a cell, from whatever round has them: a round that the hypervisor disturbed takes
/// longer, but does the same for each response.
pub(crate) fn counts_of<'a>(cell: &Cell, measurements: &'a [Measurement]) -> Option<&'a Counts> {
    let mut of_cell = measurements.iter().filter(|measurement| measurement.cell == *cell);
    of_cell.find_map(|measurement| measurement.counts.as_ref())
}

/// What a response cost in a cell: CPU time is summed over the measurements of the rounds used,
/// and counts are those of the load under which was counted.
pub(crate) fn of_cell(of_cell: &[&Measurement], counts: Option<&Counts>) -> Cost {
    let cpu = |time: fn(&CpuTime) -> f64| cpu_us(of_cell, time);
    let memories: Vec<&Memory> = of_cell.iter().filter_map(|of| of.memory.as_ref()).collect();
    let loaded: Vec<f64> = memories.iter().map(|memory| to_f64(memory.rss_loaded)).collect();
    let mut unavailable = counts.map_or_else(Vec::new, |counts| counts.unavailable.clone());
    if counts.is_none() {
        unavailable.push("system calls and the like: not counted in this run".to_owned());
    }
    if loaded.is_empty() {
        unavailable.push("memory: /proc/PID/clear_refs cannot be written".to_owned());
    }
    Cost {
        user_us: cpu(|time| time.user_s),
        system_us: cpu(|time| time.system_s),
        softirq_us: cpu(|time| time.irq_s + time.softirq_s),
        cores_busy: cores_busy(of_cell),
        server: counts.map(|of| per_response(of, &of.server)).unwrap_or_default(),
        client: counts.map(|of| per_response(of, &of.client)).unwrap_or_default(),
        interrupts: counts.and_then(|of| Some(share_of(of, of.interrupts?))),
        idle_poll_share: mean(of_cell.iter().filter_map(|of| of.idle_poll_share)),
        rss_bytes: median(&loaded).map(to_bytes),
        bytes_per_connection: bytes_per_connection(of_cell),
        unavailable,
    }
}

/// CPU time of all CPUs in microseconds per response. The window of CPU time is a little longer
/// than that of the responses, so that rates are divided, not sums.
fn cpu_us(of_cell: &[&Measurement], time: fn(&CpuTime) -> f64) -> f64 {
    let (mut spent_s, mut responses) = (0.0, 0.0);
    for Measurement { load, window_s, cpu, .. } in of_cell {
        spent_s += cpu.cpus.iter().map(time).sum::<f64>() * load.duration_s / window_s;
        responses += load.throughput_rps * load.duration_s;
    }
    if responses > 0.0 { spent_s * 1e6 / responses } else { 0.0 }
}

fn cores_busy(of_cell: &[&Measurement]) -> f64 {
    let busy_s: f64 = of_cell.iter().flat_map(|of| &of.cpu.cpus).map(CpuTime::busy_s).sum();
    let window_s: f64 = of_cell.iter().map(|of| of.window_s).sum();
    if window_s > 0.0 { busy_s / window_s } else { 0.0 }
}

fn per_response(counts: &Counts, of: &ProcessCounts) -> CountsPerResponse {
    let each = |count: Option<u64>| count.map(|count| share_of(counts, count));
    CountsPerResponse {
        syscalls: each(of.syscalls),
        context_switches: each(of.context_switches),
        page_faults: each(of.page_faults),
        cycles: each(of.cycles),
        instructions: each(of.instructions),
        llc_misses: each(of.llc_misses),
    }
}

/// The counters ran in a part of the load, so that rates are divided here, too.
fn share_of(counts: &Counts, count: u64) -> f64 {
    to_f64(count) / (counts.window_s * counts.throughput_rps)
}

/// The median over the rounds of what a connection added to the server's memory.
fn bytes_per_connection(of_cell: &[&Measurement]) -> Option<f64> {
    let connections = of_cell.first()?.cell.connections;
    if connections < CONNECTIONS_MIN {
        return None;
    }
    let added = |of: &&Measurement| {
        let memory = of.memory.as_ref()?;
        Some(to_f64(memory.rss_loaded.saturating_sub(memory.rss_idle)) / to_f64(connections))
    };
    median(&of_cell.iter().filter_map(added).collect::<Vec<f64>>())
}

/// The middle of the values, or the mean of the two in the middle; none of none.
fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    if sorted.len().is_multiple_of(2) {
        return Some(f64::midpoint(sorted[sorted.len() / 2 - 1], upper));
    }
    Some(upper)
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (mut sum, mut count) = (0.0, 0.0);
    for value in values {
        sum += value;
        count += 1.0;
    }
    (count > 0.0).then(|| sum / count)
}

#[expect(clippy::cast_precision_loss, reason = "counts and bytes of a run stay below 2^53")]
pub(super) fn to_f64(count: u64) -> f64 {
    count as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "bytes of memory, read as an integer"
)]
fn to_bytes(bytes: f64) -> u64 {
    bytes as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_means_of_nothing_are_nothing() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(mean([].into_iter()), None);
        assert_eq!(mean([0.5, 1.0].into_iter()), Some(0.75));
    }

    #[test]
    fn counts_are_divided_by_the_responses_of_their_own_window() {
        let counts = Counts { window_s: 0.5, throughput_rps: 1000.0, ..Counts::default() };
        let server = ProcessCounts { syscalls: Some(1100), ..ProcessCounts::default() };
        let each = per_response(&counts, &server);
        assert_eq!(each.syscalls, Some(2.2));
        assert_eq!(each.cycles, None);
    }
}
