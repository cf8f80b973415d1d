//! Cells that the kernel or a device refuses: asked before the rounds begin, and left out.
//!
//! A server whose way of waiting cannot be had says so in a sentence and ends. That is an answer
//! about the machine, not a failure of the run.

use crate::commands::DRAIN_S;
use crate::experiment::{Experiment, Wait};
use crate::gate::is_same_server;
use crate::matrix::{self, Point};
use crate::measure::READY_MAX;
use crate::process::Events;
use crate::programs::Programs;
use anyhow::{Result, ensure};
use std::time::{Duration, Instant};

/// Time that a server gets to end beyond its drain time-out.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// Whether only the kernel and the device can say if a cell's server can wait so.
pub(crate) fn may_be_refused(point: &Point) -> bool {
    let wait = point.cell.wait.as_ref().and_then(|wait| wait.parse::<Wait>().ok());
    wait.is_some_and(Wait::may_be_refused)
}

/// The points whose servers are not refused, and a sentence for each server that is.
///
/// # Errors
/// Where a baseline is refused; where a server neither starts nor refuses; and
/// [`crate::process::Interrupted`].
pub(crate) fn retain(
    experiment: &Experiment,
    points: Vec<Point>,
    programs: &Programs,
    events: &Events,
) -> Result<(Vec<Point>, Vec<String>)> {
    let mut asked: Vec<(&Point, Option<String>)> = Vec::new();
    for point in points.iter().filter(|point| may_be_refused(point)) {
        if !asked.iter().any(|(other, _)| is_same_server(other, point)) {
            asked.push((point, refusal(point, programs, events)?));
        }
    }
    let why = |point: &Point| {
        let same = asked.iter().find(|(other, _)| is_same_server(other, point));
        same.and_then(|(_, why)| why.clone())
    };
    let whys: Vec<Option<String>> = points.iter().map(why).collect();
    for point in &points {
        if let (Some(why), true) = (&whys[point.baseline], whys.iter().any(Option::is_none)) {
            let label = matrix::label(&points[point.baseline].cell, experiment);
            ensure!(false, "the baseline {label} cannot be measured here: {why}");
        }
    }
    let refused = asked.iter().filter_map(|(point, why)| {
        let wait = point.cell.wait.as_deref().unwrap_or_default();
        let name = point.cell.name.as_ref().unwrap_or(&point.cell.mode);
        Some(format!("{name} with wait {wait}: {}", why.as_ref()?))
    });
    let refused: Vec<String> = refused.collect();
    let keeps: Vec<bool> = whys.iter().map(Option::is_none).collect();
    Ok((matrix::keep(points, &keeps), refused))
}

/// What the server of a point says when it refuses to run; none where it gets ready.
fn refusal(point: &Point, programs: &Programs, events: &Events) -> Result<Option<String>> {
    let _site = programs.prepare(point, events)?;
    let command = programs.server_command(point);
    let server = programs.spawn(events, &format!("server-{}", point.cell.mode), command)?;
    let is_decided = || server.has_ended() || server.event_line("ready").is_some();
    events.wait_until(Instant::now() + READY_MAX, is_decided)?;
    if !server.has_ended() && server.event_line("ready").is_some() {
        server.stop(events, Duration::from_secs(DRAIN_S.into()) + STOP_GRACE)?;
        return Ok(None);
    }
    if !server.has_ended() {
        return Err(server.failure("did not say that it is ready"));
    }
    let ended = server.finish(events, Instant::now())?;
    let said = ended.stderr.trim();
    ensure!(
        !said.is_empty(),
        "server-{} ended ({}) and said nothing",
        point.cell.mode,
        ended.status
    );
    Ok(Some(said.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::programs::{Place, Rendezvous};
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::{Path, PathBuf};

    const READY: &str = r#"#!/bin/sh
trap 'kill $!' TERM
echo '{"event":"ready"}'
sleep 60 &
wait
"#;
    const REFUSES: &str = "#!/bin/sh\necho 'there is no device' >&2\nexit 1\n";

    /// A folder with servers; removed at the end.
    struct Servers(PathBuf);

    impl Servers {
        fn new(name: &str, epoll: &str, uring: &str) -> Self {
            let name = format!("showdown-probe-{}-{name}", std::process::id());
            let folder = std::env::temp_dir().join(name);
            fs::create_dir_all(&folder).unwrap();
            for (name, text) in [("server-epoll", epoll), ("server-uring", uring)] {
                fs::write(folder.join(name), text).unwrap();
                let executable = fs::Permissions::from_mode(0o755);
                fs::set_permissions(folder.join(name), executable).unwrap();
            }
            Self(folder)
        }

        fn retain(&self, first: &str) -> Result<(Vec<String>, Vec<String>)> {
            let mut experiment = Experiment::load("loopback").unwrap();
            let wait = [first, "busy-poll:50"].map(|wait| wait.parse().unwrap());
            experiment.axes.wait = wait.to_vec();
            experiment.axes.mode.retain(|mode| mode.has_wait());
            // Only on a veth may the kernel have something to poll; the commands are loopback's.
            experiment.topology = crate::experiment::Network::Veth;
            let points = matrix::expand(&experiment, 1 << 20).unwrap().points;
            let programs = Programs {
                folder: self.0.clone(),
                server_cpu: 1,
                client_cpu: 0,
                network: Place::Loopback(1),
                rendezvous: Rendezvous::at(Path::new("/nonexistent").to_owned()),
            };
            let events = Events::new()?;
            let (kept, refused) = retain(&experiment, points, &programs, &events)?;
            let baselines = kept.iter().all(|point| point.baseline == 0);
            assert!(baselines, "the places of baselines have moved along");
            let labels = kept.iter().map(|point| matrix::label(&point.cell, &experiment));
            Ok((labels.collect(), refused))
        }
    }

    impl Drop for Servers {
        fn drop(&mut self) {
            drop(fs::remove_dir_all(&self.0));
        }
    }

    #[test]
    fn what_a_server_refuses_is_left_out_in_its_own_words() {
        let (kept, refused) = Servers::new("some", REFUSES, READY).retain("block").unwrap();
        assert_eq!(kept, ["epoll block", "uring block", "uring busy-poll:50"]);
        assert_eq!(refused, ["epoll with wait busy-poll:50: there is no device"]);
    }

    #[test]
    fn a_baseline_that_is_refused_or_a_server_that_says_nothing_ends_the_run() {
        let refuses = Servers::new("baseline", REFUSES, READY);
        let message = refuses.retain("busy-poll").unwrap_err().to_string();
        assert!(message.contains("the baseline epoll busy-poll cannot be measured"), "{message}");
        let silent = Servers::new("silent", "#!/bin/sh\nexit 1\n", READY);
        let message = silent.retain("block").unwrap_err().to_string();
        assert!(message.contains("server-epoll ended") && message.contains("said nothing"));
    }
}
