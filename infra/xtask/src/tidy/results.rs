//! Committed results are complete and unmodified.

use super::Finding;
use crate::tree::Tree;
use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// A folder's files with their SHA-256, as `sha256sum` writes it.
const MANIFEST: &str = "MANIFEST.sha256";
/// What every run leaves; `topology.log` only those that built a network.
const REQUIRED: [&str; 5] =
    ["environment.json", "experiment.toml", "rounds.jsonl", "summary.json", "table.txt"];
/// What is generated from it, and may be generated again: the manifest does not have it.
const GENERATED: [&str; 5] = ["cells.csv", "latency.csv", "report.html", "report.md", "rounds.csv"];

/// Files of one folder: name within it, and content.
type Folder = BTreeMap<String, Vec<u8>>;

/// Looks at folders that git tracks; those of users are theirs.
pub(super) fn check(tree: &Tree) -> Result<Vec<Finding>> {
    let mut folders: BTreeMap<&str, Folder> = BTreeMap::new();
    for path in &tree.paths {
        let parts: Vec<&str> = path.splitn(3, '/').collect();
        if let ["results", folder, name] = parts[..] {
            let content = std::fs::read(tree.root.join(path)).context(path.clone())?;
            folders.entry(folder).or_default().insert(name.to_owned(), content);
        }
    }
    Ok(folders.iter().flat_map(|(name, files)| check_folder(name, files)).collect())
}

fn check_folder(folder: &str, files: &Folder) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut report = |name: &str, what: &str| {
        findings.push(Finding::new(&format!("results/{folder}/{name}"), 0, what));
    };
    let Some(manifest) = files.get(MANIFEST) else {
        report(MANIFEST, "is missing: a folder without it is unfinished");
        return findings;
    };
    let manifest = String::from_utf8_lossy(manifest);
    let mut listed: BTreeMap<&str, &str> = BTreeMap::new();
    for line in manifest.lines() {
        match line.split_once("  ") {
            Some((hash, name)) => _ = listed.insert(name, hash),
            None => report(MANIFEST, "has a line that is not a hash, two spaces and a name"),
        }
    }
    for name in REQUIRED {
        if !listed.contains_key(name) && !files.contains_key(name) {
            report(name, "is missing: every run leaves it");
        }
    }
    for name in GENERATED.iter().filter(|name| !files.contains_key(**name)) {
        report(name, "is missing: showdown report makes it");
    }
    for (name, hash) in &listed {
        match files.get(*name) {
            None => report(name, "is in the manifest, but not committed"),
            Some(content) if sha256(content) != **hash => {
                report(name, "was changed: runs are immutable, restore it");
            }
            Some(_) => {}
        }
    }
    let measured = |name: &&String| *name != MANIFEST && !GENERATED.contains(&name.as_str());
    for name in files.keys().filter(measured) {
        if !listed.contains_key(name.as_str()) {
            report(name, "is not in the manifest: nothing is added to a run");
        }
    }
    findings
}

fn sha256(content: &[u8]) -> String {
    Sha256::digest(content).iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FIPS 180-4, the example of one block.
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn whats(files: &[(&str, &str)]) -> Vec<String> {
        let content = |text: &str| text.as_bytes().to_vec();
        let files = files.iter().map(|(name, text)| ((*name).to_owned(), content(text)));
        let generated = GENERATED.map(|name| (name.to_owned(), Vec::new()));
        let files = files.chain(generated).collect();
        let findings = check_folder("2026-11-22T120000-quick", &files);
        findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn hashes_are_those_of_sha256sum() {
        assert_eq!(sha256(b"abc"), ABC);
    }

    /// A manifest of files that hold `abc`.
    fn manifest(names: &[&str]) -> String {
        names.iter().map(|name| format!("{ABC}  {name}\n")).collect()
    }

    #[test]
    fn a_complete_and_unmodified_folder_passes() {
        let names = [&REQUIRED[..], &["topology.log"]].concat();
        let manifest = manifest(&names);
        let mut files: Vec<(&str, &str)> = names.iter().map(|name| (*name, "abc")).collect();
        files.push((MANIFEST, &manifest));
        assert_eq!(whats(&files), [""; 0]);
    }

    #[test]
    fn what_every_run_leaves_is_missed() {
        let bare = Folder::from([(MANIFEST.to_owned(), Vec::new())]);
        let findings = check_folder("2026-11-22T120000-quick", &bare);
        assert_eq!(findings.len(), REQUIRED.len() + GENERATED.len(), "{findings:?}");
        assert!(findings.iter().all(|finding| finding.what.contains("is missing")));
    }

    #[test]
    fn what_is_missing_changed_or_added_is_named() {
        let others = &REQUIRED[..REQUIRED.len() - 1];
        let (all, others) = (manifest(&REQUIRED), manifest(others));
        let check = |files: &[(&str, &str)], what: &str| {
            let mut files = files.to_vec();
            files.extend(REQUIRED[..4].iter().map(|name| (*name, "abc")));
            let found = whats(&files);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].contains(what), "{found:?}");
        };
        let (m, t) = ((MANIFEST, all.as_str()), ("table.txt", "abc"));
        check(&[t], "MANIFEST.sha256: is missing");
        check(&[m], "table.txt: is in the manifest, but not committed");
        check(&[m, ("table.txt", "abd")], "table.txt: was changed");
        check(&[m, t, ("notes.txt", "")], "notes.txt: is not in the manifest");
        check(&[(MANIFEST, &others), t], "table.txt: is not in the manifest");
        check(&[(MANIFEST, &others)], "table.txt: is missing");
    }
}
