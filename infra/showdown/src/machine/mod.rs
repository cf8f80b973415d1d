//! The machine as `doctor` and `tune` see it: files below a root, programs, and a few questions
//! that only the running kernel answers.
//!
//! Everything goes through [`Machine`], so that tests bring machines of their own as folders.
//! Reading changes nothing; [`Machine::write`] is for `tune` alone.

#[cfg(test)]
pub(crate) mod devices;
#[cfg(test)]
pub(crate) mod fixture;
mod netdev;
pub(crate) mod network;
mod system;

use anyhow::{Context, Result, anyhow};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What a program wrote and how it ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct Output {
    /// Whether its exit status was 0.
    pub(crate) success: bool,
    /// Standard output.
    pub(crate) stdout: String,
    /// Standard error.
    pub(crate) stderr: String,
}

/// What this kernel's io_uring has.
#[derive(Clone, Debug, Default)]
pub(crate) struct Uring {
    /// What it has of what `server-uring` profits from.
    pub(crate) has: Vec<&'static str>,
    /// What it lacks of it.
    pub(crate) lacks: Vec<&'static str>,
}

/// What a driver says of itself by the netlink family `netdev`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct DeviceFeatures {
    /// An XDP program runs in the driver.
    pub(crate) xdp_native: bool,
    /// AF_XDP without a copy.
    pub(crate) xsk_zero_copy: bool,
    /// Receive queues that a waiting thread can poll; `None` before Linux 6.8.
    pub(crate) napis: Option<usize>,
}

/// Questions to programs and to the running kernel.
pub(crate) trait Probe {
    /// Runs a program to its end.
    ///
    /// # Errors
    /// Where it cannot be started.
    fn run(&self, command: &[&str]) -> io::Result<Output>;

    /// Makes rings and closes them.
    ///
    /// # Errors
    /// What the kernel said.
    fn io_uring(&self) -> io::Result<Uring>;

    /// Makes what memif consists of, shared memory and a SEQPACKET socket, and closes it.
    ///
    /// # Errors
    /// What the kernel said.
    fn memif(&self) -> io::Result<()>;

    /// Asks the driver of an interface, by its index.
    ///
    /// # Errors
    /// What the kernel said; kernels before Linux 6.3 do not know the question.
    fn device_features(&self, interface_index: u32) -> io::Result<DeviceFeatures>;

    /// Writes a value and a line end to a file that is there.
    ///
    /// # Errors
    /// What the kernel said.
    fn write(&self, path: &Path, value: &str) -> io::Result<()>;

    /// Adds a line to a file, and returns when it is on the disk.
    ///
    /// # Errors
    /// What the kernel said.
    fn append(&self, file: &mut File, line: &str) -> io::Result<()>;

    /// Lets time pass, for what is measured as a difference.
    fn pause(&self, time: Duration);
}

/// A machine: this one, or one of a test.
pub(crate) struct Machine {
    root: PathBuf,
    /// Folders in which programs are looked for.
    path: Vec<PathBuf>,
    probe: Box<dyn Probe>,
}

impl Machine {
    /// The one that this program runs on.
    pub(crate) fn this() -> Self {
        let (path, probe) = system::System::new();
        Self { root: PathBuf::from("/"), path, probe: Box::new(probe) }
    }

    /// The file of this machine that its users know as `path`, which is absolute.
    fn real(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// The text of a file without white space around it; `None` where it cannot be read: many of
    /// the files asked for exist on some machines only.
    pub(crate) fn read(&self, path: &str) -> Option<String> {
        self.try_read(path).ok()
    }

    /// As [`read`](Self::read), with the reason.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub(crate) fn try_read(&self, path: &str) -> io::Result<String> {
        fs::read_to_string(self.real(path)).map(|text| text.trim().to_owned())
    }

    /// A file that holds one number.
    pub(crate) fn number(&self, path: &str) -> Option<u64> {
        self.read(path)?.parse().ok()
    }

    /// Writes a value to a file that is there, in one system call, as `/proc/sys` and `/sys` want.
    ///
    /// # Errors
    /// Where it cannot be written, with the cure where the cause is known.
    pub(crate) fn write(&self, path: &str, value: &str) -> Result<()> {
        self.probe.write(&self.real(path), value).map_err(|error| {
            let cure = match error.kind() {
                io::ErrorKind::PermissionDenied => ": run it with sudo",
                io::ErrorKind::InvalidInput => ": the kernel does not take this value",
                _ => "",
            };
            anyhow!("'{value}' cannot be written to {path} ({error}){cure}")
        })
    }

    /// Whether a path is there.
    pub(crate) fn exists(&self, path: &str) -> bool {
        self.real(path).exists()
    }

