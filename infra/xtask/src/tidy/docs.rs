//! Rules about documents: which must exist, how long they may be, what they must mention.

use super::Finding;
use crate::tree::Tree;
use anyhow::{Context, Result};

/// Documents of the root.
const ROOT: [&str; 8] = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "LICENSE-MIT",
    "LICENSE-APACHE",
    "deny.toml",
    ".ci/run",
];
/// Folders of the root, each with a README.md that has a section on decisions.
const FOLDERS: [&str; 5] = ["servers", "stack", "loadgen", "infra", "results"];
/// Longest ARCHITECTURE.md, in lines: it must be read in one sitting.
const ARCHITECTURE_LINES_MAX: usize = 200;

pub(super) fn check(tree: &Tree) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for document in ROOT.iter().filter(|document| !tree.paths.contains(**document)) {
        findings.push(Finding::new(document, 0, "is missing"));
    }
    for folder in FOLDERS {
        let path = format!("{folder}/README.md");
        match tree.file(&path) {
            Ok(file) => findings.extend(check_readme(&path, &file.text)),
            Err(_) => findings.push(Finding::new(&path, 0, "every folder of the root has one")),
        }
    }
    findings.extend(check_architecture(&tree.file("ARCHITECTURE.md")?.text));
    let dependencies = external_dependencies(&tree.file("Cargo.toml")?.text)?;
    findings.extend(check_reasons(&dependencies, &tree.file("CONTRIBUTING.md")?.text));
    let changelog = &tree.file("CHANGELOG.md")?.text;
    for package in tree.metadata.workspace_packages() {
        findings.extend(check_changelog(changelog, package.name.as_str()));
    }
    Ok(findings)
}

fn check_readme(path: &str, text: &str) -> Option<Finding> {
    let what = "no section `## Decisions`: it holds the dated paragraphs that explain a boundary";
    let found = text.lines().any(|line| line == "## Decisions");
    (!found).then(|| Finding::new(path, 0, what))
}

fn check_architecture(text: &str) -> Option<Finding> {
    let lines = text.lines().count();
    let what = format!("{lines} lines: at most {ARCHITECTURE_LINES_MAX}");
    (lines > ARCHITECTURE_LINES_MAX).then(|| Finding::new("ARCHITECTURE.md", 0, what))
}

/// Names in `[workspace.dependencies]` that are not folders of this tree.
fn external_dependencies(manifest: &str) -> Result<Vec<String>> {
    let manifest: toml::Table = manifest.parse().context("Cargo.toml")?;
    let table = manifest
        .get("workspace")
        .and_then(|workspace| workspace.get("dependencies"))
        .and_then(toml::Value::as_table)
        .context("Cargo.toml has no [workspace.dependencies]")?;
    let external = table.iter().filter(|(_, value)| value.get("path").is_none());
    Ok(external.map(|(name, _)| name.clone()).collect())
}

/// Each dependency has a line in CONTRIBUTING.md that begins with its name.
fn check_reasons(dependencies: &[String], contributing: &str) -> Vec<Finding> {
    dependencies
        .iter()
        .filter(|name| {
            let entry = format!("* `{name}`");
            !contributing.lines().any(|line| line.starts_with(&entry))
        })
        .map(|name| {
            let what = format!("dependency `{name}` has no sentence that says why it is there");
            Finding::new("CONTRIBUTING.md", 0, what)
        })
        .collect()
}

fn check_changelog(changelog: &str, package: &str) -> Option<Finding> {
    let heading = format!("### {package}");
    let what = format!("no section `{heading}`");
    let found = changelog.lines().any(|line| line == heading);
    (!found).then(|| Finding::new("CHANGELOG.md", 0, what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_explains_its_decisions() {
        assert_eq!(check_readme("stack/README.md", "# Stack\n\n## Decisions\n"), None);
        assert!(check_readme("stack/README.md", "# Stack\n\nDecisions\n").is_some());
    }

    #[test]
    fn the_architecture_is_short() {
        assert_eq!(check_architecture(&"x\n".repeat(200)), None);
        assert!(check_architecture(&"x\n".repeat(201)).is_some());
    }

    #[test]
    fn every_dependency_has_its_reason() -> Result<()> {
        let manifest = "[workspace.dependencies]\n\
                        tcp = { path = \"stack/tcp\" }\n\
                        libc = \"0.2\"\n\
                        [workspace.dependencies.smoltcp]\nversion = \"0.14\"\n";
        let names = external_dependencies(manifest)?;
        assert_eq!(names, ["libc", "smoltcp"]);
        let found = check_reasons(&names, "* `libc`: system calls.\nsmoltcp is mentioned.\n");
        assert_eq!(found.len(), 1);
        assert!(found[0].what.contains("`smoltcp`"), "{}", found[0]);
        Ok(())
    }

    #[test]
    fn the_changelog_has_every_package() {
        assert_eq!(check_changelog("## 0.1.0\n\n### tcp\n", "tcp"), None);
        assert!(check_changelog("### tcpdump\n", "tcp").is_some());
    }
}
