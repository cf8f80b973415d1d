//! Rules about packages: what they say of themselves, where `unsafe` may be, what stays pure.

use super::Finding;
use crate::tree::{SourceFile, Tree};
use cargo_metadata::{Metadata, PackageId, TargetKind};
use std::collections::BTreeSet;

/// Packages that may hold `unsafe`, and the files (or folders, with a `/`) of theirs that may.
const UNSAFE: [(&str, &[&str]); 9] = [
    ("server-common", &["src/sys.rs"]),
    ("server-http-fuzz", &["src/allocations.rs", "src/coverage.rs"]),
    ("server-epoll", &["src/sys.rs", "src/allocations.rs"]),
    ("server-uring", &["src/sys.rs", "src/ring/"]),
    ("queue-xdp", &["src/sys/", "src/umem.rs", "src/ring/mapped.rs"]),
    ("packetdrill", &["src/sys.rs"]),
    ("queue-memif", &["src/sys/", "src/bin/memif-tap/sys.rs"]),
    ("queue-dpdk", &["src/sys/"]),
    (
        "loadgen",
        &[
            "src/sys.rs",
            "src/script/sys.rs",
            "src/transport/bypass/loan.rs",
            "src/transport/sys.rs",
            "src/transport/uring/buffers.rs",
            "src/transport/uring/ring.rs",
            "src/latency/sys.rs",
        ],
    ),
];

/// Packages that never ask the time, do I/O or spawn: time is an argument, randomness a seed.
const PURE: [&str; 5] = ["queue", "tcp", "engine", "sim", "server-http"];

/// What a pure package may not name.
const IMPURE: [&str; 9] = [
    "Instant::now",
    "SystemTime",
    "std::thread",
    "std::fs",
    "std::process",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "println!",
];

/// Members that plain `cargo build` and `cargo test` leave alone: they need root or a C library.
const SPECIAL: [&str; 3] = ["e2e", "queue-dpdk", "server-dpdk"];

/// A package as these rules see it.
struct Package {
    name: String,
    /// Folder from the root of the tree, with a `/` at its end.
    folder: String,
    described: bool,
    /// Root files of its library and binaries, from the root of the tree.
    roots: Vec<String>,
}

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let names = |ids: &[PackageId]| -> BTreeSet<String> {
        ids.iter().map(|id| tree.metadata[id].name.to_string()).collect()
    };
    let members = names(&tree.metadata.workspace_members);
    let defaults = names(&tree.metadata.workspace_default_members);
    let mut findings = check_defaults(&members, &defaults);
    findings.extend(check_packages(tree));
    findings
}

/// Every member is a default member, so that `cargo test` tests it, or is listed as special.
fn check_defaults(members: &BTreeSet<String>, defaults: &BTreeSet<String>) -> Vec<Finding> {
    let special = |name: &&String| SPECIAL.contains(&name.as_str());
    let finding = |name: &String, what: &str| {
        Finding::new("Cargo.toml", 0, format!("{name} {what} default-members"))
    };
    let lost = members.difference(defaults).filter(|name| !special(name));
    let lost = lost.map(|name| finding(name, "is missing in"));
    let kept = defaults.iter().filter(special).map(|name| finding(name, "may not be in"));
    lost.chain(kept).collect()
}

fn check_packages(tree: &Tree) -> Vec<Finding> {
    packages(&tree.metadata)
        .iter()
        .flat_map(|package| {
            let own: Vec<&SourceFile> = tree
                .files
                .iter()
                .filter(|file| file.extension() == "rs" && file.path.starts_with(&package.folder))
                .collect();
            check_package(package, &own)
        })
        .collect()
}

fn packages(metadata: &Metadata) -> Vec<Package> {
    let from_root = |path: &cargo_metadata::camino::Utf8Path| {
        path.strip_prefix(&metadata.workspace_root).unwrap_or(path).to_string()
    };
    let rooted = |kinds: &[TargetKind]| {
        kinds.iter().any(|kind| matches!(kind, TargetKind::Lib | TargetKind::Bin))
    };
    metadata
        .workspace_packages()
        .into_iter()
        .map(|package| Package {
            name: package.name.to_string(),
            folder: from_root(&package.manifest_path).replace("Cargo.toml", ""),
            described: package.description.as_ref().is_some_and(|text| !text.trim().is_empty()),
            roots: package
                .targets
                .iter()
                .filter(|target| rooted(&target.kind))
                .map(|target| from_root(&target.src_path))
                .collect(),
        })
        .collect()
}

fn check_package(package: &Package, files: &[&SourceFile]) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !package.described {
        let what = "no description: say in one line what the package is for";
        findings.push(Finding::new(&format!("{}Cargo.toml", package.folder), 0, what));
    }
    for file in files.iter().filter(|file| package.roots.contains(&file.path)) {
        findings.extend(check_root(package, file));
    }
    for file in files {
        let within = file.path.trim_start_matches(&package.folder);
        if within.starts_with("src/") {
            findings.extend(check_unsafe(package, within, file));
        }
        if within.starts_with("src/") && PURE.contains(&package.name.as_str()) {
            findings.extend(check_pure(package, file));
        }
    }
    findings
}

