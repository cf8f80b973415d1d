//! The checked-out tree: its root, its files, its packages.

use anyhow::{Context, Result, bail};
use cargo_metadata::{Metadata, MetadataCommand};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Extensions of files that are read as text.
const TEXT: [&str; 6] = ["rs", "toml", "md", "sh", "json", "yml"];

/// A text file of the tree.
#[derive(Clone, Debug)]
pub(crate) struct SourceFile {
    /// Path from the root, with `/`.
    pub(crate) path: String,
    /// The whole text.
    pub(crate) text: String,
}

impl SourceFile {
    /// The part of the name behind the last dot, or nothing.
    pub(crate) fn extension(&self) -> &str {
        extension(&self.path)
    }
}

/// What tidy looks at.
pub(crate) struct Tree {
    /// The folder that holds the workspace's `Cargo.toml`.
    pub(crate) root: PathBuf,
    /// Every path that git tracks or would add, from the root.
    pub(crate) paths: BTreeSet<String>,
    /// Those of them that are text and not data in `results/`.
    pub(crate) files: Vec<SourceFile>,
    /// `cargo metadata`, for Linux.
    pub(crate) metadata: Metadata,
}

impl Tree {
    /// Reads the tree around this crate.
    ///
    /// # Errors
    /// Where git or cargo cannot be asked, or a file cannot be read.
    pub(crate) fn read() -> Result<Self> {
        let root = root();
        let paths = git_paths(&root)?;
        let mut files = Vec::new();
        for path in paths.iter().filter(|path| is_text(path)) {
            let text = std::fs::read_to_string(root.join(path))
                .with_context(|| format!("cannot read {path} as UTF-8"))?;
            files.push(SourceFile { path: path.clone(), text });
        }
        let options = ["--locked", "--filter-platform", "x86_64-unknown-linux-gnu"];
        let metadata = MetadataCommand::new()
            .manifest_path(root.join("Cargo.toml"))
            .other_options(options.map(String::from))
            .exec()
            .context("cargo metadata failed; does Cargo.lock match the manifests? cargo check")?;
        Ok(Self { root, paths, files, metadata })
    }

    /// The file with this path.
    ///
    /// # Errors
    /// Where there is none.
    pub(crate) fn file(&self, path: &str) -> Result<&SourceFile> {
        self.files
            .iter()
            .find(|file| file.path == path)
            .with_context(|| format!("{path} is missing"))
    }
}

/// The folder that holds the workspace's `Cargo.toml`.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}

/// The cargo that started this program, or else the one in `PATH`.
pub(crate) fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

fn extension(path: &str) -> &str {
    Path::new(path).extension().and_then(|extension| extension.to_str()).unwrap_or("")
}

fn is_text(path: &str) -> bool {
    let data = path.starts_with("results/") && path != "results/README.md";
    !data && (TEXT.contains(&extension(path)) || path == ".ci/run")
}

/// Tracked files and those that `git add` would take, deleted ones left out.
fn git_paths(root: &Path) -> Result<BTreeSet<String>> {
    // A clone made by another user is still only listed here, nothing in it is run.
    let output = Command::new("git")
        .args(["-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others"])
        .arg("--exclude-standard")
        .current_dir(root)
        .output()
        .context("cannot run git: apt-get install git")?;
    if !output.status.success() {
        bail!("git ls-files failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let listed = String::from_utf8(output.stdout).context("a path is not UTF-8")?;
    let paths = listed.split('\0').filter(|path| !path.is_empty() && root.join(path).is_file());
    Ok(paths.map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_told_by_the_name() {
        assert!(is_text("servers/http/src/lib.rs"));
        assert!(is_text(".ci/run"));
        assert!(is_text("results/README.md"));
        assert!(!is_text("results/2026-11-22T10:00:00-quick/summary.json"));
        assert!(!is_text("stack/sim/seed.pcap"));
    }

    #[test]
    fn the_root_holds_the_workspace() {
        assert!(root().join("infra/xtask/Cargo.toml").is_file());
    }
}
