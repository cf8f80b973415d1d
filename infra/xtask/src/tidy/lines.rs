//! Rules about single lines and the length of files.

use super::Finding;
use crate::tree::SourceFile;

/// Longest line of Rust, in characters, as rustfmt's `max_width`.
const LINE_CHARS_MAX: usize = 100;
/// Longest file of code, in lines. Beyond it a file holds more than one concept.
const FILE_LINES_MAX: usize = 800;

/// What code may not contain, and why. Written in halves: this file is checked too.
const BANNED_IN_CODE: [(&str, &str); 4] = [
    (concat!("FIX", "ME"), "fix it before it is merged"),
    (concat!("TO", "DO"), "open an issue and say in a sentence what is missing"),
    (concat!("db", "g!("), "a trace left behind"),
    (concat!("#[ign", "ore"), "a test that does not run; privileged tests belong in infra/e2e"),
];

/// Beginnings of paths that exist on one machine only.
const MACHINE_PATHS: [&str; 4] =
    [concat!("/wo", "rk/"), concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/Us", "ers/")];

pub(super) fn check(files: &[SourceFile]) -> Vec<Finding> {
    files.iter().flat_map(check_file).collect()
}

fn check_file(file: &SourceFile) -> Vec<Finding> {
    let is_code = matches!(file.extension(), "rs" | "sh");
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(file.text.lines()) {
        let mut report = |what: String| findings.push(Finding::new(&file.path, number, what));
        if is_code {
            for (text, why) in BANNED_IN_CODE.iter().filter(|(text, _)| line.contains(text)) {
                report(format!("`{text}`: {why}"));
            }
        }
        let chars = line.chars().count();
        if file.extension() == "rs" && chars > LINE_CHARS_MAX && !cannot_wrap(line) {
            report(format!("{chars} characters: wrap at {LINE_CHARS_MAX}"));
        }
        for start in MACHINE_PATHS.iter().filter(|start| line.contains(*start)) {
            report(format!("a path of one machine (`{start}`): take it from the tree or a flag"));
        }
        if line.ends_with([' ', '\t']) {
            report("white space at the end of the line".to_owned());
        }
    }
    let lines = file.text.lines().count();
    if is_code && lines > FILE_LINES_MAX {
        let what = format!("{lines} lines: split it by concept, the budget is {FILE_LINES_MAX}");
        findings.push(Finding::new(&file.path, 0, what));
    }
    if !file.text.is_empty() && !file.text.ends_with('\n') {
        findings.push(Finding::new(&file.path, lines, "no line end at the end of the file"));
    }
    findings
}

/// Addresses, and rows of tables in documentation.
fn cannot_wrap(line: &str) -> bool {
    line.contains("https://") || ["//! |", "/// |"].iter().any(|row| line.trim().starts_with(row))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> Vec<(usize, String)> {
        let file = SourceFile { path: path.to_owned(), text: text.to_owned() };
        check(&[file]).into_iter().map(|finding| (finding.line, finding.what)).collect()
    }

    fn lines(path: &str, text: &str) -> Vec<usize> {
        findings(path, text).into_iter().map(|(line, _)| line).collect()
    }

    #[test]
    fn lines_of_rust_end_at_100() {
        let line = |chars| format!("//\n{}\n", "é".repeat(chars));
        assert_eq!(lines("a.rs", &line(100)), [0; 0]);
        assert_eq!(lines("a.rs", &line(101)), [2]);
        assert_eq!(lines("a.md", &line(101)), [0; 0]);
        assert_eq!(lines("a.rs", &format!("//! | {} |\n", "x".repeat(101))), [0; 0]);
    }

    #[test]
    fn banned_words_are_found_in_code_only() {
        for (word, _) in BANNED_IN_CODE {
            assert_eq!(lines("a.rs", &format!("x\n{word}\n")), [2], "{word}");
            assert_eq!(lines("a.sh", &format!("{word}\n")), [1], "{word}");
            assert_eq!(lines("a.md", &format!("{word}\n")), [0; 0], "{word}");
        }
    }

    #[test]
    fn paths_of_one_machine_are_found_everywhere() {
        for start in MACHINE_PATHS {
            assert_eq!(lines("a.toml", &format!("path = \"{start}x\"\n")), [1], "{start}");
        }
        assert_eq!(lines("a.sh", "cp /proc/stat /tmp/stat\n"), [0; 0]);
    }

    #[test]
    fn files_of_code_have_a_budget() {
        assert_eq!(lines("a.rs", &"\n".repeat(FILE_LINES_MAX)), [0; 0]);
        assert_eq!(lines("a.rs", &"\n".repeat(FILE_LINES_MAX + 1)), [0]);
        assert_eq!(lines("a.md", &"\n".repeat(FILE_LINES_MAX + 1)), [0; 0]);
    }

    #[test]
    fn lines_end_cleanly() {
        assert_eq!(lines("a.md", "a \nb\t\nc\n"), [1, 2]);
        assert_eq!(lines("a.md", "a\nb"), [2]);
        assert_eq!(lines("a.md", ""), [0; 0]);
    }
}
