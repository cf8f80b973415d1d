//! The corpus: files whose names say what they are.

use anyhow::{Context, Result, ensure};
use std::path::Path;

/// An input that has a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The file's name.
    pub name: String,
    /// What the file holds.
    pub input: Vec<u8>,
}

/// Reads every file of `folder`, in the order of their names.
///
/// # Errors
/// Where the folder or a file cannot be read, or there is none.
pub fn read_corpus(folder: &Path) -> Result<Vec<Named>> {
    let entries = std::fs::read_dir(folder);
    let entries =
        entries.with_context(|| format!("cannot read the folder {}", folder.display()))?;
    let mut corpus = Vec::new();
    for entry in entries {
        let path = entry.with_context(|| format!("cannot list {}", folder.display()))?.path();
        let input = std::fs::read(&path);
        let input = input.with_context(|| format!("cannot read {}", path.display()))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        corpus.push(Named { name, input });
    }
    ensure!(!corpus.is_empty(), "the corpus {} is empty", folder.display());
    corpus.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(corpus)
}
