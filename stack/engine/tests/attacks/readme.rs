//! The README's table of attacks is complete and names tests that exist.

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
fn every_test_that_a_row_names_exists() {
    let stack = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let folders = ["engine/tests/attacks", "engine/tests", "tcp/tests/tcb", "fuzz/tests"];
    let rows = README.lines().filter(|line| line.starts_with("| T"));
    let mut count = 0;
    for (file, test) in rows.flat_map(|row| row.split('`')).filter_map(|word| word.split_once("::"))
    {
        let exists = folders.iter().any(|folder| {
            let source = std::fs::read_to_string(format!("{stack}/{folder}/{file}.rs"));
            // One that is run on each TCP takes it as a parameter.
            let begins = [format!("fn {test}("), format!("fn {test}<")];
            source.is_ok_and(|source| begins.iter().any(|begin| source.contains(begin)))
        });
        assert!(exists, "README.md: {file}::{test}");
        count += 1;
    }
    assert!(count > 60, "{count} tests are named");
}
