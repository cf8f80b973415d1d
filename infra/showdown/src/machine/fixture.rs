//! Machines of tests: a folder with their files, and answers that are laid down.

use super::devices::Devices;
use super::{DeviceFeatures, Machine, Output, Probe, Uring};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Tells folders of one process apart.
static COUNT: AtomicU32 = AtomicU32::new(0);

/// A machine in the making. What is not laid down is not there.
pub(crate) struct Fixture {
    root: Root,
    devices: RefCell<Devices>,
    crash: Rc<Cell<Crash>>,
    commands: BTreeMap<String, String>,
    uring: Option<Uring>,
    memif: bool,
    features: Option<DeviceFeatures>,
}

/// When a machine is to lose its power: at the effect of this number, from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Crash {
    /// Not at all.
    #[default]
    Never,
    /// Before it.
    Before(u32),
    /// With half of it done, where it has halves: a line of a file.
    Within(u32),
    /// After it.
    After(u32),
}

/// What is thrown where the power fails; whoever catches it goes on with what is left.
pub(crate) struct PowerFailed;

/// The folder, removed at the end.
pub(crate) struct Root(pub(crate) PathBuf);

impl Root {
    pub(crate) fn new() -> Self {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("showdown-machine-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a temporary folder");
        Self(path)
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("{} is left: {error}", self.0.display());
        }
    }
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let (root, commands) = (Root::new(), BTreeMap::new());
        let (devices, crash) = (RefCell::default(), Rc::default());
        Self { root, devices, crash, commands, uring: None, memif: true, features: None }
    }

    pub(crate) fn file(self, path: &str, text: &str) -> Self {
        put(&self.root.0, path, text);
        self
    }

    pub(crate) fn files(mut self, files: &[(&str, &str)]) -> Self {
        for (path, text) in files {
            self = self.file(path, text);
        }
        self
    }

    pub(crate) fn link(self, path: &str, target: &str) -> Self {
        let path = inside(&self.root.0, path);
        symlink(target, path).expect("a link");
        self
    }

    /// A program, and what it prints for these arguments; with none it is only installed.
    pub(crate) fn command(mut self, command: &str, prints: &str) -> Self {
        let program = command.split(' ').next().expect("a program");
        put(&self.root.0, &format!("/usr/bin/{program}"), "");
        self.commands.insert(command.to_owned(), prints.to_owned());
        self
    }

    pub(crate) fn uring(mut self, has: &[&'static str], lacks: &[&'static str]) -> Self {
        self.uring = Some(Uring { has: has.to_vec(), lacks: lacks.to_vec() });
        self
    }

    pub(crate) fn without_memif(mut self) -> Self {
        self.memif = false;
        self
    }

    pub(crate) fn device_features(mut self, features: DeviceFeatures) -> Self {
        self.features = Some(features);
        self
    }

    /// Interfaces that `ethtool` can set.
    pub(crate) fn devices(self, devices: Devices) -> Self {
        self.devices.replace(devices);
        self
    }

    /// What decides when its power fails.
    pub(crate) fn crash(&self) -> Rc<Cell<Crash>> {
        Rc::clone(&self.crash)
    }

    /// The folder that is its root.
    pub(crate) fn path(&self) -> PathBuf {
        self.root.0.clone()
    }

    /// Does something that lasts, unless the power fails; `half` is what is left of it then.
    fn effect<T>(&self, half: impl FnOnce(), act: impl FnOnce() -> T) -> T {
        // Thousands of failures: unwound without a panic's message and backtrace.
        let fail = || std::panic::resume_unwind(Box::new(PowerFailed));
        match self.crash.get() {
            Crash::Never => act(),
            Crash::Before(0) => fail(),
            Crash::Within(0) => {
                half();
                fail()
            }
            Crash::After(0) => {
                act();
                fail()
            }
            Crash::Before(left) => self.go_on(Crash::Before(left - 1), act),
            Crash::Within(left) => self.go_on(Crash::Within(left - 1), act),
            Crash::After(left) => self.go_on(Crash::After(left - 1), act),
        }
    }

    fn go_on<T>(&self, crash: Crash, act: impl FnOnce() -> T) -> T {
        self.crash.set(crash);
        act()
    }

    pub(crate) fn machine(self) -> Machine {
        let root = self.root.0.clone();
        Machine { root, path: vec!["/usr/bin".into()], probe: Box::new(self) }
    }
}

/// The path below `root`, with the folders to it.
fn inside(root: &Path, path: &str) -> PathBuf {
    let path = root.join(path.trim_start_matches('/'));
    fs::create_dir_all(path.parent().expect("a folder")).expect("a temporary folder");
    path
}

fn put(root: &Path, path: &str, text: &str) {
    fs::write(inside(root, path), text).expect("a temporary file");
}

impl Probe for Fixture {
    fn run(&self, command: &[&str]) -> io::Result<Output> {
        if let Some(output) = self.devices.borrow().answer(command) {
            return Ok(output);
        }
        if command[0] == "ethtool" && command[1].starts_with("-") && command.len() == 5 {
            return Ok(self.effect(|| (), || self.devices.borrow_mut().set(command)));
        }
        let known = self.commands.get(&command.join(" "));
        let stdout = known.ok_or(io::ErrorKind::NotFound)?.clone();
        Ok(Output { success: true, stdout, stderr: String::new() })
    }

    fn io_uring(&self) -> io::Result<Uring> {
        self.uring.clone().ok_or_else(|| io::ErrorKind::Unsupported.into())
    }

    fn memif(&self) -> io::Result<()> {
        if self.memif { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) }
    }

    fn device_features(&self, _: u32) -> io::Result<DeviceFeatures> {
        self.features.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn write(&self, path: &Path, value: &str) -> io::Result<()> {
        self.effect(
            || (),
            || {
                // As the kernel does with what it finds out of bounds.
                if value.contains("refused") {
                    return Err(io::ErrorKind::InvalidInput.into());
                }
                let mut file = fs::File::options().write(true).truncate(true).open(path)?;
                writeln!(file, "{value}")
            },
        )
    }

    fn append(&self, file: &mut fs::File, line: &str) -> io::Result<()> {
        let mut torn = file.try_clone()?;
        let half = || write!(torn, "{}", &line[..line.len() / 2]).expect("a temporary file");
        self.effect(half, || writeln!(file, "{line}"))
    }

    /// What is read next is the second reading, where there is one.
    fn pause(&self, _: Duration) {
        if let Ok(later) = fs::read_to_string(self.root.0.join("proc/stat.later")) {
            put(&self.root.0, "/proc/stat", &later);
        }
    }
}
