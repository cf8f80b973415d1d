//! The list of differences that a server may have: a table in `servers/README.md`.
//!
//! A line reads `| hyper | H14 | behaviour | reason |`; the second cell is a row (`H14`) or one of
//! its inputs (`H14.3`). A line that no longer applies is a failure: the list never outlives its
//! truth. Only where it depends on how the kernel cuts the input (`H14.3 at times`) may it be idle.

/// One tolerated difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exception {
    /// Row or input.
    pub case: String,
    /// Whether it shows in some runs only.
    pub is_at_times: bool,
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
        let always = case.strip_suffix(" at times");
        exceptions.push(Exception {
            case: always.unwrap_or(case).to_owned(),
            is_at_times: always.is_some(),
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
                    | epoll | H01 | x | y |\n| hyper | H13.1 at times | 408 | cut so |\n";
        let list = parse(text, "hyper").expect("parses");
        assert_eq!(list.len(), 3);
        assert!(list[2].covers("H13.1") && list[2].is_at_times && !list[1].is_at_times);
        assert!(list[0].covers("H14.3") && !list[0].covers("H14.30") && !list[0].covers("H14.1"));
        assert!(list[1].covers("H20.1") && list[1].covers("H20.2") && !list[1].covers("H200.1"));
        assert!(parse("| hyper | H20 | 404 | |", "hyper").is_err());
    }
}
