//! `loadgen sweep` and `loadgen search`: their command lines, and what they print.
//!
//! Options of wrk and of the generator are taken as for a single run; what is theirs alone is taken
//! out before.

use super::bisect::Bounds;
use super::load::LoadTrial;
use super::objective::{self, Objective};
use super::row::Row;
use super::{rates, sweep};
use crate::options::{self, Options};
use crate::output::condition::Condition;
use crate::output::settings::Settings;
use crate::plan::Schedule;
use crate::units::parse_metric;
use serde_json::Value;
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

const SWEEP_USAGE: &str = "\
Usage: loadgen sweep --rates LIST [options] URL [-- script arguments]
  Runs an open loop at each rate, rising, and prints a row for each: the throughput-latency
  curve. Ends when two rates in succession were not reached.
        --rates       <L>  Requests per second: 10k,20k-100k+10k (from-to+step)
        --json        <F>  Write the curve to a file
    -d, --duration    <T>  Duration of each rate (10s)
  Other options are those of a single run (loadgen --help), such as -c, -t, -H, --warmup,
  --arrival and --pin. With -s, each rate is a run of its own for the script: it is loaded
  anew, and its done() is called before the row is printed.
";

const SEARCH_USAGE: &str = "\
Usage: loadgen search --slo CONDITION [options] URL [-- script arguments]
  Finds the highest rate at which every condition holds and the rate is reached: short trials
  first, then a confirmation of full length. A trial that does not hold is repeated.
        --slo         <C>  Must hold: p99<=200us, errors==0; may be given several times
        --min         <N>  Lowest rate tried, in requests per second (1k)
        --max         <N>  Highest rate tried (10M)
        --resolution  <P>  Percent by which the result may be too low (2)
        --short       <T>  Duration of a short trial (a fifth of -d, at least 1s)
        --json        <F>  Write every trial and the result to a file
    -d, --duration    <T>  Duration of the confirmation (10s)
  Other options are those of a single run (loadgen --help), such as -c, -t, -H, --warmup,
  --arrival and --pin. With -s, each trial is a run of its own for the script: it is loaded
  anew, and its done() is called before the row is printed.
  Exits with 1 where no rate was confirmed.
";

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// `loadgen sweep`.
    Sweep,
    /// `loadgen search`.
    Search,
}

/// How a command ended; a failure has a message for standard error, which may be empty.
pub type Ended = io::Result<Result<(), String>>;

impl Command {
    /// The command that a first word names, if it does.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        match word {
            "sweep" => Some(Self::Sweep),
            "search" => Some(Self::Search),
            _ => None,
        }
    }

    /// Runs the command. `words` are those after its name.
    ///
    /// # Errors
    /// Those of `out`; what is wrong with the words or with the load is a message.
    pub fn run(self, program: &str, words: &[String], out: &mut impl Write) -> Ended {
        let mut own = words.iter().take_while(|word| *word != "--");
        if own.any(|word| word == "--help" || word == "-h") {
            out.write_all(self.usage().as_bytes())?;
            return Ok(Ok(()));
        }
        let parsed = match Parsed::parse(self, program, words) {
            Ok(parsed) => parsed,
            Err(why) => return Ok(Err(format!("{why}\n\n{}", self.usage().trim_end()))),
        };
        let json = parsed.json.as_ref().map(|path| {
            File::create(path).map_err(|error| format!("--json {}: {error}", path.display()))
        });
        let json = match json.transpose() {
            Ok(json) => json,
            Err(why) => return Ok(Err(why)),
        };
        let url = parsed.options.url_text.clone();
        let (mut trial, warnings) = match LoadTrial::new(&parsed.options) {
            Ok(trial) => trial,
            Err(why) => return Ok(Err(why)),
        };
        let warnings = parsed.options.warnings.iter().chain(&warnings);
        warnings.into_iter().try_for_each(|warning| writeln!(io::stderr(), "{warning}"))?;
        let mut printed = Ok(());
        let mut print = |text: String| {
            let write = |()| writeln!(out, "{text}").and_then(|()| out.flush());
            printed = std::mem::replace(&mut printed, Ok(())).and_then(write);
        };
        let ended = match parsed.question {
            Question::Sweep { rates_rps, length } => {
                print(format!("Sweeping {url}\n{}", Row::heading()));
                let curve =
                    sweep::run(&rates_rps, length, &mut trial, |row| print(row.to_string()));
                curve.and_then(|curve| {
                    print(curve.conclusion().trim_end().to_owned());
                    write_json(json, &curve.json(&url))
                })
            }
            Question::Search(objective) => {
                print(format!("Searching {url}\n{}  trial  verdict", Row::heading()));
                let search =
                    objective::run(&objective, &mut trial, |trial| print(trial.to_string()));
                search.and_then(|search| {
                    print(search.conclusion(&objective).trim_end().to_owned());
                    write_json(json, &search.json(&url, &objective))?;
                    if search.is_confirmed() { Ok(()) } else { Err(String::new()) }
                })
            }
        };
        printed?;
        Ok(ended)
    }

    fn usage(self) -> &'static str {
        match self {
            Self::Sweep => SWEEP_USAGE,
            Self::Search => SEARCH_USAGE,
        }
    }

    /// The long options that are its own, all with a value.
    fn own(self) -> &'static [&'static str] {
        match self {
            Self::Sweep => &["--rates", "--json"],
            Self::Search => &["--slo", "--min", "--max", "--resolution", "--short", "--json"],
        }
    }
}

