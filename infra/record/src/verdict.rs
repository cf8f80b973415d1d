//! What the conformance suite said about a server, before it was measured.

use serde::{Deserialize, Serialize};

/// The short pass over one server; a server that fails it is not measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verdict {
    /// The server: mode, TCP, way of waiting and link.
    pub mode: String,
    /// TCP implementation, for bypass modes.
    pub tcp: Option<String>,
    /// How the server waits, for modes that can choose.
    pub wait: Option<String>,
    /// What the server was reached over, as in [`crate::Cell`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// What the experiment calls a server that is not ours, whose `mode` is `contender`: its
    /// verdict is for information, and keeps no figure back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Inputs answered as the contract says.
    pub passed: u64,
    /// Inputs answered otherwise.
    pub failed: u64,
    /// Inputs answered otherwise in a way that `servers/README.md` lists with its reason.
    pub excepted: u64,
    /// The first failures, as the suite prints them.
    pub failures: Vec<String>,
}
