//! The loop: batches of timed exchanges, until there are enough.

use super::super::link::Exchange;
use std::time::Duration;

/// Exchanges of the warm-up between two looks at what is left of it.
const WARM_UP_BATCH: u64 = 100;
/// Size of the messages of the warm-up.
const WARM_UP_SIZE: usize = 1;

/// How much is measured of a size.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) min_ns: u64,
    pub(super) max_ns: u64,
    /// Also the iterations of a batch.
    pub(super) min_iterations: usize,
    pub(super) max_iterations: usize,
}

/// What passes between two iterations, outside of the samples.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gap {
    pub(super) sleep: Duration,
    pub(super) spin_ns: u64,
}

/// Exchanges until both minima are met; nothing is recorded.
///
/// # Errors
/// Those of the exchange.
pub(super) fn warm_up(
    exchange: &mut dyn Exchange,
    clock: &mut impl FnMut() -> u64,
    min_ns: u64,
    min_iterations: u64,
) -> Result<(), String> {
    exchange.prepare(WARM_UP_SIZE)?;
    let until_ns = clock().saturating_add(min_ns);
    // Looked at by itself, so that a server that does not echo is found out by the first answer.
    exchange.exchange()?;
    exchange.verify()?;
    let mut done = 1;
    while done < min_iterations || clock() < until_ns {
        for _ in 0..WARM_UP_BATCH {
            exchange.exchange()?;
        }
        done += WARM_UP_BATCH;
    }
    Ok(())
}

/// Adds a sample for each iteration of one size, in nanoseconds and in order.
///
/// # Errors
/// Those of the exchange.
pub(super) fn measure(
    exchange: &mut dyn Exchange,
    clock: &mut impl FnMut() -> u64,
    size: usize,
    bounds: &Bounds,
    gap: Gap,
    samples: &mut Vec<u64>,
) -> Result<(), String> {
    exchange.prepare(size)?;
    let begin_ns = clock();
    loop {
        let batch = bounds.min_iterations.min(bounds.max_iterations - samples.len());
        if batch == 0 {
            return Ok(());
        }
        run_batch(exchange, clock, batch, gap, samples)?;
        let elapsed_ns = clock() - begin_ns;
        let below_maxima = elapsed_ns < bounds.max_ns && samples.len() < bounds.max_iterations;
        let below_minima = elapsed_ns < bounds.min_ns || samples.len() < bounds.min_iterations;
        if !below_maxima && !below_minima {
            return Ok(());
        }
    }
}

fn run_batch(
    exchange: &mut dyn Exchange,
    clock: &mut impl FnMut() -> u64,
    iterations: usize,
    gap: Gap,
    samples: &mut Vec<u64>,
) -> Result<(), String> {
    let first = samples.len();
    // Written once before, so that no page is taken from the kernel between two samples.
    samples.resize(first + iterations, u64::MAX);
    // Nobody times this one: it wakes the server, and shows that it answers what it should.
    exchange.exchange()?;
    exchange.verify()?;
    for sample in &mut samples[first..] {
        let start_ns = clock();
        exchange.exchange()?;
        *sample = clock() - start_ns;
        if !gap.sleep.is_zero() {
            #[expect(
                clippy::disallowed_methods,
                reason = "the pause is what --sleep-gap asks for"
            )]
            std::thread::sleep(gap.sleep);
        }
        if gap.spin_ns > 0 {
            let until_ns = clock() + gap.spin_ns;
            while clock() < until_ns {
                std::hint::spin_loop();
            }
        }
    }
    Ok(())
}
