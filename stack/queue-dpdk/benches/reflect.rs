//! What the queue costs on top of DPDK: packets a second that a thread of ours reflects over
//! `net_memif`, and those that `dpdk-testpmd` does, on the same CPU, in turns.
//!
//! `cargo bench -p queue-dpdk`: rates drift with the machine, so compare those of one run. The
//! other end of the memif is `queue-memif`, which sends packets of 64 bytes, up to a window on
//! their way, and drops what comes back. Without `dpdk-testpmd` there is nothing to compare with.

use queue::{BURST_MAX, Burst, Queue};
use queue_dpdk::{Eal, Port};
use queue_memif::{Config, MemifQueue, Role};
use std::error::Error;
use std::io::{Write, stdout};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const ROUNDS: usize = 5;
const WARM_UP: Duration = Duration::from_millis(300);
const MEASURED: Duration = Duration::from_secs(1);
/// Packets on their way at most.
const WINDOW: u64 = 256;
const PACKET_BYTES: u16 = 64;
/// What a peer may take to connect.
const PATIENCE: Duration = Duration::from_secs(30);

type Rate = Result<f64, Box<dyn Error>>;

fn main() -> Result<(), Box<dyn Error>> {
    let prefix = format!("queue-dpdk-bench-{}", std::process::id());
    let words = "--no-huge -m 256 --no-pci --no-telemetry --log-level=warning --file-prefix";
    let words = words.split(' ').chain([prefix.as_str()]).map(str::to_owned);
    let eal = Eal::init(&words.collect::<Vec<_>>())?;
    let mut rates = [Vec::new(), Vec::new()];
    for round in 1..=ROUNDS {
        let ours = against_ours(&eal, round)?;
        let testpmd = against_testpmd(round)?;
        rates[0].push(ours);
        rates[1].push(testpmd);
        say(&format!("round {round}"), ours, testpmd)?;
    }
    let [ours, testpmd] = rates.map(median);
    say("median", ours, testpmd)
}

fn say(what: &str, ours: f64, testpmd: f64) -> Result<(), Box<dyn Error>> {
    let (ours, testpmd, ratio) = (ours / 1e6, testpmd / 1e6, ours / testpmd);
    let line = format!("{what}: queue-dpdk {ours:.2} M/s, dpdk-testpmd {testpmd:.2} M/s");
    Ok(writeln!(stdout(), "{line}: ratio {ratio:.2}")?)
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

fn socket(who: &str, round: usize) -> String {
    let file = format!("queue-dpdk-bench-{who}-{round}-{}.sock", std::process::id());
    std::env::temp_dir().join(file).to_str().expect("UTF-8").to_owned()
}

/// The rate with a thread of ours that reflects, on the last CPU.
fn against_ours(eal: &Eal, round: usize) -> Rate {
    let (name, socket) = (format!("net_memif_bench{round}"), socket("ours", round));
    eal.add_device(&format!("{name},role=server,socket={socket},socket-abstract=no"))?;
    let mut port = Port::open(eal, &queue_dpdk::Config::new(Some(name)))?;
    let mut queue = port.take_queues().remove(0);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            pin(last_cpu());
            queue.register_thread().expect("few threads");
            let mut burst = Burst::new();
            while !is_over.load(Ordering::Relaxed) {
                queue.rx_burst(&mut burst);
                queue.tx_burst(&mut burst);
            }
            let left = burst.len();
            burst.drain(left).for_each(|frame| queue.free(frame));
        });
        let rate = rate(&socket);
        is_over.store(true, Ordering::Relaxed);
        rate
    })
}

/// The rate with testpmd, on the same CPU.
fn against_testpmd(round: usize) -> Rate {
    let socket = socket("testpmd", round);
    let vdev = format!("net_memif0,role=server,socket={socket},socket-abstract=no");
    let prefix = format!("queue-dpdk-testpmd-{}", std::process::id());
    let mut testpmd = Command::new("dpdk-testpmd");
    testpmd.args(["--no-huge", "-m", "256", "--no-pci", "--no-telemetry", "--vdev", &vdev]);
    testpmd.args(["--file-prefix", &prefix, "--lcores", &format!("0@0,1@{}", last_cpu())]);
    testpmd.args(["--", "--forward-mode=io", "--no-lsc-interrupt", "--total-num-mbufs=4096"]);
    testpmd.args(["--no-flush-rx", "--burst=64", "--rxd=1024", "--txd=1024"]);
    testpmd.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let missing = "no dpdk-testpmd to compare with: apt-get install dpdk-dev";
    let mut child = testpmd.spawn().map_err(|error| format!("{missing} ({error})"))?;
    let rate = rate(&socket);
    // It waits for the end of its standard input.
    drop(child.stdin.take());
    child.wait()?;
    // It removes the file itself when it ends as it should.
    drop(std::fs::remove_file(socket));
    rate
}

/// Sends to whoever reflects on `socket`: packets a second that come back.
///
/// On a thread of its own: what is started later would inherit the CPU that it is pinned to.
fn rate(socket: &str) -> Rate {
    let measured = thread::scope(|scope| scope.spawn(|| measure(socket)).join());
    measured.expect("no panic").ok_or_else(|| "no peer connects".into())
}

fn measure(socket: &str) -> Option<f64> {
    let mut port = queue_memif::Port::open(&Config::new(socket, Role::Client)).expect("threads");
    let mut queue = port.take_queues().remove(0);
    pin(0);
    if !port.wait_for_link(true, PATIENCE) {
        return None;
    }
    let mut traffic = Traffic { out: Burst::new(), back: Burst::new(), sent: 0, seen: 0 };
    traffic.run(&mut queue, WARM_UP);
    let (before, start) = (traffic.seen, Instant::now());
    traffic.run(&mut queue, MEASURED);
    let rate = (traffic.seen - before) as f64 / start.elapsed().as_secs_f64();
    let left = traffic.out.len();
    traffic.out.drain(left).for_each(|frame| queue.free(frame));
    Some(rate)
}

struct Traffic {
    out: Burst,
    back: Burst,
    sent: u64,
    seen: u64,
}

impl Traffic {
    fn run(&mut self, queue: &mut MemifQueue, duration: Duration) {
        let start = Instant::now();
        while start.elapsed() < duration {
            while self.out.len() < BURST_MAX && self.sent - self.seen < WINDOW {
                let Some(mut frame) = queue.alloc() else { break };
                queue.bytes_mut(&mut frame, PACKET_BYTES).fill(2);
                self.out.push(frame).expect("room");
                self.sent += 1;
            }
            queue.tx_burst(&mut self.out);
            let came = queue.rx_burst(&mut self.back);
            self.back.drain(came).for_each(|frame| queue.free(frame));
            self.seen += came as u64;
        }
    }
}

fn last_cpu() -> usize {
    thread::available_parallelism().map_or(0, |count| count.get() - 1)
}

fn pin(cpu: usize) {
    let mut cpus = rustix::thread::CpuSet::new();
    cpus.set(cpu);
    rustix::thread::sched_setaffinity(None, &cpus).expect("a CPU of ours");
}
