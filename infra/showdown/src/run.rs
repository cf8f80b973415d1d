//! A whole run: checks, topology, interleaved rounds, summary, results folder.

use crate::available;
use crate::clock::Utc;
use crate::contender;
use crate::cost;
use crate::environment;
use crate::experiment::{Effort, Experiment, Network};
use crate::gate;
use crate::hosts::{self, Hosts};
use crate::matrix::{self, Plan, Point};
use crate::measure::Bench;
use crate::probe;
use crate::process::{Events, Interrupted};
use crate::profile;
use crate::programs::{Place, Programs, Rendezvous, check_tools};
use crate::progress::Progress;
use crate::reach;
use crate::results::Folder;
use crate::rounds::{self, Series, Source, Standing, Taken, Turn};
use crate::softirq::{self, Placement};
use crate::summarise::{Span, count_of, summarise};
use crate::table;
use crate::testpmd;
use crate::topology::{Names, Topology};
use anyhow::{Context, Result, bail, ensure};
use record::{Counts, Environment, Failure, Measurement, Summary};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Debian packages of the tools that any run needs, and of those that namespaces need.
const TOOLS: [(&str, &str); 1] = [("setpriv", "util-linux")];
const TOOLS_FOR_VETH: [(&str, &str); 3] =
    [("bash", "bash"), ("ip", "iproute2"), ("ethtool", "ethtool")];

/// Seconds that a measurement takes beside warm-up and load: starting and stopping.
const OVERHEAD_S: f64 = 0.2;

/// Where a run finds and leaves things.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// The folder in which the results folder is made.
    pub(crate) out: PathBuf,
    /// The folder of the servers and the generator.
    pub(crate) bin_dir: PathBuf,
    /// Whether flame graphs are drawn.
    pub(crate) profile: bool,
    /// Whether contenders that are not built yet are built first.
    pub(crate) builds: bool,
}

/// What a run leaves.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The results folder.
    pub(crate) folder: PathBuf,
    /// The table for the terminal.
    pub(crate) table: String,
    /// What ended the run before its time.
    pub(crate) interrupted: Option<Interrupted>,
}

