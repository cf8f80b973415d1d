//! Folders that are made up, written as a run writes them.

use super::*;
use crate::results::{Folder, MANIFEST};
use crate::summarise::tests::{load, measurement, points, rounds, summary_of, three_rounds};
use record::{Measurement, Summary};
use std::fs;
use std::path::PathBuf;

/// A folder of folders, removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let unique = format!("showdown-compare-{}-{name}", std::process::id());
        Self(std::env::temp_dir().join(unique))
    }

    /// Leaves a results folder, as it comes out of `change`.
    fn run(
        &self,
        name: &str,
        measurements: &[Measurement],
        change: impl FnOnce(&mut Summary),
    ) -> PathBuf {
        let mut numbers: Vec<u32> = measurements.iter().map(|of| of.round).collect();
        numbers.dedup();
        let mut summary = summary_of(measurements, rounds(&numbers)).unwrap();
        change(&mut summary);
        let mut folder = Folder::create(&self.0, name).unwrap();
        for measurement in measurements {
            folder.append_round(measurement).unwrap();
        }
        folder.write_json("summary.json", &summary).unwrap();
        folder.write("experiment.toml", &format!("seed = {}\nrounds = 6\n", name.len())).unwrap();
        folder.finish().unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// epoll and xdp in six rounds, the rate of xdp times `factor`, give or take one percent.
fn six_rounds(factor: f64) -> Vec<Measurement> {
    let points = points();
    let both = |round: u32| {
        let noise = if round.is_multiple_of(2) { 1.01 } else { 0.99 };
        let mut xdp = measurement(&points[1], round, load(2000, &[10]));
        xdp.load.throughput_rps *= factor * noise;
        [measurement(&points[0], round, load(1000, &[20])), xdp]
    };
    (1..=6).flat_map(both).collect()
}

fn near(left: f64, right: f64) -> bool {
    (left / right - 1.0).abs() < 1e-3
}

#[test]
fn ratios_are_b_over_a_and_only_a_whole_interval_below_the_bound_fails() {
    let scratch = Scratch::new("ratios");
    let a = scratch.run("a", &six_rounds(1.0), |_| ());
    let b = scratch.run("b", &six_rounds(0.8), |_| ());
    let gate = |bound| {
        let comparison = Comparison::of(&a, &b.join("summary.json"), Some(bound)).unwrap();
        let xdp = comparison.cells.iter().find(|cell| cell.cell.mode == "xdp").unwrap();
        assert!(near(xdp.throughput_ratio.median, 0.8), "{xdp:?}");
        assert!(near(xdp.p50_ratio.unwrap().median, 1.0), "{xdp:?}");
        let Gate { failed, undecided, .. } = comparison.gate.as_ref().unwrap();
        (comparison.is_slower(), failed.concat(), undecided.concat())
    };
    assert_eq!(gate(0.05), (true, "xdp".to_owned(), String::new()));
    assert_eq!(gate(0.2), (false, String::new(), "xdp".to_owned()));
    assert_eq!(gate(0.3), (false, String::new(), String::new()));
    assert!(!Comparison::of(&a, &b, None).unwrap().is_slower(), "nobody asked");
}

#[test]
fn few_rounds_are_not_judged_by() {
    let scratch = Scratch::new("few");
    let a = scratch.run("a", &three_rounds(), |_| ());
    let message = Comparison::of(&a, &a, Some(0.05)).unwrap_err().to_string();
    assert!(message.contains("needs 6 rounds") && message.contains("has 3"), "{message}");
    let comparison = Comparison::of(&a, &a, None).unwrap();
    assert!(comparison.notes.iter().any(|note| note.contains("3 rounds only")));
    assert!(comparison.notes.iter().any(|note| note.contains("not interleaved")));
}

#[test]
fn what_differs_and_what_only_one_has_is_named() {
    let scratch = Scratch::new("differs");
    let a = scratch.run("a", &six_rounds(1.0), |_| ());
    // xdp is of another TCP in B: another cell.
    let mut measurements = six_rounds(1.0);
    for measurement in measurements.iter_mut().filter(|of| of.cell.mode == "xdp") {
        measurement.cell.tcp = Some("native".to_owned());
    }
    let b = scratch.run("bb", &six_rounds(1.0), |summary| {
        summary.environment.kernel_release = "7".to_owned();
        summary.environment.governor = Some("performance".to_owned());
    });
    fs::write(
        b.join("rounds.jsonl"),
        measurements.iter().map(|of| serde_json::to_string(of).unwrap() + "\n").collect::<String>(),
    )
    .unwrap();
    relist(&b);
    let comparison = Comparison::of(&a, &b, None).unwrap();
    assert_eq!(comparison.only_in_a, ["xdp smoltcp"]);
    assert_eq!(comparison.only_in_b, ["xdp native"]);
    let differs: Vec<(&str, Option<&str>, Option<&str>)> = comparison
        .differences
        .iter()
        .map(|of| (of.what.as_str(), of.a.as_deref(), of.b.as_deref()))
        .collect();
    let expect =
        [("governor", None, Some("performance")), ("kernel_release", Some("6"), Some("7"))];
    assert_eq!(differs, expect, "a seed is drawn anew");
    let text = comparison.render();
    for part in ["Only in A: xdp smoltcp.", "(not there)  |  performance", "kernel_release"] {
        assert!(text.contains(part), "{part}:\n{text}");
    }
    let wide = text.lines().find(|line| line.chars().count() > 80);
    assert!(wide.is_none_or(|line| line.contains('/')), "only paths are wider: {wide:?}");
}

/// Writes the manifest of a folder anew, as somebody does who knows what he is doing.
fn relist(folder: &Path) {
    let names = ["experiment.toml", "rounds.jsonl", "summary.json"];
    let line = |name: &str| {
        format!("{}  {name}\n", crate::programs::sha256_hex(&folder.join(name)).unwrap())
    };
    fs::write(folder.join(MANIFEST), names.map(line).concat()).unwrap();
}

#[test]
fn a_server_that_fails_conformance_now_fails_the_gate() {
    let scratch = Scratch::new("conformance");
    let a = scratch.run("a", &six_rounds(1.0), |_| ());
    let b = scratch.run("b", &six_rounds(1.0), |summary| {
        summary.conformance.push(record::Verdict {
            name: None,
            mode: "xdp".to_owned(),
            tcp: None,
            wait: None,
            link: None,
            passed: 4,
            failed: 1,
            excepted: 0,
            failures: Vec::new(),
        });
    });
    let comparison = Comparison::of(&a, &b, Some(0.05)).unwrap();
    assert!(comparison.is_slower());
    assert!(comparison.render().contains("xdp, which fails conformance"));
}

#[test]
fn folders_that_are_none_and_folders_that_were_edited_are_refused() {
    let scratch = Scratch::new("refused");
    let a = scratch.run("a", &six_rounds(1.0), |_| ());
    let refused = |path: &Path| format!("{:#}", Comparison::of(&a, path, None).unwrap_err());
    assert!(refused(&scratch.0).contains("is no results folder"));

    let edited = scratch.run("edited", &six_rounds(1.0), |_| ());
    let path = edited.join("summary.json");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("\"xdp\"", "\"xdq\"")).unwrap();
    let message = refused(&edited);
    assert!(message.contains("summary.json was changed after the run"), "{message}");

    fs::write(edited.join(MANIFEST), "").unwrap();
    assert!(refused(&edited).contains("does not list summary.json"));
    fs::write(edited.join(MANIFEST), "0  ../a/summary.json\n").unwrap();
    assert!(refused(&edited).contains("../a/summary.json is outside of the folder"));

    let newer = scratch.run("newer", &six_rounds(1.0), |summary| summary.schema = 99);
    assert!(refused(&newer).contains("has version 99 of its schema"));

    let mut others = six_rounds(1.0);
    others.iter_mut().for_each(|of| of.cell.path = "/json".to_owned());
    let other = scratch.run("other", &six_rounds(1.0), |_| ());
    let lines = others.iter().map(|of| serde_json::to_string(of).unwrap() + "\n");
    fs::write(other.join("rounds.jsonl"), lines.collect::<String>()).unwrap();
    relist(&other);
    assert!(refused(&other).contains("no cell in common"));
}
