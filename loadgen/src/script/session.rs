//! The main VM of a run, and the making of those of its threads.

use super::figures::{Distribution, Summary, WrkFigures};
use super::thread::{Handle, Shape, ThreadScript};
use super::vm::{Vm, plain};
use crate::source::SourceError;
use crate::url::Url;
use mlua::{Lua, Table, Value};
use std::path::Path;
use std::sync::Arc;

/// The hooks that a script may define as globals.
const HOOKS: [&str; 6] = ["setup", "init", "delay", "request", "response", "done"];

/// What a script is run with.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The script file, as it was written.
    pub script: String,
    /// The URL as it was written: `args[0]`.
    pub url_text: String,
    /// `wrk.scheme`.
    pub scheme: String,
    /// `wrk.host`, without the brackets of an IPv6 address.
    pub host: String,
    /// `wrk.port`, where the URL has one.
    pub port: Option<String>,
    /// `wrk.path`: path and query.
    pub path: String,
    /// `wrk.headers` at the start: names and values.
    pub fields: Vec<(String, String)>,
    /// What follows the URL on the command line: `args[1]` and on.
    pub args: Vec<String>,
}

impl Setup {
    /// A setup for a URL, without fields and arguments.
    #[must_use]
    pub fn new(script: &Path, url_text: &str, url: &Url) -> Self {
        Self {
            script: script.to_string_lossy().into_owned(),
            url_text: url_text.to_owned(),
            scheme: url.scheme.to_string(),
            host: url.host.clone(),
            port: url.port.map(|port| port.to_string()),
            path: url.target.clone(),
            fields: Vec::new(),
            args: Vec::new(),
        }
    }

    /// The name or number that `wrk.resolve` is called with: the port, else the scheme.
    fn service(&self) -> &str {
        self.port.as_deref().unwrap_or(&self.scheme)
    }
}

/// A script that is being run, seen from outside its threads.
#[derive(Debug)]
pub struct Session {
    setup: Setup,
    main: Vm,
    warnings: Vec<String>,
    /// Why the script could not be run, in every wording so far.
    told: Vec<String>,
    /// What thread 0 has, once it has been made: the others are driven alike.
    shape: Option<Shape>,
}

impl Session {
    /// Runs the script in the main VM. A script that cannot be run is a warning.
    ///
    /// # Errors
    /// Where there is no memory for a VM.
    pub fn load(setup: Setup) -> Result<Self, SourceError> {
        let (main, cause) = Vm::new(&setup)?;
        let mut session = Self { setup, main, warnings: Vec::new(), told: Vec::new(), shape: None };
        if let Some(cause) = cause {
            session.tell(cause);
        }
        for hook in HOOKS {
            let kind = session.main.kind(hook)?;
            if kind != "function" && kind != "nil" {
                session.warnings.push(format!(
                    "{}: '{hook}' is a {kind}, not a function: it is not called",
                    session.setup.script
                ));
            }
        }
        Ok(session)
    }

    #[cfg(test)]
    pub(super) fn main(&self) -> &Vm {
        &self.main
    }

    fn tell(&mut self, cause: String) {
        self.warnings.push(cause.clone());
        self.told.push(cause);
    }

    /// What the user should know, each in a line. Empty at the next call.
    pub fn warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    /// Calls `wrk.resolve`: looks the host up and keeps the addresses that can be connected to.
    ///
    /// # Errors
    /// In wrk's words where the name is unknown or no address answers.
    pub fn resolve(&self) -> Result<(), SourceError> {
        let (host, service) = (self.setup.host.as_str(), self.setup.service());
        let reachable: usize = self.main.call("resolve", None, (host, service))?;
        if reachable > 0 {
            return Ok(());
        }
        let why = self.main.connect_error();
        Err(SourceError(format!("unable to connect to {host}:{service} {why}")))
    }

