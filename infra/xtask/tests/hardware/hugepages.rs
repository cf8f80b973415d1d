//! `hugepages.sh`.

use crate::{Machine, Outcome};

/// Two nodes, the second of which has 100 pages of 2 MiB already.
fn machine(name: &str) -> Machine {
    let machine = Machine::new(&format!("hugepages-{name}"));
    for (node, pages) in [(0, 0), (1, 100)] {
        machine.put(&count(node), &format!("{pages}\n"));
        machine.put(&count(node).replace("nr_", "free_"), &format!("{pages}\n"));
        machine.put(&count(node).replace("2048", "1048576"), "0\n");
        machine.put(&count(node).replace("2048", "1048576").replace("nr_", "free_"), "0\n");
    }
    machine
}

fn count(node: u32) -> String {
    format!("sys/devices/system/node/node{node}/hugepages/hugepages-2048kB/nr_hugepages")
}

fn run(machine: &Machine, arguments: &str) -> Outcome {
    machine.run("hugepages.sh", arguments)
}

fn counts(machine: &Machine) -> [String; 2] {
    [0, 1].map(|node| machine.get(&count(node)))
}

#[test]
fn every_node_gets_pages_and_then_what_it_had() {
    let machine = machine("all");
    run(&machine, "up").is(0, "up (512 pages of 2M on each node");
    assert_eq!(counts(&machine), ["512", "512"]);
    run(&machine, "status").is(0, "");
    run(&machine, "up --pages 600").is(0, "echo 600");
    assert_eq!(counts(&machine), ["600", "600"]);
    run(&machine, "down").is(0, "echo 100 >");
    assert_eq!(counts(&machine), ["0", "100"]);
    let status = run(&machine, "status");
    status.is(3, "");
    assert!(status.output.contains("\n1     2M          100      100\n"), "{}", status.output);
    assert!(status.output.contains("1024M"), "{}", status.output);
    run(&machine, "down").is(0, "down already");
}

#[test]
fn other_nodes_and_what_others_have_reserved_are_left() {
    let machine = machine("some");
    run(&machine, "up --node 0 --pages 7").is(0, "up");
    assert_eq!(counts(&machine), ["7", "100"]);
    run(&machine, "up --pages 50").is(0, "up");
    assert_eq!(counts(&machine), ["50", "100"]);
    run(&machine, "down").is(0, "down");
    assert_eq!(counts(&machine), ["0", "100"]);
}

#[test]
fn what_somebody_else_has_changed_since_is_left_and_said() {
    let machine = machine("changed");
    run(&machine, "up").is(0, "up");
    machine.put(&count(0), "800\n");
    run(&machine, "down").is(1, "is 800, not the 512 written here");
    assert_eq!(counts(&machine), ["800", "100"]);
    machine.put(&count(0), "512\n");
    run(&machine, "down").is(0, "echo 0 >");
    assert_eq!(counts(&machine), ["0", "100"]);
}

#[test]
fn a_dry_run_says_and_does_not() {
    let machine = machine("dry");
    run(&machine, "up --dry-run --size 1G").is(0, "hugepages-1048576kB/nr_hugepages");
    run(&machine, "up --dry-run").is(0, "+ echo 512 >");
    assert_eq!(counts(&machine), ["0", "100"]);
    assert!(!machine.path("state").exists());
    run(&machine, "up").is(0, "up");
    run(&machine, "down --dry-run").is(0, "+ echo 0 >");
    assert_eq!(counts(&machine), ["512", "512"]);
}

#[test]
fn nonsense_is_refused_with_a_sentence() {
    let machine = machine("nonsense");
    run(&machine, "").is(2, "usage: hugepages.sh");
    run(&machine, "up down").is(2, "usage");
    run(&machine, "up --size 4K").is(1, "--size 4K: choose 2M or 1G");
    run(&machine, "up --pages 0").is(1, "--pages 0 is not 1 to 9999999");
    run(&machine, "up --node x").is(1, "--node x is no list of numbers");
    run(&machine, "up --node 2").is(1, "there is no node 2");
    assert_eq!(counts(&machine), ["0", "100"]);
    let empty = Machine::new("hugepages-empty");
    run(&empty, "up").is(1, "this kernel has no huge pages");
}
