//! The table of requirements is complete, each is cited in the code, and the tests exist.

use std::fs;
use std::path::Path;

const README: &str = include_str!("../../README.md");
const STACK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// The numbers of the requirements of RFC 9293 that a TCP for servers, with an interface of its
/// own and without source routes, can meet or miss.
const MUST: [std::ops::RangeInclusive<u32>; 9] =
    [1..=21, 23..=23, 25..=31, 34..=43, 49..=50, 54..=58, 59..=63, 64..=66, 67..=69];
/// The same of those that it recommends; SHLD-13 is the application's.
const SHLD: [std::ops::RangeInclusive<u32>; 5] = [1..=8, 10..=12, 14..=19, 26..=26, 28..=31];

/// The rows of the tables: the first cell, and the last.
fn rows() -> impl Iterator<Item = (&'static str, &'static str)> {
    README.lines().filter_map(|line| {
        let cells = line.strip_prefix("| ")?.strip_suffix(" |")?;
        Some((cells.split_once(" | ")?.0, cells.rsplit_once(" | ")?.1))
    })
}

/// What stands between back-quotes.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// Whether `text` contains `label`, and not only the beginning of a longer number.
fn mentions(text: &str, label: &str) -> bool {
    let is_end = |rest: &str| !rest.starts_with(|next: char| next.is_ascii_digit());
    text.match_indices(label).any(|(at, _)| is_end(&text[at + label.len()..]))
}

/// The sources of the two crates, in one piece.
fn sources(folder: &Path) -> String {
    let entries = fs::read_dir(folder).expect("a folder of sources");
    entries.map(|entry| entry.expect("an entry").path()).fold(String::new(), |text, path| {
        let more =
            if path.is_dir() { sources(&path) } else { fs::read_to_string(&path).expect("UTF-8") };
        text + &more
    })
}

#[test]
fn every_requirement_has_a_row_and_is_cited_in_the_code() {
    let code = ["tcp/src", "engine/src"].map(|it| sources(&Path::new(STACK).join(it))).concat();
    let labels = MUST.into_iter().flatten().map(|number| format!("MUST-{number}"));
    let labels = labels.chain(SHLD.into_iter().flatten().map(|number| format!("SHLD-{number}")));
    for label in labels {
        let count = rows().filter(|(names, _)| mentions(names, &label)).count();
        assert_eq!(count, 1, "{label} has one row");
        // Not implemented, as its row says.
        assert!(mentions(&code, &label) || label == "SHLD-8", "{label} is cited nowhere");
    }
}

#[test]
fn every_row_of_a_requirement_names_a_test() {
    let is_row = |names: &str| names.starts_with("MUST-") || names.starts_with("SHLD-");
    for (names, tests) in rows().filter(|(names, _)| is_row(names)) {
        let is_named = quoted(tests).any(|word| word.contains("::")) || tests.contains("unit: `");
        assert!(is_named, "{names}: {tests}");
    }
}

#[test]
fn every_test_that_the_readme_names_exists() {
    let mut count = 0;
    let names = rows().flat_map(|(_, tests)| quoted(tests));
    for (file, test) in names.filter_map(|word| word.split_once("::")) {
        let folders = ["tcp/tests/tcb", "engine/tests", "engine/tests/attacks"];
        let exists = folders.iter().any(|folder| {
            let source = fs::read_to_string(format!("{STACK}/{folder}/{file}.rs"));
            // Tests of the engine that run on each TCP take it as a parameter; properties are
            // written further in.
            let begins = [format!("fn {test}("), format!("fn {test}<T: TestTcp>(")];
            source.is_ok_and(|source| begins.iter().any(|begin| source.contains(begin)))
        });
        assert!(exists, "README.md: {file}::{test}");
        count += 1;
    }
    assert!(count > 100, "{count} tests are named");
}
