//! The table of requirements names tests that exist.

#[test]
fn every_test_that_the_readme_names_exists() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tcb");
    let mut count = 0;
    for (file, test) in
        include_str!("../../README.md").split('`').filter_map(|word| word.split_once("::"))
    {
        let Ok(source) = std::fs::read_to_string(format!("{folder}/{file}.rs")) else {
            // The path of a type, not of a test.
            continue;
        };
        assert!(source.contains(&format!("fn {test}(")), "README.md: {file}::{test}");
        count += 1;
    }
    assert!(count > 70, "{count} tests are named");
}
