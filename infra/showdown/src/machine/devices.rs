//! Interfaces of tests as `ethtool` shows and sets them, with what Linux does beside: a feature
//! that loses what it depends on goes off, and comes back with it.

use super::Output;
use std::collections::BTreeMap;

/// Settings by interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Devices {
    /// Features: whether each is wanted. Of a feature that the driver fixes, `None`: off.
    pub(crate) features: BTreeMap<String, Vec<(&'static str, Option<bool>)>>,
    /// Coalescing: the names that the driver has.
    pub(crate) coalesce: BTreeMap<String, BTreeMap<&'static str, u64>>,
}

/// A feature, and what it depends on.
const NEEDS: (&str, &str) = ("\ttx-tcp-segmentation", "\ttx-checksum-ip-generic");
/// A coalescing time is a multiple of this many microseconds: drivers round.
const USECS_UNIT: u64 = 4;

impl Devices {
    /// What `ethtool -k` or `-c` prints.
    pub(super) fn answer(&self, command: &[&str]) -> Option<Output> {
        let ["ethtool", flag, name] = command else { return None };
        let body = match *flag {
            "-k" => self.features.get(*name).map(|features| shown(features))?,
            "-c" => {
                let settings = self.coalesce.get(*name)?.iter();
                settings.map(|(key, value)| format!("{key}: {value}\n")).collect()
            }
            _ => return None,
        };
        let stdout = format!("Parameters for {name}:\n{body}");
        Some(Output { success: true, stdout, stderr: String::new() })
    }

    /// What `ethtool -K` or `-C` does.
    pub(super) fn set(&mut self, command: &[&str]) -> Output {
        let (name, key, value) = (command[2], command[3], command[4]);
        let success = match command[1] {
            "-K" => self.set_feature(name, key, value == "on"),
            "-C" => self.set_coalesce(name, key, value),
            _ => false,
        };
        let stderr = if success { "" } else { "netlink error: Operation not supported" };
        Output { success, stdout: String::new(), stderr: stderr.to_owned() }
    }

    /// `ethtool` fails where a feature is as it was, though it is wanted otherwise.
    fn set_feature(&mut self, name: &str, key: &str, on: bool) -> bool {
        let Some(features) = self.features.get_mut(name) else { return false };
        let before = shown(features);
        let mut found = features.iter_mut().filter(|(feature, _)| feature.trim() == key);
        match found.next() {
            Some((_, Some(wanted))) => *wanted = on,
            _ => return false,
        }
        let first = |text: &str| text.replace(" [requested on]", "");
        first(&before) != first(&shown(features))
    }

    fn set_coalesce(&mut self, name: &str, key: &str, value: &str) -> bool {
        let setting = self.coalesce.get_mut(name).and_then(|settings| settings.get_mut(key));
        match (setting, value.parse::<u64>()) {
            (Some(setting), Ok(value)) => *setting = value / USECS_UNIT * USECS_UNIT,
            _ => return false,
        }
        true
    }
}

fn shown(features: &[(&'static str, Option<bool>)]) -> String {
    let is_on = |name: &str| features.contains(&(name, Some(true)));
    let lines = features.iter().map(|(name, wanted)| {
        let value = match wanted {
            None => "off [fixed]",
            Some(true) if *name == NEEDS.0 && !is_on(NEEDS.1) => "off [requested on]",
            Some(true) => "on",
            Some(false) => "off",
        };
        format!("{name}: {value}\n")
    });
    lines.collect()
}