    /// Makes the next thread: its VM, then `setup` in the main VM, then `init` in its own. The
    /// first thread's `request` is called once to see how many requests it pipelines.
    ///
    /// # Errors
    /// Where a hook fails, or what `request` returns is no request.
    pub fn thread(&mut self) -> Result<ThreadScript, SourceError> {
        let (vm, cause) = Vm::new(&self.setup)?;
        // wrk says it for each VM, in the same words: once is enough.
        if let Some(cause) = cause.filter(|cause| !self.told.contains(cause)) {
            self.tell(cause);
        }
        let handle = Arc::new(Handle::default());
        let own = handle.natives(vm.lua(), None).map_err(|error| plain(&error))?;
        vm.call::<()>("own_thread", None, own)?;

        let natives =
            handle.natives(self.main.lua(), Some(vm.lua())).map_err(|error| plain(&error))?;
        let object: Value = self.main.call("thread", None, natives)?;
        self.main.call::<()>("setup", Some("setup"), object)?;

        let args = self.args(vm.lua()).map_err(|error| plain(&error))?;
        vm.call::<()>("init", Some("init"), args)?;
        handle.forget_stop();

        let thread = ThreadScript::new(vm, handle, self.shape)?;
        self.shape = Some(thread.shape());
        Ok(thread)
    }

    fn args(&self, lua: &Lua) -> mlua::Result<Table> {
        let args = lua.create_sequence_from(self.setup.args.iter().map(String::as_str))?;
        args.raw_set(0, self.setup.url_text.as_str())?;
        Ok(args)
    }

    /// Whether the script has a `done`, for which figures have to be recorded.
    ///
    /// # Errors
    /// None that a script can cause.
    pub fn has_done(&self) -> Result<bool, SourceError> {
        self.main.has("done")
    }

    /// Calls `done`, where there is one.
    ///
    /// # Errors
    /// Where it fails.
    pub fn done(&self, figures: &WrkFigures) -> Result<(), SourceError> {
        if !self.has_done()? {
            return Ok(());
        }
        let lua = self.main.lua();
        let arguments = || -> mlua::Result<(Table, Table, Table)> {
            let indexed = figures.rate_given;
            Ok((
                summary(lua, &figures.summary)?,
                stats(lua, Arc::new(figures.latency.distribution()), indexed)?,
                stats(lua, Arc::new(figures.requests.distribution()), indexed)?,
            ))
        };
        let arguments = arguments().map_err(|error| plain(&error))?;
        self.main.call("done", Some("done"), arguments)
    }

    /// Writes out what the script has printed so far, so that it does not come out of order with
    /// what the load generator prints itself. To be called before each such output and at the end.
    ///
    /// # Errors
    /// None that a script can cause.
    pub fn flush(&self) -> Result<(), SourceError> {
        self.main.call("flush", None, ())
    }
}

fn summary(lua: &Lua, summary: &Summary) -> mlua::Result<Table> {
    let errors = lua.create_table()?;
    errors.set("connect", number(summary.errors.connect))?;
    errors.set("read", number(summary.errors.read))?;
    errors.set("write", number(summary.errors.write))?;
    errors.set("status", number(summary.errors.status))?;
    errors.set("timeout", number(summary.errors.timeout))?;
    let table = lua.create_table()?;
    table.set("duration", number(summary.duration_us))?;
    table.set("requests", number(summary.requests))?;
    table.set("bytes", number(summary.bytes))?;
    table.set("errors", errors)?;
    Ok(table)
}

/// The state of a stats object: figures, and functions for what takes an argument.
fn stats(lua: &Lua, values: Arc<Distribution>, indexed: bool) -> mlua::Result<Table> {
    let figures = lua.create_table()?;
    figures.set("min", number(values.min()))?;
    figures.set("max", number(values.max()))?;
    figures.set("mean", values.mean())?;
    figures.set("stdev", values.stdev())?;
    let state = lua.create_table()?;
    state.set("figures", figures)?;
    let len = if indexed { values.count() } else { values.distinct() };
    state.set("len", number(len))?;
    let of = Arc::clone(&values);
    let percentile = move |_: &Lua, percent: f64| {
        Ok(number(if indexed { of.percentile_hdr(percent) } else { of.percentile(percent) }))
    };
    state.set("percentile", lua.create_function(percentile)?)?;
    let of = Arc::clone(&values);
    let distinct = move |_: &Lua, index: f64| {
        let (value, count) = of.nth(index);
        Ok((number(value), number(count)))
    };
    state.set("distinct", lua.create_function(distinct)?)?;
    if indexed {
        let at = move |_: &Lua, index: f64| Ok(number(values.at(index)));
        state.set("at", lua.create_function(at)?)?;
    }
    Ok(state)
}

/// A Lua number: a double, as in wrk.
#[expect(clippy::cast_precision_loss, reason = "a Lua number is a double")]
fn number(value: u64) -> f64 {
    value as f64
}
