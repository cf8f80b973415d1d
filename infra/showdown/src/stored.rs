//! A results folder, read back: verified first, then parsed.

use crate::programs::sha256_hex;
use crate::results::MANIFEST;
use anyhow::{Context, Result, bail, ensure};
use record::{Measurement, Summary};
use serde::Deserialize;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// The files without which a folder is no run; a manifest that lacks one vouches for nothing.
const NEEDED: [&str; 3] = ["summary.json", "rounds.jsonl", "experiment.toml"];

/// A run as its folder has it.
#[derive(Debug)]
pub(crate) struct Run {
    /// The name of the folder.
    pub(crate) name: String,
    /// `summary.json`.
    pub(crate) summary: Summary,
    /// What counts of `rounds.jsonl`: of each cell in each round the last measurement, in the order
    /// in which they were taken.
    pub(crate) measurements: Vec<Measurement>,
    /// Names of the files in the manifest, in its order.
    pub(crate) files: Vec<String>,
    /// `topology.log`; none over loopback.
    pub(crate) topology: Option<String>,
}

/// What every version of a file says of itself.
#[derive(Deserialize)]
struct Version {
    schema: u32,
}

impl Run {
    /// Reads a folder whose files are as the run left them.
    ///
    /// # Errors
    /// A sentence that names the file that is missing, was changed or is not understood.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let files = verify(path)?;
        let full = fs::canonicalize(path).with_context(|| format!("{}", path.display()))?;
        let name = full.file_name().and_then(|name| name.to_str());
        let name = name.with_context(|| format!("{} has no name", full.display()))?.to_owned();
        let text = read(path, "summary.json")?;
        known_schema(&text, Summary::SCHEMA, path, "summary.json")?;
        let summary = serde_json::from_str(&text).with_context(|| not_understood(path, &text))?;
        let lines = read(path, "rounds.jsonl")?;
        let measurements = (1..).zip(lines.lines()).map(|(number, line)| {
            let what = format!("rounds.jsonl, line {number}");
            known_schema(line, Measurement::SCHEMA, path, &what)?;
            serde_json::from_str(line).with_context(|| format!("{what} is not understood"))
        });
        let measurements = that_count(measurements.collect::<Result<_>>()?, path)?;
        let has_log = files.iter().any(|name| name == "topology.log");
        Ok(Self {
            name,
            summary,
            measurements,
            topology: has_log.then(|| read(path, "topology.log")).transpose()?,
            files,
        })
    }
}

/// Leaves out what was taken again, after a check that each of those was disturbed: a measurement
/// that is replaced for anything else would be a choice of results.
fn that_count(all: Vec<Measurement>, path: &Path) -> Result<Vec<Measurement>> {
    let mut counting: Vec<Measurement> = Vec::with_capacity(all.len());
    for measurement in all {
        let Measurement { round, attempt, .. } = measurement;
        let mode = &measurement.cell.mode;
        let of_round = counting.iter().enumerate().rev().take_while(|(_, of)| of.round == round);
        let mut of_cell = of_round.filter(|(_, of)| of.cell == measurement.cell);
        let earlier = of_cell.next().map(|(place, of)| (place, of.attempt, &of.disturbed));
        let expected = earlier.map_or(1, |(_, attempt, _)| attempt + 1);
        ensure!(
            attempt == expected,
            "{}: rounds.jsonl has measurement {attempt} of a cell of {mode} in round {round}, \
             where {expected} is due",
            path.display()
        );
        if let Some((place, before, disturbed)) = earlier {
            ensure!(
                !disturbed.is_empty(),
                "{}: rounds.jsonl has {mode} measured again in round {round}, though nothing is \
                 said to have disturbed measurement {before}",
                path.display()
            );
            counting.remove(place);
        }
        counting.push(measurement);
    }
    Ok(counting)
}

fn not_understood(path: &Path, text: &str) -> String {
    format!("{}/summary.json ({} bytes) is not understood", path.display(), text.len())
}

/// A reader of a schema that it does not know refuses the file.
fn known_schema(text: &str, newest: u32, path: &Path, what: &str) -> Result<()> {
    let Version { schema } = serde_json::from_str(text)
        .with_context(|| format!("{}: {what} says no version", path.display()))?;
    ensure!(
        schema <= newest,
        "{}: {what} has version {schema} of its schema, and this program knows up to {newest}: \
         use the version of showdown that measured it, or a newer one",
        path.display()
    );
    Ok(())
}

