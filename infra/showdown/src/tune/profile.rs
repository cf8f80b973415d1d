//! Profiles: files that say what is to be set, to what, and why.

use super::target::{Table, Target};
use crate::machine::{Machine, network};
use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use std::fs;

/// Those that come with this program.
const SHIPPED: [(&str, &str); 6] = [
    ("busy-poll", include_str!("../../../tuning/busy-poll.toml")),
    ("irq-suspension", include_str!("../../../tuning/irq-suspension.toml")),
    ("latency", include_str!("../../../tuning/latency.toml")),
    ("offloads", include_str!("../../../tuning/offloads.toml")),
    ("pinning", include_str!("../../../tuning/pinning.toml")),
    ("talawah", include_str!("../../../tuning/talawah.toml")),
];

/// What a file says.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Profile {
    /// Its name: of a file of one's own, the file's.
    #[serde(skip)]
    pub(super) name: String,
    /// What it is for, in a sentence.
    pub(super) summary: String,
    /// Where it comes from, in a sentence.
    pub(super) source: String,
    /// What is set, in this order.
    #[serde(rename = "setting")]
    pub(super) settings: Vec<Setting>,
    /// What is only told.
    #[serde(default)]
    pub(super) advice: Vec<Advice>,
}

/// One line of a profile; it may become several changes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Setting {
    /// Exactly one of these six says what: a sysctl by its name,
    sysctl: Option<String>,
    /// a file, in whose path a `*` stands for every name that fits, `{interface}` for the
    /// interface, and `{irq}` for each interrupt of its queues,
    file: Option<String>,
    /// a feature of the interface, or all those that `ethtool -k` shows below it,
    feature: Option<String>,
    /// a number of queues,
    channels: Option<String>,
    /// a delay of interrupts,
    coalesce: Option<String>,
    /// the length of a queue.
    ring: Option<String>,
    /// The value. `{cpu}` is a CPU for each queue, `{cpu_mask}` the same as a mask, `{rps_mask}`
    /// every CPU where there is a single queue for receiving, and none otherwise.
    value: String,
    /// Why it helps, in a sentence.
    pub(super) why: String,
    /// Whether the profile is applied without it where this machine does not take it.
    #[serde(default)]
    pub(super) optional: bool,
    /// Whether it is left out for interfaces that are no devices on a bus, such as veth.
    #[serde(default)]
    pub(super) devices_only: bool,
}

/// What a user must do himself.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Advice {
    /// The command.
    pub(super) command: String,
    /// Why, in a sentence.
    pub(super) why: String,
    /// Told only while a process of this name runs.
    process: Option<String>,
}

/// One change that a setting asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// What is set.
    pub(super) target: Target,
    /// To what.
    pub(super) wanted: String,
}

impl Profile {
    /// Names of those that come with this program.
    pub(super) fn shipped() -> impl Iterator<Item = &'static str> {
        SHIPPED.iter().map(|(name, _)| *name)
    }

    /// Reads one of them, or a file whose name ends in `.toml`.
    ///
    /// # Errors
    /// A sentence where there is none, or where it is not as it should be.
    pub(super) fn load(name: &str) -> Result<Self> {
        if let Some((name, text)) = SHIPPED.iter().find(|(shipped, _)| *shipped == name) {
            return Self::parse(name, text);
        }
        ensure!(
            name.ends_with(".toml"),
            "there is no profile '{name}'; there are {}, and files that end in .toml",
            Self::shipped().collect::<Vec<_>>().join(", ")
        );
        let text = fs::read_to_string(name).with_context(|| format!("{name} cannot be read"))?;
        Self::parse(name, &text)
    }

    /// Reads the text of a profile.
    ///
    /// # Errors
    /// Where it is not as it should be.
    pub(super) fn parse(name: &str, text: &str) -> Result<Self> {
        let mut profile: Self =
            toml::from_str(text).with_context(|| format!("{name} is no profile"))?;
        name.clone_into(&mut profile.name);
        for setting in &profile.settings {
            setting.check().with_context(|| format!("{name} is no profile"))?;
        }
        Ok(profile)
    }

    /// Whether it sets anything of an interface.
    pub(super) fn needs_interface(&self) -> bool {
        self.settings.iter().any(Setting::needs_interface)
    }

    /// What is to be told on this machine.
    pub(super) fn advice_here<'a>(
        &'a self,
        machine: &'a Machine,
    ) -> impl Iterator<Item = &'a Advice> {
        self.advice
            .iter()
            .filter(|advice| advice.process.as_ref().is_none_or(|name| is_running(machine, name)))
    }
}

