//! The scripts that change hardware, on a sysfs of files: `hugepages.sh` and `nic-bind.sh`.
//!
//! Nothing of the machine is touched, and no privilege is needed.
#![forbid(unsafe_code)]

mod hugepages;
mod nic_bind;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A sysfs, a place for notes, and programs that stand for others; gone when dropped.
struct Machine {
    root: PathBuf,
}

/// What a script did.
struct Outcome {
    status: i32,
    output: String,
    error: String,
}

impl Machine {
    fn new(name: &str) -> Self {
        let root = std::env::temp_dir().join(format!("xtask-{name}-{}", std::process::id()));
        fs::create_dir_all(root.join("bin")).expect("a folder for temporary files");
        Self { root: root.canonicalize().expect("it is there") }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// Makes a file, and the folders above it.
    fn put(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("below the root")).expect("folders");
        fs::write(path, text).expect("a file");
    }

    fn get(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).expect("the file is there").trim().to_owned()
    }

    fn link(&self, path: &str, target: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("below the root")).expect("folders");
        symlink(self.path(target), path).expect("a link");
    }

    /// Puts a program first in the PATH of scripts.
    fn program(&self, name: &str, script: &str) {
        self.put(&format!("bin/{name}"), script);
        let path = self.path(&format!("bin/{name}"));
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("our file");
    }

    /// Runs a script; one that hangs is ended, with status 124.
    fn run(&self, script: &str, arguments: &str) -> Outcome {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts");
        let path = std::env::var("PATH").expect("UTF-8");
        let path = format!("{}:{path}", self.path("bin").display());
        let mut command = Command::new("timeout");
        command.arg("60").arg(scripts.join(script)).args(arguments.split_whitespace());
        command.env("SHOWDOWN_SYSFS", self.path("sys")).env("SHOWDOWN_STATE", self.path("state"));
        let output = command.env("PATH", path).output().expect("timeout is there");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Outcome {
            status: output.status.code().expect("no signal"),
            output: text(output.stdout),
            error: text(output.stderr),
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.root).expect("our own folder");
    }
}

impl Outcome {
    /// Asserts the exit status, and that standard error has these words.
    fn is(&self, status: i32, words: &str) {
        assert_eq!(self.status, status, "{}", self.error);
        assert!(self.error.contains(words), "`{}` lacks `{words}`", self.error);
    }
}
