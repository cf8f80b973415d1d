//! The differences as a table in columns, one for each server.

use super::Comparison;

/// Stands for a verdict that is the target's.
const SAME: &str = "=";

/// Writes a line for each case in which two or more peers differ, headed by the servers' names.
#[must_use]
pub fn render(comparison: &Comparison) -> String {
    let mut rows = vec![header(comparison)];
    for difference in &comparison.differences {
        let mut row = vec![difference.case.clone(), difference.ours.to_string()];
        for peer in &comparison.peers {
            let other = difference.others.get(peer);
            row.push(other.map_or_else(|| SAME.to_owned(), ToString::to_string));
        }
        row.push(if difference.explained { String::new() } else { "not explained".to_owned() });
        rows.push(row);
    }
    let widths: Vec<usize> = (0..rows[0].len())
        .map(|column| rows.iter().map(|row| row[column].len()).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(&format!("{cell:<width$}  "));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn header(comparison: &Comparison) -> Vec<String> {
    let mut header = vec!["case".to_owned(), "target".to_owned()];
    header.extend(comparison.peers.iter().cloned());
    header.push(String::new());
    header
}

#[cfg(test)]
mod tests {
    use super::super::Difference;
    use super::super::observe::Verdict;
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn each_server_has_a_column() {
        let ours = Verdict { statuses: vec![400], closes: true, ..Verdict::default() };
        let theirs = Verdict { statuses: vec![200], ..Verdict::default() };
        let comparison = Comparison {
            peers: ["nginx", "haproxy", "node"].map(str::to_owned).to_vec(),
            verdicts: BTreeMap::new(),
            differences: vec![Difference {
                case: "H10.1".to_owned(),
                ours,
                others: ["nginx", "node"].map(|name| (name.to_owned(), theirs.clone())).into(),
                explained: false,
            }],
            stale_explanations: Vec::new(),
        };
        let expect = "case   target      nginx      haproxy  node\n\
                      H10.1  400 closes  200 keeps  =        200 keeps  not explained\n";
        assert_eq!(render(&comparison), expect);
    }
}
