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
    assert_eq!(experiment.axes.tcp, [Tcp::Smoltcp]);
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
    refuses(r#""xdp""#, r#""memif""#, &["memif is reached by none", "add memif to the axis"]);
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
