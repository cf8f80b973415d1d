//! Why our servers answer otherwise than others do: a table in `servers/README.md`.
//!
//! A line reads `| cases | here | elsewhere | reason |`. The first cell names rows (`H14`) or
//! inputs (`H14.3`), separated by commas; the third names the peers that differ. A line that no
//! longer applies is a failure, as in the list of exceptions.

use super::Difference;
use super::peers::Peer;

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// Rows and inputs.
    pub cases: Vec<String>,
    /// What other servers do.
    pub elsewhere: String,
    /// Why ours do not.
    pub reason: String,
}

impl Explanation {
    /// Whether it speaks of the case named `name` (`H14.3`).
    #[must_use]
    pub fn covers(&self, name: &str) -> bool {
        self.cases.iter().any(|case| covers(case, name))
    }
}

fn covers(case: &str, name: &str) -> bool {
    name == case || name.split_once('.').is_some_and(|(row, _)| row == case)
}

/// Explanations in the tables of a Markdown text: the lines whose first cell names cases.
///
/// # Errors
/// A sentence where such a line lacks a cell.
pub fn parse(markdown: &str) -> Result<Vec<Explanation>, String> {
    let mut explanations = Vec::new();
    for line in markdown.lines().filter(|line| line.starts_with('|')) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let cases: Vec<&str> = cells[0].split(", ").collect();
        if !cases.iter().all(|case| is_case(case)) {
            continue;
        }
        let [_, here, elsewhere, reason] = cells[..] else {
            return Err(format!("'{line}' should read | cases | here | elsewhere | reason |"));
        };
        if [here, elsewhere, reason].iter().any(|cell| cell.is_empty()) {
            return Err(format!("the explanation of {} has an empty cell", cells[0]));
        }
        explanations.push(Explanation {
            cases: cases.into_iter().map(str::to_owned).collect(),
            elsewhere: elsewhere.to_owned(),
            reason: reason.to_owned(),
        });
    }
    Ok(explanations)
}

fn is_case(text: &str) -> bool {
    text.strip_prefix('H').is_some_and(|rest| {
        !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
    })
}

/// What in `explanations` no longer applies, a sentence each.
///
/// To be asked only where every peer answered: a difference that fewer show may still be one.
#[must_use]
pub fn stale(explanations: &[Explanation], differences: &[Difference]) -> Vec<String> {
    let mut found = Vec::new();
    for explanation in explanations {
        for case in &explanation.cases {
            if !differences.iter().any(|difference| covers(case, &difference.case)) {
                found.push(format!("{case}: explained, and no two peers answer otherwise there"));
            }
        }
        let covered: Vec<&Difference> =
            differences.iter().filter(|difference| explanation.covers(&difference.case)).collect();
        for peer in Peer::ALL.map(Peer::name) {
            let named = words(&explanation.elsewhere).any(|word| word == peer);
            let differs = covered.iter().any(|difference| difference.others.contains_key(peer));
            if named && !differs {
                let cases = explanation.cases.join(", ");
                found.push(format!("{cases}: names {peer}, which answers as we do"));
            }
        }
    }
    found
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| !letter.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::super::observe::Verdict;
    use super::*;

    fn table(line: &str) -> Vec<Explanation> {
        parse(line).expect("the table parses")
    }

    fn difference(case: &str, peers: &[&str]) -> Difference {
        let others = peers.iter().map(|peer| ((*peer).to_owned(), Verdict::default())).collect();
        Difference { case: case.to_owned(), ours: Verdict::default(), others, explained: false }
    }

    #[test]
    fn lines_about_cases_are_read_and_no_others() {
        let text = "| cases | here | elsewhere | reason |\n|---|---|---|---|\n\
                    | H06, H07.2 | 501 | 400: nginx | RFC |\n| hyper | H05 | x | y |\n";
        let list = table(text);
        assert_eq!(list.len(), 1);
        assert!(list[0].covers("H06.1") && list[0].covers("H07.2") && !list[0].covers("H07.1"));
        assert!(parse("| H06 | 501 | 400: nginx | |").is_err());
        assert!(parse("| H06 | 501 | 400: nginx |").is_err());
    }

    #[test]
    fn the_shipped_table_names_cases_that_exist() {
        let cases = crate::case::all().expect("the shipped cases parse");
        let list = table(include_str!("../../../README.md"));
        assert!(list.len() > 30, "the table is there");
        for case in list.iter().flat_map(|explanation| &explanation.cases) {
            assert!(cases.iter().any(|known| covers(case, &known.name())), "{case} is no case");
        }
    }

    #[test]
    fn what_no_longer_applies_is_told() {
        let list = table("| H06, H07 | 501 | 400: nginx, node | RFC |");
        let both = [difference("H06.1", &["nginx", "node"]), difference("H07.1", &["node"])];
        assert_eq!(stale(&list, &both), Vec::<String>::new());
        let told = stale(&list, &both[1..]);
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].starts_with("H06: ") && told[1].contains("names nginx"), "{told:?}");
    }
}