fn is_running(machine: &Machine, name: &str) -> bool {
    machine.glob("/proc/*/comm").iter().any(|path| machine.read(path).as_deref() == Some(name))
}

impl Setting {
    fn kinds(&self) -> [&Option<String>; 6] {
        [&self.sysctl, &self.file, &self.feature, &self.channels, &self.coalesce, &self.ring]
    }

    fn check(&self) -> Result<()> {
        let count = self.kinds().into_iter().flatten().count();
        ensure!(
            count == 1,
            "the setting to '{}' has {count} of sysctl, file, feature, channels, coalesce and \
             ring: it must have one",
            self.value
        );
        Ok(())
    }

    /// Its name in the file.
    pub(super) fn name(&self) -> &str {
        self.kinds().into_iter().flatten().next().map_or("", String::as_str)
    }

    fn needs_interface(&self) -> bool {
        let of_file = self.file.as_ref().or(self.sysctl.as_ref());
        of_file.is_none_or(|path| path.contains("{interface}") || path.contains("{irq}"))
    }

    /// What it asks for on this machine, as it is now.
    ///
    /// # Errors
    /// Where this machine has nothing that it could set.
    pub(super) fn steps(&self, machine: &Machine, interface: Option<&str>) -> Result<Vec<Step>> {
        let interface = interface.unwrap_or_default();
        if let Some(key) = &self.sysctl {
            let path = format!("/proc/sys/{}", key.replace('.', "/"));
            return self.files(machine, interface, &path);
        }
        if let Some(path) = &self.file {
            return self.files(machine, interface, path);
        }
        if let Some(name) = &self.feature {
            return self.features(machine, interface, name);
        }
        let tables = [
            (&self.channels, Table::Channels),
            (&self.coalesce, Table::Coalesce),
            (&self.ring, Table::Ring),
        ];
        for (name, table) in tables {
            if let Some(name) = name {
                let (interface, name) = (interface.to_owned(), name.clone());
                let target = Target::Ethtool { interface, table, name };
                return Ok(vec![Step { target, wanted: self.value.clone() }]);
            }
        }
        bail!("it sets nothing")
    }

    fn files(&self, machine: &Machine, interface: &str, pattern: &str) -> Result<Vec<Step>> {
        let pattern = pattern.replace("{interface}", interface);
        let found: Vec<(usize, String)> = if pattern.contains("{irq}") {
            let irqs = network::queue_interrupts(machine, interface);
            let paths = irqs.iter().enumerate().map(|(index, (irq, action))| {
                let path = pattern.replace("{irq}", &irq.to_string());
                (last_number(action).unwrap_or(index), path)
            });
            paths.collect()
        } else {
            machine.glob(&pattern).into_iter().enumerate().collect()
        };
        ensure!(!found.is_empty(), "{}", absent(&pattern));
        let cpus = machine.cpus();
        let steps = found.into_iter().map(|(index, path)| {
            let cpu = cpus.get(index % cpus.len().max(1)).copied().unwrap_or(0);
            let value = self.value.replace("{cpu_mask}", &mask(&[cpu]));
            let value = value.replace("{rps_mask}", &rps_mask(machine, interface, &cpus));
            let wanted = value.replace("{cpu}", &cpu.to_string());
            Step { target: Target::File { path }, wanted }
        });
        Ok(steps.collect())
    }