/// Compares every file with the manifest, and says which it lists.
fn verify(path: &Path) -> Result<Vec<String>> {
    let manifest = fs::read_to_string(path.join(MANIFEST)).with_context(|| {
        format!(
            "{} is no results folder, since it has no {MANIFEST}: give a folder that \
             'showdown run' made",
            path.display()
        )
    })?;
    let mut names = Vec::new();
    for line in manifest.lines() {
        let Some((sha256, name)) = line.split_once("  ") else {
            bail!("{}/{MANIFEST}: not a hash, two spaces and a name: {line}", path.display());
        };
        ensure!(
            Path::new(name).components().all(|part| matches!(part, Component::Normal(_))),
            "{}/{MANIFEST}: {name} is outside of the folder",
            path.display()
        );
        let file = path.join(name);
        let found = sha256_hex(&file)
            .with_context(|| format!("{} is in the manifest, but missing", file.display()))?;
        ensure!(
            found == sha256,
            "{} was changed after the run: reports are made of what was measured only; restore \
             the file, or run the experiment again",
            file.display()
        );
        names.push(name.to_owned());
    }
    for name in NEEDED {
        ensure!(
            names.iter().any(|listed| listed == name),
            "{}/{MANIFEST} does not list {name}, so that nothing vouches for it",
            path.display()
        );
    }
    Ok(names)
}

fn read(path: &Path, name: &str) -> Result<String> {
    let file = path.join(name);
    fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))
}

/// The newest results folder in `results`: folders are named by the time at which they began.
///
/// # Errors
/// Where there is none.
pub(crate) fn newest(results: &Path) -> Result<PathBuf> {
    let none = || {
        format!(
            "there is no results folder in {}: give one, or measure first: showdown run",
            results.display()
        )
    };
    let entries = fs::read_dir(results).with_context(none)?;
    let mut folders = Vec::new();
    for entry in entries {
        let path = entry.with_context(none)?.path();
        if path.join(MANIFEST).is_file() {
            folders.push(path);
        }
    }
    folders.into_iter().max().with_context(none)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summarise::tests::{load, measurement, points};
    use record::Disturbance;

    /// Measurements of epoll and xdp by index, round and attempt, disturbed or not.
    fn measured(all: &[(usize, u32, u32, bool)]) -> Vec<Measurement> {
        let of = |&(index, round, attempt, disturbed): &(usize, u32, u32, bool)| {
            let mut of = measurement(&points()[index], round, load(1000, &[1]));
            of.attempt = attempt;
            let reason = Disturbance {
                rule: "steal".to_owned(),
                cell: "epoll".to_owned(),
                evidence: "9 %".to_owned(),
            };
            of.disturbed = if disturbed { vec![reason] } else { Vec::new() };
            of
        };
        all.iter().map(of).collect()
    }

    fn counting(all: &[(usize, u32, u32, bool)]) -> Result<Vec<(String, u32, u32)>> {
        let counting = that_count(measured(all), Path::new("run"))?;
        Ok(counting.into_iter().map(|of| (of.cell.mode, of.round, of.attempt)).collect())
    }

    #[test]
    fn the_last_measurement_of_a_cell_in_a_round_counts_as_it_does_in_a_run() {
        let all = [
            (1, 1, 1, false),
            (0, 1, 1, true),
            (0, 1, 2, true),
            (0, 1, 3, false),
            (0, 2, 1, true),
            (1, 2, 1, false),
        ];
        let expect = [("xdp", 1, 1), ("epoll", 1, 3), ("epoll", 2, 1), ("xdp", 2, 1)];
        let expect = expect.map(|(mode, round, attempt)| (mode.to_owned(), round, attempt));
        assert_eq!(counting(&all).unwrap(), expect);
        let measured = measured(&all);
        let in_run = crate::rounds::that_count(&measured).into_iter();
        let in_run: Vec<_> =
            in_run.map(|of| (of.cell.mode.clone(), of.round, of.attempt)).collect();
        assert_eq!(in_run, expect);
    }

    #[test]
    fn what_was_taken_again_without_a_disturbance_is_refused() {
        let message = |all| counting(all).unwrap_err().to_string();
        let chosen = message(&[(0, 1, 1, false), (0, 1, 2, false)]);
        assert!(chosen.contains("epoll measured again in round 1, though nothing"), "{chosen}");
        let lost = message(&[(0, 1, 2, false)]);
        assert!(lost.contains("measurement 2 of a cell of epoll in round 1, where 1"), "{lost}");
        let twice = message(&[(0, 1, 1, true), (0, 1, 1, false)]);
        assert!(twice.contains("measurement 1 of a cell of epoll in round 1, where 2"), "{twice}");
    }
}
