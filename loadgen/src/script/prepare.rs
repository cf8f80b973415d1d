//! From a command line to threads that are ready to run their script.

use super::session::{Session, Setup};
use super::thread::ThreadScript;
use crate::options::Options;
use crate::plan::Schedule;
use crate::source::SourceError;
use crate::transport::Endpoint;
use std::path::Path;

/// A script that is ready to run.
#[derive(Debug)]
pub struct Prepared {
    /// Its main VM; for `done`, and for what it prints.
    pub session: Session,
    /// Its threads.
    pub sources: Vec<ThreadScript>,
    /// Where the connections of each thread lead.
    pub endpoints: Vec<Vec<Endpoint>>,
    /// What the user should know, each in a line.
    pub warnings: Vec<String>,
}

/// Loads a script and makes its threads, so that what is wrong with it comes out before any load.
///
/// Connections lead to `named`, or, where that is empty, to what `setup` leaves in `thread.addr`.
///
/// # Errors
/// In wrk's words where the server cannot be reached; otherwise with file, line and hook.
pub fn prepare(
    options: &Options,
    script: &Path,
    named: &[Endpoint],
) -> Result<Prepared, SourceError> {
    let mut setup = Setup::new(script, &options.url_text, &options.url);
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    setup.fields = options.fields.iter().map(owned).collect();
    setup.args.clone_from(&options.args);
    let mut session = Session::load(setup)?;
    if named.is_empty() {
        session.resolve()?;
    }
    let (mut sources, mut endpoints) = (Vec::new(), Vec::new());
    for _ in 0..options.threads {
        let thread = session.thread()?;
        let own = thread.address().map(|address| vec![Endpoint::Tcp(address)]);
        let leads_to = if named.is_empty() { own } else { Some(named.to_vec()) };
        endpoints.push(leads_to.ok_or_else(|| {
            SourceError(format!("{}: a thread was left without thread.addr", script.display()))
        })?);
        sources.push(thread);
    }
    let mut warnings = session.warnings();
    let is_open = matches!(options.plan.schedule, Schedule::Open { .. });
    if is_open && sources.first().is_some_and(ThreadScript::delays) {
        warnings.push(format!(
            "{}: delay() is not called: with a rate, each request has its time, as in wrk2",
            script.display()
        ));
    }
    Ok(Prepared { session, sources, endpoints, warnings })
}
