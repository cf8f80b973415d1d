//! Clients that are slow on purpose, by slowhttptest; `infra/scripts/slow.sh` does the same with
//! thousands of them and the default time-outs.

use crate::lab::{End, Lab, send, succeeded};
use crate::mode::Mode;
use server_testing::PATIENCE;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Instant;

/// Connections of each attack.
const EACH: usize = 125;

/// An attack: what it is called here, slowhttptest's flags, what is asked for, and the counter
/// under which the server closes such clients.
///
/// A range attack is of complete requests that ask for the connection to be closed: the ranges are
/// ignored, and the answer ends it.
const ATTACKS: [(&str, &[&str], &str, &str); 4] = [
    ("headers", &["-H", "-i", "1"], "/plaintext", "closed_head_timeout"),
    ("body", &["-B", "-i", "1"], "/echo", "closed_body_timeout"),
    ("range", &["-R", "-a", "5", "-b", "2000"], "/plaintext", "closed_asked"),
    (
        "read",
        &["-X", "-w", "1", "-y", "512", "-n", "5", "-z", "32", "-k", "3"],
        "/bytes/1048576",
        "closed_send_timeout",
    ),
];

/// A running slowhttptest; killed when dropped.
struct Attack {
    child: Option<Child>,
    /// Where its reports are, without their extensions.
    report: PathBuf,
}

pub(crate) fn slow_clients_are_closed_and_the_others_served(mode: Mode) {
    let lab = Lab::new();
    let short = ["--head-timeout", "2000", "--body-grace", "2000", "--send-timeout", "2000"];
    let mut server = lab.start(mode, &short);
    let mut steady = server.connect();
    assert_eq!(steady.get("/plaintext").status, 200);
    let attacks: Vec<Attack> = ATTACKS
        .iter()
        .map(|(name, flags, path, _)| Attack::start(&lab, name, flags, &mode.url(path)))
        .collect();

    let start = Instant::now();
    loop {
        assert_eq!(steady.get("/plaintext").status, 200);
        assert_eq!(server.connect().get("/plaintext").status, 200);
        let report = server.report();
        let closed = |counter: &str| report[counter].as_u64() >= Some(EACH as u64);
        if ATTACKS.iter().all(|(.., counter)| closed(counter)) {
            break;
        }
        assert!(start.elapsed() < PATIENCE, "attackers are still there: {report}");
    }
    for attack in attacks {
        attack.end_and_assert_that_service_was_available();
    }
    drop(steady);
    let counters = server.stop();
    for (.., counter) in ATTACKS {
        assert_eq!(counters[counter], EACH, "{counter}: {counters}");
    }
}

impl Attack {
    fn start(lab: &Lab, name: &str, flags: &[&str], url: &str) -> Self {
        let report = std::env::temp_dir().join(format!("showdown-{name}-{}", std::process::id()));
        let prefix = report.to_str().expect("UTF-8");
        // The longest test and the longest wait for its probe: it is told when to end.
        let (count, last) = (EACH.to_string(), (PATIENCE.as_secs() * 2).to_string());
        let common = ["-c", &count, "-r", &count, "-l", &last, "-p", "10"];
        let output = ["-g", "-o", prefix, "-u", url];
        let mut command =
            lab.command(End::Client, "slowhttptest", &[flags, &common, &output].concat());
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        Self { child: Some(child.expect("ip is there")), report }
    }

    fn end_and_assert_that_service_was_available(mut self) {
        let child = self.child.take().expect("it is taken once");
        // One that has no connection left has ended already.
        send(child.id(), "INT");
        succeeded("slowhttptest", &child.wait_with_output().expect("our child"));
        let table = std::fs::read_to_string(with(&self.report, "csv")).expect("it wrote a report");
        // Seconds,Closed,Pending,Connected,Service Available: the last is 0 where it is not.
        let rows = table.lines().skip(1).map(|row| row.rsplit(',').next().expect("cells"));
        let available: Vec<&str> = rows.collect();
        assert!(!available.is_empty() && !available.contains(&"0"), "{table}");
    }
}

impl Drop for Attack {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // A test that failed leaves no attacker behind; both fail where it has ended already.
            let _already_gone = child.kill();
            let _already_waited = child.wait();
        }
        for extension in ["csv", "html"] {
            // Not written yet, where the test failed early.
            let _never_written = std::fs::remove_file(with(&self.report, extension));
        }
    }
}

fn with(report: &Path, extension: &str) -> PathBuf {
    report.with_extension(extension)
}
