//! Folders made up so that each has one cause, and one that has none.

use super::*;
use serde_json::{Value, json};

/// A run of `xdp` on a network card with nothing wrong, as its JSON.
struct Folder {
    summary: Value,
    measurement: Value,
}

impl Folder {
    fn clean() -> Self {
        Self { summary: summary(), measurement: measurement() }
    }

    /// On veth, in a virtual machine, with a client on the kernel's TCP: where most people begin.
    fn on_veth() -> Self {
        let mut folder = Self::clean();
        folder.obtain("kernel_driver", json!("veth"));
        folder.obtain("copy", json!("copy"));
        folder.summary["environment"]["virtual_machine"] = json!(true);
        folder.summary["environment"]["network"]["ends"][0]["offloads"]["tx-checksumming"] =
            json!("off");
        folder.measurement["load"]["client"]["limit"] = json!("The client was the limit");
        folder.measurement["cpu"]["cpus"][1]["softirq_s"] = json!(0.9);
        folder
    }

    fn obtain(&mut self, key: &str, value: Value) {
        self.summary["cells"][0]["obtained"][key] = value;
    }

    fn count(&mut self, counter: &str, value: u64) {
        self.measurement["server"]["exit"]["counters"][counter] = json!(value);
    }

    fn knob(&mut self, name: &str, value: &str) {
        self.summary["environment"]["network"]["ends"][0]["knobs"][name] = json!(value);
    }

    fn diagnose(&self) -> Diagnosis {
        let summary = serde_json::from_value(self.summary.clone()).unwrap();
        let measurement = serde_json::from_value(self.measurement.clone()).unwrap();
        diagnose(&summary, &[measurement])
    }
}

fn cell() -> Value {
    json!({
        "mode": "xdp", "tcp": "native", "link": "veth", "transport": "epoll", "connections": 32,
        "path": "/plaintext"
    })
}

fn figures() -> Value {
    let one = json!({ "median": 0.9, "ci95": [0.85, 0.95] });
    let errors = json!({
        "connect": 0, "read": 0, "write": 0, "timeout": 0, "status": 0, "framing": 0
    });
    json!({
        "throughput_rps": one, "ratio_to_baseline": one,
        "latency_us": {
            "p50": 1.0, "p90": 1.0, "p99": 1.0, "p99_9": 1.0, "p99_99": 1.0, "max": 1.0
        },
        "cpu_s_per_million": { "server": 1.0, "client": 1.0, "rest": 0.0 },
        "errors": 0, "errors_by_kind": errors, "server_errors": 0, "requests": 1000
    })
}

fn summary() -> Value {
    let mut of_cell = figures();
    of_cell.as_object_mut().unwrap().extend(cell().as_object().unwrap().clone());
    of_cell["obtained"] = json!({
        "attach": "native", "copy": "zero-copy", "kernel_driver": "ice", "queues": 1
    });
    let end = json!({
        "namespace": "", "interface": "eth1", "addresses": "", "sysctls": {},
        "offloads": { "tx-checksumming": "on" },
        "knobs": { "napi_defer_hard_irqs": "0", "gro_flush_timeout": "0", "rx_queues": "1" }
    });
    json!({
        "schema": Summary::SCHEMA, "experiment": "quick", "question": "?", "started_utc": "",
        "finished_utc": "", "baseline": "epoll", "modes": {}, "cells": [of_cell],
        "conformance": [], "notes": [],
        "rounds": {
            "wanted": 1, "used": [1], "disturbed": [], "steal_share_max": 0.05, "seed": 1
        },
        "environment": {
            "command_line": [], "showdown_version": "0", "rustc_version": "", "git": null,
            "build_profile": "release", "binaries_sha256": {}, "distribution": null,
            "kernel_release": "6", "kernel_version": "", "kernel_command_line": "",
            "cpu_model": "Fast CPU", "cpus_online": "0-1", "virtual_machine": false,
            "server_cpu_siblings": "1", "server_cpu": 1, "client_cpu": 0, "governor": null,
            "clock_source": null, "memory_bytes": null, "mitigations": {},
            "network": { "topology": "veth", "ends": [end] }
        }
    })
}

