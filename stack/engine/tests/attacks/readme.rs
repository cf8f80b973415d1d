//! The README's table of attacks is complete, and each row names tests that exist.

/// The attacks, by topic.
const IDS: [std::ops::RangeInclusive<u32>; 6] =
    [1..=11, 20..=29, 30..=33, 40..=52, 53..=66, 70..=80];

const README: &str = include_str!("../../README.md");

#[test]
fn every_attack_has_a_row() {
    let rows: Vec<&str> =
        README.lines().filter_map(|line| line.strip_prefix("| T")?.split(' ').next()).collect();
    let expected: Vec<String> = IDS.into_iter().flatten().map(|id| format!("{id:02}")).collect();
    assert_eq!(rows, expected);
}

#[test]
fn every_row_names_a_test_and_every_test_that_is_named_exists() {
    for row in README.lines().filter(|line| line.starts_with("| T")) {
        // What stands between back-quotes, in the last column.
        let tests = row.rsplit(" | ").next().expect("a row has columns").split('`').skip(1);
        let named: Vec<(&str, &str)> =
            tests.step_by(2).filter_map(|word| word.split_once("::")).collect();
        assert!(!named.is_empty(), "no test is named: {row}");
        for (file, test) in named {
            assert!(exists(file, test), "{file}::{test} is not there: {row}");
        }
    }
}

/// Whether a file of that name, in one of the folders that rows speak of, has that test.
fn exists(file: &str, test: &str) -> bool {
    let stack = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let folders = [
        "engine/tests/attacks",
        "engine/tests/worlds",
        "engine/tests",
        "tcp/tests/tcb",
        "fuzz/src",
    ];
    folders.iter().any(|folder| {
        let Ok(source) = std::fs::read_to_string(format!("{stack}/{folder}/{file}.rs")) else {
            return false;
        };
        // One that is run on each TCP takes it as a parameter, and is listed for a macro.
        let is_test = source.contains(&format!("#[test]\nfn {test}("))
            || source.contains(&format!("#[test]\n    fn {test}("));
        is_test || source.contains(&format!("fn {test}<T: TestTcp>("))
    })
}