/// The root of a library or binary says what the crate is, and what it forbids.
fn check_root(package: &Package, file: &SourceFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !file.text.starts_with("//! ") {
        let what = "the first line is not `//! `: say what the crate is for, in one sentence";
        findings.push(Finding::new(&file.path, 1, what));
    }
    let has = |attribute: &str| file.text.lines().any(|line| line.trim() == attribute);
    if unsafe_files(package).is_empty() {
        if !has("#![forbid(unsafe_code)]") {
            let what = format!("{} has no `#![forbid(unsafe_code)]`", package.name);
            findings.push(Finding::new(&file.path, 0, what));
        }
    } else if !has("#![deny(unsafe_code)]") && !has("#![forbid(unsafe_code)]") {
        let what = format!(
            "{} has no `#![deny(unsafe_code)]`: deny it here, expect it with a reason at the \
             modules that wrap system calls or shared memory",
            package.name
        );
        findings.push(Finding::new(&file.path, 0, what));
    }
    findings
}

fn unsafe_files(package: &Package) -> &'static [&'static str] {
    UNSAFE.iter().find(|(name, _)| *name == package.name).map_or(&[], |(_, files)| files)
}

fn check_unsafe(package: &Package, within: &str, file: &SourceFile) -> Option<Finding> {
    let allowed = unsafe_files(package).iter().any(|place| match place.strip_suffix('/') {
        Some(_) => within.starts_with(place),
        None => within == *place,
    });
    let (number, _) = (1..).zip(file.text.lines()).find(|(_, line)| is_unsafe(code_of(line)))?;
    let what = format!(
        "`unsafe` outside {:?} of {}: use the safe wrapper, or write one there",
        unsafe_files(package),
        package.name
    );
    (!allowed).then(|| Finding::new(&file.path, number, what))
}

fn check_pure(package: &Package, file: &SourceFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(file.text.lines()) {
        for name in IMPURE.iter().filter(|name| code_of(line).contains(*name)) {
            let what = format!(
                "`{name}`: {} never asks the time, does I/O or spawns; take it as an argument",
                package.name
            );
            findings.push(Finding::new(&file.path, number, what));
        }
    }
    findings
}

/// The line without its comment. A `//` inside a string ends it too: good enough for these rules.
fn code_of(line: &str) -> &str {
    line.split("//").next().unwrap_or("")
}

/// Whether `code` begins a block, function, implementation or attribute that is unsafe.
fn is_unsafe(code: &str) -> bool {
    code.match_indices("unsafe").any(|(at, word)| {
        let rest = &code[at + word.len()..];
        !code[..at].ends_with(['_', '`'])
            && [" {", " fn", " impl", " trait", " extern", "("].iter().any(|x| rest.starts_with(x))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD_ROOT: &str = "//! Purpose.\n#![forbid(unsafe_code)]\n";

    fn whats(name: &str, path: &str, text: &str) -> Vec<String> {
        let package = Package {
            name: name.to_owned(),
            folder: "stack/x/".to_owned(),
            described: true,
            roots: vec!["stack/x/src/lib.rs".to_owned()],
        };
        let file = SourceFile { path: format!("stack/x/{path}"), text: text.to_owned() };
        check_package(&package, &[&file]).into_iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn a_package_has_a_description() {
        let package = Package {
            name: "x".to_owned(),
            folder: "stack/x/".to_owned(),
            described: false,
            roots: Vec::new(),
        };
        assert_eq!(check_package(&package, &[])[0].path, "stack/x/Cargo.toml");
    }

    #[test]
    fn default_members_are_all_but_the_special() {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let members = set(&["tcp", "queue", "e2e"]);
        assert_eq!(check_defaults(&members, &set(&["tcp", "queue"])), []);
        let lost = check_defaults(&members, &set(&["tcp"]));
        assert_eq!((lost.len(), lost[0].what.starts_with("queue ")), (1, true));
        let kept = check_defaults(&members, &set(&["tcp", "queue", "e2e"]));
        assert_eq!((kept.len(), kept[0].what.starts_with("e2e ")), (1, true));
    }

    #[test]
    fn a_root_says_its_purpose_and_forbids_unsafe() {
        assert_eq!(whats("tcp", "src/lib.rs", GOOD_ROOT), [""; 0]);
        assert_eq!(whats("tcp", "src/lib.rs", "#![forbid(unsafe_code)]\n").len(), 1);
        assert_eq!(whats("tcp", "src/lib.rs", "//! Purpose.\n").len(), 1);
        assert_eq!(whats("tcp", "src/lib.rs", "//! Purpose.\n#![deny(unsafe_code)]\n").len(), 1);
        let deny = "//! Purpose.\n#![deny(unsafe_code)]\n";
        assert_eq!(whats("queue-xdp", "src/lib.rs", deny), [""; 0]);
    }

    #[test]
    fn unsafe_is_found_outside_its_files() {
        let block = concat!("    let x = un", "safe { f() };\n");
        assert_eq!(whats("tcp", "src/a.rs", block).len(), 1);
        assert_eq!(whats("queue-xdp", "src/a.rs", block).len(), 1);
        assert_eq!(whats("queue-xdp", "src/umem.rs", block), [""; 0]);
        assert_eq!(whats("queue-xdp", "src/sys/bpf.rs", block), [""; 0]);
        assert_eq!(whats("tcp", "src/a.rs", "#[expect(unsafe_code)] // unsafe\n"), [""; 0]);
        assert_eq!(whats("tcp", "tests/allocations.rs", block), [""; 0]);
    }

    #[test]
    fn pure_packages_do_not_ask_the_time() {
        for name in IMPURE {
            let line = format!("    let x = {name};\n");
            assert_eq!(whats("engine", "src/a.rs", &line).len(), 1, "{name}");
            assert_eq!(whats("server-epoll", "src/a.rs", &line), [""; 0], "{name}");
            assert_eq!(whats("engine", "tests/a.rs", &line), [""; 0], "{name}");
        }
    }
}