fn write_json(file: Option<File>, value: &Value) -> Result<(), String> {
    let Some(mut file) = file else { return Ok(()) };
    writeln!(file, "{value:#}").map_err(|error| format!("--json: {error}"))
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Question {
    Sweep { rates_rps: Vec<u64>, length: Duration },
    Search(Objective),
}

/// A command line that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Parsed {
    question: Question,
    json: Option<PathBuf>,
    options: Options,
}

/// The rate that stands in the command line of a trial until its own is known.
const ANY_RATE_RPS: u64 = 1;

impl Parsed {
    fn parse(command: Command, program: &str, words: &[String]) -> Result<Self, String> {
        let (own, rest) = take_own(command.own(), words)?;
        let options = read_options(program, rest)?;
        let full = Duration::from_secs(options.duration_s);
        let value = |name: &str| own.iter().rfind(|(own, _)| *own == name).map(|(_, value)| *value);
        let json = value("--json").map(PathBuf::from);
        let question = match command {
            Command::Sweep => {
                let list = value("--rates").ok_or("--rates is missing: such as --rates 10k,20k")?;
                let rates_rps = rates::parse(list).map_err(|why| format!("--rates: {why}"))?;
                Question::Sweep { rates_rps, length: full }
            }
            Command::Search => {
                let conditions = own.iter().filter(|(name, _)| *name == "--slo");
                let conditions: Result<Vec<Condition>, String> = conditions
                    .map(|(_, text)| Condition::parse(text).map_err(|why| format!("--slo {why}")))
                    .collect();
                let conditions = conditions?;
                if conditions.is_empty() {
                    return Err("--slo is missing: such as --slo 'p99<=200us'".to_owned());
                }
                let bounds = bounds(&value)?;
                let short = match value("--short") {
                    Some(text) => seconds("--short", text)?,
                    None => (full / 5).max(Duration::from_secs(1)),
                };
                Question::Search(Objective { conditions, bounds, short, full })
            }
        };
        Ok(Self { question, json, options })
    }
}

/// Reads the options of a run. They are given a rate, which makes it an open loop; one that the
/// user gave is refused.
fn read_options(program: &str, mut words: Vec<String>) -> Result<Options, String> {
    words.insert(0, format!("-R{ANY_RATE_RPS}"));
    let options = options::parse(program, &words)
        .result
        .map_err(|refusal| refusal.message.unwrap_or_else(|| "the URL is missing".to_owned()))?;
    match options.plan.schedule {
        Schedule::Open { rate_rps: ANY_RATE_RPS, .. } => {}
        Schedule::Open { .. } | Schedule::Closed => {
            return Err("-R is of a single run: the rates are chosen here".to_owned());
        }
    }
    if options.output != Settings::default() {
        let why = "--percentiles, --hgrm, --hlog, --csv and --fail-if are of a single run";
        return Err(why.to_owned());
    }
    Ok(options)
}

fn bounds<'a>(value: &impl Fn(&str) -> Option<&'a str>) -> Result<Bounds, String> {
    let number = |name: &str, otherwise: u64| {
        value(name).map_or(Ok(otherwise), |text| {
            parse_metric(text)
                .filter(|number| *number > 0)
                .ok_or_else(|| format!("{name} {text}: a whole number above 0, such as 500 or 10k"))
        })
    };
    let bounds = Bounds {
        min_rps: number("--min", 1000)?,
        max_rps: number("--max", 10_000_000)?,
        resolution_percent: number("--resolution", 2)?,
    };
    if bounds.min_rps > bounds.max_rps {
        let Bounds { min_rps, max_rps, .. } = bounds;
        return Err(format!("--min {min_rps} is above --max {max_rps}"));
    }
    if bounds.resolution_percent > 100 {
        return Err("--resolution: from 1 to 100 percent".to_owned());
    }
    Ok(bounds)
}

fn seconds(name: &str, text: &str) -> Result<Duration, String> {
    let seconds = crate::units::parse_time_s(text).filter(|seconds| *seconds > 0);
    let seconds = seconds.ok_or_else(|| format!("{name} {text}: whole seconds, such as 2s"))?;
    Ok(Duration::from_secs(seconds))
}

/// Options with their values.
type Own<'a> = Vec<(&'a str, &'a str)>;

/// Takes out the options of these names, `--name value` or `--name=value`.
fn take_own<'a>(names: &[&'a str], words: &'a [String]) -> Result<(Own<'a>, Vec<String>), String> {
    let (mut own, mut rest) = (Vec::new(), Vec::new());
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if word == "--" {
            // What follows is the script's, whatever it is called.
            rest.push(word.clone());
            rest.extend(words.cloned());
            break;
        }
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (word.as_str(), None),
        };
        let Some(name) = names.iter().find(|own| **own == name) else {
            rest.push(word.clone());
            continue;
        };
        let value = value.or_else(|| words.next().map(String::as_str));
        own.push((*name, value.ok_or_else(|| format!("{name} needs a value"))?));
    }
    Ok((own, rest))
}

#[cfg(test)]
mod tests;
