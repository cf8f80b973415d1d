//! A trial that is a real load: an open loop of its own for each rate.

use super::trial::{Trial, TrialOutcome};
use crate::options::Options;
use crate::output::figures::Figures;
use crate::plan::{Schedule, StopRule};
use crate::run::Measured;
use crate::source::Fixed;
use crate::transport::Endpoint;
use crate::{request, run};
use std::time::Duration;

/// Runs each trial over new connections to the same endpoints.
#[derive(Debug)]
pub struct LoadTrial {
    options: Options,
    endpoints: Vec<Endpoint>,
}

impl LoadTrial {
    /// Checks the machine and reaches the server once. The schedule of `options` is open.
    ///
    /// # Errors
    /// A sentence where the server cannot be reached, or the machine does not allow the load.
    pub fn new(options: &Options) -> Result<Self, String> {
        let options = run::prepare(options).map_err(|error| error.message)?;
        let endpoints = run::reach(&options)?;
        Ok(Self { options, endpoints })
    }
}

/// The reason alone of a sentence about the client, to be part of another.
fn reason(sentence: String) -> String {
    let reason = sentence.trim_start_matches("The client was the limit: ");
    reason
        .split(". ")
        .next()
        .map_or_else(String::new, |first| first.trim_end_matches('.').to_owned())
}

impl Trial for LoadTrial {
    fn run(&mut self, rate_rps: u64, length: Duration) -> Result<TrialOutcome, String> {
        let mut options = self.options.clone();
        if let Schedule::Open { rate_rps: rate, .. } = &mut options.plan.schedule {
            *rate = rate_rps;
        }
        options.plan.stop = StopRule::After(length);
        let source = Fixed::new(request::render(&options.url, &options.fields), 1);
        let sources = vec![source; options.threads];
        let endpoints = vec![self.endpoints.clone(); options.threads];
        let (measured, _) =
            run::measure(&options, &endpoints, sources, []).map_err(|error| error.message)?;
        let Measured { outcome, client, interrupted, .. } = measured;
        Ok(TrialOutcome {
            figures: Figures::of(&outcome),
            lateness_p99_ns: outcome.lateness.as_ref().map(|lateness| lateness.percentile(99.0)),
            client_limit: client.limit.map(reason),
            interrupted,
        })
    }
}
