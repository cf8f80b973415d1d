//! What experiment files may say, and what is answered to those that are wrong.

use super::*;

const GOOD: &str = r#"
question = "q"
hypothesis = "h"
topology = "veth"
baseline = "epoll"
rounds = 7
duration_s = 1
warmup_s = 0.3
repeats = 2
budget_s = 50
steal_share_max = 0.05
[axes]
mode = ["epoll", "xdp"]
connections = [32]
"#;

fn modes(modes: &[Mode]) -> FewerValues {
    FewerValues { mode: Some(modes.to_vec()), ..FewerValues::default() }
}

/// Replaces one line of the good file and expects a message that contains all the parts.
fn refuses(line: &str, replacement: &str, parts: &[&str]) {
    assert!(GOOD.contains(line), "{line} is not in the good file");
    let message = match Experiment::parse("test", &GOOD.replace(line, replacement)) {
        Ok(experiment) => panic!("accepted {replacement}: {experiment:?}"),
        Err(error) => format!("{error:#}"),
    };
    for part in parts {
        assert!(message.contains(part), "'{part}' is missing in: {message}");
    }
}

#[test]
fn every_shipped_experiment_parses_and_has_a_quick_form() {
    for name in Experiment::shipped() {
        let experiment = Experiment::load(name).unwrap();
        assert_eq!(experiment.name, name);
        let quick = Overrides { quick: true, ..Overrides::default() };
        assert!(experiment.with(&quick).unwrap().effort.budget_s <= 52, "{name}");
    }
}

#[test]
fn axes_left_out_have_one_value() {
    let experiment = Experiment::parse("test", GOOD).unwrap();
    assert_eq!(experiment.axes.tcp, [Tcp::Native]);
    assert_eq!(experiment.axes.wait, [Wait::Block]);
    assert_eq!(experiment.axes.transport, [Transport::Epoll]);
    assert_eq!(experiment.axes.path, ["/plaintext"]);
    assert!(!experiment.floor && experiment.connections_max.is_empty());
}

#[test]
fn what_was_read_is_written_so_that_it_can_be_read_again() {
    for name in Experiment::shipped() {
        let mut experiment = Experiment::load(name).unwrap();
        experiment.seed = Some(7);
        let text = toml::to_string(&experiment).unwrap();
        assert_eq!(Experiment::parse(name, &text).unwrap(), experiment, "{text}");
    }
}

