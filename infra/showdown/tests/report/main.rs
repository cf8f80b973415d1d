//! `showdown report`: the same folder gives the same bytes, and a changed one gives none.

mod fixture;
mod page;

use crate::fixture::{Scratch, everything, measurements, plain, summary, with_steps, write};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const FILES: [&str; 5] = ["report.html", "report.md", "cells.csv", "latency.csv", "rounds.csv"];

fn report(arguments: &[&str], folders: &[&Path]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_showdown"));
    command.arg("report").args(arguments).args(folders).output().unwrap()
}

fn succeeds(arguments: &[&str], folders: &[&Path]) -> String {
    let output = report(arguments, folders);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs into an error: everything that was said.
fn fails(arguments: &[&str], folders: &[&Path]) -> String {
    let output = report(arguments, folders);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = [output.stdout, output.stderr].concat();
    String::from_utf8(said).unwrap()
}

fn read(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).unwrap()
}

#[test]
fn a_report_is_generated_again_byte_for_byte() {
    let scratch = Scratch::new("again");
    let folder = scratch.folder("run", &everything());
    let said = succeeds(&[], &[&folder]);
    assert_eq!(said, format!("{}\n", folder.join("report.html").display()));
    let first = FILES.map(|name| read(&folder, name));
    assert!(succeeds(&["--check"], &[&folder]).ends_with("as it is generated\n"));
    succeeds(&[], &[&folder]);
    assert_eq!(first, FILES.map(|name| read(&folder, name)));
}