    /// A feature, or the features below it: `ethtool` sets all of those together, so that each
    /// is set by itself here, and each gets its own value back.
    fn features(&self, machine: &Machine, interface: &str, name: &str) -> Result<Vec<Step>> {
        let all = network::features(machine, interface)
            .with_context(|| format!("ethtool -k {interface} shows nothing; is it installed?"))?;
        let at = all.iter().position(|(feature, _)| feature.trim() == name);
        let at = at.with_context(|| format!("{interface} has no feature {name}"))?;
        let below = all[at + 1..].iter().take_while(|(feature, _)| feature.starts_with('\t'));
        let mut names: Vec<&str> = below
            .filter(|(_, value)| !Target::is_fixed(value))
            .map(|(feature, _)| feature.trim())
            .collect();
        let is_below = all[at].0.starts_with('\t');
        if names.is_empty() || is_below {
            names = vec![name];
        }
        let steps = names.into_iter().map(|name| {
            let (interface, name) = (interface.to_owned(), name.to_owned());
            let target = Target::Ethtool { interface, table: Table::Feature, name };
            Step { target, wanted: self.value.clone() }
        });
        Ok(steps.collect())
    }
}

fn absent(path: &str) -> String {
    match path.strip_prefix("/proc/sys/") {
        Some(sysctl) => format!(
            "there is no {} here: this kernel has it not, or only in the first network namespace",
            sysctl.replace('/', ".")
        ),
        None if path.contains("{irq}") => "the interface has no interrupts of its own".to_owned(),
        None => format!("there is no {path}"),
    }
}

/// Of `eth0-TxRx-3`, 3: queues for receiving and sending of one number belong together.
fn last_number(action: &str) -> Option<usize> {
    let digits = action.bytes().rev().take_while(u8::is_ascii_digit).count();
    action[action.len() - digits..].parse().ok()
}

/// Where a single queue receives, the kernel can hand its packets to every CPU.
fn rps_mask(machine: &Machine, interface: &str, cpus: &[usize]) -> String {
    let queues = machine.glob(&format!("/sys/class/net/{interface}/queues/rx-*")).len();
    if queues == 1 { mask(cpus) } else { mask(&[]) }
}

/// A mask as the kernel reads it: words of 32 bits, highest first.
fn mask(cpus: &[usize]) -> String {
    let words = cpus.iter().map(|cpu| cpu / 32 + 1).max().unwrap_or(1);
    let word = |index: usize| {
        let own = cpus.iter().filter(|cpu| **cpu / 32 == index);
        own.fold(0_u32, |word, cpu| word | 1 << (cpu % 32))
    };
    let mut text = format!("{:x}", word(words - 1));
    for index in (0..words - 1).rev() {
        text.push_str(&format!(",{:08x}", word(index)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn every_file_in_the_folder_comes_with_the_program_and_is_understood() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tuning");
        let mut names: Vec<String> = fs::read_dir(folder)
            .expect("the folder of profiles")
            .map(|entry| entry.expect("an entry").path())
            .map(|path| path.file_stem().expect("a name").to_str().expect("UTF-8").to_owned())
            .collect();
        names.sort();
        assert_eq!(names, Profile::shipped().collect::<Vec<_>>());
        for name in Profile::shipped() {
            let profile = Profile::load(name).unwrap();
            let sentences = profile.settings.iter().map(|setting| &setting.why);
            for sentence in sentences.chain([&profile.summary, &profile.source]) {
                assert!(sentence.ends_with('.'), "{name}: {sentence}");
            }
        }
    }

    #[test]
    fn what_is_no_profile_is_refused() {
        let check = |text: &str, part: &str| {
            let error = format!("{:#}", Profile::parse("x", text).unwrap_err());
            assert!(error.contains(part), "{error}");
        };
        let head = "summary = 'a'\nsource = 'b'\n[[setting]]\nvalue = '1'\nwhy = 'c'\n";
        check(head, "has 0 of");
        check(&format!("{head}sysctl = 'a.b'\nring = 'rx'\n"), "has 2 of");
        check(&format!("{head}sysctl = 'a.b'\ncolour = 'red'\n"), "colour");
        let error = Profile::load("fast").unwrap_err().to_string();
        assert!(error.contains("there is no profile 'fast'; there are busy-poll,"), "{error}");
    }

    #[test]
    fn masks_have_words_of_32_bits() {
        assert_eq!(mask(&[]), "0");
        assert_eq!(mask(&[0, 1, 5]), "23");
        assert_eq!(mask(&[31]), "80000000");
        assert_eq!(mask(&[0, 33]), "2,00000001");
        assert_eq!(last_number("virtio2-input.11"), Some(11));
        assert_eq!(last_number("eth0-rx"), None);
    }
}
