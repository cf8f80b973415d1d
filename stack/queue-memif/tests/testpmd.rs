//! Against DPDK's own memif, in both roles: a million packets there and back, none lost, none
//! changed, none out of order. Needs `dpdk-testpmd`; without it every test says `SKIPPED` and why.
//!
//! testpmd sends every packet back where it came from. No huge page, no NIC, no privilege.

use queue::{BURST_MAX, Burst, Queue};
use queue_memif::{Config, MemifQueue, Port, Role};
use std::io::{ErrorKind, Write, stderr};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Packets of a test.
const PACKETS: u64 = 1_000_000;
/// Packets on their way at most, each in up to three buffers of 512 bytes: testpmd drops what does
/// not fit into its ring of 1,024.
const WINDOW: u64 = 256;
/// What a packet may take, the start of testpmd included, before the test has failed.
const PATIENCE: Duration = Duration::from_secs(120);

/// testpmd with one memif, ended when dropped.
struct Testpmd {
    child: Child,
    socket: PathBuf,
}

impl Testpmd {
    /// Starts it as the other end of `socket`; `None`, said aloud, where it is not installed.
    fn start(socket: PathBuf, role: &str, more: &str) -> Option<Self> {
        let socket_path = socket.to_str().expect("UTF-8");
        let vdev = format!("net_memif0,role={role},socket={socket_path},socket-abstract=no{more}");
        let prefix = format!("memif-test-{role}-{}", std::process::id());
        let mut testpmd = Command::new("dpdk-testpmd");
        testpmd.args(["--no-huge", "-m", "256", "--no-pci", "--no-telemetry"]);
        // The thread that forwards may run on any CPU; the main one only waits for a key.
        let last = std::thread::available_parallelism().expect("Linux says").get() - 1;
        let lcores = format!("0@0,1@(0-{last})");
        testpmd.args(["--file-prefix", &prefix, "--vdev", &vdev, "--lcores", &lcores]);
        // It would throw away what has come before it is ready.
        testpmd.args(["--", "--no-flush-rx", "--forward-mode=io", "--no-lsc-interrupt"]);
        testpmd.arg("--total-num-mbufs=8192");
        testpmd.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        match testpmd.spawn() {
            Ok(child) => Some(Self { child, socket }),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let reason = "no dpdk-testpmd: apt-get install dpdk-dev";
                writeln!(stderr(), "SKIPPED: {reason}").expect("standard error");
                None
            }
            Err(error) => panic!("dpdk-testpmd: {error}"),
        }
    }

    /// Ends it by the key it waits for; returns what it printed.
    fn stop(mut self) -> String {
        let mut input = self.child.stdin.take().expect("a pipe");
        input.write_all(b"\n").expect("it waits for a key");
        drop(input);
        let mut text = String::new();
        let mut output = self.child.stdout.take().expect("a pipe");
        std::io::Read::read_to_string(&mut output, &mut text).expect("UTF-8");
        let status = self.child.wait().expect("our child");
        assert!(status.success(), "{status}: {text}");
        text
    }
}

impl Drop for Testpmd {
    fn drop(&mut self) {
        // Both fail where it has ended, as it should have.
        drop(self.child.kill());
        drop(self.child.wait());
        drop(std::fs::remove_file(&self.socket));
    }
}

/// The number behind the last `name` in testpmd's statistics.
fn statistic(text: &str, name: &str) -> u64 {
    let rest = text.rsplit_once(name).unwrap_or_else(|| panic!("no {name}: {text}")).1;
    let number = rest.split_whitespace().next().and_then(|word| word.parse().ok());
    number.unwrap_or_else(|| panic!("no number behind {name}: {text}"))
}

fn counter(queue: &MemifQueue, name: &str) -> u64 {
    let mut found = None;
    queue.counters(&mut |counter, value| {
        if counter.0 == name {
            found = Some(value);
        }
    });
    found.unwrap_or_else(|| panic!("there is no counter {name}"))
}

/// Length of a packet: all from the shortest to the MTU occur.
fn len(number: u64) -> u16 {
    60 + u16::try_from(number % 1455).expect("up to the MTU")
}

/// The packet of this number: an Ethernet header of test equipment, then the number and filler.
fn fill(packet: &mut [u8], number: u64) {
    let filler = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
    packet[..14].copy_from_slice(&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5]);
    packet[14..22].copy_from_slice(&number.to_be_bytes());
    for chunk in packet[22..].chunks_mut(8) {
        chunk.copy_from_slice(&filler[..chunk.len()]);
    }
}

/// Sends `PACKETS` packets, and checks that each comes back as it went, in order.
fn exchange(queue: &mut MemifQueue) {
    let (mut out, mut back) = (Burst::new(), Burst::new());
    let (mut built, mut seen) = (0, 0);
    let mut expected = [0; 2048];
    let mut last = Instant::now();
    while seen < PACKETS {
        while built < PACKETS && built - seen < WINDOW && out.len() < BURST_MAX {
            let Some(mut frame) = queue.alloc() else { break };
            fill(queue.bytes_mut(&mut frame, len(built)), built);
            out.push(frame).expect("the burst has room");
            built += 1;
        }
        queue.tx_burst(&mut out);
        let came = queue.rx_burst(&mut back);
        for frame in back.drain(came) {
            let expected = &mut expected[..usize::from(len(seen))];
            fill(expected, seen);
            assert!(queue.bytes(&frame) == expected, "packet {seen} of {built} is another one");
            queue.free(frame);
            seen += 1;
        }
        if came > 0 {
            last = Instant::now();
        } else {
            assert!(last.elapsed() < PATIENCE, "{seen} of {built} came back");
            std::thread::yield_now();
        }
    }
    assert_eq!(queue.outstanding(), 0);
}

fn wait_for_peer(port: &Port, queue: &mut MemifQueue) {
    assert!(port.wait_for_link(true, PATIENCE), "testpmd does not connect");
    let (mut nothing, start) = (Burst::new(), Instant::now());
    while !queue.is_up() {
        assert!(start.elapsed() < PATIENCE, "the queue does not take the link over");
        queue.rx_burst(&mut nothing);
    }
}

/// One testpmd at a time: each keeps a CPU busy.
static TURN: Mutex<()> = Mutex::new(());

fn check(role: Role, theirs: &str, more: &str, change: impl FnOnce(&mut Config)) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let file = format!("memif-testpmd-{theirs}-{}-{}.sock", more.len(), std::process::id());
    let socket = std::env::temp_dir().join(file);
    let mut config = Config::new(socket.to_str().expect("UTF-8"), role);
    change(&mut config);
    // A server must be there before DPDK's client looks for it; a client of ours waits.
    let mut port = Port::open(&config).expect("a free path");
    let Some(testpmd) = Testpmd::start(socket, theirs, more) else { return };
    let mut queue = port.take_queues().remove(0);
    wait_for_peer(&port, &mut queue);
    exchange(&mut queue);
    for name in ["rx_frames", "tx_frames"] {
        assert_eq!(counter(&queue, name), PACKETS, "{name}");
    }
    assert_eq!(counter(&queue, "rx_bytes"), counter(&queue, "tx_bytes"));
    assert_eq!(counter(&queue, "tx_unmasked_bursts"), 0, "testpmd polls");
    let text = testpmd.stop();
    for name in ["RX-packets:", "TX-packets:"] {
        assert_eq!(statistic(&text, name), PACKETS, "{name} {text}");
    }
    assert!(port.wait_for_link(false, PATIENCE), "testpmd's end is noticed");
    queue.rx_burst(&mut Burst::new());
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