/// Runs an experiment. Whatever was started or brought up is gone when it returns, whether it
/// succeeds, fails or is interrupted; where a round was finished by then, it leaves a results
/// folder that says so.
///
/// # Errors
/// A sentence with the cure where something is missing or fails; [`crate::process::Interrupted`].
pub(crate) fn run(
    mut experiment: Experiment,
    options: &Options,
    events: &Events,
) -> Result<Outcome> {
    check_tools(&TOOLS)?;
    let mut left_out = Vec::new();
    let hosts = Hosts::take(&mut experiment, &mut left_out)?;
    if options.builds {
        let not_built = available::build_contenders(&mut experiment, &options.bin_dir, events)?;
        left_out.extend(not_built);
    }
    left_out.extend(available::retain(&mut experiment, &options.bin_dir)?);
    let Plan { mut points, left_out: impossible } =
        matrix::expand(&experiment, reach::open_files())?;
    left_out.extend(impossible);
    left_out.extend(testpmd::add(&mut points));
    let (client_cpu, server_cpu) = cpus(hosts.as_ref())?;
    let place = choose_place(&experiment, hosts)?;
    let mut programs = Programs {
        folder: options.bin_dir.clone(),
        server_cpu,
        client_cpu,
        network: place,
        rendezvous: Rendezvous::new()?,
    };
    programs.check(&points)?;
    programs.write_scripts().context("a script for the generator cannot be written")?;
    let seed = *experiment.seed.get_or_insert_with(|| seed_from(Utc::now()));

    // Dropped in reverse: the results folder, then the topology, then the connections to other
    // machines. Children are gone before all of them.
    let (_connections, ends) = hosts::connect(&mut programs, &points, events)?;
    let topology = match &programs.network {
        Place::Veth(names) => Some(Topology::bring_up(names)?),
        Place::Loopback(_) | Place::Hosts(_) => None,
    };
    let started = Utc::now();
    let name = format!("{}-{}", started.folder(), experiment.name);
    let mut folder = Folder::create(&options.out, &name)?;
    events.check()?;
    let (points, refused) = probe::retain(&experiment, points, &programs, events)?;
    left_out.extend(refused);
    let placement = Placement::apply(experiment.softirq, &programs)?;
    let mut environment = ends.map_or_else(|| read_environment(&programs, &points), Ok)?;
    environment.cpu_roles = softirq::roles(experiment.softirq, &programs);

    announce(&experiment, points.len(), &left_out)?;
    let verdicts = gate::examine(&points, &programs, events, folder.path())?;
    let points = gate::admitted(&experiment, points, &verdicts)?;
    let bench = bench(&experiment, &programs, events, &folder);
    let series =
        Series { experiment: &experiment, points: &points, environment: &environment, seed };
    let mut taken = take_rounds(series, &bench, &mut folder)?;
    let mut profile_notes = Vec::new();
    if options.profile && taken.interrupted().is_none() {
        let labels = labels(&experiment, &points);
        profile_notes = taken.unless_interrupted(profile::profile_all(&bench, &points, &labels))?;
    }
    let span = Span { started_utc: started.rfc3339(), finished_utc: Utc::now().rfc3339() };
    let mut summary = summary_of(series, &taken, span)?;
    summary.conformance = verdicts;
    let on_contenders = contender::notes(&summary);
    summary.notes.extend(on_contenders);
    summary.notes.extend(profile_notes);
    summary.notes.push(softirq::note(experiment.softirq, experiment.topology).to_owned());
    summary.notes.extend(left_out.iter().map(|combination| format!("Left out: {combination}.")));
    let table = table::render(&summary, &experiment);
    write_files(&folder, &experiment, &summary, &table, topology.as_ref())?;
    hosts::write(&programs, &folder)?;
    let (folder, interrupted) = (folder.finish()?, taken.interrupted());
    drop(placement);
    topology.map_or(Ok(()), Topology::take_down)?;
    Ok(Outcome { folder, table, interrupted })
}

/// Says what will run, how long it takes, and what was left out.
fn announce(experiment: &Experiment, cells: usize, left_out: &[String]) -> Result<()> {
    eprintln!(
        "{}: {}, {} of {} s, about {:.0} s in all",
        experiment.name,
        count_of(cells, "cell"),
        count_of(experiment.effort.rounds as usize, "round"),
        experiment.effort.duration_s,
        estimate_s(experiment)?
    );
    for combination in left_out {
        eprintln!("left out: {combination}");
    }
    Ok(())
}

/// About how long an experiment takes where no round is disturbed, in seconds.
///
/// # Errors
/// Where its matrix is too large.
pub(crate) fn estimate_s(experiment: &Experiment) -> Result<f64> {
    let effort = &experiment.effort;
    let points = matrix::expand(experiment, reach::open_files())?.points;
    let servers = u32::try_from(gate::servers(&points).len())?;
    let rounds_s = round_s(experiment)? * f64::from(effort.rounds);
    let counts_s = if experiment.counts { counts_s(effort, &points) } else { 0.0 };
    Ok(gate::SERVER_S * f64::from(servers) + counts_s + rounds_s.min(f64::from(effort.budget_s)))
}

/// About how long counting takes, in seconds.
fn counts_s(effort: &Effort, points: &[Point]) -> f64 {
    let one = |point: &Point| effort.warmup_s(point.cell.connections) + OVERHEAD_S;
    points.iter().map(|point| f64::from(cost::COUNTED_S) + one(point)).sum()
}

/// About how long one round takes, in seconds.
fn round_s(experiment: &Experiment) -> Result<f64> {
    let effort = &experiment.effort;
    let points = matrix::expand(experiment, reach::open_files())?.points;
    let one = |point: &Point| effort.warmup_s(point.cell.connections) + OVERHEAD_S;
    Ok(points.iter().map(|point| f64::from(effort.duration_s) + one(point)).sum())
}

