//! Servers as processes: what they leave behind, how they end, what they refuse.

use crate::lab::{Lab, root};
use crate::mode::Mode;
use server_testing::{Client, refused};
use std::collections::BTreeMap;
use std::process::Command;

pub(crate) fn a_thousand_connections_leave_nothing_behind(mode: Mode) {
    const CONNECTIONS: usize = 1000;
    let lab = Lab::new();
    let mut server = lab.start(mode, &[]);
    let mut clients: Vec<Client> = (0..CONNECTIONS).map(|_| server.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.get("/plaintext").status, 200);
    }
    drop(clients);
    let all = u64::try_from(CONNECTIONS).expect("a small number");
    assert_eq!(server.wait_for("connections_closed", all), all);
    // `stop` asserts that as many were closed as were accepted, each for one reason.
    let counters = server.stop();
    assert_eq!(counters["connections_accepted"], CONNECTIONS);
    assert_eq!(counters["responses"], CONNECTIONS);
    assert_eq!(counters["closed_peer"], CONNECTIONS, "{counters}");
}

pub(crate) fn sigterm_lets_a_response_in_flight_finish(mode: Mode) {
    let lab = Lab::new();
    let mut server = lab.start(mode, &[]);
    let mut idle = server.connect();
    assert_eq!(idle.get("/plaintext").status, 200);
    let mut busy = server.connect();
    busy.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhello");
    server.wait_for("received_bytes", 60);
    server.signal("TERM");
    idle.expect_fin();
    busy.send("world");
    assert_eq!(busy.response().body, b"helloworld");
    busy.expect_fin();
    // As clients do on a FIN. A userspace TCP has nobody to leave a half-closed connection to.
    drop((idle, busy));
    let counters = server.exit();
    assert_eq!(counters["closed_drain_deadline"], 0, "{counters}");
}

pub(crate) fn wrong_flags_are_refused_with_a_sentence(mode: Mode) {
    for (flags, named) in [
        (&["--no-such-flag"][..], "--no-such-flag"),
        (&["--listen", "nowhere"], "--listen"),
        (&["--cpus", "one"], "--cpus"),
        (&["--cpus", "100000"], "cpu"),
        (&["--service", "ftp"], "--service"),
        (&["--backlog", "0"], "--backlog"),
        (&["--max-headers", "257"], "--max-headers"),
        (&["--max-request-line", "40000"], "--max-request-line"),
    ] {
        // `refused` adds a kernel server's address where there is none.
        let own: &[&str] = if mode.is_bypass() { &["--listen", mode.listen] } else { &[] };
        let own = if flags[0] == "--listen" { &[] } else { own };
        let error = refused(&mode.binary(), &[mode.flags, own, flags, mode.last].concat());
        assert!(error.to_lowercase().contains(named), "{flags:?} is answered with: {error}");
    }
}

pub(crate) fn every_flag_is_documented(mode: Mode) {
    let readme = std::fs::read_to_string(root().join("servers/README.md")).expect("it is there");
    let output = Command::new(mode.binary()).arg("--help").output().expect("it starts");
    let help = String::from_utf8(output.stdout).expect("UTF-8");
    let flags = flags_of(&help);
    let of_mode = format!("Flags of `server-{}`", mode.name);
    assert!(flags.contains_key("--listen"), "not the help that this test can read:\n{help}");
    // Two servers may have a flag of one name with different defaults: its own section goes first.
    let own = readme.split("\n## ").filter(|section| section.starts_with(&of_mode));
    for (flag, default) in flags {
        let row = own.clone().chain([readme.as_str()]).flat_map(str::lines).find_map(|line| {
            let rest = line.strip_prefix("| `")?.strip_prefix(flag)?;
            rest.starts_with([' ', '`']).then(|| rest.replace("\\|", "/"))
        });
        let row = row.unwrap_or_else(|| panic!("servers/README.md has no row for {flag}"));
        let cell = row.split('|').nth(1).expect("a row has cells").trim().replace('`', "");
        let told = default.is_none_or(|default| cell.starts_with(default));
        assert!(told, "{flag}: servers/README.md says `{cell}`, --help says {default:?}");
    }
}

/// Flags that clap's long help describes, with their defaults.
fn flags_of(help: &str) -> BTreeMap<&str, Option<&str>> {
    let mut flags = BTreeMap::new();
    let mut current = "";
    for line in help.lines().map(str::trim) {
        // A line that begins with a flag, or with its short form before it.
        let flag = line.split_whitespace().find(|word| word.starts_with("--"));
        if let Some(flag) = flag.filter(|_| line.starts_with('-')) {
            current = flag;
            flags.insert(flag, None);
        }
        let default = line.split_once("[default: ").and_then(|(_, rest)| rest.split_once(']'));
        if let Some((default, _)) = default {
            flags.insert(current, Some(default));
        }
    }
    flags.retain(|flag, _| !["--help", "--version"].contains(flag));
    flags
}
