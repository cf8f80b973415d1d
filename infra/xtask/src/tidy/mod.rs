//! The rules that no compiler checks.
//!
//! Each rule is a function over plain values, so that its tests can show it a tree that breaks it.

mod crates;
mod docs;
mod edges;
mod licences;
mod lines;
mod reports;
mod results;
mod scripts;

pub(crate) use scripts::is_script;

use crate::tree::Tree;
use anyhow::Result;
use std::fmt;

/// One breach of a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    /// File, from the root of the tree.
    pub(crate) path: String,
    /// Line from 1, or 0 where the whole file is meant.
    pub(crate) line: usize,
    /// The fact, and what to do about it.
    pub(crate) what: String,
}

impl Finding {
    fn new(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, what: what.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.what),
            line => write!(f, "{}:{line}: {}", self.path, self.what),
        }
    }
}

/// Applies every rule to the tree.
///
/// # Errors
/// Where the tree cannot be read, or a file that a rule needs is missing.
pub(crate) fn check(tree: &Tree) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    findings.extend(lines::check(&tree.files));
    findings.extend(scripts::check(&tree.files, |path| is_executable(tree, path)));
    findings.extend(crates::check(tree));
    findings.extend(edges::check(&edges::of(&tree.metadata)));
    findings.extend(licences::check(tree)?);
    findings.extend(docs::check(tree)?);
    findings.extend(results::check(tree)?);
    findings.extend(reports::check(tree)?);
    findings.sort();
    Ok(findings)
}

/// Prints what breaks a rule; true where nothing does.
///
/// # Errors
/// As [`check`].
pub(crate) fn run() -> Result<bool> {
    let tree = Tree::read()?;
    let findings = check(&tree)?;
    for finding in &findings {
        eprintln!("{finding}");
    }
    eprintln!("tidy: {} files, {} findings", tree.paths.len(), findings.len());
    Ok(findings.is_empty())
}

fn is_executable(tree: &Tree, path: &str) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(tree.root.join(path))
        .is_ok_and(|metadata| metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_tidy() -> Result<()> {
        let findings = check(&Tree::read()?)?;
        let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
        assert!(findings.is_empty(), "\n{}", lines.join("\n"));
        Ok(())
    }
}