/// The CPUs of client and server: those that hosts name, or two that this process may use.
///
/// # Errors
/// Where there are no two.
pub(crate) fn cpus(hosts: Option<&Hosts>) -> Result<(usize, usize)> {
    match hosts {
        Some(hosts) => Ok((hosts.client.cpu, hosts.server.cpu)),
        None => choose_cpus(&environment::allowed_cpus()?),
    }
}

fn read_environment(programs: &Programs, points: &[Point]) -> Result<Environment> {
    environment::read(programs, programs.sha256(points)?)
}

/// The client gets the first CPU, which also takes most interrupts, and the server the last.
fn choose_cpus(allowed: &[usize]) -> Result<(usize, usize)> {
    match allowed {
        [first, .., last] => Ok((*first, *last)),
        _ => bail!(
            "only {} CPU may be used, and server and client on one would measure each other: \
             use a machine with two, or allow more with taskset",
            allowed.len()
        ),
    }
}

fn choose_place(experiment: &Experiment, hosts: Option<Hosts>) -> Result<Place> {
    if let Some(hosts) = hosts {
        return Ok(Place::Hosts(Box::new(hosts)));
    }
    match experiment.topology {
        Network::Hosts => bail!("experiment {} names no hosts: add --hosts FILE", experiment.name),
        Network::Veth => {
            ensure!(
                rustix::process::geteuid().is_root(),
                "experiment {} needs root, for network namespaces and AF_XDP: run it with sudo, \
                 or run 'showdown run unprivileged', which needs none",
                experiment.name
            );
            check_tools(&TOOLS_FOR_VETH)?;
            Ok(Place::Veth(Names::from_environment()))
        }
        Network::Loopback => {
            // A port that is free now; the servers take it one after the other.
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
                .context("127.0.0.1 has no free port")?;
            Ok(Place::Loopback(listener.local_addr()?.port()))
        }
    }
}

/// Any number will do, as long as it is recorded.
fn seed_from(now: Utc) -> u64 {
    now.rfc3339().bytes().fold(0, |seed, byte| seed * 31 % (1 << 31) + u64::from(byte))
}

fn bench<'a>(
    experiment: &Experiment,
    programs: &'a Programs,
    events: &'a Events,
    folder: &Folder,
) -> Bench<'a> {
    Bench { events, programs, effort: experiment.effort, scratch: folder.path().to_owned() }
}

/// Measures the cells of a run for [`rounds::take`].
struct Live<'a> {
    bench: &'a Bench<'a>,
    points: &'a [Point],
    labels: Vec<String>,
    folder: &'a mut Folder,
    progress: Progress,
    /// What was counted in each cell goes with its first measurement, and is none from then on.
    counts: Vec<Option<Counts>>,
    began: Instant,
}

impl Source for Live<'_> {
    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn measure(&mut self, turn: Turn) -> Result<Measurement> {
        let Turn { index, round, position, .. } = turn;
        let label = &self.labels[index];
        self.progress.measuring(&format!("round {round}: {label}"));
        let mut measurement = self
            .bench
            .measure(&self.points[index], round, position)
            .with_context(|| format!("round {round}, {label}"))?;
        measurement.counts = self.counts[index].take();
        Ok(measurement)
    }

    fn keep(&mut self, measurement: &Measurement) -> Result<()> {
        self.folder.append_round(measurement)?;
        self.progress.measured();
        Ok(())
    }

    fn keep_failure(&mut self, failure: &Failure) -> Result<()> {
        self.folder.append_failure(failure)?;
        self.progress.measured();
        Ok(())
    }

    fn say(&mut self, line: &str) {
        self.progress.say(line);
    }

    fn expect_more(&mut self, measurements: usize) {
        self.progress.expect_more(measurements);
    }
}

