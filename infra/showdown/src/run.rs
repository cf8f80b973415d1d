//! A whole run: checks, topology, interleaved rounds, summary, results folder.

use crate::available;
use crate::clock::Utc;
use crate::contender;
use crate::cost;
use crate::environment;
use crate::experiment::{Experiment, Network};
use crate::gate;
use crate::matrix::{self, Plan, Point};
use crate::measure::Bench;
use crate::probe;
use crate::process::Events;
use crate::profile;
use crate::programs::{Place, Programs, Rendezvous, check_tools};
use crate::progress::Progress;
use crate::reach;
use crate::results::Folder;
use crate::rounds::{self, Ended};
use crate::softirq::{self, Placement};
use crate::statistics;
use crate::summarise::{Span, count_of, summarise};
use crate::table;
use crate::testpmd;
use crate::topology::{Names, Topology};
use anyhow::{Context, Result, bail, ensure};
use record::{Counts, Environment, Measurement, Summary};
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
}

/// What a run leaves.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The results folder.
    pub(crate) folder: PathBuf,
    /// The table for the terminal.
    pub(crate) table: String,
}

/// Runs an experiment. Whatever was started or brought up is gone when it returns, whether it
/// succeeds, fails or is interrupted.
///
/// # Errors
/// A sentence with the cure where something is missing or fails; [`crate::process::Interrupted`].
pub(crate) fn run(
    mut experiment: Experiment,
    options: &Options,
    events: &Events,
) -> Result<Outcome> {
    let mut left_out = available::retain(&mut experiment, &options.bin_dir)?;
    let Plan { mut points, left_out: impossible } =
        matrix::expand(&experiment, reach::open_files())?;
    left_out.extend(impossible);
    left_out.extend(testpmd::add(&mut points));
    let (client_cpu, server_cpu) = choose_cpus(&environment::allowed_cpus()?)?;
    check_tools(&TOOLS)?;
    let place = choose_place(&experiment)?;
    let programs = Programs {
        folder: options.bin_dir.clone(),
        server_cpu,
        client_cpu,
        network: place,
        rendezvous: Rendezvous::new()?,
    };
    programs.check(&points)?;
    programs.write_scripts().context("a script for the generator cannot be written")?;
    let seed = *experiment.seed.get_or_insert_with(|| seed_from(Utc::now()));

    // Dropped in reverse: the results folder, then the topology. Children are gone before both.
    let topology = match &programs.network {
        Place::Veth(names) => Some(Topology::bring_up(names)?),
        Place::Loopback(_) => None,
    };
    let started = Utc::now();
    let name = format!("{}-{}", started.folder(), experiment.name);
    let mut folder = Folder::create(&options.out, &name)?;
    events.check()?;
    let (points, refused) = probe::retain(&experiment, points, &programs, events)?;
    left_out.extend(refused);
    let placement = Placement::apply(experiment.softirq, &programs)?;
    let mut environment = environment::read(&programs, programs.sha256(&points)?)?;
    environment.cpu_roles = softirq::roles(experiment.softirq, &programs);

    eprintln!(
        "{}: {}, {} of {} s, about {:.0} s in all",
        experiment.name,
        count_of(points.len(), "cell"),
        count_of(experiment.effort.rounds as usize, "round"),
        experiment.effort.duration_s,
        estimate_s(&experiment)?
    );
    for combination in &left_out {
        eprintln!("left out: {combination}");
    }
    let verdicts = gate::examine(&points, &programs, events, folder.path())?;
    let points = gate::admitted(&experiment, points, &verdicts)?;
    let run = Run { experiment: &experiment, points: &points, environment: &environment, seed };
    let bench = bench(&experiment, &programs, events, &folder);
    let (measurements, ended) = run.take_rounds(&bench, &mut folder)?;
    let profile_notes = if options.profile { run.profile(&bench)? } else { Vec::new() };
    let judged = rounds::judge(&measurements, &experiment, &environment);
    let mut rounds = rounds::choose(judged, &experiment, seed);
    let widest = rounds::widest(&points, &measurements, &rounds.used, &experiment);
    rounds.stop = Some(ended.stop(&experiment, rounds.used.len(), widest));
    let span = Span { started_utc: started.rfc3339(), finished_utc: Utc::now().rfc3339() };
    let mut summary = summarise(&experiment, &points, &measurements, rounds, environment, span)?;
    summary.conformance = verdicts;
    let on_contenders = contender::notes(&summary);
    summary.notes.extend(on_contenders);
    summary.notes.extend(profile_notes);
    summary.notes.push(softirq::note(experiment.softirq).to_owned());
    summary.notes.extend(left_out.iter().map(|combination| format!("Left out: {combination}.")));
    let table = table::render(&summary, &experiment);
    write_files(&folder, &experiment, &summary, &table, topology.as_ref())?;
    let folder = folder.finish()?;
    drop(placement);
    topology.map_or(Ok(()), Topology::take_down)?;
    Ok(Outcome { folder, table })
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
    let counts_s = if experiment.counts { counts_s(effort.warmup_s, points.len())? } else { 0.0 };
    Ok(gate::SERVER_S * f64::from(servers) + counts_s + rounds_s.min(f64::from(effort.budget_s)))
}

/// About how long counting takes, in seconds.
fn counts_s(warmup_s: f64, cells: usize) -> Result<f64> {
    let one = f64::from(cost::COUNTED_S) + warmup_s + OVERHEAD_S;
    Ok(one * f64::from(u32::try_from(cells)?))
}

