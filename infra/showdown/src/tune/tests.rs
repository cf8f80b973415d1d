//! Profiles applied to machines of tests, with and without a power failure at every step.

use super::change::{apply, undo};
use super::journal::Place;
use super::profile::Profile;
use super::{choose, show};
use crate::machine::Machine;
use crate::machine::devices::Devices;
use crate::machine::fixture::{Crash, Fixture, PowerFailed};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::rc::Rc;

/// Of every kind of target something; tx-checksumming stands for two features.
const PROFILE: &str = r#"
summary = "A test."
source = "None."
[[setting]]
sysctl = "net.core.busy_poll"
value = "50"
why = "A."
[[setting]]
feature = "tx-checksumming"
value = "off"
why = "B."
[[setting]]
feature = "tcp-segmentation-offload"
value = "off"
why = "C."
[[setting]]
file = "/sys/class/net/{interface}/queues/rx-*/rps_cpus"
value = "{cpu_mask}"
why = "D."
[[setting]]
coalesce = "rx-usecs"
value = "50"
why = "E."
[[setting]]
coalesce = "adaptive-rx"
value = "off"
optional = true
why = "F."
"#;

/// A machine with a default route over eth0, and eth1.
struct Lab {
    machine: Machine,
    crash: Rc<Cell<Crash>>,
    root: PathBuf,
}

impl Lab {
    fn new() -> Self {
        let features = vec![
            ("rx-checksumming", None),
            ("tx-checksumming", Some(true)),
            ("\ttx-checksum-ip-generic", Some(true)),
            ("\ttx-checksum-fcoe-crc", None),
            ("\ttx-checksum-sctp", Some(false)),
            ("tcp-segmentation-offload", Some(true)),
            ("\ttx-tcp-segmentation", Some(true)),
            ("large-receive-offload", None),
        ];
        let devices = Devices {
            features: BTreeMap::from([("eth1".to_owned(), features)]),
            coalesce: BTreeMap::from([("eth1".to_owned(), BTreeMap::from([("rx-usecs", 8)]))]),
        };
        let route = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n\
                     eth0\t00000000\t01\t0003\t0\t0\t0\t00000000\t0\t0\t0\n";
        let fixture = Fixture::new()
            .files(&[
                ("/proc/self/status", "Cpus_allowed_list:\t0-1\n"),
                ("/proc/sys/kernel/random/boot_id", "1"),
                ("/proc/sys/net/core/busy_poll", "0\n"),
                ("/proc/net/route", route),
                ("/sys/class/net/eth0/ifindex", "2"),
                ("/sys/class/net/eth0/device/vendor", ""),
                ("/sys/class/net/eth1/ifindex", "3"),
                ("/sys/class/net/eth1/device/vendor", ""),
                ("/sys/class/net/eth1/queues/rx-0/rps_cpus", "00000000,00000000\n"),
                ("/sys/class/net/eth1/queues/rx-1/rps_cpus", "00000000,00000000\n"),
            ])
            .link("/proc/self/ns/net", "net:[1]")
            .devices(devices);
        let (crash, root) = (fixture.crash(), fixture.path());
        Self { machine: fixture.machine(), crash, root }
    }

    fn place(&self) -> Place {
        Place::take(&self.root.join("run/journal")).unwrap()
    }

    fn journal_exists(&self) -> bool {
        self.root.join("run/journal").exists()
    }

    fn apply(&self, profile: &str) -> anyhow::Result<Vec<String>> {
        let profile = Profile::parse("test", profile)?;
        apply(&self.machine, &profile, Some("eth1"), &self.place())
    }

    fn undo(&self, force: bool) -> anyhow::Result<Vec<String>> {
        undo(&self.machine, &self.place(), force)
    }

    /// Everything that the profile could change, as a user would look at it.
    fn state(&self) -> Vec<String> {
        let files = ["/proc/sys/net/core/busy_poll"].map(str::to_owned).into_iter();
        let files = files.chain(self.machine.glob("/sys/class/net/eth1/queues/*/rps_cpus"));
        let ask = |flag| self.machine.ask(&["ethtool", flag, "eth1"]).unwrap();
        let mut state: Vec<String> =
            files.map(|path| self.machine.read(&path).unwrap_or_default()).collect();
        state.extend([ask("-k"), ask("-c")]);
        state
    }