fn load() -> Value {
    json!({
        "schema": record::LoadReport::SCHEMA, "duration_s": 1.0, "requests": 1000,
        "read_bytes": 1, "throughput_rps": 1000.0, "sent": 1000, "in_flight": 0, "reopened": 0,
        "interval_s": 0.1, "interval_requests": [1000], "cpu_s": 0.5, "status": { "200": 1000 },
        "setup": {
            "url": "http://h/", "connections": 32, "threads": 1, "duration_s": 1.0,
            "warmup_s": 0.0, "transport": "epoll", "schedule": "closed", "cpus": [0]
        },
        "latency": {
            "count": 1000, "min_us": 1.0, "mean_us": 1.0, "stdev_us": 0.0, "max_us": 1.0,
            "percentiles_us": {}, "histogram_ns": ""
        },
        "errors": figures()["errors_by_kind"],
        "client": {
            "target_rps": null, "sent_rps": 1000.0, "on_time_percent": null, "queued": 0,
            "thread_cpu_percent": [50.0], "thread_delayed_percent": [0.0], "in_flight_mean": 32.0,
            "littles_law": 32.0, "longest_gap_s": 0.0, "longest_gap_at_s": 0.0, "limit": null
        }
    })
}

fn measurement() -> Value {
    let cpu = |number: usize| {
        json!({
            "cpu": number, "user_s": 0.5, "system_s": 0.1, "irq_s": 0.0, "softirq_s": 0.0,
            "steal_s": 0.0, "idle_s": 0.4
        })
    };
    json!({
        "schema": Measurement::SCHEMA, "round": 1, "position": 1, "cell": cell(),
        "started_utc": "", "window_s": 1.0, "idle_poll_share": 0.05, "load": load(),
        "server": {
            "command": [], "ready": {}, "start_ms": 1.0, "ended": "", "ended_well": true,
            "stderr": "",
            "exit": { "counters": { "rx_frames": 1000, "tx_kicks": 1000 } }
        },
        "client": { "command": [], "stderr": "" },
        "cpu": {
            "cpus": [cpu(0), cpu(1)], "server": { "user_s": 0.5, "system_s": 0.1 },
            "client": { "user_s": 0.5, "system_s": 0.1 }, "steal_share": 0.0
        }
    })
}

#[test]
fn where_nothing_is_wrong_no_cause_is_named() {
    let diagnosis = Folder::clean().diagnose();
    assert_eq!(diagnosis.names(), [] as [&str; 0]);
    let text = diagnosis.to_string();
    assert!(
        text.contains("xdp: 0.90 times the baseline's requests [0.85, 0.95]: SLOWER"),
        "{text}"
    );
    assert!(text.contains("No cause is proved by this folder."), "{text}");
}

#[test]
fn on_veth_the_limits_come_before_what_belongs_to_the_place() {
    let names = Folder::on_veth().diagnose().names();
    let expected = [
        "soft interrupts on the server's core",
        "client was the limit",
        "copy mode of veth",
        "software checksums",
        "virtual machine",
    ];
    assert_eq!(names, expected);
}

