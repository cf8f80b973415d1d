//! A diagnosis in words.

use super::{Cause, Diagnosis, Verdict};
use crate::doctor::text::hanging;
use crate::matrix;
use record::Summary;
use std::fmt;

/// The names of the cells of a run, in their order.
pub(super) fn labels(summary: &Summary) -> Vec<String> {
    matrix::labels(&summary.cells.iter().map(|of| &of.cell).collect::<Vec<_>>())
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let record::Estimate { median, ci95: [low, high] } = self.ratio;
        let words = if low > 1.0 {
            "faster"
        } else if high < 1.0 {
            "SLOWER"
        } else {
            "no difference shown"
        };
        let said = format!(
            "{}: {median:.2} times the baseline's requests [{low:.2}, {high:.2}]: {words}",
            self.label
        );
        formatter.write_str(&hanging("  ", &said))
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let others = self.cells.len() - 1;
        let also = match others {
            0 => String::new(),
            1 => " (and one cell more)".to_owned(),
            _ => format!(" (and {others} cells more)"),
        };
        let found = format!("{}: {}{also}", self.worst_cell, self.worst.evidence);
        writeln!(formatter, "{}", self.rule.name)?;
        formatter.write_str(&hanging("     ", self.rule.says))?;
        formatter.write_str(&hanging("     found: ", &found))?;
        formatter.write_str(&hanging("     cure:  ", self.rule.cure))
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for verdict in &self.verdicts {
            write!(formatter, "{verdict}")?;
        }
        for warning in &self.warnings {
            formatter.write_str(&hanging("  WARNING: ", warning))?;
        }
        writeln!(formatter)?;
        if self.verdicts.is_empty() {
            return formatter.write_str(&hanging(
                "",
                "No mode that bypasses the kernel has figures in this folder, so that there is \
                 nothing to explain: showdown run quick measures some.",
            ));
        }
        if self.causes.is_empty() {
            return writeln!(formatter, "No cause is proved by this folder.");
        }
        writeln!(formatter, "What held it back, the most likely first:\n")?;
        for (place, cause) in (1..).zip(&self.causes) {
            writeln!(formatter, "{place:>3}. {cause}")?;
        }
        Ok(())
    }
}