    fn set(&self, path: &str, value: &str) {
        self.machine.write(path, value).unwrap();
    }

    /// Does it, and says whether the power failed on the way.
    fn survives(&self, crash: Crash, act: impl FnOnce()) -> bool {
        self.crash.set(crash);
        let result = catch_unwind(AssertUnwindSafe(act));
        self.crash.set(Crash::Never);
        match result {
            Ok(()) => true,
            Err(thrown) if thrown.is::<PowerFailed>() => false,
            Err(thrown) => resume_unwind(thrown),
        }
    }
}

#[test]
fn a_profile_is_applied_and_reverted_exactly() {
    let lab = Lab::new();
    let before = lab.state();
    let log = lab.apply(PROFILE).unwrap();
    assert_eq!(
        log,
        [
            "net.core.busy_poll: 0 -> 50",
            "ethtool -K eth1 tx-checksum-ip-generic: on -> off",
            "ethtool -K eth1 tx-tcp-segmentation: off [requested on] -> off",
            "/sys/class/net/eth1/queues/rx-0/rps_cpus: 00000000,00000000 -> 1",
            "/sys/class/net/eth1/queues/rx-1/rps_cpus: 00000000,00000000 -> 2",
            // The driver rounds, and what it made of it is known as ours.
            "ethtool -C eth1 rx-usecs: 8 -> 48",
            "left out: ethtool -C eth1 adaptive-rx: this machine has no such setting",
        ]
    );
    assert_ne!(lab.state(), before);
    let again = lab.apply(PROFILE).unwrap_err().to_string();
    assert_eq!(again, "profile 'test' is applied already; cure: showdown tune revert");
    assert_eq!(lab.undo(false).unwrap().last().unwrap(), "reverted: test");
    assert_eq!(lab.state(), before);
    assert!(!lab.journal_exists());
    assert_eq!(lab.undo(false).unwrap(), ["nothing is applied"]);
}

/// The power fails at every effect of `apply`, and then at every effect of the `revert` after it.
#[test]
fn whenever_the_power_fails_revert_restores_everything() {
    let kinds: [fn(u32) -> Crash; 3] = [Crash::Before, Crash::Within, Crash::After];
    let mut crashes = 0;
    for kind in kinds {
        for number in 0.. {
            let lab = Lab::new();
            let before = lab.state();
            if lab.survives(kind(number), || drop(lab.apply(PROFILE).unwrap())) {
                assert!(number > 15, "{number} effects");
                break;
            }
            crashes += 1;
            for second in 0.. {
                if lab.survives(kind(second), || drop(lab.undo(false).unwrap())) {
                    break;
                }
            }
            assert_eq!(lab.state(), before, "{:?}", kind(number));
            // Of a header that was cut off, nothing was to be undone; apply begins anew.
            lab.apply(PROFILE).unwrap();
            lab.undo(false).unwrap();
            assert_eq!(lab.state(), before, "{:?}", kind(number));
        }
    }
    assert!(crashes > 45, "{crashes} crashes");
}

#[test]
fn where_nothing_is_to_change_nothing_is_left_to_undo() {
    let lab = Lab::new();
    let head = "summary = 'A.'\nsource = 'B.'\n";
    let same = "[[setting]]\nsysctl = 'net.core.busy_poll'\nvalue = '0'\nwhy = 'C.'\n";
    let lacks = "[[setting]]\nring = 'rx'\nvalue = '1'\noptional = true\nwhy = 'D.'\n";
    let log = lab.apply(&format!("{head}{same}{lacks}")).unwrap();
    assert_eq!(log, ["left out: ethtool -G eth1 rx: this machine has no such setting"]);
    assert!(!lab.journal_exists());
    lab.apply(PROFILE).unwrap();
}

#[test]
fn what_fails_leaves_nothing_changed() {
    let lab = Lab::new();
    let before = lab.state();
    for last in ["sysctl = 'net.core.nothing'", "feature = 'rx-checksumming'", "ring = 'rx'"] {
        let profile = format!("{PROFILE}[[setting]]\n{last}\nvalue = 'on'\nwhy = 'G.'\n");
        let error = format!("{:#}", lab.apply(&profile).unwrap_err());
        assert!(error.starts_with("nothing was changed, for something failed: "), "{error}");
        assert_eq!(lab.state(), before, "{error}");
        assert!(!lab.journal_exists());
    }
    let profile = PROFILE.replace("value = \"50\"\nwhy = \"A.\"", "value = 'refused'\nwhy = 'A.'");
    let error = format!("{:#}", lab.apply(&profile).unwrap_err());
    assert!(error.contains("the kernel does not take this value"), "{error}");
    assert_eq!(lab.state(), before);
}

