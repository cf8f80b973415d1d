//! `conformance --differential`: the comparison with other servers as a command.

use crate::{SERVERS_README, write_json};
use conformance::case::Case;
use conformance::differential::peers::{Peer, Running};
use conformance::differential::{self, PEERS_MIN, explanations, table};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longest wait for the target to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);

/// Compares the server at `address` with peers: those in `chosen`, or all that are installed.
///
/// Returns whether every difference is explained and every explanation still applies.
#[expect(clippy::print_stdout, reason = "a command prints its report")]
pub(crate) fn run(
    address: SocketAddr,
    chosen: &[Peer],
    cases: &[Case],
    jobs: usize,
    json: Option<&Path>,
) -> Result<bool, String> {
    let explanations = explanations::parse(SERVERS_README)?;
    TcpStream::connect_timeout(&address, CONNECT_TIMEOUT).map_err(|error| {
        format!("nothing answers on {address} ({error}): start a server there, see --help")
    })?;
    let installed = installed(chosen)?;
    let names = installed.iter().map(|(peer, _)| peer.name()).collect::<Vec<_>>().join(", ");
    eprintln!("conformance: comparing with {names}; this takes about a minute");
    let mut running = Vec::new();
    for (peer, program) in installed {
        running.push(Running::start(peer, &program)?);
    }
    let comparison = differential::compare(address, &mut running, cases, &explanations, jobs)?;
    if let Some(file) = json {
        write_json(file, &comparison)?;
    }
    print!("{}", table::render(&comparison));
    for sentence in &comparison.stale_explanations {
        println!("FAILED {sentence}: correct the table in servers/README.md");
    }
    let unexplained = comparison.unexplained().count();
    println!(
        "{} cases, {} peers; {} cases differ from {PEERS_MIN} or more, {unexplained} of them \
         without an explanation; {} explanations no longer apply",
        cases.len(),
        comparison.peers.len(),
        comparison.differences.len(),
        comparison.stale_explanations.len(),
    );
    Ok(unexplained == 0 && comparison.stale_explanations.is_empty())
}

/// The peers to compare with and their programs; says which are absent and how to get them.
fn installed(chosen: &[Peer]) -> Result<Vec<(Peer, PathBuf)>, String> {
    let wanted = if chosen.is_empty() { &Peer::ALL } else { chosen };
    let mut found: Vec<(Peer, PathBuf)> = Vec::new();
    let mut absent = Vec::new();
    for peer in Peer::ALL.into_iter().filter(|peer| wanted.contains(peer)) {
        match peer.program() {
            Some(program) => found.push((peer, program)),
            None => absent.push(peer),
        }
    }
    if !absent.is_empty() {
        let names = absent.iter().map(|peer| peer.name()).collect::<Vec<_>>().join(", ");
        let packages = absent.iter().map(|peer| peer.package()).collect::<Vec<_>>().join(" ");
        eprintln!(
            "conformance: ABSENT: {names}. Nothing is said about them, and no explanation is \
             checked for being out of date. Install them with: sudo apt-get install \
             --no-install-recommends {packages}"
        );
    }
    if found.len() < PEERS_MIN {
        return Err(format!(
            "a comparison needs {PEERS_MIN} peers, and there are {}: install more, or name more \
             with --peer",
            found.len()
        ));
    }
    Ok(found)
}