/// A way to spoil a folder, and the cause that it is.
type Provocation = (fn(&mut Folder), &'static str);

/// Each fault is provoked in the worst company: where the client is the limit, on veth.
#[test]
fn a_fault_is_named_first() {
    let provoked: [Provocation; 7] = [
        (|of| of.summary["environment"]["client_cpu"] = json!(1), "shared core"),
        (|of| of.obtain("attach", json!("generic")), "generic attach"),
        (|of| of.count("kernel_rx_dropped_frames", 30), "frames lost"),
        (|of| of.count("tx_busy_errors", 100), "transmit delayed"),
        (|of| of.measurement["cpu"]["steal_share"] = json!(0.04), "steal"),
        (|of| of.obtain("kernel_driver", json!("ice")), "copy mode"),
        (
            |of| {
                of.knob("napi_defer_hard_irqs", "2");
                of.knob("gro_flush_timeout", "200000");
            },
            "interrupt deferral on veth",
        ),
    ];
    for (provoke, name) in provoked {
        let mut folder = Folder::on_veth();
        provoke(&mut folder);
        assert_eq!(folder.diagnose().names()[0], name);
    }
}

#[test]
fn threads_of_one_core_are_a_shared_core() {
    let mut folder = Folder::clean();
    folder.summary["environment"]["server_cpu_siblings"] = json!("0-1");
    let text = folder.diagnose().to_string();
    assert!(text.contains("CPU 1 and CPU 0 are threads of one core (0-1)"), "{text}");
}

#[test]
fn a_limit_is_named_where_it_is_one() {
    let mut folder = Folder::clean();
    folder.summary["cells"][0]["share_of_floor"] = json!({ "median": 0.9, "ci95": [0.8, 0.9] });
    assert_eq!(folder.diagnose().names(), ["link was the limit"]);

    let mut folder = Folder::clean();
    folder.knob("rx_queues", "4");
    assert_eq!(folder.diagnose().names(), ["one queue"]);
    // A server that waits for work would not be helped by more queues.
    folder.measurement["idle_poll_share"] = json!(0.6);
    assert_eq!(folder.diagnose().names(), [] as [&str; 0]);
}

/// A polling client is busy whatever it does: only its own word counts.
#[test]
fn a_busy_client_is_the_limit_unless_it_polls() {
    let mut folder = Folder::clean();
    folder.measurement["cpu"]["cpus"][0]["user_s"] = json!(0.99);
    assert_eq!(folder.diagnose().names(), ["client was the limit"]);
    folder.summary["cells"][0]["transport"] = json!("xdp");
    folder.measurement["cell"]["transport"] = json!("xdp");
    assert_eq!(folder.diagnose().names(), [] as [&str; 0]);
}

/// Shared memory is copied from and to, always and by itself: that is no mode of AF_XDP.
#[test]
fn a_copy_of_shared_memory_is_no_cause() {
    let mut folder = Folder::clean();
    folder.summary["cells"][0]["obtained"] = json!({ "copy": "copy" });
    assert_eq!(folder.diagnose().names(), [] as [&str; 0]);
}

#[test]
fn lines_end_within_80_columns() {
    let mut folder = Folder::on_veth();
    folder.count("kernel_rx_dropped_frames", 30);
    folder.summary["cells"][0]["name"] = json!("native on AF_XDP");
    folder.measurement["cell"]["name"] = json!("native on AF_XDP");
    let text = folder.diagnose().to_string();
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    assert!(text.contains("  1. frames lost\n     frames found no room"), "{text}");
    assert!(text.contains("  native on AF_XDP: 0.90 times"), "{text}");
}

#[test]
fn a_round_that_is_not_used_proves_nothing() {
    let mut folder = Folder::on_veth();
    folder.count("kernel_rx_dropped_frames", 30);
    folder.summary["rounds"]["used"] = json!([2]);
    assert!(!folder.diagnose().names().contains(&"frames lost"));
}

#[test]
fn figures_that_are_doubtful_are_warned_about() {
    let mut folder = Folder::clean();
    folder.summary["environment"]["build_profile"] = json!("debug");
    folder.summary["cells"][0]["errors"] = json!(7);
    let text = folder.diagnose().to_string();
    assert!(text.contains("WARNING: The binaries are of a debug build"), "{text}");
    assert!(text.contains("WARNING: xdp had 7 errors in 1000 responses"), "{text}");
}

#[test]
fn a_folder_without_bypass_says_what_to_measure() {
    let mut folder = Folder::clean();
    folder.summary["cells"][0]["mode"] = json!("epoll");
    let text = folder.diagnose().to_string();
    assert!(text.contains("showdown run quick"), "{text}");
}

#[test]
fn every_cause_has_its_own_name_a_sentence_and_a_cure() {
    let names: std::collections::BTreeSet<&str> = RULES.iter().map(|rule| rule.name).collect();
    assert_eq!(names.len(), RULES.len());
    for rule in &RULES {
        assert!(!rule.says.ends_with('.') && rule.cure.len() > 20, "{}", rule.name);
    }
}