#[test]
fn a_check_names_the_file_that_differs() {
    let scratch = Scratch::new("differs");
    let folder = scratch.folder("run", &plain());
    let said = fails(&["--check"], &[&folder]);
    assert_eq!(said.matches("is missing").count(), FILES.len(), "{said}");
    assert!(!folder.join("report.html").exists(), "a check writes nothing");
    succeeds(&[], &[&folder]);
    fs::write(folder.join("cells.csv"), "cell\r\n").unwrap();
    let said = fails(&["--check"], &[&folder]);
    assert!(said.contains("cells.csv: differs from what is generated"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn a_folder_that_was_changed_is_refused_by_name() {
    let scratch = Scratch::new("changed");
    let folder = scratch.folder("run", &plain());
    let faster = read(&folder, "summary.json").replace("142000", "242000");
    fs::write(folder.join("summary.json"), faster).unwrap();
    let said = fails(&[], &[&folder]);
    assert!(said.contains("run/summary.json was changed after the run"), "{said}");
    fs::remove_file(folder.join("summary.json")).unwrap();
    assert!(fails(&[], &[&folder]).contains("run/summary.json is in the manifest, but missing"));
    fs::remove_file(folder.join("MANIFEST.sha256")).unwrap();
    assert!(fails(&[], &[&folder]).contains("is no results folder"));
    assert!(!folder.join("report.html").exists());
}

#[test]
fn a_newer_schema_is_refused() {
    let scratch = Scratch::new("newer");
    let mut newer = summary(&plain());
    newer.schema += 1;
    let folder = scratch.0.join("run");
    write(&folder, &newer, &measurements(&plain()));
    assert!(fails(&[], &[&folder]).contains("summary.json has version"));
}

#[test]
fn the_answer_is_a_sentence_with_its_interval() {
    let scratch = Scratch::new("answer");
    let folder = scratch.folder("run", &plain());
    succeeds(&[], &[&folder]);
    let answer = "xdp answers 1.42 times (95 % interval 1.36 to 1.46) the requests of epoll with \
                  32 connections.";
    for name in ["report.html", "report.md"] {
        assert!(read(&folder, name).contains(answer), "{}", read(&folder, name));
    }
    let markdown = read(&folder, "report.md");
    assert!(markdown.contains("With xdp, it held: 1.42 (1.36 to 1.46)."), "{markdown}");
    assert!(markdown.contains("| hyper | block | 80.0k (76.8k to 82.4k) | 0.800 (0.768 to 0.824)"));
    assert!(markdown.contains("FAILED conformance, and has no figures: uring."), "{markdown}");
}

#[test]
fn every_picture_that_has_data_is_drawn_and_no_other() {
    let scratch = Scratch::new("pictures");
    let ids = |folder: &Path| -> Vec<String> {
        succeeds(&[], &[folder]);
        let page = read(folder, "report.html");
        let figures = page.split("<figure id=\"").skip(1);
        figures.map(|rest| rest.split('"').next().unwrap().to_owned()).collect()
    };
    let few = ["throughput", "ratio", "latency", "cost-kind", "cost-process", "rounds"];
    assert_eq!(ids(&scratch.folder("plain", &plain())), few);
    let all = scratch.0.join("all");
    write(&all, &with_steps(summary(&everything())), &measurements(&everything()));
    let many = [
        "throughput",
        "ratio",
        "waterfall",
        "latency",
        "rates",
        "cost-kind",
        "cost-process",
        "ping-pong",
        "connections",
        "payload",
        "pipelining",
        "rounds",
    ];
    assert_eq!(ids(&all), many);
}

#[test]
fn what_was_recorded_cannot_become_markup() {
    let scratch = Scratch::new("markup");
    let folder = scratch.folder("run", &plain());
    succeeds(&[], &[&folder]);
    let page = read(&folder, "report.html");
    assert!(page.contains("What does &lt;bypass&gt; buy &amp; what not?"), "{page}");
    assert!(!page.contains("<bypass>") && !page.contains("<b>wrong</b>"));
    assert!(!page.contains("<script") && !page.contains("http-equiv"));
    for attribute in ["src=", "href=\"http", "url(http", "@import"] {
        assert!(!page.contains(attribute), "the page loads something: {attribute}");
    }
}

#[test]
fn tables_for_spreadsheets_are_rectangular_and_have_every_row() {
    let scratch = Scratch::new("csv");
    let folder = scratch.folder("run", &everything());
    succeeds(&[], &[&folder]);
    let rows = |name: &str| {
        let text = read(&folder, name);
        assert!(text.ends_with("\r\n"), "RFC 4180 ends lines so");
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        reader.records().collect::<Result<Vec<_>, _>>().unwrap().len()
    };
    let cells = everything().len();
    assert_eq!(rows("cells.csv"), cells);
    assert_eq!(rows("rounds.csv"), cells * 6);
    assert_eq!(rows("latency.csv"), cells * 20);
    let cells = read(&folder, "cells.csv");
    assert!(cells.starts_with("cell,mode,tcp,wait,link,"), "{cells}");
    assert!(cells.contains(",throughput_rps,throughput_rps_ci95_low,"), "{cells}");
}

#[test]
fn several_runs_are_put_side_by_side() {
    let scratch = Scratch::new("several");
    let faster: Vec<_> = plain().into_iter().map(|(cell, rps)| (cell, rps * 1.1)).collect();
    let first = scratch.folder("first", &plain());
    let mut changed = summary(&faster);
    changed.environment.kernel_release = "7.0".to_owned();
    let second = scratch.0.join("second");
    write(&second, &changed, &measurements(&faster));
    assert!(fails(&[], &[&first, &second]).contains("say where with --out DIR"));
    let out = scratch.0.join("both");
    succeeds(&["--out", out.to_str().unwrap()], &[&first, &second]);
    let text = read(&out, "report.md");
    for part in ["| kernel\\_release | 6.18 | 7.0 |", "| xdp | 142k (136k to 146k) | 156k ("] {
        assert!(text.contains(part), "{text}");
    }
    assert!(read(&out, "report.html").contains("id=\"side-by-side\""));
    succeeds(&["--check", "--out", out.to_str().unwrap()], &[&first, &second]);
}

#[test]
fn the_readme_of_results_gets_a_table_for_each_run() {
    let scratch = Scratch::new("readme");
    scratch.folder("2026-11-23T10-00-00-synthetic", &plain());
    let readme = scratch.0.join("README.md");
    let results = scratch.0.to_str().unwrap();
    let begin = "<!-- headline: generated by `showdown report --readme results` -->";
    fs::write(&readme, "# Results\n").unwrap();
    assert!(fails(&["--readme", results], &[]).contains("has no place for the tables"));
    fs::write(&readme, format!("# Results\n{begin}\n<!-- end of headline -->\nEnd.\n")).unwrap();
    assert!(fails(&["--check", "--readme", results], &[]).contains("README.md: differs"));
    succeeds(&["--readme", results], &[]);
    let text = read(&scratch.0, "README.md");
    assert!(text.contains("| xdp | 142k | 1.42 (1.36 to 1.46) | 22.5 µs |"), "{text}");
    assert!(text.starts_with("# Results\n") && text.ends_with("\nEnd.\n"), "{text}");
    succeeds(&["--check", "--readme", results], &[]);
}

#[test]
fn the_readme_of_the_project_gets_the_picture_of_the_newest_waterfall() {
    let scratch = Scratch::new("headline");
    let results = scratch.0.join("results");
    let begin = "<!-- headline: generated by `showdown report --readme results` -->";
    let empty = format!("# Title\n{begin}\n<!-- end of headline -->\nEnd.\n");
    for (name, speed) in [("2026-11-23T10-00-00-waterfall", 1.0), ("2026-11-24-waterfall", 2.0)] {
        let cells: Vec<_> = plain().into_iter().map(|(cell, rps)| (cell, rps * speed)).collect();
        let mut of_steps = with_steps(summary(&cells));
        of_steps.experiment = "waterfall".to_owned();
        write(&results.join(name), &of_steps, &measurements(&cells));
    }
    fs::write(results.join("README.md"), &empty).unwrap();
    fs::write(scratch.0.join("README.md"), &empty).unwrap();
    let path = results.to_str().unwrap();
    let said = fails(&["--check", "--readme", path], &[]);
    for name in ["README.md: differs", "headline.svg: is missing", "../README.md: differs"] {
        assert!(said.contains(name), "{said}");
    }
    succeeds(&["--readme", path], &[]);
    let picture = read(&results, "headline.svg");
    assert!(picture.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\""), "{picture}");
    for part in ["prefers-color-scheme: dark", "id=\"hatch-1\"", "step 2", "</svg>\n"] {
        assert!(picture.contains(part), "{picture}");
    }
    let text = read(&scratch.0, "README.md");
    let image = "[<img src=\"results/headline.svg\" width=\"660\" alt=\"Where the gain comes from: \
                 step 0 ×1.00, ";
    assert!(text.contains(image), "{text}");
    assert!(text.contains("](results/2026-11-24-waterfall/report.md)"), "the newest: {text}");
    assert!(text.contains("Measured on 2026-11-23 on Some CPU"), "{text}");
    assert!(text.starts_with("# Title\n") && text.ends_with("\nEnd.\n"), "{text}");
    succeeds(&["--check", "--readme", path], &[]);
    fs::write(results.join("headline.svg"), picture.replace("step 2", "step 3")).unwrap();
    assert!(fails(&["--check", "--readme", path], &[]).contains("headline.svg: differs"));
}
