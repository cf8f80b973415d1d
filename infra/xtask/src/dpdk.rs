//! The packages that need libdpdk, which nobody else must install.

use std::process::{Command, Stdio};

/// They are members of the workspace, but not built by default.
pub(crate) const PACKAGES: [&str; 2] = ["queue-dpdk", "server-dpdk"];

/// Why they cannot be built here, with the cure; None where they can.
pub(crate) fn cannot() -> Option<String> {
    let mut probe = Command::new("pkg-config");
    let probe = probe.args(["--atleast-version", "22.11", "libdpdk"]).stdin(Stdio::null());
    let found = probe.output().is_ok_and(|output| output.status.success());
    (!found).then(|| {
        "no DPDK 22.11 or later: apt-get install --no-install-recommends libdpdk-dev pkg-config"
            .to_owned()
    })
}

/// What is built by default, and needs libdpdk only with this feature.
const WITH_FEATURE: [&str; 4] = ["--package", "loadgen", "--features", FEATURE];

/// The load generator's transport over a port of DPDK.
const FEATURE: &str = "loadgen/dpdk";

/// Cargo's flags for them, and for what has a feature that needs libdpdk.
pub(crate) fn packages() -> Vec<&'static str> {
    let packages = PACKAGES.iter().flat_map(|package| ["--package", package]);
    packages.chain(WITH_FEATURE).collect()
}

/// Cargo's flags for all packages, them too.
pub(crate) fn everything() -> Vec<&'static str> {
    vec!["--workspace", "--features", FEATURE]
}

/// Cargo's flags for all packages but them.
pub(crate) fn all_others() -> Vec<&'static str> {
    let excluded = PACKAGES.iter().flat_map(|package| ["--exclude", package]);
    ["--workspace"].into_iter().chain(excluded).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_a_feature_is_on_both_sides_and_has_it_on_one() {
        assert!(packages().ends_with(&WITH_FEATURE));
        assert!(!all_others().contains(&"loadgen") && !all_others().contains(&FEATURE));
    }

    #[test]
    fn a_package_is_on_one_side() {
        for package in PACKAGES {
            let flags = |flag| [flag, package];
            assert!(packages().windows(2).any(|pair| pair == flags("--package")), "{package}");
            assert!(all_others().windows(2).any(|pair| pair == flags("--exclude")), "{package}");
        }
    }
}