/// Counts where the experiment asks for it, then measures its rounds.
fn take_rounds(series: Series<'_>, bench: &Bench<'_>, folder: &mut Folder) -> Result<Taken> {
    let Series { experiment, points, .. } = series;
    let counts =
        if experiment.counts { cost::count_all(bench, points)? } else { vec![None; points.len()] };
    let progress = Progress::new(points.len() * experiment.effort.rounds as usize);
    let labels = labels(experiment, points);
    let began = Instant::now();
    let mut live = Live { bench, points, labels, folder, progress, counts, began };
    rounds::take(series, &mut live)
}

/// Judges the rounds, and computes the figures of those that count.
fn summary_of(series: Series<'_>, taken: &Taken, span: Span) -> Result<Summary> {
    let Series { experiment, points, environment, seed } = series;
    let Taken { measurements, failures, ended } = taken;
    let standing = Standing::of(points, measurements, failures, experiment);
    let judged = rounds::judge(&standing, experiment, environment);
    let mut rounds = rounds::choose(judged, experiment, seed);
    let widest = rounds::widest(&standing, &rounds.used, experiment);
    rounds.superseded = rounds::superseded(measurements, experiment);
    rounds.stop = Some(ended.stop(experiment, rounds.used.len(), widest));
    let Standing { points, failed, .. } = standing;
    if let Some(interrupted) = taken.interrupted().filter(|_| rounds.used.is_empty()) {
        let why = "no round was finished, so that there is no results folder";
        return Err(anyhow::Error::new(interrupted).context(why));
    }
    ensure!(!points.is_empty(), "no cell has figures: {}", rounds::failed_notes(&failed).join(" "));
    let environment = environment.clone();
    let mut summary = summarise(experiment, &points, measurements, rounds, environment, span)?;
    summary.notes.extend(rounds::failed_notes(&failed));
    summary.failed = failed;
    summary.interrupted = taken.interrupted().map(|by| by.name().to_owned());
    Ok(summary)
}

fn labels(experiment: &Experiment, points: &[Point]) -> Vec<String> {
    points.iter().map(|point| matrix::label(&point.cell, experiment)).collect()
}

fn write_files(
    folder: &Folder,
    experiment: &Experiment,
    summary: &Summary,
    table: &str,
    topology: Option<&Topology>,
) -> Result<()> {
    folder.write_json("summary.json", summary)?;
    folder.write_json("environment.json", &summary.environment)?;
    folder.write("experiment.toml", &toml::to_string(experiment)?)?;
    folder.write("table.txt", table)?;
    if let Some(topology) = topology {
        folder.write("topology.log", topology.log())?;
    }
    Ok(())
}

/// The default folder of the binaries: the one that this program lies in.
///
/// # Errors
/// Where the kernel does not say which that is.
pub(crate) fn own_folder() -> Result<PathBuf> {
    let own = std::env::current_exe().context("this program does not know where it lies")?;
    Ok(own.parent().map_or_else(|| PathBuf::from("."), Path::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_and_client_get_different_cpus_or_nothing_runs() {
        assert_eq!(choose_cpus(&[0, 1]).unwrap(), (0, 1));
        assert_eq!(choose_cpus(&[2, 3, 7]).unwrap(), (2, 7));
        let message = choose_cpus(&[0]).unwrap_err().to_string();
        assert!(message.contains("only 1 CPU"), "{message}");
    }

    #[test]
    fn the_quick_form_of_every_experiment_fits_in_a_minute_with_rounds_to_compare() {
        let quick = crate::experiment::Overrides { quick: true, ..Default::default() };
        for name in Experiment::shipped() {
            let experiment = Experiment::load(name).unwrap().with(&quick).unwrap();
            assert!(estimate_s(&experiment).unwrap() < 58.0, "{name}");
            let round_s = round_s(&experiment).unwrap();
            assert!(round_s * 2.0 < f64::from(experiment.effort.budget_s), "{name}: {round_s}");
        }
    }
}