#[test]
fn misspelt_keys_and_values_are_named_with_what_they_may_be() {
    refuses("rounds = 7", "rounds = 7\nround = 8", &["unknown field `round`", "`rounds`"]);
    refuses("[axes]", "[axes]\nmodes = []", &["unknown field `modes`", "`mode`"]);
    refuses(r#""xdp""#, r#""nginx""#, &["unknown variant `nginx`", "`uring`", "`xdp`"]);
    refuses("baseline = \"epoll\"", "", &["missing field `baseline`"]);
    refuses("[axes]", "[connections_max]\nxpd = 1\n[axes]", &["unknown variant `xpd`"]);
    refuses("[axes]", "[quick]\nround = 1\n[axes]", &["unknown field `round`"]);
    refuses("[axes]", "[axes]\ntransport = [\"xpd\"]", &["unknown variant `xpd`", "`memif`"]);
    refuses("rounds = 7", "rounds = \"7\"", &["invalid type", "rounds"]);
    refuses("question = \"q\"", "question = ", &["experiment test is not understood"]);
}

#[test]
fn values_out_of_bounds_are_refused_with_the_bound() {
    refuses("rounds = 7", "rounds = 0", &["rounds = 0", "1 to 1000"]);
    refuses("duration_s = 1", "duration_s = 0", &["duration_s = 0", "1 to 3600"]);
    refuses("warmup_s = 0.3", "warmup_s = nan", &["warmup_s = NaN"]);
    refuses("warmup_s = 0.3", "warmup_s = -1.0", &["warmup_s = -1"]);
    refuses("budget_s = 50", "budget_s = 0", &["budget_s = 0"]);
    refuses("steal_share_max = 0.05", "steal_share_max = 5.0", &["0 to 1"]);
    refuses("connections = [32]", "connections = [0]", &["connections = 0"]);
    refuses("connections = [32]", "connections = []", &["axis connections is empty"]);
    refuses("[axes]", "[connections_max]\nxdp = 0\n[axes]", &["connections = 0"]);
    refuses("connections = [32]", "connections = [1, 1]", &["connections names a value twice"]);
    refuses("connections = [32]", "connections = [1]\npath = [\"x\"]", &["begin with '/'"]);
}

#[test]
fn contradictions_are_refused_with_the_cure() {
    refuses("baseline = \"epoll\"", "baseline = \"uring\"", &["uring is not among the modes"]);
    refuses("topology = \"veth\"", "topology = \"loopback\"", &["xdp needs an interface", "veth"]);
    refuses(
        r#""xdp""#,
        r#""memif""#,
        &["memif is reached by none", "add memif or dpdk to the axis"],
    );
    let only_xdp = Overrides { axes: modes(&[Mode::Xdp]), ..Overrides::default() };
    let message =
        format!("{:#}", Experiment::parse("test", GOOD).unwrap().with(&only_xdp).unwrap_err());
    assert!(message.contains("baseline epoll is not among the modes"), "{message}");
    let quick = Overrides { quick: true, ..Overrides::default() };
    let message =
        format!("{:#}", Experiment::parse("test", GOOD).unwrap().with(&quick).unwrap_err());
    assert!(message.contains("no [quick] table"), "{message}");
}

#[test]
fn quick_may_have_fewer_connections() {
    let overrides = Overrides { quick: true, ..Overrides::default() };
    let experiment = Experiment::load("unprivileged").unwrap();
    assert_eq!(experiment.axes.connections, [256, 1]);
    assert_eq!(experiment.with(&overrides).unwrap().axes.connections, [256]);
    let none = "connections = [32]\n[quick]\nrounds = 1\nduration_s = 1\nwarmup_s = 0.1\n\
                repeats = 0\nbudget_s = 9\nconnections = []";
    refuses("connections = [32]", none, &["with its [quick] table", "connections is empty"]);
}

#[test]
fn the_command_line_has_the_last_word() {
    let overrides = Overrides {
        quick: true,
        axes: modes(&[Mode::Uring, Mode::Epoll]),
        rounds: Some(3),
        duration_s: Some(4),
        ..Overrides::default()
    };
    let experiment = Experiment::load("quick").unwrap().with(&overrides).unwrap();
    assert_eq!(experiment.axes.mode, [Mode::Uring, Mode::Epoll]);
    assert_eq!((experiment.effort.rounds, experiment.effort.duration_s), (3, 4));
    assert_eq!(experiment.effort.repeats, 3, "from the [quick] table");
}

#[test]
fn unknown_names_and_names_unfit_for_a_folder_are_refused() {
    let check = |name: &str, part: &str| {
        let message = format!("{:#}", Experiment::load(name).unwrap_err());
        assert!(message.contains(part), "{name}: {message}");
    };
    check(
        "quik",
        "the names are quick, kernel-vs-bypass, waterfall, latency, connections, payload",
    );
    check("no/such.toml", "cannot be read");
    let message = format!("{:#}", Experiment::parse("a b", GOOD).unwrap_err());
    assert!(message.contains("cannot name a results folder"), "{message}");
}

/// Two steps on shared load.
const STEPS: &str = r#"
connections = [32]
[[step]]
name = "one"
change = "c"
mode = "epoll"
wait = "busy-poll:50"
server_args = ["--steer", "cbpf"]
[[step]]
name = "two"
change = "c"
mode = "xdp"
tcp = "native"
"#;

fn with_steps() -> String {
    let good =
        GOOD.replace("mode = [\"epoll\", \"xdp\"]\n", "").replace("baseline = \"epoll\"\n", "");
    good.replace("connections = [32]", STEPS)
}

#[test]
fn steps_stand_for_modes_and_baseline() {
    let experiment = Experiment::parse("test", &with_steps()).unwrap();
    assert_eq!(experiment.baseline, Mode::Epoll, "that of the first step");
    let names: Vec<&str> = experiment.steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(names, ["one", "two"]);
    assert_eq!(experiment.steps[0].wait, Some(Wait::BusyPoll(Some(50))));
    assert_eq!(experiment.steps[0].flags().collect::<Vec<_>>(), ["--steer"]);
    let text = toml::to_string(&experiment).unwrap();
    assert_eq!(Experiment::parse("test", &text).unwrap(), experiment, "{text}");
}

#[test]
fn steps_have_no_modes_to_choose_from() {
    let experiment = Experiment::parse("test", &with_steps()).unwrap();
    let overrides = Overrides { axes: modes(&[Mode::Epoll]), ..Overrides::default() };
    let message = experiment.with(&overrides).unwrap_err().to_string();
    assert!(message.contains("steps in the place of modes: leave out --modes"), "{message}");
}

#[test]
fn steps_that_cannot_be_are_refused_with_the_reason() {
    let check = |from: &str, to: &str, parts: &[&str]| {
        let text = with_steps();
        assert!(text.contains(from), "{from}");
        let error = Experiment::parse("test", &text.replacen(from, to, 1)).unwrap_err();
        let message = format!("{error:#}");
        assert!(parts.iter().all(|part| message.contains(part)), "{message}");
    };
    check("[32]", "[32, 1]", &["one load", "connections one value, not 2"]);
    check("name = \"two\"", "name = \"one\"", &["two steps are called 'one'"]);
    check("name = \"two\"", "name = \"t|o\"", &["its name is not 1 to 64"]);
    check("change = \"c\"", "change = \" \"", &["in the step 'one'", "change is empty"]);
    check("tcp = \"native\"", "wait = \"spin\"", &["'two'", "xdp has no choice how to wait"]);
    check("wait = \"busy-poll:50\"", "tcp = \"native\"", &["epoll has the kernel's TCP"]);
    check("\"--steer\"", "\"--cpus=3\"", &["--cpus in server_args is the run's to say"]);
    check("mode = \"xdp\"", "mode = \"memif\"", &["memif is not reached by the epoll client"]);
    check("topology", "baseline = \"xdp\"\ntopology", &["the first step is the baseline"]);
}

#[test]
fn loads_that_contradict_themselves_are_refused() {
    let axis = |line: &str, parts: &[&str]| {
        refuses("connections = [32]", &format!("connections = [32]\n{line}"), parts);
    };
    axis("payload = [1]\npath = [\"/json\"]", &["payload N asks for /bytes/N"]);
    axis("payload = [20000000]", &["payload = 20000000 is not 0 to 16777216"]);
    axis("service = [\"echo\"]", &["service echo needs the length"]);
    axis("service = [\"echo\"]\npayload = [0]", &["no message of 0 bytes"]);
    axis("pipeline = [0]", &["pipeline = 0 is not 1 to 1024"]);
    axis("rate = [10, 10]", &["rate names a value twice"]);
    axis("wait = [\"poll\"]", &["wait 'poll' is not one of", "busy-poll:USEC"]);
    axis("offloads = [\"gro\"]", &["unknown variant `gro`", "`on`"]);
}

#[test]
fn a_list_of_contenders_is_written_out() {
    let text = GOOD.replace("rounds = 7", "rounds = 7\ncontenders = [\"mine=./s --port {port}\"]");
    let experiment = Experiment::parse("test", &text).unwrap();
    assert_eq!(experiment.contenders[0].name, "mine");
    let written = toml::to_string(&experiment).unwrap();
    assert!(written.contains("[[contender]]"), "{written}");
    assert_eq!(Experiment::parse("test", &written).unwrap(), experiment);
    refuses(
        "rounds = 7",
        "rounds = 7\ncontenders = [\"mine\"]",
        &["no contender is called 'mine'"],
    );
    let twice = "rounds = 7\ncontenders = [\"a=x\", \"a=y\"]";
    refuses("rounds = 7", twice, &["are called 'a'"]);
    refuses("rounds = 7", "rounds = 7\ncontenders = [\"xdp=x\"]", &["'xdp' is a mode's name"]);
}

#[test]
fn many_connections_are_opened_before_their_measurement_begins() {
    let effort = Effort {
        rounds: 1,
        duration_s: 1,
        warmup_s: 0.5,
        repeats: 0,
        cell_repeats: 0,
        budget_s: 1,
    };
    let check = |connections: u64, expect: f64| {
        let warmup_s = effort.warmup_s(connections);
        assert!((warmup_s - expect).abs() < 1e-9, "{connections}: {warmup_s}");
    };
    check(1, 0.5);
    check(10_000, 0.5);
    check(50_000, 1.5);
    check(100_000, 2.75);
}