#[test]
fn what_somebody_else_has_changed_is_left_unless_forced() {
    let lab = Lab::new();
    let before = lab.state();
    lab.apply(PROFILE).unwrap();
    lab.set("/proc/sys/net/core/busy_poll", "77");
    let error = lab.undo(false).unwrap_err().to_string();
    assert!(error.contains("net.core.busy_poll: is '77', not the '50'"), "{error}");
    assert!(error.contains("revert --force"), "{error}");
    assert_eq!(lab.machine.read("/proc/sys/net/core/busy_poll").as_deref(), Some("77"));
    assert_eq!(lab.state()[1..], before[1..], "all others are restored");
    // It is still known, and stays so.
    lab.undo(false).unwrap_err();
    lab.undo(true).unwrap();
    assert_eq!(lab.state(), before);
    assert!(!lab.journal_exists());
}

#[test]
fn values_of_another_boot_or_namespace_are_not_written() {
    let lab = Lab::new();
    lab.apply(PROFILE).unwrap();
    let link = lab.root.join("proc/self/ns/net");
    std::fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink("net:[2]", &link).unwrap();
    let error = lab.undo(true).unwrap_err().to_string();
    assert!(error.contains("another network namespace (net:[1]; this one is net:[2])"), "{error}");
    lab.set("/proc/sys/kernel/random/boot_id", "2");
    let after = lab.state();
    assert!(lab.undo(false).unwrap()[0].contains("started anew"));
    assert_eq!(lab.state(), after);
    assert!(!lab.journal_exists());
}

#[test]
fn what_is_gone_needs_no_restoring() {
    let lab = Lab::new();
    lab.apply(PROFILE).unwrap();
    std::fs::remove_dir_all(lab.root.join("sys/class/net/eth1")).unwrap();
    let log = lab.undo(false).unwrap();
    assert!(log.iter().any(|line| line.contains("rps_cpus: is gone")), "{log:?}");
    assert_eq!(lab.machine.read("/proc/sys/net/core/busy_poll").as_deref(), Some("0"));
    assert!(!lab.journal_exists());
}

#[test]
fn two_at_a_time_are_refused() {
    let lab = Lab::new();
    let _held = lab.place();
    let error = Place::take(&lab.root.join("run/journal")).err().unwrap().to_string();
    assert!(error.contains("another 'showdown tune' works in"), "{error}");
}

#[test]
fn an_interface_with_the_default_route_must_be_named() {
    let lab = Lab::new();
    let profile = Profile::load("offloads").unwrap();
    let chosen =
        |named: Option<&str>| choose(&lab.machine, &profile, named.map(str::to_owned), false);
    assert_eq!(chosen(None).unwrap().as_deref(), Some("eth1"));
    assert_eq!(chosen(Some("eth0")).unwrap().as_deref(), Some("eth0"));
    assert!(chosen(Some("eth9")).unwrap_err().to_string().contains("there are: eth0, eth1"));
    std::fs::remove_dir_all(lab.root.join("sys/class/net/eth1")).unwrap();
    let error = chosen(None).unwrap_err().to_string();
    assert!(error.contains("eth0 carries the default route"), "{error}");
    assert!(error.contains("--interface eth0"), "{error}");
}

#[test]
fn what_is_shown_has_the_value_now_and_the_one_that_is_wanted() {
    let lab = Lab::new();
    let profile = Profile::parse("test", PROFILE).unwrap();
    let text = show(&lab.machine, &profile, Some("eth1"));
    for line in [
        "net.core.busy_poll: 0, wanted 50",
        "ethtool -K eth1 tx-checksum-sctp: off, as wanted",
        "ethtool -C eth1 rx-usecs: 8, wanted 50",
        "ethtool -C eth1 adaptive-rx: this machine has no such setting, wanted off",
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line} in:\n{text}");
    }
}
