//! Licences and versions of what we depend on, against the lists in `deny.toml`.
//!
//! cargo-deny checks the same lists and more (sources, advisories). It takes minutes to build,
//! so that this shorter check makes sure that the lists hold where it is not installed.

use super::Finding;
use crate::tree::Tree;
use anyhow::{Context, Result};
use std::collections::{BTreeMap, BTreeSet};

const LISTS: &str = "deny.toml";

/// What `deny.toml` allows.
struct Lists {
    /// SPDX identifiers of licences.
    licences: Vec<String>,
    /// Packages that may occur in more than one version, as `name@version` or `name`.
    repeated: Vec<String>,
}

/// A package from a registry.
struct External {
    name: String,
    version: String,
    licence: Option<String>,
}

pub(super) fn check(tree: &Tree) -> Result<Vec<Finding>> {
    let lists = Lists::parse(&tree.file(LISTS)?.text)?;
    let used = used(tree)?;
    let external: Vec<External> = tree
        .metadata
        .packages
        .iter()
        .filter(|package| package.source.is_some() && used.contains(&package.id.repr))
        .map(|package| External {
            name: package.name.to_string(),
            version: package.version.to_string(),
            licence: package.license.clone(),
        })
        .collect();
    let mut findings = check_licences(&external, &lists);
    findings.extend(check_versions(&external, &lists));
    Ok(findings)
}

/// The packages that a build for Linux really takes, by their id.
fn used(tree: &Tree) -> Result<BTreeSet<String>> {
    let resolve = tree.metadata.resolve.as_ref().context("cargo metadata resolved nothing")?;
    Ok(resolve.nodes.iter().map(|node| node.id.repr.clone()).collect())
}

impl Lists {
    fn parse(text: &str) -> Result<Self> {
        let table: toml::Table = text.parse().context(LISTS)?;
        let list = |section: &str, key: &str| {
            let value = table.get(section).and_then(|section| section.get(key));
            value
                .and_then(toml::Value::as_array)
                .with_context(|| format!("{LISTS} has no list `{key}` in [{section}]"))
        };
        let licences = list("licenses", "allow")?
            .iter()
            .map(|licence| licence.as_str().map(str::to_owned))
            .collect::<Option<_>>()
            .with_context(|| format!("{LISTS}: [licenses] allow is a list of SPDX identifiers"))?;
        let repeated = list("bans", "skip")?.iter().map(repeated).collect::<Result<_>>()?;
        Ok(Self { licences, repeated })
    }
}

/// An entry `{ crate = "name@1.2.3", reason = "…" }`; the reason is not optional here.
fn repeated(entry: &toml::Value) -> Result<String> {
    let key = |key| entry.get(key).and_then(toml::Value::as_str);
    let package =
        key("crate").with_context(|| format!("{LISTS}: an entry of skip has no crate"))?;
    let reason = key("reason").unwrap_or("");
    anyhow::ensure!(!reason.trim().is_empty(), "{LISTS}: skip of {package} has no reason");
    Ok(package.to_owned())
}

fn check_licences(external: &[External], lists: &Lists) -> Vec<Finding> {
    external
        .iter()
        .filter_map(|package| {
            let whose = format!("{} {}", package.name, package.version);
            let what = match &package.licence {
                None => format!("{whose} declares no licence"),
                Some(licence) => match allowed(licence, &lists.licences) {
                    Some(true) => return None,
                    Some(false) => format!("{whose} is under `{licence}`, which is not allowed"),
                    None => format!("{whose}: `{licence}` is not an SPDX expression"),
                },
            };
            Some(Finding::new(LISTS, 0, what))
        })
        .collect()
}

/// Every version but the newest needs an entry with its reason.
fn check_versions(external: &[External], lists: &Lists) -> Vec<Finding> {
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in external {
        versions.entry(&package.name).or_default().insert(&package.version);
    }
    let mut findings = Vec::new();
    for (name, versions) in versions.iter().filter(|(_, versions)| versions.len() > 1) {
        let excused = |version: &&&str| {
            let exact = format!("{name}@{version}");
            lists.repeated.iter().any(|entry| entry == name || *entry == exact)
        };
        let excused = versions.iter().filter(excused).count();
        if excused + 1 < versions.len() {
            let what = format!(
                "{name} is built in versions {versions:?}: agree on one, or add the older ones \
                 to [bans] skip with the reason"
            );
            findings.push(Finding::new(LISTS, 0, what));
        }
    }
    findings
}

