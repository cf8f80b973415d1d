//! One thing that can be set: a file of `/proc` or `/sys`, or what `ethtool` sets of an interface.

use crate::machine::{Machine, network};
use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Where a value is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum Target {
    /// A file that holds a value; sysctls are such files.
    File {
        /// Its absolute path.
        path: String,
    },
    /// A setting of an interface.
    Ethtool {
        /// The interface.
        interface: String,
        /// Which of its tables.
        table: Table,
        /// The name that `ethtool` takes it by.
        name: String,
    },
}

/// A table of `ethtool`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Table {
    /// `-k`, `-K`: offloads.
    Feature,
    /// `-l`, `-L`: numbers of queues.
    Channels,
    /// `-c`, `-C`: how long interrupts are held back.
    Coalesce,
    /// `-g`, `-G`: lengths of queues.
    Ring,
}

impl Table {
    fn show_flag(self) -> &'static str {
        match self {
            Self::Feature => "-k",
            Self::Channels => "-l",
            Self::Coalesce => "-c",
            Self::Ring => "-g",
        }
    }

    fn set_flag(self) -> &'static str {
        match self {
            Self::Feature => "-K",
            Self::Channels => "-L",
            Self::Coalesce => "-C",
            Self::Ring => "-G",
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path } => match path.strip_prefix("/proc/sys/") {
                Some(sysctl) => formatter.write_str(&sysctl.replace('/', ".")),
                None => formatter.write_str(path),
            },
            Self::Ethtool { interface, table, name } => {
                write!(formatter, "ethtool {} {interface} {name}", table.set_flag())
            }
        }
    }
}

impl Target {
    /// Whether what it belongs to is not there any more: a file, or an interface.
    pub(super) fn is_gone(&self, machine: &Machine) -> bool {
        match self {
            Self::File { path } => !machine.exists(path),
            Self::Ethtool { interface, .. } => {
                !machine.exists(&format!("/sys/class/net/{interface}"))
            }
        }
    }

    /// The value now; `None` where this machine has none.
    pub(super) fn read(&self, machine: &Machine) -> Option<String> {
        match self {
            Self::File { path } => machine.read(path),
            Self::Ethtool { interface, table: Table::Feature, name } => {
                let mut features = network::features(machine, interface)?.into_iter();
                features.find(|(feature, _)| feature.trim() == name).map(|(_, value)| value)
            }
            Self::Ethtool { interface, table, name } => {
                network::settings(machine, table.show_flag(), interface)?.now.remove(name)
            }
        }
    }

    /// Sets a value, one that was wanted or one that was read.
    ///
    /// # Errors
    /// Where it is refused.
    pub(super) fn write(&self, machine: &Machine, value: &str) -> Result<()> {
        let (interface, table, name) = match self {
            Self::File { path } => return machine.write(path, value),
            Self::Ethtool { interface, table, name } => (interface, table, name),
        };
        let value = if *table == Table::Feature { requested(value) } else { value };
        let output = machine.run(&["ethtool", table.set_flag(), interface, name, value])?;
        // A feature that something else keeps off takes the request and says that it failed.
        let is_taken = || self.read(machine).is_some_and(|now| self.is_same(&now, value));
        if !output.success && !is_taken() {
            bail!("ethtool refuses {name} {value} on {interface}: {}", output.stderr);
        }
        Ok(())
    }

    /// Whether two values are one, whatever the kernel's way to write it. Of a feature, the one
    /// that is asked for counts: whether it is in force depends on others.
    pub(super) fn is_same(&self, one: &str, other: &str) -> bool {
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        match self {
            Self::Ethtool { table: Table::Feature, .. } => requested(one) == requested(other),
            Self::File { path } if is_mask(path) => digits(one) == digits(other),
            _ => words(one) == words(other),
        }
    }

    /// Whether `now` is what was wanted, and in force.
    pub(super) fn is_in_force(&self, now: &str, wanted: &str) -> bool {
        match self {
            Self::Ethtool { table: Table::Feature, .. } => {
                now.split(' ').next() == Some(wanted) && requested(now) == wanted
            }
            _ => self.is_same(now, wanted),
        }
    }

    /// Whether the driver allows no other value than `now`.
    pub(super) fn is_fixed(now: &str) -> bool {
        now.ends_with("[fixed]")
    }
}

/// Of `off [requested on]`, `on`.
fn requested(value: &str) -> &str {
    let wanted = value.split_once("[requested ").map(|(_, wanted)| wanted.trim_end_matches(']'));
    wanted.unwrap_or_else(|| value.split(' ').next().unwrap_or(value))
}

/// Files that hold a mask of CPUs.
fn is_mask(path: &str) -> bool {
    ["/rps_cpus", "/xps_cpus", "/smp_affinity"].iter().any(|end| path.ends_with(end))
}

/// A mask without its commas and the zeros before it.
fn digits(mask: &str) -> String {
    let digits = mask.replace(',', "").to_lowercase();
    digits.trim_start_matches('0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feature() -> Target {
        let (interface, name) = ("eth0".to_owned(), "rx-gro".to_owned());
        Target::Ethtool { interface, table: Table::Feature, name }
    }

    #[test]
    fn values_are_compared_as_the_kernel_means_them() {
        let file = |path: &str| Target::File { path: path.to_owned() };
        let mask = file("/sys/class/net/eth0/queues/rx-0/rps_cpus");
        assert!(mask.is_same("00000000,00000003", "3") && mask.is_same("00", "0"));
        assert!(!mask.is_same("00000001,00000003", "3"));
        let sysctl = file("/proc/sys/net/ipv4/tcp_rmem");
        assert!(sysctl.is_same("1\t2\t3", "1 2 3") && !sysctl.is_same("03", "3"));
        assert_eq!(sysctl.to_string(), "net.ipv4.tcp_rmem");
    }

    #[test]
    fn of_a_feature_the_request_counts_and_only_what_is_in_force_was_obtained() {
        let feature = feature();
        assert!(feature.is_same("off [requested on]", "on"));
        assert!(!feature.is_in_force("off [requested on]", "on"));
        assert!(!feature.is_in_force("off [requested on]", "off"));
        assert!(feature.is_in_force("off", "off"));
        assert!(Target::is_fixed("off [fixed]") && !Target::is_fixed("off"));
    }
}