    /// Names in a folder, sorted with numbers by their value; none where it is not there.
    pub(crate) fn list(&self, folder: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.real(folder)) else { return Vec::new() };
        let mut names: Vec<String> =
            entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
        names.sort_by_key(|name| natural(name));
        names
    }

    /// Paths that match a pattern in which a `*` stands for any part of one name, sorted.
    pub(crate) fn glob(&self, pattern: &str) -> Vec<String> {
        let mut found = vec![String::new()];
        for part in pattern.trim_start_matches('/').split('/') {
            found = found.iter().flat_map(|folder| self.glob_one(folder, part)).collect();
        }
        found.retain(|path| self.exists(path));
        found
    }

    fn glob_one(&self, folder: &str, part: &str) -> Vec<String> {
        let Some((start, end)) = part.split_once('*') else {
            return vec![format!("{folder}/{part}")];
        };
        let fits = |name: &String| {
            name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end)
        };
        let names = self.list(if folder.is_empty() { "/" } else { folder });
        names.into_iter().filter(fits).map(|name| format!("{folder}/{name}")).collect()
    }

    /// The last name of what a symbolic link leads to.
    pub(crate) fn link_name(&self, path: &str) -> Option<String> {
        let target = fs::read_link(self.real(path)).ok()?;
        target.file_name()?.to_str().map(str::to_owned)
    }

    /// Whether a program is installed.
    pub(crate) fn has_program(&self, name: &str) -> bool {
        self.path.iter().any(|folder| {
            let folder = folder.strip_prefix("/").unwrap_or(folder);
            self.root.join(folder).join(name).is_file()
        })
    }

    /// Runs a program and returns what it printed; `None` where it is not there or fails.
    pub(crate) fn ask(&self, command: &[&str]) -> Option<String> {
        let output = self.probe.run(command).ok()?;
        output.success.then_some(output.stdout)
    }

    /// Runs a program to its end.
    ///
    /// # Errors
    /// Where it cannot be started, with the command that installs `ethtool`, the only one that
    /// `tune` needs.
    pub(crate) fn run(&self, command: &[&str]) -> Result<Output> {
        self.probe.run(command).with_context(|| {
            let program = command.first().unwrap_or(&"");
            format!("{program} cannot be started; cure: apt-get install {program}")
        })
    }

    /// What only the running kernel can say.
    pub(crate) fn probe(&self) -> &dyn Probe {
        &*self.probe
    }

    /// The kernel's version, major and minor.
    pub(crate) fn kernel(&self) -> Option<(u32, u32)> {
        let release = self.read("/proc/sys/kernel/osrelease")?;
        let mut numbers = release.split(|char: char| !char.is_ascii_digit());
        Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
    }

    /// A line `name: value` of `/proc/self/status`.
    pub(crate) fn status(&self, name: &str) -> Option<String> {
        let status = self.read("/proc/self/status")?;
        let mut lines = status.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(key, _)| *key == name).map(|(_, value)| value.trim().to_owned())
    }

    /// Whether this process has a capability.
    pub(crate) fn has(&self, capability: Capability) -> bool {
        let mask = self.status("CapEff").and_then(|mask| u64::from_str_radix(&mask, 16).ok());
        mask.is_some_and(|mask| mask & (1 << capability as u32) != 0)
    }

    /// The CPUs that this process may use.
    pub(crate) fn cpus(&self) -> Vec<usize> {
        let list = self.status("Cpus_allowed_list");
        list.and_then(|list| crate::environment::parse_cpu_list(&list)).unwrap_or_default()
    }
}

/// Numbers of capabilities, from `linux/capability.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Capability {
    /// `CAP_NET_ADMIN`
    NetAdmin = 12,
    /// `CAP_NET_RAW`
    NetRaw = 13,
    /// `CAP_IPC_LOCK`
    IpcLock = 14,
    /// `CAP_SYS_ADMIN`
    SysAdmin = 21,
    /// `CAP_PERFMON`
    Perfmon = 38,
    /// `CAP_BPF`
    Bpf = 39,
}

/// A key by which `cpu10` comes after `cpu9`: the name with its numbers padded.
fn natural(name: &str) -> String {
    let mut key = String::new();
    let mut rest = name;
    while let Some(start) = rest.find(|char: char| char.is_ascii_digit()) {
        let (text, number) = rest.split_at(start);
        let end = number.find(|char: char| !char.is_ascii_digit()).unwrap_or(number.len());
        // Twenty digits hold every u64.
        key.push_str(&format!("{text}{:0>20}", &number[..end]));
        rest = &number[end..];
    }
    key + rest
}

#[cfg(test)]
mod tests {
    use super::fixture::Fixture;
    use super::*;

    #[test]
    fn names_are_sorted_by_the_numbers_in_them() {
        let machine = Fixture::new()
            .file("/sys/q/rx-10/rps_cpus", "1")
            .file("/sys/q/rx-9/rps_cpus", "2")
            .file("/sys/q/tx-0/xps_cpus", "3")
            .machine();
        assert_eq!(machine.list("/sys/q"), ["rx-9", "rx-10", "tx-0"]);
        let paths = machine.glob("/sys/q/rx-*/rps_cpus");
        assert_eq!(paths, ["/sys/q/rx-9/rps_cpus", "/sys/q/rx-10/rps_cpus"]);
        assert_eq!(machine.glob("/sys/q/tx-*/rps_cpus"), [""; 0]);
        assert_eq!(machine.glob("/sys/q/tx-0/xps_cpus"), ["/sys/q/tx-0/xps_cpus"]);
    }

    #[test]
    fn what_the_kernel_says_of_the_process_is_understood() {
        let status = "Name:\tx\nCapEff:\t0000008000001000\nCpus_allowed_list:\t0-1,4\n";
        let machine = Fixture::new()
            .file("/proc/self/status", status)
            .file("/proc/sys/kernel/osrelease", "6.1.0-13-amd64")
            .machine();
        assert!(machine.has(Capability::NetAdmin) && machine.has(Capability::Bpf));
        assert!(!machine.has(Capability::NetRaw));
        assert_eq!(machine.cpus(), [0, 1, 4]);
        assert_eq!(machine.kernel(), Some((6, 1)));
    }

    #[test]
    fn only_files_that_are_there_are_written() {
        let machine = Fixture::new().file("/sys/a", "1").machine();
        machine.write("/sys/a", "2").unwrap();
        assert_eq!(machine.read("/sys/a").as_deref(), Some("2"));
        let error = machine.write("/sys/b", "2").unwrap_err().to_string();
        assert!(error.contains("/sys/b"), "{error}");
        assert!(!machine.exists("/sys/b"));
    }
}