/// Whether an SPDX expression can be met with the licences of the list; None where it is none.
fn allowed(expression: &str, licences: &[String]) -> Option<bool> {
    // Older manifests write `A/B` for a choice.
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut tokens: Vec<&str> = spaced.split_whitespace().rev().collect();
    let met = either(&mut tokens, licences)?;
    tokens.is_empty().then_some(met)
}

fn either(tokens: &mut Vec<&str>, licences: &[String]) -> Option<bool> {
    let mut met = both(tokens, licences)?;
    while tokens.pop_if(|token| *token == "OR").is_some() {
        met |= both(tokens, licences)?;
    }
    Some(met)
}

fn both(tokens: &mut Vec<&str>, licences: &[String]) -> Option<bool> {
    let mut met = term(tokens, licences)?;
    while tokens.pop_if(|token| *token == "AND").is_some() {
        met &= term(tokens, licences)?;
    }
    Some(met)
}

fn term(tokens: &mut Vec<&str>, licences: &[String]) -> Option<bool> {
    let token = tokens.pop()?;
    if token == "(" {
        let met = either(tokens, licences)?;
        return (tokens.pop()? == ")").then_some(met);
    }
    if [")", "OR", "AND", "WITH"].contains(&token) {
        return None;
    }
    let mut licence = token.to_owned();
    if tokens.pop_if(|token| *token == "WITH").is_some() {
        licence = format!("{licence} WITH {}", tokens.pop()?);
    }
    Some(licences.contains(&licence))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lists() -> Lists {
        Lists {
            licences: ["MIT", "Apache-2.0", "Unicode-3.0"].map(String::from).to_vec(),
            repeated: vec!["bitflags@1.3.2".to_owned()],
        }
    }

    fn external(name: &str, version: &str, licence: &str) -> External {
        External {
            name: name.to_owned(),
            version: version.to_owned(),
            licence: (!licence.is_empty()).then(|| licence.to_owned()),
        }
    }

    #[test]
    fn expressions_are_evaluated() {
        let check = |expression| allowed(expression, &lists().licences);
        assert_eq!(check("MIT"), Some(true));
        assert_eq!(check("GPL-2.0"), Some(false));
        assert_eq!(check("GPL-2.0 OR MIT"), Some(true));
        assert_eq!(check("Unlicense/MIT"), Some(true));
        assert_eq!(check("MIT AND GPL-2.0"), Some(false));
        assert_eq!(check("GPL-2.0 OR MIT AND Zlib"), Some(false), "AND binds tighter than OR");
        assert_eq!(check("(MIT OR GPL-2.0) AND Unicode-3.0"), Some(true));
        assert_eq!(check("Apache-2.0 WITH LLVM-exception"), Some(false));
        assert_eq!(check("Apache-2.0 WITH LLVM-exception OR MIT"), Some(true));
        for broken in ["", "MIT OR", "MIT Apache-2.0", "(MIT", "OR MIT", "MIT WITH"] {
            assert_eq!(check(broken), None, "{broken}");
        }
    }

    #[test]
    fn a_licence_that_is_not_listed_is_named() {
        let packages = [external("good", "1.0.0", "MIT"), external("bad", "2.0.0", "EUPL-1.2")];
        let found = check_licences(&packages, &lists());
        assert_eq!(found.len(), 1);
        assert!(found[0].what.contains("bad 2.0.0 is under `EUPL-1.2`"), "{}", found[0]);
        assert_eq!(check_licences(&[external("none", "1.0.0", "")], &lists()).len(), 1);
    }

    #[test]
    fn a_second_version_needs_a_reason() {
        let excused = [external("bitflags", "1.3.2", "MIT"), external("bitflags", "2.0.0", "MIT")];
        assert_eq!(check_versions(&excused, &lists()), []);
        let bare = [external("syn", "2.0.0", "MIT"), external("syn", "3.0.0", "MIT")];
        assert_eq!(check_versions(&bare, &lists()).len(), 1);
    }

    #[test]
    fn lists_are_read_and_reasons_demanded() {
        let text = |reason| {
            let skip = format!("skip = [{{ crate = \"a@1.0.0\"{reason} }}]");
            format!("[licenses]\nallow = [\"MIT\"]\n[bans]\n{skip}\n")
        };
        let lists = Lists::parse(&text(", reason = \"b wants it\"")).expect("well-formed");
        assert_eq!(lists.repeated, ["a@1.0.0"]);
        assert_eq!(lists.licences, ["MIT"]);
        assert!(Lists::parse(&text("")).is_err());
        assert!(Lists::parse("[licenses]\n").is_err());
    }
}
