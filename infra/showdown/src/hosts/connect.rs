//! The connections to both ends, and what was found there.

use super::check::{self, Own};
use super::look::Look;
use super::{End, Host, Hosts};
use crate::commands::PIPELINE_SCRIPT;
use crate::environment;
use crate::matrix::Point;
use crate::process::{Ended, Events, Process};
use crate::programs::{Place, Programs};
use anyhow::{Context, Result, anyhow, ensure};
use record::Environment;
use std::time::{Duration, Instant};

/// Time that a connection gets to stand: beyond ssh's own time-out, for what it asks of others.
const CONNECT_MAX: Duration = Duration::from_secs(30);
/// Time that an end gets to say what is there, which takes reading every program.
const LOOK_MAX: Duration = Duration::from_secs(60);

/// Connects to both ends and looks at them: connections, to be kept, and the record of the server's
/// machine, with the client's in it where that is another. Nothing where the run has no hosts.
///
/// # Errors
/// Where an end cannot be reached, or cannot be used so, with the cure; and
/// [`crate::process::Interrupted`].
pub(crate) fn connect(
    programs: &mut Programs,
    points: &[Point],
    events: &Events,
) -> Result<(Vec<Process>, Option<Environment>)> {
    let Place::Hosts(hosts) = &programs.network else { return Ok((Vec::new(), None)) };
    let mut connections = Vec::new();
    let mut looks = Vec::new();
    for end in [End::Server, End::Client] {
        let label = hosts.at(end).label();
        eprintln!("{}: {label}", end.name());
        connections.extend(open(hosts, end, programs, events)?);
        let look = look_at(hosts, end, programs, points, events);
        looks.push(look.with_context(|| format!("[{}] ({label})", end.name()))?);
    }
    let [of_server, of_client] = [&looks[0], &looks[1]];
    let own = Own {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        git: environment::git(&programs.folder),
    };
    check::check(hosts, [of_server, of_client], points, &own)?;
    let are_two_machines = of_server.boot_id != of_client.boot_id;
    let mut hosts = hosts.clone();
    hosts.are_two_machines = are_two_machines;
    let environment = both(&hosts, of_server, of_client)?;
    programs.network = Place::Hosts(hosts);
    Ok((connections, Some(environment)))
}

impl End {
    /// Its name in the file.
    fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
        }
    }
}

/// Opens the connection that all commands to an end share.
fn open(hosts: &Hosts, end: End, programs: &Programs, events: &Events) -> Result<Option<Process>> {
    let Some(command) = hosts.connect_command(end, programs.rendezvous.folder()) else {
        return Ok(None);
    };
    let ssh = Process::spawn(events, "ssh", command)?;
    let deadline = Instant::now() + CONNECT_MAX;
    events.wait_until(deadline, || ssh.has_ended() || ssh.event_line("ready").is_some())?;
    if ssh.event_line("ready").is_some() && !ssh.has_ended() {
        return Ok(Some(ssh));
    }
    let target = hosts.at(end).ssh.as_deref().unwrap_or_default();
    if !ssh.has_ended() {
        return Err(ssh.failure(&format!("does not get through to {target}")));
    }
    let ended = ssh.finish(events, Instant::now())?;
    Err(anyhow!(
        "[{}]: ssh does not get through to {target}; cure: {}\nIt said: {}",
        end.name(),
        cure_of_ssh(&ended.stderr, target),
        ended.stderr.trim()
    ))
}

/// What helps, told from what ssh wrote to standard error.
fn cure_of_ssh(stderr: &str, target: &str) -> String {
    let said = |text: &str| stderr.contains(text);
    if said("Permission denied") {
        format!("give it a key that needs no password: ssh-copy-id {target}")
    } else if said("Host key verification failed") {
        format!("log in once by hand, and accept the host's key: ssh {target}")
    } else if said("Connection refused") {
        "start sshd there: apt-get install openssh-server; another port goes into ~/.ssh/config"
            .to_owned()
    } else if said("Could not resolve hostname") {
        "give the host's name as DNS or ~/.ssh/config has it".to_owned()
    } else {
        format!("make this work: ssh -o BatchMode=yes {target} true")
    }
}

