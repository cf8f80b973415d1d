//! Files of hosts, what they make of an experiment, the commands for both ends, and refusals.

use super::check::{self, Own};
use super::look::{Address, Look};
use super::*;
use crate::commands::Load;
use crate::matrix::{self, Point};
use crate::programs::Rendezvous;
use record::{Environment, Git};
use std::time::Duration;

const TWO_MACHINES: &str = include_str!("../../../hosts/two-machines.toml");
const NAMESPACES: &str = include_str!("../../../hosts/namespaces.toml");

fn hosts(text: &str) -> Hosts {
    Hosts::parse(text.to_owned()).unwrap()
}

fn experiment(name: &str) -> (Experiment, Vec<String>) {
    let mut experiment = Experiment::load(name).unwrap();
    let left_out = restrict(&mut experiment).unwrap();
    (experiment, left_out)
}

fn points(name: &str) -> Vec<Point> {
    matrix::expand(&experiment(name).0, 1 << 20).unwrap().points
}

fn programs(text: &str) -> Programs {
    let hosts = hosts(text);
    Programs {
        folder: PathBuf::from("/own/bin"),
        server_cpu: hosts.server.cpu,
        client_cpu: hosts.client.cpu,
        network: Place::Hosts(Box::new(hosts)),
        rendezvous: Rendezvous::at(PathBuf::from("/tmp/sd")),
    }
}

/// The commands of server and client of the first cell of a mode.
fn commands(text: &str, name: &str, mode: &str) -> [String; 2] {
    let programs = programs(text);
    let json = Path::new("/tmp/x.json");
    let load = Load { duration_s: 1, warmup: Duration::from_millis(300), json };
    let points = points(name);
    let point = points.iter().find(|point| point.cell.mode == mode).unwrap();
    [programs.server_command(point), programs.client_command(point, load)].map(|of| of.join(" "))
}

#[test]
fn the_commands_for_both_machines_go_over_their_connections() {
    let [server, client] = commands(TWO_MACHINES, "kernel-vs-bypass", "xdp");
    let ssh = "ssh -o BatchMode=yes -o ConnectTimeout=10 -o ServerAliveInterval=5 -S /tmp/sd/ssh-";
    let run = "/opt/showdown/target/release/showdown remote run -- setpriv --pdeathsig KILL --";
    assert_eq!(
        server,
        format!(
            "{ssh}server root@server.example {run} /opt/showdown/target/release/server-xdp \
             --interface eth1 --listen 192.0.2.2:8080 --cpus 2 --drain-timeout 1 --tcp native"
        )
    );
    assert!(client.starts_with(&format!("{ssh}client root@client.example {run} ")), "{client}");
    assert!(client.contains("/opt/showdown/target/release/loadgen -t1 "), "{client}");
    let end = "--pin 2 --json /dev/stdin http://192.0.2.2:8080/plaintext";
    assert!(client.ends_with(end), "{client}");
    let [server, client] = commands(TWO_MACHINES, "kernel-vs-bypass", "epoll");
    assert!(server.contains("--listen 192.0.2.1:8080"), "{server}");
    assert!(client.contains("http://192.0.2.1:8080/plaintext"), "{client}");
}

#[test]
fn a_prefix_enters_an_end_on_this_machine_by_this_program() {
    let [server, client] = commands(NAMESPACES, "quick", "epoll");
    let own = std::env::current_exe().unwrap().display().to_string();
    let enter = |namespace: &str| {
        format!(
            "ip netns exec {namespace} {own} remote run -- setpriv --pdeathsig KILL -- /own/bin"
        )
    };
    assert!(server.starts_with(&format!("{}/server-epoll ", enter("sd-server"))), "{server}");
    assert!(client.starts_with(&format!("{}/loadgen ", enter("sd-client"))), "{client}");
}

#[test]
fn words_are_quoted_for_the_shell_of_the_other_machine() {
    let text = TWO_MACHINES.replace("/opt/showdown", "/opt/show down");
    let [server, _] = commands(&text, "kernel-vs-bypass", "epoll");
    assert!(server.contains("'/opt/show down/target/release/showdown' remote run --"), "{server}");
}

#[test]
fn a_bypass_client_comes_from_the_addresses_of_its_end() {
    let [_, client] = commands(TWO_MACHINES, "waterfall", "epoll");
    assert!(client.contains("--transport xdp --interface eth1 --source 192.0.2.20 "), "{client}");
}

