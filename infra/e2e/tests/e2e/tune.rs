//! Settings applied in a namespace and reverted: what a user can look at is as it was before.

use crate::lab::{End, Lab, binary, send, succeeded};
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

/// An interface of the test's own, as a kernel makes it: with its offloads on.
const INTERFACE: &str = "e2e-tune0";
const PEER: &str = "e2e-tune1";

/// A namespace with the interface, and a folder.
struct Bench {
    lab: Lab,
    folder: PathBuf,
}

impl Drop for Bench {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            eprintln!("{} is left: {error}", self.folder.display());
        }
    }
}

impl Bench {
    fn new() -> Self {
        // Taken first: tests take turns, and so do their folders.
        let lab = Lab::new();
        let folder = std::env::temp_dir().join(format!("showdown-e2e-tune-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a temporary folder");
        let bench = Self { lab, folder };
        // It goes with the namespace.
        let link = ["link", "add", INTERFACE, "type", "veth", "peer", "name", PEER];
        bench.lab.run(End::Server, "ip", &link);
        bench.lab.run(End::Server, "ethtool", &["-K", INTERFACE, "gro", "on"]);
        bench
    }

    /// Everything below `/proc/sys/net` and of the interface in `/sys`, and what ethtool shows.
    fn state(&self) -> Vec<String> {
        // What the kernel counts changes by itself; some files can be written only.
        let files = format!(
            "find -H /proc/sys/net /sys/class/net/{INTERFACE} -type f -perm /u=r \
             ! -path '*/statistics/*' ! -name nf_conntrack_count ! -name uevent \
             -exec grep -sH '' {{}} + | sort; ethtool -k {INTERFACE}; ethtool -l {INTERFACE}"
        );
        let text = self.lab.run(End::Server, "sh", &["-c", &files]);
        text.lines().map(str::to_owned).collect()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.lab.command(End::Server, &binary("showdown"), &["tune"]);
        command.args(arguments).arg("--state").arg(self.folder.join("state/journal"));
        command
    }

    fn tune(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("it was built")
    }

    fn revert(&self) -> String {
        succeeded("showdown tune revert", &self.tune(&["revert"]))
    }

    /// Applies `offloads` with an `ethtool` that waits at a feature, before or after it is set,
    /// and returns once it waits there; it goes on when the second value is dropped.
    fn apply_until(&self, feature: &str, is_set: bool) -> (Child, File) {
        let (fake, fifo) = (self.folder.join("ethtool"), self.folder.join("fifo"));
        let make = Command::new("mkfifo").arg(&fifo).output().expect("coreutils");
        succeeded("mkfifo", &make);
        let mut real = Command::new("sh");
        real.args(["-c", "PATH=$PATH:/usr/sbin; command -v ethtool"]);
        let real = succeeded("command -v", &real.output().expect("sh is there"));
        let set = if is_set { format!("{} \"$@\"; ", real.trim()) } else { String::new() };
        let script = format!(
            "#!/bin/sh\nif [ \"$1 $3\" = '-K {feature}' ]; then {set}read _ <'{}'; exit 1; fi\n\
             exec {} \"$@\"\n",
            fifo.display(),
            real.trim()
        );
        fs::write(&fake, script).expect("a temporary file");
        fs::set_permissions(&fake, fs::Permissions::from_mode(0o755)).expect("ours");
        let mut command = self.command(&["apply", "offloads", "--interface", INTERFACE]);
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{path}", self.folder.display()));
        let child = command.stdout(Stdio::null()).spawn().expect("it was built");
        // Opening it returns once the other side has opened it, too.
        let held = File::options().write(true).open(&fifo).expect("made above");
        fs::remove_file(&fifo).expect("made above");
        fs::remove_file(&fake).expect("made above");
        (child, held)
    }
}

#[test]
fn profiles_are_applied_and_reverted_exactly() {
    let bench = Bench::new();
    let before = bench.state();
    assert!(before.len() > 500, "{} lines", before.len());
    for (profile, line) in [
        ("offloads", format!("ethtool -K {INTERFACE} tx-checksum-ip-generic: on -> off")),
        ("pinning", format!("/sys/class/net/{INTERFACE}/queues/rx-0/rps_cpus: ")),
        ("talawah", "net.ipv4.tcp_congestion_control: ".to_owned()),
    ] {
        let apply = ["apply", profile, "--interface", INTERFACE];
        let log = succeeded(profile, &bench.tune(&apply));
        assert!(log.lines().any(|said| said.starts_with(&line)), "{line} in:\n{log}");
        assert_ne!(bench.state(), before, "{profile} changes something:\n{log}");
        let again = bench.tune(&apply);
        let error = String::from_utf8_lossy(&again.stderr);
        assert!(!again.status.success() && error.contains("tune revert"), "{error}");
        let shown = succeeded("show", &bench.tune(&["show"]));
        assert!(shown.contains(&format!("profile '{profile}' is applied")), "{shown}");
        bench.revert();
        assert_eq!(bench.state(), before, "{profile}:\n{log}");
    }
    assert_eq!(bench.revert(), "nothing is applied\n");
}

#[test]
fn after_kill_9_in_the_middle_revert_restores_everything() {
    let bench = Bench::new();
    let before = bench.state();
    for is_set in [false, true] {
        let (mut apply, held) = bench.apply_until("tx-tcp-segmentation", is_set);
        let another = bench.tune(&["revert"]);
        let error = String::from_utf8_lossy(&another.stderr);
        assert!(error.contains("another 'showdown tune' works"), "{error}");
        send(apply.id(), "KILL");
        assert!(!apply.wait().expect("our child").success());
        drop(held);
        assert_ne!(bench.state(), before, "the checksums are off already");
        let shown = succeeded("show", &bench.tune(&["show"]));
        assert!(shown.contains("was applied in part"), "{shown}");
        bench.revert();
        assert_eq!(bench.state(), before, "with the feature {is_set}");
        assert_eq!(bench.revert(), "nothing is applied\n");
    }
}

#[test]
fn what_cannot_be_applied_whole_is_not_applied() {
    let bench = Bench::new();
    let before = bench.state();
    let profile = bench.folder.join("own.toml");
    let text = "summary = 'A.'\nsource = 'B.'\n\
                [[setting]]\nfeature = 'tx-checksumming'\nvalue = 'off'\nwhy = 'C.'\n\
                [[setting]]\nsysctl = 'net.ipv4.tcp_congestion_control'\n\
                value = 'none'\nwhy = 'D.'\n";
    fs::write(&profile, text).expect("a temporary file");
    let profile = profile.to_str().expect("UTF-8");
    let output = bench.tune(&["apply", profile, "--interface", INTERFACE]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && error.contains("nothing was changed"), "{error}");
    assert!(error.contains("tcp_congestion_control"), "{error}");
    assert_eq!(bench.state(), before, "{error}");
    assert_eq!(bench.revert(), "nothing is applied\n");
}