fn look_at(
    hosts: &Hosts,
    end: End,
    programs: &Programs,
    points: &[Point],
    events: &Events,
) -> Result<Look> {
    let files = needed(hosts, end, programs, points);
    let command = hosts.look_command(end, &files, programs.rendezvous.folder());
    let process = Process::spawn(events, "showdown remote look", command)?;
    let deadline = Instant::now() + LOOK_MAX;
    if !events.wait_until(deadline, || process.has_ended())? {
        return Err(process.failure("did not say what is there"));
    }
    let command = process.command().join(" ");
    let ended = process.finish(events, deadline)?;
    let Some(look) = ended.event_line("look").filter(|_| ended.status.success()) else {
        let why = cure_of_look(&ended, hosts.at(end));
        return Err(anyhow!("{why}\nIt said: {}\nIt was: {command}", ended.stderr.trim()));
    };
    serde_json::from_value(look).context(
        "showdown there is of another build; cure, there: check out the same commit, then cargo \
         build --release",
    )
}

/// What helps where this program does not run there.
fn cure_of_look(ended: &Ended, host: &Host) -> String {
    let stderr = &ended.stderr;
    let is_missing = ["not found", "No such file"].iter().any(|text| stderr.contains(text));
    if stderr.contains("unrecognized subcommand") {
        "showdown there is older; cure, there: check out the same commit, then cargo build \
         --release"
            .to_owned()
    } else if is_missing || ended.status.code() == Some(127) {
        let dir =
            host.dir.as_ref().map_or_else(String::new, |dir| format!(" in {}", dir.display()));
        format!(
            "a program is missing there; cure, there{dir}: cargo build --release; or say in the \
             file where it is: dir, bin, via"
        )
    } else {
        format!("showdown does not run there ({})", ended.words())
    }
}

/// The programs that an end must have, and the script by which the generator sends several
/// requests at once.
fn needed(hosts: &Hosts, end: End, programs: &Programs, points: &[Point]) -> Vec<String> {
    let host = hosts.at(end);
    let folder = host.binaries(&programs.folder);
    let mut names: Vec<String> = match end {
        End::Client => ["loadgen", "conformance"].map(str::to_owned).to_vec(),
        End::Server => {
            points.iter().filter_map(Point::mode).map(|mode| format!("server-{mode}")).collect()
        }
    };
    names.sort();
    names.dedup();
    let mut files: Vec<String> =
        names.iter().map(|name| folder.join(name).display().to_string()).collect();
    if end == End::Client && points.iter().any(|point| point.cell.pipeline.is_some()) {
        files.extend(host.script(PIPELINE_SCRIPT).map(|path| path.display().to_string()));
    }
    files
}

/// The record of both ends: the server's machine, with the client's beside or in it.
fn both(hosts: &Hosts, of_server: &Look, of_client: &Look) -> Result<Environment> {
    let of = |look: &Look| look.environment.clone().context("an end does not say what it is");
    let (mut server, mut client) = (of(of_server)?, of(of_client)?);
    for (environment, host) in [(&mut server, &hosts.server), (&mut client, &hosts.client)] {
        for end in &mut environment.network.ends {
            end.namespace = host.label();
        }
    }
    ensure!(server.network.ends.len() == 1 && client.network.ends.len() == 1, "an end is one");
    server.command_line = std::env::args().collect();
    server.network.ends.extend(client.network.ends.clone());
    server.binaries_sha256.extend(client.binaries_sha256.clone());
    server.client_cpu = hosts.recorded_client_cpu();
    if hosts.are_two_machines {
        server.client_machine = Some(Box::new(client));
    }
    Ok(server)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ssh_says_has_its_cure() {
        let check = |said: &str, part: &str| {
            let cure = cure_of_ssh(said, "a@b");
            assert!(cure.contains(part), "{said}: {cure}");
        };
        check("a@b: Permission denied (publickey).", "ssh-copy-id a@b");
        check("Host key verification failed.", "accept the host's key: ssh a@b");
        check("ssh: connect to host b port 22: Connection refused", "openssh-server");
        check("ssh: Could not resolve hostname b: Name or service not known", "DNS");
        check("kex_exchange_identification: read: reset", "ssh -o BatchMode=yes a@b true");
    }
}