#[test]
fn what_cannot_be_between_hosts_is_left_out_by_name() {
    let (of_peers, left_out) = experiment("peers");
    assert!(of_peers.contenders.is_empty() && of_peers.topology == Network::Hosts);
    assert!(left_out.iter().any(|sentence| sentence.contains("nginx")), "{left_out:?}");
    let (all, left_out) = experiment("kernel-vs-bypass");
    assert!(left_out.iter().any(|sentence| sentence.starts_with("floors: ")), "{left_out:?}");
    let plan = matrix::expand(&all, 1 << 20).unwrap();
    let modes: Vec<&str> = plan.points.iter().map(|point| point.cell.mode.as_str()).collect();
    assert!(modes.contains(&"epoll") && modes.contains(&"xdp"), "{modes:?}");
    assert!(plan.points.iter().all(|point| point.cell.link.as_deref() == Some("wire")));
    let mut placed = Experiment::load("quick").unwrap();
    placed.softirq = Softirq::Rps;
    assert!(restrict(&mut placed).unwrap_err().to_string().contains("leave out softirq"));
}

#[test]
fn an_experiment_between_hosts_is_read_again_from_its_folder() {
    let (mut experiment, _) = experiment("waterfall");
    experiment.hosts = Some(PathBuf::from("hosts.toml"));
    let text = toml::to_string(&experiment).unwrap();
    let again = Experiment::parse("waterfall", &text).unwrap();
    assert_eq!(again, experiment);
    experiment.hosts = None;
    let message = Hosts::take(&mut experiment, &mut Vec::new()).unwrap_err().to_string();
    assert!(message.contains("--hosts FILE"), "{message}");
}

#[test]
fn files_that_describe_no_two_hosts_are_refused() {
    let check = |from: &str, to: &str, part: &str| {
        let text = TWO_MACHINES.replacen(from, to, 1);
        let message = format!("{:#}", Hosts::parse(text).unwrap_err());
        assert!(message.contains(part), "{to}: {message}");
    };
    check("root@server.example", "-oProxyCommand=x", "is not user@host");
    check("dir = \"/opt/showdown\" ", "dir = \"showdown\" ", "dir is missing, or is not absolute");
    check("dir = \"/opt/showdown\" ", "", "dir is missing");
    check("192.0.2.2", "192.0.2.1", "192.0.2.1 is there twice");
    check("interface = \"eth1\"", "interface = \"-x\"", "interface = \"-x\" is none");
    check("interface = \"eth1\"", "device = \"eth1\"", "unknown field `device`");
    check("# port = 8080", "port = 0 #", "port = 0 is none");
}

/// What a machine without a fault looks like to the run.
fn look(host: &Host, boot_id: &str) -> Look {
    let address = |address| Address { interface: host.interface.clone(), address, prefix_len: 24 };
    Look {
        event: "look".to_owned(),
        version: "1".to_owned(),
        git: Some(Git { commit: "abc".to_owned(), dirty: false }),
        boot_id: boot_id.to_owned(),
        cpus: vec![0, 1, 2],
        missing: Vec::new(),
        packages: Vec::new(),
        addresses: vec![address(host.address)],
        default_routes: vec!["eth0".to_owned()],
        interfaces: vec!["eth0".to_owned(), host.interface.clone()],
        is_up: true,
        driver: None,
        login: Some(Ipv4Addr::new(203, 0, 113, 1)),
        open_files: 20_000,
        environment: None,
    }
}

/// What is said of two machines after a change to the server's.
fn refusal(modes: &str, change: impl FnOnce(&mut Hosts, &mut Look)) -> Option<String> {
    let mut hosts = hosts(TWO_MACHINES);
    let (mut of_server, of_client) = (look(&hosts.server, "a"), look(&hosts.client, "b"));
    change(&mut hosts, &mut of_server);
    let mut points = points("quick");
    points.retain(|point| modes.split(',').any(|mode| mode == point.cell.mode));
    let own =
        Own { version: "1".to_owned(), git: Some(Git { commit: "abc".to_owned(), dirty: false }) };
    let checked = check::check(&hosts, [&of_server, &of_client], &points, &own);
    checked.err().map(|error| error.to_string())
}

