//! What other people's clients see, and ours.

use crate::lab::{End, Lab, binary, root};
use crate::mode::Mode;
use serde_json::Value;
use server_testing::Server;

pub(crate) fn curl_is_content(mode: Mode) {
    let lab = Lab::new();
    let server = lab.start(mode, &[]);
    let curl = |arguments: &[&str]| {
        let quiet = ["--silent", "--show-error", "--fail", "--max-time", "30"];
        lab.run(End::Client, "curl", &[&quiet, arguments].concat())
    };
    assert_eq!(curl(&[&mode.url("/plaintext")]), "Hello, World!");
    let both = [mode.url("/json"), mode.url("/bytes/3")];
    assert!(curl(&[&both[0], &both[1]]).starts_with(r#"{"message":"Hello, World!"}"#));
    // Beyond 1 MiB curl asks `Expect: 100-continue` before it sends the body.
    let body = "x".repeat(2 * 1024 * 1024);
    let file = std::env::temp_dir().join(format!("showdown-e2e-{}", std::process::id()));
    std::fs::write(&file, &body).expect("room for 2 MiB");
    let upload = format!("@{}", file.display());
    let echoed = curl(&["--data-binary", &upload, &mode.url("/echo")]);
    std::fs::remove_file(&file).expect("written above");
    assert!(echoed == body, "the body comes back as it went");
    server.stop();
}

pub(crate) fn wrk_sees_no_error(mode: Mode) {
    let lab = Lab::new();
    let server = lab.start(mode, &[]);
    let report =
        lab.run(End::Client, "wrk", &["-t1", "-c32", "-d1", "--latency", &mode.url("/json")]);
    assert!(!report.contains("Socket errors"), "{report}");
    assert!(!report.contains("Non-2xx"), "{report}");
    let requests = number_before(&report, " requests in ");
    assert!(requests > 0, "{report}");
    let counters = server.stop();
    let responses = counters["responses"].as_u64().expect("a count");
    // wrk does not count what arrives after its time is up.
    assert!(responses >= requests, "{responses} responses, {report}");
}

pub(crate) fn h2load_sees_no_error(mode: Mode) {
    let lab = Lab::new();
    let server = lab.start(mode, &[]);
    let load = ["--h1", "-t1", "-c10", "-n1000", &mode.url("/plaintext")];
    let report = lab.run(End::Client, "h2load", &load);
    let expected = "requests: 1000 total, 1000 started, 1000 done, 1000 succeeded, \
                    0 failed, 0 errored, 0 timeout";
    assert!(report.contains(expected), "{report}");
    assert!(report.contains("status codes: 1000 2xx, 0 3xx, 0 4xx, 0 5xx"), "{report}");
    assert_eq!(server.stop()["responses"], 1000);
}

pub(crate) fn loadgen_accounts_for_every_request(mode: Mode) {
    let lab = Lab::new();
    let server = lab.start(mode, &[]);
    load_and_account(&lab, (server, &mode.url("/plaintext")), &[]);
}

/// Loads a server for a second by a generator with these options, and asserts that no request went
/// wrong, and that both say the same of how many there were.
pub(crate) fn load_and_account(lab: &Lab, (server, url): (Server, &str), options: &[&str]) {
    let file = std::env::temp_dir().join(format!("showdown-e2e-{}.json", std::process::id()));
    let path = file.to_str().expect("UTF-8");
    let own = ["-t1", "-c32", "-d1", "--latency", "--json", path];
    let load = [&own[..], options, &[url]].concat();
    let text = lab.run(End::Client, &binary("loadgen"), &load);
    let json = std::fs::read_to_string(&file).expect("loadgen wrote it");
    std::fs::remove_file(&file).expect("written by loadgen");
    let report: Value = serde_json::from_str(&json).expect("JSON");

    assert!(!text.contains("Socket errors"), "{text}");
    assert!(!text.contains("Non-2xx"), "{text}");
    let errors = report["errors"].as_object().expect("errors by kind");
    assert!(errors.values().all(|count| count == 0), "{json}");
    let count = |name: &str| report[name].as_u64().unwrap_or_else(|| panic!("no {name}: {json}"));
    assert!(count("requests") > 0, "{json}");
    assert_eq!(count("requests"), number_before(&text, " requests in "), "{text}");
    assert_eq!(count("sent"), count("requests") + count("in_flight"), "{json}");
    assert!(count("in_flight") <= 32, "one request per connection: {json}");
    assert_eq!(report["latency"]["count"], count("requests"), "every latency is kept: {json}");
    assert_eq!(report["status"]["200"], count("requests"), "{json}");
    let responses = server.stop()["responses"].as_u64().expect("a count");
    assert!((count("requests")..=count("sent")).contains(&responses), "{responses}: {json}");
}

pub(crate) fn every_case_of_the_contract_is_met(mode: Mode) {
    let lab = Lab::new();
    let conformance = binary("conformance");
    // Short time-outs, so that cases that wait for them take seconds.
    let flags = lab.run(End::Client, &conformance, &["--print-server-flags"]);
    let server = lab.start(mode, &flags.split_whitespace().collect::<Vec<_>>());
    let list = root().join("servers/README.md");
    let list = list.to_str().expect("UTF-8");
    let mut suite = vec!["--target", mode.listen, "--server", mode.name, "--exceptions", list];
    // A busy machine is not a server that hangs.
    suite.extend(["--patience", "60000"]);
    // What a case may cost is bounded, but a server that spins costs all the time there is.
    let pid = server.pid().to_string();
    if !mode.is_bypass() {
        suite.extend(["--pid", &pid]);
    }
    let output = lab.command(End::Client, &conformance, &suite).output().expect("ip is there");
    let report = String::from_utf8_lossy(&output.stdout);
    // A server that breaks one rule usually breaks it in hundreds of deliveries.
    let last: Vec<&str> = report.lines().rev().take(20).collect();
    assert!(output.status.success(), "last of all: {last:#?}");
    assert!(number_before(&report, " passed, 0 failed") > 1000, "last of all: {last:#?}");
    server.stop();
}

/// The number that stands before `words` in a report.
fn number_before(report: &str, words: &str) -> u64 {
    let before = report.split(words).next().and_then(|text| text.split_whitespace().last());
    let number = before.and_then(|word| word.parse().ok());
    number.unwrap_or_else(|| panic!("no number before `{words}`:\n{report}"))
}
