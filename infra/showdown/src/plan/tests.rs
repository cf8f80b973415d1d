//! What is said of an experiment before it runs.

use super::*;

fn described(name: &str, change: impl FnOnce(&mut Experiment)) -> String {
    let mut experiment = Experiment::load(name).unwrap();
    change(&mut experiment);
    describe(experiment, PathBuf::from("/nonexistent")).unwrap()
}

#[test]
fn the_list_has_every_experiment_with_its_question() {
    let text = list().unwrap();
    for name in Experiment::shipped() {
        let line = text.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap();
        assert!(line.ends_with(&Experiment::load(name).unwrap().question), "{line}");
    }
}

#[test]
fn a_plan_has_the_commands_of_every_cell_and_its_baseline() {
    let text = described("loopback", |_| ());
    assert!(text.contains("3 cells, 15 rounds of 2 s after 0.5 s of warm-up"), "{text}");
    for mode in ["epoll", "hyper", "uring"] {
        assert!(
            text.contains(&format!("/nonexistent/server-{mode} --listen 127.0.0.1:")),
            "{text}"
        );
    }
    assert_eq!(text.matches("  client:   setpriv ").count(), 3, "{text}");
    assert_eq!(text.matches("  against:  epoll\n").count(), 2, "{text}");
    assert!(text.contains("Needs no privilege"), "{text}");
    assert!(text.contains("--seed N fixes it") && !text.contains("Left out"), "{text}");
}

#[test]
fn a_seed_tells_the_order_of_the_first_rounds() {
    let order = |seed| {
        let text = described("loopback", |experiment| experiment.seed = Some(seed));
        let lines = text.lines().filter(|line| line.starts_with("  round "));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(order(7).len(), 3);
    assert_eq!(order(7), order(7));
    assert_ne!(order(7), order(8));
}

#[test]
fn a_plan_says_what_goes_before_a_cell_and_what_is_left_out() {
    let text = described("loopback", |experiment| {
        experiment.axes.connections = vec![32, 100_000];
        experiment.contenders = crate::contender::Contender::named("gone=/no/such").unwrap();
        let here = crate::contender::Contender::named("here=sh -c 'exec a'").unwrap();
        experiment.contenders.extend(here);
        experiment.contenders[1].setup = vec!["echo {port} >{dir}/port".to_owned()];
    });
    assert!(text.contains("gone: /no/such is not there"), "{text}");
    assert!(text.contains("with 100000 connections: each is"), "{text}");
    assert!(text.contains("timeout -k 1 30 sh -c 'echo 8080 >"), "{text}");
    assert!(text.contains("taskset -c ") && text.contains("sh -c 'exec a'\n"), "{text}");
}