fn refuses(modes: &str, part: &str, change: impl FnOnce(&mut Hosts, &mut Look)) {
    let message = refusal(modes, change).unwrap_or_else(|| panic!("{part}: not refused"));
    assert!(message.contains(part), "{part}: {message}");
    assert_eq!(message.lines().count(), 2, "one reason: {message}");
}

#[test]
fn what_is_wrong_at_an_end_is_told_with_its_cure() {
    let all = "epoll,xdp";
    assert_eq!(refusal(all, |_, _| ()), None);
    refuses(all, "git checkout abc && cargo build", |_, look| look.version = "0".to_owned());
    refuses(all, "commit def is checked out there", |_, look| {
        look.git = Some(Git { commit: "def".to_owned(), dirty: false });
    });
    refuses(all, "missing there: x/server-epoll; cure, there: cargo build", |_, look| {
        look.missing = vec!["x/server-epoll".to_owned()];
    });
    refuses(all, "apt-get install ethtool", |_, look| look.packages = vec!["ethtool".to_owned()]);
    refuses(all, "there is no interface eth1, only eth0", |_, look| look.interfaces.truncate(1));
    refuses(all, "ip link set eth1 up", |_, look| look.is_up = false);
    refuses("epoll", "ip address add 192.0.2.1/24 dev eth1", |_, look| look.addresses.clear());
    refuses(all, "the kernel has 192.0.2.2 on eth1", |hosts, look| {
        let address = hosts.server.bypass_address;
        look.addresses.push(Address { address, ..look.addresses[0].clone() });
    });
    refuses(all, "CPU 2 may not be used there, only [0, 1]", |_, look| look.cpus.truncate(2));
    refuses(all, "both ends are on one machine and on its CPU 2", |_, look| {
        look.boot_id = "b".to_owned();
    });
    refuses(all, "raise ulimit -Hn", |_, look| look.open_files = 110);
}

#[test]
fn what_a_queue_of_ours_could_cut_off_or_would_not_get_is_refused_to_bypass_only() {
    type Change = fn(&mut Hosts, &mut Look);
    let cases: [(&str, Change); 3] = [
        ("eth1 carries the default route", |_, look| look.default_routes.push("eth1".to_owned())),
        ("eth1 carries your login", |hosts, look| look.login = Some(hosts.server.address)),
        ("192.0.3.2 is not on the network of eth1", |hosts, _| {
            hosts.server.bypass_address = Ipv4Addr::new(192, 0, 3, 2);
        }),
    ];
    for (part, change) in cases {
        let message = refusal("epoll,xdp", change).unwrap_or_else(|| panic!("{part}"));
        assert!(message.contains(part), "{part}: {message}");
        assert_eq!(refusal("epoll", change), None, "{part}: nothing bypasses the kernel");
    }
}

/// A machine whose interface has so many receive queues and leaves checksums to others, or not.
fn environment(queues: u32, sums: &str) -> Environment {
    let end = serde_json::json!({
        "namespace": "", "interface": "eth1", "addresses": "", "sysctls": {},
        "offloads": { "tx-checksumming": sums }, "knobs": { "rx_queues": queues.to_string() },
    });
    let machine = serde_json::json!({
        "command_line": [], "showdown_version": "1", "rustc_version": "",
        "build_profile": "release",
        "binaries_sha256": {}, "kernel_release": "", "kernel_version": "",
        "kernel_command_line": "", "cpus_online": "0-2", "virtual_machine": false, "server_cpu": 2,
        "client_cpu": 2, "mitigations": {}, "network": { "topology": "hosts", "ends": [end] },
    });
    serde_json::from_value(machine).unwrap()
}

#[test]
fn several_queues_and_sums_left_to_others_are_refused_to_bypass_only() {
    let check = |queues, sums: &'static str, driver: &'static str, part: Option<&str>| {
        let change = move |_: &mut Hosts, look: &mut Look| {
            look.environment = Some(environment(queues, sums));
            look.driver = Some(driver.to_owned());
        };
        let message = refusal("xdp", change);
        match part {
            Some(part) => assert!(message.as_ref().is_some_and(|said| said.contains(part))),
            None => assert_eq!(message, None),
        }
        assert_eq!(refusal("epoll", change), None, "{part:?}: nothing bypasses the kernel");
    };
    check(1, "on", "ice", None);
    check(1, "off", "veth", None);
    check(8, "on", "ice", Some("ethtool -L eth1 combined 1"));
    check(1, "on", "veth", Some("ethtool -K eth1 tx off"));
}
