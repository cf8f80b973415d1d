//! The machine and every knob, in rows.

use super::page::Table;
use super::text::bytes;
use super::text::float;
use record::{Environment, NetworkEnd};
use serde_json::Value;
use std::collections::BTreeMap;

/// A name and a value.
pub(super) type Fact = (String, String);

/// What a reader asks of a machine first.
pub(super) fn facts(environment: &Environment) -> Vec<Fact> {
    let or = |value: &Option<String>| value.clone().unwrap_or_else(|| "not known".to_owned());
    let git = environment.git.as_ref().map_or_else(
        || "no checkout".to_owned(),
        |git| format!("{}{}", git.commit, if git.dirty { ", with changes" } else { "" }),
    );
    let machine = if environment.virtual_machine { "virtual" } else { "real" };
    let memory = environment
        .memory_bytes
        .map_or_else(|| "not known".to_owned(), |memory| bytes(float(memory)));
    let cpus = format!(
        "{}; server on CPU {}, client on CPU {}",
        environment.cpus_online,
        environment.server_cpu,
        record::cpu_in_words(environment.client_cpu)
    );
    let client = environment.client_machine.as_ref().map(|client| {
        let (cpu, system) = (or(&client.cpu_model), or(&client.distribution));
        let kernel = &client.kernel_release;
        ("client's machine", format!("{cpu}; {system}, kernel {kernel}"))
    });
    let of_server = [
        ("processor", or(&environment.cpu_model)),
        ("machine", machine.to_owned()),
        ("CPUs online", cpus),
        ("threads of the server's core", or(&environment.server_cpu_siblings)),
        ("memory", memory),
        ("frequency governor", or(&environment.governor)),
        ("clock source", or(&environment.clock_source)),
        ("distribution", or(&environment.distribution)),
        ("kernel", format!("{} {}", environment.kernel_release, environment.kernel_version)),
        ("kernel's command line", environment.kernel_command_line.clone()),
        ("link", environment.network.topology.clone()),
        ("showdown", format!("{} ({})", environment.showdown_version, environment.build_profile)),
        ("compiler", environment.rustc_version.clone()),
        ("source", git),
    ];
    let facts = of_server.into_iter().chain(client);
    facts.map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Tables of knobs, each under its name; empty ones are left out.
pub(super) fn knobs(environment: &Environment) -> Vec<(String, Table)> {
    let mut knobs = Vec::new();
    for end in &environment.network.ends {
        let NetworkEnd { namespace, interface, addresses, offloads, sysctls, knobs: files } = end;
        let place = if namespace.is_empty() {
            interface.clone()
        } else {
            format!("{interface} in {namespace}")
        };
        knobs.push((format!("Sysctls of {place}"), of_map("sysctl", sysctls)));
        knobs.push((format!("Offloads of {place}"), of_map("offload", offloads)));
        knobs.push((format!("Settings of {place}"), of_map("file", files)));
        let lines = addresses.lines().filter(|line| !line.trim().is_empty());
        let rows = lines.map(|line| vec![line.trim().to_owned()]).collect();
        let headings = vec!["address".to_owned()];
        knobs.push((format!("Addresses of {place}"), Table { headings, rows }));
    }
    knobs.push(("What each CPU does".to_owned(), of_map("CPU", &environment.cpu_roles)));
    let mitigations = of_map("vulnerability", &environment.mitigations);
    knobs.push(("Mitigations of the CPU's vulnerabilities".to_owned(), mitigations));
    let binaries = of_map("binary", &environment.binaries_sha256);
    knobs.push(("SHA-256 of the binaries".to_owned(), binaries));
    knobs.retain(|(_, table)| !table.rows.is_empty());
    knobs
}

fn of_map(name: &str, map: &BTreeMap<String, String>) -> Table {
    let rows = map.iter().map(|(key, value)| vec![key.clone(), value.clone()]);
    Table { headings: vec![name.to_owned(), "value".to_owned()], rows: rows.collect() }
}

/// Every value under its path: `network.ends.0.interface`.
pub(super) fn flat(environment: &Environment) -> anyhow::Result<BTreeMap<String, String>> {
    let mut all = BTreeMap::new();
    walk(&serde_json::to_value(environment)?, String::new(), &mut all);
    Ok(all)
}

fn walk(value: &Value, path: String, all: &mut BTreeMap<String, String>) {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| walk(value, below(key), all)),
        Value::Array(items) => {
            let numbered = (0_usize..).zip(items);
            numbered.for_each(|(index, value)| walk(value, below(&index.to_string()), all));
        }
        Value::String(text) => _ = all.insert(path, text.clone()),
        other => _ = all.insert(path, other.to_string()),
    }
}
