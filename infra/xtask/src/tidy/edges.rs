//! The direction of dependencies between our own packages.
//!
//! Development dependencies are free: a test may hold two worlds that the code keeps apart.

use super::Finding;
use cargo_metadata::{DependencyKind, Metadata};

/// What may depend on what. A package that is not here may depend on none of ours.
const ALLOWED: [(&str, &[&str]); 20] = [
    // stack/: the driver boundary knows no TCP, TCP knows no frames.
    ("engine", &["tcp", "queue"]),
    ("queue-xdp", &["queue"]),
    ("queue-memif", &["queue"]),
    ("queue-dpdk", &["queue"]),
    // The virtual clock of `sim` is the `Instant` that `tcp` defines.
    ("sim", &["queue", "tcp"]),
    // Google's packetdrill drives the state machine itself, not the engine around it.
    ("packetdrill", &["tcp"]),
    // The fuzzing engine knows nothing of HTTP: see stack/fuzz/README.md.
    ("stack-fuzz", &["engine", "queue", "server-http-fuzz", "sim", "tcp"]),
    // servers/: only the package of a driver's `main` knows that driver.
    ("server-common", &["server-http"]),
    ("server-http-fuzz", &["server-http"]),
    ("server-epoll", &["server-http", "server-common"]),
    ("server-hyper", &["server-http", "server-common"]),
    ("server-uring", &["server-http", "server-common"]),
    // `queue` and `tcp` for the types in the engine's signatures: `Queue` and `Instant`.
    ("server-bypass", &["server-http", "server-common", "engine", "queue", "tcp"]),
    // `server-common` for the flags, `queue` for the words in which a driver says what it is.
    ("server-xdp", &["server-bypass", "queue-xdp", "server-common", "queue"]),
    ("server-memif", &["server-bypass", "queue-memif", "server-common"]),
    ("server-dpdk", &["server-bypass", "queue-dpdk", "server-common"]),
    // The referee shares no code with what it judges, but its bypass transports use the stack as a
    // client; they are calibrated against the kernel transport.
    ("loadgen", &["record", "engine", "queue", "queue-dpdk", "queue-memif", "queue-xdp", "tcp"]),
    ("showdown", &["record"]),
    // Both ends of a link with no stack on it: the drivers, and the schema of what came out.
    ("floor", &["queue", "queue-xdp", "queue-memif", "record"]),
    ("conformance", &[]),
];

/// One package of ours that depends on another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Edge {
    /// The package that depends.
    from: String,
    /// The package it depends on.
    to: String,
    /// Where the former's manifest lies, for the message.
    manifest: String,
}

/// The edges between packages of the workspace, development dependencies left out.
pub(super) fn of(metadata: &Metadata) -> Vec<Edge> {
    let packages = metadata.workspace_packages();
    let ours: Vec<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    let mut edges = Vec::new();
    for package in &packages {
        let manifest = &package.manifest_path;
        let manifest = manifest.strip_prefix(&metadata.workspace_root).unwrap_or(manifest);
        for dependency in &package.dependencies {
            if dependency.kind != DependencyKind::Development
                && ours.contains(&dependency.name.as_str())
            {
                edges.push(Edge {
                    from: package.name.to_string(),
                    to: dependency.name.clone(),
                    manifest: manifest.to_string(),
                });
            }
        }
    }
    edges
}

/// Finds the edges that are not allowed.
pub(super) fn check(edges: &[Edge]) -> Vec<Finding> {
    let breach = |edge: &&Edge| !allowed(&edge.from).contains(&edge.to.as_str());
    edges
        .iter()
        .filter(breach)
        .map(|edge| {
            let what = format!(
                "edge {} → {} is not allowed: move the code, or move the boundary with a dated \
                 paragraph under Decisions and change infra/xtask/src/tidy/edges.rs",
                edge.from, edge.to
            );
            Finding::new(&edge.manifest, 0, what)
        })
        .collect()
}

fn allowed(from: &str) -> &'static [&'static str] {
    ALLOWED.iter().find(|(package, _)| *package == from).map_or(&[], |(_, to)| to)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaches(from: &str, to: &str) -> Vec<Finding> {
        let edge = Edge {
            from: from.to_owned(),
            to: to.to_owned(),
            manifest: "stack/x/Cargo.toml".to_owned(),
        };
        check(&[edge])
    }

    #[test]
    fn edges_of_the_design_are_allowed() {
        for (from, to) in ALLOWED.iter().flat_map(|(from, all)| all.iter().map(|to| (*from, *to))) {
            assert_eq!(breaches(from, to), [], "{from} → {to}");
        }
    }

    #[test]
    fn any_other_edge_is_named() {
        let forbidden = [
            ("tcp", "queue"),
            ("queue", "tcp"),
            ("engine", "server-http"),
            ("engine", "sim"),
            ("server-epoll", "engine"),
            ("server-bypass", "queue-xdp"),
            ("server-http", "server-common"),
            ("loadgen", "server-http"),
            ("conformance", "server-http"),
            ("record", "showdown"),
            ("a-new-package", "tcp"),
        ];
        for (from, to) in forbidden {
            let found = breaches(from, to);
            assert_eq!(found.len(), 1, "{from} → {to}");
            assert!(found[0].what.contains(&format!("{from} → {to}")), "{}", found[0]);
            assert_eq!(found[0].path, "stack/x/Cargo.toml");
        }
    }
}
