//! A results folder that is compared.

use crate::stored;
use anyhow::{Context, Result, ensure};
use record::{Measurement, Summary};
use std::fs;
use std::path::{Path, PathBuf};

/// A finished run.
#[derive(Debug)]
pub(super) struct Run {
    /// Its folder, as it was named.
    pub(super) folder: PathBuf,
    /// Its `summary.json`.
    pub(super) summary: Summary,
    /// The measurements of the rounds that its figures come from.
    pub(super) measurements: Vec<Measurement>,
    /// Its `experiment.toml`.
    pub(super) experiment: toml::Table,
}

impl Run {
    /// Opens a results folder, or the one that this `summary.json` lies in.
    ///
    /// # Errors
    /// As [`stored::Run::read`], and where not one measurement was used.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let is_summary = path.file_name().is_some_and(|name| name == "summary.json");
        let folder = if is_summary { path.parent().unwrap_or(path) } else { path };
        let stored::Run { summary, mut measurements, .. } = stored::Run::read(folder)?;
        measurements.retain(|measurement| summary.rounds.used.contains(&measurement.round));
        ensure!(
            !measurements.is_empty(),
            "{} has no measurement of a round used",
            folder.display()
        );
        let experiment = fs::read_to_string(folder.join("experiment.toml"))?
            .parse()
            .with_context(|| format!("{}/experiment.toml is not TOML", folder.display()))?;
        Ok(Self { folder: folder.to_owned(), summary, measurements, experiment })
    }
}
