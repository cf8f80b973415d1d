//! A million packets there and back.

use crate::exchange::exchange;
use crate::process::Testpmd;
use crate::{config, counter, open, settle, socket, wait_for_turn};
use queue_memif::{Config, Role};

/// Packets of a test.
const PACKETS: u64 = 1_000_000;

/// The number behind the last `name` in testpmd's statistics.
fn statistic(text: &str, name: &str) -> u64 {
    let rest = text.rsplit_once(name).unwrap_or_else(|| panic!("no {name}: {text}")).1;
    let number = rest.split_whitespace().next().and_then(|word| word.parse().ok());
    number.unwrap_or_else(|| panic!("no number behind {name}: {text}"))
}

fn check(role: Role, theirs: &str, more: &str, change: impl FnOnce(&mut Config)) {
    let _turn = wait_for_turn();
    let socket = socket(&format!("{theirs}-{}", more.len()));
    let mut config = config(&socket, role);
    change(&mut config);
    // A server must be there before DPDK's client looks for it; a client of ours waits.
    let (port, mut queue) = open(&config);
    let Some(testpmd) = Testpmd::start(&socket, theirs, more) else { return };
    settle(&port, &mut queue, true);
    exchange(&mut queue, 0..PACKETS);
    for name in ["rx_frames", "tx_frames"] {
        assert_eq!(counter(&queue, name), PACKETS, "{name}");
    }
    assert_eq!(counter(&queue, "rx_bytes"), counter(&queue, "tx_bytes"));
    assert_eq!(counter(&queue, "tx_unmasked_bursts"), 0, "testpmd polls");
    let text = testpmd.quit();
    for name in ["RX-packets:", "TX-packets:"] {
        assert_eq!(statistic(&text, name), PACKETS, "{name} {text}");
    }
    settle(&port, &mut queue, false);
    assert_eq!((counter(&queue, "link_ups"), counter(&queue, "control_errors")), (1, 0));
    queue.audit();
}

#[test]
fn a_million_packets_come_back_from_a_client() {
    check(Role::Server, "client", "", |_| ());
}

#[test]
fn a_million_packets_come_back_from_a_server() {
    check(Role::Client, "server", "", |_| ());
}

#[test]
fn a_secret_an_id_and_small_buffers_are_understood() {
    let change = |config: &mut Config| {
        config.id = 5;
        "open sesame".clone_into(&mut config.secret);
    };
    check(Role::Server, "client", ",id=5,secret=open sesame,bsize=512", change);
}
