//! What differs between the machines, the programs and the settings of two runs.

use super::folder::Run;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Settings whose difference says nothing: they are drawn anew, or only describe.
const IGNORED: [&str; 3] = ["experiment.seed", "experiment.question", "experiment.hypothesis"];
/// The command lines differ wherever something else does, too.
const COMMAND_LINE: &str = "command_line";

/// One thing that is not the same in both runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Difference {
    /// Its path: `network.ends.0.offloads.tx-checksumming`.
    pub(super) what: String,
    /// As it was in A; absent where A has it not.
    pub(super) a: Option<String>,
    /// As it was in B.
    pub(super) b: Option<String>,
}

/// Everything that differs, by its path.
pub(super) fn between(a: &Run, b: &Run) -> anyhow::Result<Vec<Difference>> {
    let (a, b) = (settings(a)?, settings(b)?);
    let mut paths: Vec<&String> = a.keys().chain(b.keys()).collect();
    paths.sort_unstable();
    paths.dedup();
    let differs = |path: &&&String| {
        a.get(**path) != b.get(**path)
            && !IGNORED.contains(&path.as_str())
            && !path.starts_with(COMMAND_LINE)
    };
    let difference = |path: &String| Difference {
        what: path.clone(),
        a: a.get(path).cloned(),
        b: b.get(path).cloned(),
    };
    Ok(paths.iter().filter(differs).map(|path| difference(path)).collect())
}

fn settings(run: &Run) -> anyhow::Result<BTreeMap<String, String>> {
    let mut all = BTreeMap::new();
    flatten("", &serde_json::to_value(&run.summary.environment)?, &mut all);
    flatten("experiment", &serde_json::to_value(&run.experiment)?, &mut all);
    Ok(all)
}

/// Every leaf of a value by its path. A list of plain values is one leaf: an axis is a setting.
fn flatten(path: &str, value: &Value, all: &mut BTreeMap<String, String>) {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                flatten(&below(key), value, all);
            }
        }
        Value::Array(list) if list.iter().any(Value::is_object) => {
            for (index, value) in list.iter().enumerate() {
                flatten(&below(&index.to_string()), value, all);
            }
        }
        Value::Null => {}
        Value::String(text) => drop(all.insert(path.to_owned(), text.clone())),
        other => drop(all.insert(path.to_owned(), other.to_string())),
    }
}
