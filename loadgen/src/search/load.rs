//! A trial that is a real load: an open loop of its own for each rate.

use super::trial::{Trial, TrialOutcome};
use crate::options::Options;
use crate::output::figures::Figures;
use crate::plan::{Schedule, StopRule};
use crate::run::{Measured, RunError};
use crate::script::Prepared;
use crate::source::Fixed;
use crate::transport::Endpoint;
use crate::{request, run, script};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Runs each trial over new connections.
#[derive(Debug)]
pub struct LoadTrial {
    options: Options,
    load: Load,
}

/// What the trials send, and where.
#[derive(Debug)]
enum Load {
    /// The same request, to the same endpoints.
    Same(Vec<Endpoint>),
    /// What a script makes. For the script each trial is a run of its own, with VMs of its own; the
    /// first is prepared before any load, so that mistakes show then.
    Script(PathBuf, Option<Box<Prepared>>),
}

impl LoadTrial {
    /// Checks the machine and reaches the server once. The schedule of `options` is open. The
    /// second value is what the user should know of the script, each in a line.
    ///
    /// # Errors
    /// A sentence where the server cannot be reached, the script is wrong, or the machine does not
    /// allow the load.
    pub fn new(options: &Options) -> Result<(Self, Vec<String>), String> {
        let mut options = run::prepare(options).map_err(|error| error.message)?;
        let Some(file) = options.script.clone() else {
            let load = Load::Same(run::reach(&options)?);
            return Ok((Self { options, load }, Vec::new()));
        };
        let mut prepared = Box::new(prepare(&mut options, &file)?);
        let warnings = std::mem::take(&mut prepared.warnings);
        Ok((Self { options, load: Load::Script(file, Some(prepared)) }, warnings))
    }
}

fn prepare(options: &mut Options, file: &Path) -> Result<Prepared, String> {
    run::prepare_script(options, file).map_err(|error| error.message)
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
        let measured = match &mut self.load {
            Load::Same(endpoints) => run_same(&options, endpoints),
            Load::Script(file, first) => {
                let prepared = match first.take() {
                    Some(prepared) => *prepared,
                    None => prepare(&mut options, file)?,
                };
                run_script(&options, prepared)
            }
        };
        let measured = measured.map_err(|error| error.message)?;
        let Measured { outcome, client, interrupted, .. } = measured;
        Ok(TrialOutcome {
            figures: Figures::of(&outcome),
            lateness_p99_ns: outcome.lateness.as_ref().map(|lateness| lateness.percentile(99.0)),
            client_limit: client.limit.map(reason),
            interrupted,
        })
    }
}

fn run_same(options: &Options, endpoints: &[Endpoint]) -> Result<Measured, RunError> {
    let source = Fixed::new(request::render(&options.url, &options.fields), 1);
    let sources = vec![source; options.threads];
    let endpoints = vec![endpoints.to_vec(); options.threads];
    Ok(run::measure(options, &endpoints, sources, [])?.0)
}

/// Runs a script to its end, `done()` included. What it prints is written out in between, so that
/// all comes in order.
fn run_script(options: &Options, prepared: Prepared) -> Result<Measured, RunError> {
    let Prepared { session, sources, endpoints, warnings: _ } = prepared;
    session.flush()?;
    let (measured, _) = run::measure(options, &endpoints, sources, [])?;
    session.done(&script::figures(options, &measured.outcome))?;
    session.flush()?;
    Ok(measured)
}
