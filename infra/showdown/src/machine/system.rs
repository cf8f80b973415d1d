//! The running kernel and the programs that are installed.

use super::{DeviceFeatures, Output, Probe, Uring, netdev};
use io_uring::{IoUring, cqueue, opcode, squeue};
use rustix::fs::MemfdFlags;
use rustix::net::{AddressFamily, SocketType};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

/// Debian keeps `ethtool` and `modprobe` where the PATH of ordinary users does not lead.
const SYSTEM_FOLDERS: [&str; 2] = ["/usr/sbin", "/sbin"];

/// Of a ring that is only looked at.
const RING_ENTRIES: u32 = 2;

type Builder = io_uring::Builder<squeue::Entry, cqueue::Entry>;

/// The way to them.
pub(super) struct System {
    path: OsString,
}

impl System {
    /// The folders that programs are looked for in, and the probe that finds them there.
    pub(super) fn new() -> (Vec<PathBuf>, Self) {
        let own = std::env::var_os("PATH").unwrap_or_default();
        let mut folders: Vec<PathBuf> = std::env::split_paths(&own).collect();
        folders.extend(SYSTEM_FOLDERS.map(PathBuf::from));
        // A folder with a colon in its name cannot be in a PATH: it came from none.
        let path = std::env::join_paths(&folders).unwrap_or(own);
        (folders, Self { path })
    }
}

impl Probe for System {
    fn run(&self, command: &[&str]) -> io::Result<Output> {
        let (program, arguments) = command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let mut command = Command::new(program);
        // What is read from it is read in English.
        command.args(arguments).env("PATH", &self.path).env("LC_ALL", "C").stdin(Stdio::null());
        let output = command.output()?;
        Ok(Output {
            success: output.status.success(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        })
    }

    fn io_uring(&self) -> io::Result<Uring> {
        let ring = IoUring::new(RING_ENTRIES)?;
        let mut probe = io_uring::Probe::new();
        ring.submitter().register_probe(&mut probe)?;
        let parameters = ring.params();
        let has = [
            ("fast poll", parameters.is_feature_fast_poll()),
            // The kernel has no bit for it; both came with Linux 6.0.
            ("multishot receive", probe.is_supported(opcode::SendZc::CODE)),
            ("zero-copy send", probe.is_supported(opcode::SendZc::CODE)),
            ("send and receive bundles", parameters.is_feature_recvsend_bundle()),
            ("minimum wait", parameters.is_feature_min_timeout()),
            ("SINGLE_ISSUER", can_be_built(Builder::setup_single_issuer)),
            (
                "DEFER_TASKRUN",
                can_be_built(|ring| ring.setup_single_issuer().setup_defer_taskrun()),
            ),
            ("NO_SQARRAY", can_be_built(Builder::setup_no_sqarray)),
        ];
        let (yes, no): (Vec<_>, Vec<_>) = has.into_iter().partition(|(_, has)| *has);
        let names = |features: Vec<(&'static str, bool)>| {
            features.into_iter().map(|(name, _)| name).collect()
        };
        Ok(Uring { has: names(yes), lacks: names(no) })
    }

    fn memif(&self) -> io::Result<()> {
        rustix::fs::memfd_create("showdown-doctor", MemfdFlags::CLOEXEC)?;
        rustix::net::socket(AddressFamily::UNIX, SocketType::SEQPACKET, None)?;
        Ok(())
    }

    fn device_features(&self, interface_index: u32) -> io::Result<DeviceFeatures> {
        netdev::device_features(interface_index)
    }

    fn write(&self, path: &Path, value: &str) -> io::Result<()> {
        let mut file = File::options().write(true).truncate(true).open(path)?;
        file.write_all(format!("{value}\n").as_bytes())
    }

    fn append(&self, file: &mut File, line: &str) -> io::Result<()> {
        file.write_all(format!("{line}\n").as_bytes())?;
        file.sync_all()
    }

    #[expect(clippy::disallowed_methods, reason = "stolen time is measured over a stretch of it")]
    fn pause(&self, time: Duration) {
        thread::sleep(time);
    }
}

/// Whether the kernel makes a ring with these flags.
fn can_be_built(set: impl FnOnce(&mut Builder) -> &mut Builder) -> bool {
    set(&mut IoUring::builder()).build(RING_ENTRIES).is_ok()
}
