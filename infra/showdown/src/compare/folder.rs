//! A results folder that is compared: checked against its manifest, then read.

use crate::programs::sha256_hex;
use crate::results::MANIFEST;
use anyhow::{Context, Result, ensure};
use record::{Measurement, Summary};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

/// The files that a comparison reads; a manifest without them is of something else.
const NEEDED: [&str; 3] = ["summary.json", "rounds.jsonl", "experiment.toml"];

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
    /// A sentence where it is none, where a file is not the one that its manifest has the hash of,
    /// or where a newer version of this program wrote it.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let is_summary = path.file_name().is_some_and(|name| name == "summary.json");
        let folder = if is_summary { path.parent().unwrap_or(path) } else { path };
        check(folder)?;
        let summary = read_summary(&folder.join("summary.json"))?;
        let measurements = read_rounds(&folder.join("rounds.jsonl"), &summary.rounds.used)?;
        let experiment = fs::read_to_string(folder.join("experiment.toml"))?
            .parse()
            .with_context(|| format!("{}/experiment.toml is not TOML", folder.display()))?;
        Ok(Self { folder: folder.to_owned(), summary, measurements, experiment })
    }
}

/// Compares every file of a folder with its manifest.
fn check(folder: &Path) -> Result<()> {
    let shown = folder.display();
    let manifest = fs::read_to_string(folder.join(MANIFEST)).with_context(|| {
        format!("{shown} is no results folder: it has no {MANIFEST}, which 'showdown run' leaves")
    })?;
    let mut listed = BTreeSet::new();
    for line in manifest.lines() {
        let (expected, name) = line
            .split_once("  ")
            .filter(|(_, name)| !name.contains('/'))
            .with_context(|| format!("{shown}/{MANIFEST} has a line that is none: '{line}'"))?;
        let actual = sha256_hex(&folder.join(name))
            .with_context(|| format!("{shown}/{name} is in the manifest and cannot be read"))?;
        ensure!(
            actual == expected,
            "{shown}/{name} is not what the run left: its SHA-256 is not the manifest's. A results \
             folder is never edited: take an untouched copy, or run the experiment again"
        );
        listed.insert(name);
    }
    for name in NEEDED {
        ensure!(
            listed.contains(name),
            "{shown}/{MANIFEST} does not list {name}, so that nothing vouches for it"
        );
    }
    Ok(())
}

/// The version is looked at first: a newer file may have keys that are not known here.
fn read_summary(path: &Path) -> Result<Summary> {
    let unreadable = || format!("{} is not a summary", path.display());
    let text = fs::read_to_string(path).with_context(unreadable)?;
    let value: serde_json::Value = serde_json::from_str(&text).with_context(unreadable)?;
    let schema = value["schema"].as_u64().with_context(unreadable)?;
    ensure!(
        schema <= u64::from(Summary::SCHEMA),
        "{} has schema {schema}, and this program knows {} and older: build a newer one",
        path.display(),
        Summary::SCHEMA
    );
    serde_json::from_value(value).with_context(unreadable)
}

fn read_rounds(path: &Path, used: &[u32]) -> Result<Vec<Measurement>> {
    let lines = BufReader::new(File::open(path)?).lines();
    let mut measurements = Vec::new();
    for (number, line) in (1..).zip(lines) {
        let measurement: Measurement = serde_json::from_str(&line?)
            .with_context(|| format!("line {number} of {} is no measurement", path.display()))?;
        if used.contains(&measurement.round) {
            measurements.push(measurement);
        }
    }
    ensure!(!measurements.is_empty(), "{} has no measurement of a round used", path.display());
    Ok(measurements)
}
