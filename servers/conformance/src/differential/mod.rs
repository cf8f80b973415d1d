//! The same bytes to our server and to those that others wrote: where does ours stand alone?
//!
//! Every case is sent once, each input in one write. A verdict is what came, not whether it was
//! right: statuses in order, and whether the connection was kept. Where two or more peers answer
//! otherwise than ours, `servers/README.md` must say why.
//!
//! What it deliberately does not do: compare bodies or fields, which every server words in its own
//! way, or call the majority right.

pub mod explanations;
pub mod observe;
pub mod peers;
mod process;
pub mod table;

use crate::case::Case;
use explanations::Explanation;
use observe::Verdict;
use peers::{Peer, Running};
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Peers with which a comparison makes sense, and that must differ for a difference to count.
pub const PEERS_MIN: usize = 2;

/// A case in which peers answer otherwise than the target.
#[derive(Clone, Debug, Serialize)]
pub struct Difference {
    /// `H06.1`.
    pub case: String,
    /// What the target made of it.
    pub ours: Verdict,
    /// What the peers that differ made of it, by name.
    pub others: BTreeMap<String, Verdict>,
    /// Whether the table of explanations covers it.
    pub explained: bool,
}

/// What came of a comparison.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// Names of the peers that answered.
    pub peers: Vec<String>,
    /// Verdicts by case and server; the target is called `target`.
    pub verdicts: BTreeMap<String, BTreeMap<String, Verdict>>,
    /// Cases in which two or more peers differ from the target.
    pub differences: Vec<Difference>,
    /// Explanations that no longer apply, a sentence each. Empty where a peer is absent.
    pub stale_explanations: Vec<String>,
}

impl Comparison {
    /// Differences that nothing explains.
    pub fn unexplained(&self) -> impl Iterator<Item = &Difference> {
        self.differences.iter().filter(|difference| !difference.explained)
    }
}

/// Name of the target among the verdicts.
const TARGET: &str = "target";

/// Compares `target` with the running `peers`, `jobs` connections at a time.
///
/// Cases in which they differ are sent again, and a third time where the second verdict is not the
/// first: what counts is what a server does twice, so that neither a busy machine nor a reset that
/// overtakes a response is taken for an opinion.
///
/// # Errors
/// A sentence where a peer ended on the way.
pub fn compare(
    target: SocketAddr,
    peers: &mut [Running],
    cases: &[Case],
    explanations: &[Explanation],
    jobs: usize,
) -> Result<Comparison, String> {
    let mut servers = vec![(TARGET, target)];
    servers.extend(peers.iter().map(|running| (running.peer.name(), running.address)));
    let mut verdicts = round(&servers, &cases.iter().collect::<Vec<_>>(), jobs);
    let differing: Vec<&Case> =
        cases.iter().filter(|case| others(&verdicts[&case.name()]).next().is_some()).collect();
    let again = round(&servers, &differing, jobs);
    let unsteady: Vec<&Case> = differing
        .into_iter()
        .filter(|case| again[&case.name()] != verdicts[&case.name()])
        .collect();
    let third = round(&servers, &unsteady, jobs);
    for (case, by_server) in third {
        for (server, verdict) in by_server {
            if verdict == again[&case][&server] {
                verdicts.entry(case.clone()).or_default().insert(server, verdict);
            }
        }
    }
    for running in &mut *peers {
        running.check()?;
    }
    let names = peers.iter().map(|running| running.peer.name().to_owned()).collect();
    Ok(conclude(names, verdicts, explanations))
}

/// Verdicts by case and server.
type Verdicts = BTreeMap<String, BTreeMap<String, Verdict>>;

/// Sends `cases` to all `servers`. Those that are work for a server come last, so that they do not
/// delay the answers of others beyond the time after which silence counts.
fn round(servers: &[(&str, SocketAddr)], cases: &[&Case], jobs: usize) -> Verdicts {
    let (slow, quick): (Vec<&Case>, Vec<&Case>) = cases.iter().partition(|case| case.slow);
    let mut verdicts = send(servers, &quick, jobs);
    verdicts.extend(send(servers, &slow, jobs));
    verdicts
}