/// About how long one round takes, in seconds.
fn round_s(experiment: &Experiment) -> Result<f64> {
    let effort = &experiment.effort;
    let one = f64::from(effort.duration_s) + effort.warmup_s + OVERHEAD_S;
    let points = matrix::expand(experiment, reach::open_files())?.points;
    Ok(one * f64::from(u32::try_from(points.len())?))
}

/// The client gets the first CPU, which also takes most interrupts, and the server the last.
pub(crate) fn choose_cpus(allowed: &[usize]) -> Result<(usize, usize)> {
    match allowed {
        [first, .., last] => Ok((*first, *last)),
        _ => bail!(
            "only {} CPU may be used, and server and client on one would measure each other: \
             use a machine with two, or allow more with taskset",
            allowed.len()
        ),
    }
}

fn choose_place(experiment: &Experiment) -> Result<Place> {
    match experiment.topology {
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
    Bench {
        events,
        programs,
        duration_s: experiment.effort.duration_s,
        warmup: Duration::from_secs_f64(experiment.effort.warmup_s),
        scratch: folder.path().to_owned(),
    }
}

/// What is measured, and what rounds are judged by.
struct Run<'a> {
    experiment: &'a Experiment,
    points: &'a [Point],
    environment: &'a Environment,
    seed: u64,
}

impl Run<'_> {
    /// Profiles every cell; returns what a reader must know about the graphs.
    fn profile(&self, bench: &Bench<'_>) -> Result<Vec<String>> {
        let label = |point: &Point| matrix::label(&point.cell, self.experiment);
        let labels: Vec<String> = self.points.iter().map(label).collect();
        profile::profile_all(bench, self.points, &labels)
    }

    /// Measures rounds until there are enough undisturbed ones, or until no more are allowed.
    fn take_rounds(
        &self,
        bench: &Bench<'_>,
        folder: &mut Folder,
    ) -> Result<(Vec<Measurement>, Ended)> {
        let effort = self.experiment.effort;
        let mut counts = vec![None; self.points.len()];
        if self.experiment.counts {
            counts = cost::count_all(bench, self.points)?;
        }
        let progress = Progress::new(self.points.len() * effort.rounds as usize);
        let mut budget = Budget::new(Duration::from_secs(effort.budget_s.into()));
        let mut all: Vec<Measurement> = Vec::new();
        for round in 1..=effort.rounds + effort.repeats {
            if !budget.allows_another() {
                progress.say("the time allowed is used up");
                return Ok((all, Ended::Budget));
            }
            let measured = self.take_round(round, bench, &progress, folder, &mut counts)?;
            budget.round_done();
            all.extend(measured);
            let judged = rounds::judge(&all, self.experiment, self.environment);
            let words = judged.last().map_or_else(String::new, |last| rounds::words(&last.reasons));
            progress.say(&round_line(&all, self.experiment, &words));
            let clean = rounds::clean(&judged);
            if clean.len() >= effort.rounds as usize {
                return Ok((all, Ended::Complete));
            }
            if let Some(rule) = &self.experiment.stop {
                let widest = rounds::widest(self.points, &all, &clean, self.experiment);
                if rule.is_met(clean.len(), widest.as_ref()) {
                    return Ok((all, Ended::Narrow));
                }
            }
            if !words.is_empty() {
                progress.expect_more(self.points.len());
            }
        }
        Ok((all, Ended::Repeats))
    }

    /// Measures every cell once, in an order drawn for this round. The counts of each cell go with
    /// its first measurement, and are none from then on.
    fn take_round(
        &self,
        round: u32,
        bench: &Bench<'_>,
        progress: &Progress,
        folder: &mut Folder,
        counts: &mut [Option<Counts>],
    ) -> Result<Vec<Measurement>> {
        let order = statistics::order(self.seed, round, self.points.len());
        let measure = |(place, index): (u32, usize)| {
            let point = &self.points[index];
            let label = matrix::label(&point.cell, self.experiment);
            progress.measuring(&format!("round {round}: {label}"));
            let mut measurement = bench
                .measure(point, round, place)
                .with_context(|| format!("round {round}, {label}"))?;
            measurement.counts = counts[index].take();
            folder.append_round(&measurement)?;
            progress.measured();
            Ok(measurement)
        };
        (1..).zip(order).map(measure).collect()
    }
}

/// What the round measured last gave; `disturbed_by` is empty where nothing disturbed it.
fn round_line(all: &[Measurement], experiment: &Experiment, disturbed_by: &str) -> String {
    let round = all.last().map_or(0, |last| last.round);
    let of_round = all.iter().filter(|measurement| measurement.round == round);
    let mut rates: Vec<String> = of_round
        .map(|measurement| {
            let label = matrix::label(&measurement.cell, experiment);
            format!("{label} {:.1}k", measurement.load.throughput_rps / 1e3)
        })
        .collect();
    rates.sort();
    let rates = rates.join(", ");
    match disturbed_by {
        "" => format!("round {round}: {rates} requests/s"),
        _ => format!("round {round}: {rates} requests/s; DISTURBED: {disturbed_by}"),
    }
}

/// The time that rounds may take. The first round always runs; another is begun only if the
/// longest so far would still fit.
struct Budget {
    total: Duration,
    began: Instant,
    round_began: Instant,
    longest: Duration,
}

impl Budget {
    fn new(total: Duration) -> Self {
        let now = Instant::now();
        Self { total, began: now, round_began: now, longest: Duration::ZERO }
    }

    fn allows_another(&mut self) -> bool {
        self.round_began = Instant::now();
        self.round_began - self.began + self.longest <= self.total
    }

    fn round_done(&mut self) {
        self.longest = self.longest.max(self.round_began.elapsed());
    }
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
