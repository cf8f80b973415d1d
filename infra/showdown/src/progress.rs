//! What is shown while a run goes on: a bar on a terminal, a line for each round elsewhere.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;

/// Shows how far a run is, on standard error. Nothing is drawn between measurements: a ticking
/// bar would wake a core that is being measured.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Expects so many measurements.
    pub(crate) fn new(measurements: usize) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let target = ProgressDrawTarget::stderr();
            let bar = ProgressBar::with_draw_target(u64::try_from(measurements).ok(), target);
            let template = "{bar:30} {pos}/{len}  {elapsed} (left: {eta})  {msg}";
            // The template is a constant; were it wrong, the default bar would still do.
            bar.set_style(
                ProgressStyle::with_template(template)
                    .unwrap_or_else(|_| ProgressStyle::default_bar()),
            );
            bar
        });
        Self { bar }
    }

    /// A measurement begins.
    pub(crate) fn measuring(&self, what: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(what.to_owned());
        }
    }

    /// A measurement is done.
    pub(crate) fn measured(&self) {
        if let Some(bar) = &self.bar {
            bar.inc(1);
        }
    }

    /// A disturbed round has to be repeated: there is more to do.
    pub(crate) fn expect_more(&self, measurements: usize) {
        if let (Some(bar), Ok(more)) = (&self.bar, u64::try_from(measurements)) {
            bar.inc_length(more);
        }
    }

    /// Says a line, above the bar where there is one.
    pub(crate) fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(line),
            None => eprintln!("{line}"),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