fn send(servers: &[(&str, SocketAddr)], cases: &[&Case], jobs: usize) -> Verdicts {
    let next = AtomicUsize::new(0);
    let verdicts = Mutex::new(Verdicts::new());
    let lock = || verdicts.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(case) = cases.get(index / servers.len()) else { return };
                    let (server, address) = servers[index % servers.len()];
                    let verdict = observe::observe(address, case);
                    lock().entry(case.name()).or_default().insert(server.to_owned(), verdict);
                }
            });
        }
    });
    verdicts.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// The peers whose verdict is not the target's.
fn others(by_server: &BTreeMap<String, Verdict>) -> impl Iterator<Item = (&String, &Verdict)> {
    let ours = by_server.get(TARGET);
    by_server.iter().filter(move |(server, verdict)| *server != TARGET && Some(*verdict) != ours)
}

fn conclude(peers: Vec<String>, verdicts: Verdicts, explanations: &[Explanation]) -> Comparison {
    let mut differences = Vec::new();
    for (case, by_server) in &verdicts {
        let others: BTreeMap<String, Verdict> =
            others(by_server).map(|(name, verdict)| (name.clone(), verdict.clone())).collect();
        if others.len() >= PEERS_MIN {
            differences.push(Difference {
                case: case.clone(),
                ours: by_server[TARGET].clone(),
                others,
                explained: explanations.iter().any(|explanation| explanation.covers(case)),
            });
        }
    }
    differences.sort_by_key(|difference| place(&difference.case));
    let stale_explanations = if peers.len() == Peer::ALL.len() {
        // A line about a case that was not sent is neither right nor stale.
        let sent = |case: &String| {
            verdicts.keys().any(|name| name == case || name.split('.').next() == Some(case))
        };
        let asked: Vec<Explanation> = explanations
            .iter()
            .filter(|explanation| explanation.cases.iter().all(sent))
            .cloned()
            .collect();
        explanations::stale(&asked, &differences)
    } else {
        Vec::new()
    };
    Comparison { peers, verdicts, differences, stale_explanations }
}

/// Order of cases in reports: by row, then by input, as numbers.
fn place(case: &str) -> Vec<usize> {
    case.trim_start_matches('H').split('.').filter_map(|number| number.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(status: u16) -> Verdict {
        Verdict { statuses: vec![status], ..Verdict::default() }
    }

    fn verdicts(case: &str, statuses: [u16; 3]) -> Verdicts {
        let servers = [TARGET, "nginx", "node"].map(str::to_owned);
        let by_server = servers.into_iter().zip(statuses.map(verdict)).collect();
        Verdicts::from([(case.to_owned(), by_server)])
    }

    #[test]
    fn two_peers_make_a_difference_and_one_does_not() {
        let check = |statuses, expect: usize| {
            let comparison = conclude(Vec::new(), verdicts("H10.1", statuses), &[]);
            assert_eq!(comparison.differences.len(), expect, "{statuses:?}");
            assert_eq!(comparison.unexplained().count(), expect, "{statuses:?}");
        };
        check([400, 400, 400], 0);
        check([400, 400, 200], 0);
        check([400, 200, 200], 1);
        check([400, 200, 501], 1);
    }

    #[test]
    fn an_explanation_covers_a_difference() {
        let table = explanations::parse("| H10 | 400 | 200: nginx, node | RFC |").expect("parses");
        let comparison = conclude(Vec::new(), verdicts("H10.1", [400, 200, 200]), &table);
        assert_eq!(comparison.unexplained().count(), 0);
        let all = Peer::ALL.map(|peer| peer.name().to_owned()).to_vec();
        let comparison = conclude(all.clone(), verdicts("H10.1", [400, 400, 400]), &table);
        assert_eq!(comparison.stale_explanations.len(), 3, "the case and two peers");
        let comparison = conclude(all, verdicts("H11.1", [400, 400, 400]), &table);
        assert!(comparison.stale_explanations.is_empty(), "H10 was not sent");
    }

    #[test]
    fn cases_are_ordered_as_numbers() {
        assert!(place("H09.2") < place("H10.1") && place("H10.2") < place("H10.11"));
        assert!(place("H99.1") < place("H100.1"));
    }
}
