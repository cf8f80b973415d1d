//! Command lines of the two questions.

use super::*;

fn parse(command: Command, line: &str) -> Result<Parsed, String> {
    let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
    Parsed::parse(command, "loadgen", &words)
}

#[test]
fn a_sweep_has_rates_and_the_options_of_a_run() {
    let line = "--rates 1k-3k+1k -c32 --json=curve.json -d 5 --arrival poisson http://server/x";
    let parsed = parse(Command::Sweep, line).unwrap();
    let length = Duration::from_secs(5);
    let rates_rps = vec![1000, 2000, 3000];
    assert_eq!(parsed.question, Question::Sweep { rates_rps, length });
    assert_eq!(parsed.json, Some(PathBuf::from("curve.json")));
    assert_eq!((parsed.options.connections, parsed.options.json), (32, None));
}

#[test]
fn a_search_has_conditions_bounds_and_two_lengths() {
    let parsed = parse(Command::Search, "--slo p99<=200us -d60 http://server/").unwrap();
    let Question::Search(objective) = parsed.question else { panic!() };
    let bounds = Bounds { min_rps: 1000, max_rps: 10_000_000, resolution_percent: 2 };
    assert_eq!((objective.bounds, objective.conditions.len()), (bounds, 1));
    let lengths = (objective.short.as_secs(), objective.full.as_secs());
    assert_eq!(lengths, (12, 60));
    let line = "--slo p99<=200us --slo errors==0 --min 5k --max=1M --resolution 10 --short 3 -d2 \
                http://server/";
    let Question::Search(objective) = parse(Command::Search, line).unwrap().question else {
        panic!()
    };
    let bounds = Bounds { min_rps: 5000, max_rps: 1_000_000, resolution_percent: 10 };
    assert_eq!((objective.bounds, objective.conditions.len()), (bounds, 2));
    assert_eq!(objective.short.as_secs(), 3);
}

#[test]
fn what_follows_two_dashes_is_the_scripts_own() {
    let line = "--rates 1k -s x.lua http://server/ -- --json --rates 5 -h";
    let parsed = parse(Command::Sweep, line).unwrap();
    assert_eq!(parsed.options.script, Some(PathBuf::from("x.lua")));
    assert_eq!(parsed.options.args, ["--json", "--rates", "5", "-h"]);
    assert_eq!(parsed.json, None);
    let rates_rps = vec![1000];
    let length = Duration::from_secs(10);
    assert_eq!(parsed.question, Question::Sweep { rates_rps, length });
}

#[test]
fn mistakes_are_named() {
    let check = |command: Command, line: &str, part: &str| {
        let refusal = parse(command, line).unwrap_err();
        assert!(refusal.contains(part), "{line}: {refusal}");
    };
    check(Command::Sweep, "http://server/", "--rates is missing");
    check(Command::Sweep, "--rates", "--rates needs a value");
    check(Command::Sweep, "--rates 5x-1 http://server/", "--rates: '5x-1': a range needs");
    check(Command::Sweep, "--rates 1k", "the URL is missing");
    check(Command::Sweep, "--rates 1k -R 5 http://server/", "-R is of a single run");
    check(Command::Sweep, "--rates 1k --csv x http://server/", "are of a single run");
    check(Command::Sweep, "--rates 1k nonsense", "invalid URL: nonsense");
    check(Command::Search, "http://server/", "--slo is missing");
    check(Command::Search, "--slo p99<=200 http://server/", "--slo 'p99<=200': at character 9");
    check(Command::Search, "--slo p99<1s --min 0 http://server/", "--min 0: a whole number");
    check(Command::Search, "--slo p99<1s --min 5 --max 4 http://server/", "--min 5 is above");
    check(Command::Search, "--slo p99<1s --short 500ms http://server/", "--short 500ms: whole");
}

#[test]
fn only_their_names_are_commands() {
    assert_eq!(Command::named("sweep"), Some(Command::Sweep));
    assert_eq!(Command::named("search"), Some(Command::Search));
    assert_eq!(Command::named("http://sweep/"), None);
}
