//! Several threads, and how they wait.

use crate::{Client, Server, refused};

/// One port and one bound for all threads; each connection is served by the thread that the
/// kernel chose, and the counters are summed.
pub fn threads_share_one_port_and_one_bound(binary: &str) {
    const MOST: usize = 40;
    let cpus = std::thread::available_parallelism().map_or(1, usize::from).min(2);
    let list = if cpus == 2 { "0,1" } else { "0" };
    let most = MOST.to_string();
    let mut server = Server::start(binary, &["--cpus", list, "--max-connections", &most]);
    assert_eq!(server.ready["threads"], cpus);
    let mut clients: Vec<Client> = (0..MOST).map(|_| server.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.get("/plaintext").status, 200);
    }
    let mut refused = server.connect();
    server.wait_for("connections_refused", 1);
    // A FIN or a reset.
    assert_eq!(refused.rest().unwrap_or_default(), b"");
    drop(clients);
    let counters = server.stop();
    assert_eq!(counters["connections_accepted"], MOST);
    assert_eq!(counters["responses"], MOST);
}

/// A thread that never sleeps counts how often it found nothing to do; one that sleeps, nothing.
pub fn idle_polls_are_counted(binary: &str) {
    let mut server = Server::start(binary, &["--wait", "spin"]);
    server.wait_for("idle_polls", 1);
    let counters = server.stop();
    assert!(counters["polls"].as_u64() >= counters["idle_polls"].as_u64(), "{counters}");

    let server = Server::start(binary, &["--wait", "block"]);
    assert_eq!(server.connect().get("/plaintext").status, 200);
    let counters = server.stop();
    assert_eq!((&counters["polls"], &counters["idle_polls"]), (&0.into(), &0.into()));
}

/// For servers with `--wait spin`: the same service, no thread ever sleeps, the drain is obeyed.
pub fn a_spinning_server_answers(binary: &str) {
    let server = Server::start(binary, &["--wait", "spin", "--idle-timeout", "200"]);
    assert_eq!(server.ready["wait"], "spin");
    let before = server.sleeps();
    let mut client = server.connect();
    for _ in 0..100 {
        assert_eq!(client.get("/plaintext").status, 200);
    }
    // The time-out is met without anything else to wake the thread.
    client.expect_fin();
    // One that blocks sleeps before nearly every request.
    let sleeps = server.sleeps() - before;
    assert!(sleeps < 10, "{sleeps} times asleep");
    drop(client);
    let counters = server.stop();
    assert_eq!(counters["closed_idle_timeout"], 1);
    assert_eq!(counters["responses"], 100);
}

/// For servers with `--wait busy-poll`: what cannot be had is refused with cause and cure, not
/// replaced by something lesser. The loopback interface cannot be polled by any kernel.
pub fn waiting_that_cannot_be_had_is_refused(binary: &str) {
    for wait in ["busy-poll", "busy-poll:50", "suspend"] {
        let message = refused(binary, &["--wait", wait]);
        assert!(message.contains(&format!("--wait {wait}")), "{message}");
        assert!(message.contains("cannot be had"), "{message}");
        assert!(message.contains("use "), "names a cure: {message}");
    }
    assert!(refused(binary, &["--wait", "doze"]).contains("not one of block, spin"));
}
