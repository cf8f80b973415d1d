//! The list of differences that a server may have: a table in `servers/README.md`.
//!
//! A line reads `| hyper | H14 | behaviour | reason |`; the second cell is a row (`H14`) or one of
//! its inputs (`H14.3`). A line that no longer applies is a failure: the list never outlives its
//! truth.

/// One tolerated difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exception {
    /// Row or input.
    pub case: String,
    /// What the server does instead.
    pub behaviour: String,
    /// Why that is accepted.
    pub reason: String,
}

impl Exception {
    /// Whether it speaks of the case named `name` (`H14.3`).
    #[must_use]
    pub fn covers(&self, name: &str) -> bool {
        name == self.case || name.split_once('.').is_some_and(|(row, _)| row == self.case)
    }
}

/// Exceptions of `server` in the tables of a Markdown text.
///
/// # Errors
/// A sentence where a line for the server names no behaviour or reason.
pub fn parse(markdown: &str, server: &str) -> Result<Vec<Exception>, String> {
    let mut exceptions = Vec::new();
    for line in markdown.lines().filter(|line| line.starts_with('|')) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, case, rest @ ..] = cells.as_slice() else { continue };
        let is_row = case.starts_with('H') && case[1..].starts_with(|c: char| c.is_ascii_digit());
        if name.trim_matches('`') != server || !is_row {
            continue;
        }
        let [behaviour, reason] = rest else {
            return Err(format!("'{line}' should read | server | case | behaviour | reason |"));
        };
        if behaviour.is_empty() || reason.is_empty() {
            return Err(format!("the exception {case} of {server} lacks a behaviour or a reason"));
        }
        exceptions.push(Exception {
            case: (*case).to_owned(),
            behaviour: (*behaviour).to_owned(),
            reason: (*reason).to_owned(),
        });
    }
    Ok(exceptions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_read_for_one_server() {
        let text = "| server | case | behaviour | reason |\n|---|---|---|---|\n\
                    | `hyper` | H14.3 | 200 | parses so |\n| hyper | H20 | 404 | too |\n\
                    | epoll | H01 | x | y |\n";
        let list = parse(text, "hyper").expect("parses");
        assert_eq!(list.len(), 2);
        assert!(list[0].covers("H14.3") && !list[0].covers("H14.30") && !list[0].covers("H14.1"));
        assert!(list[1].covers("H20.1") && list[1].covers("H20.2") && !list[1].covers("H200.1"));
        assert!(parse("| hyper | H20 | 404 | |", "hyper").is_err());
    }
}
