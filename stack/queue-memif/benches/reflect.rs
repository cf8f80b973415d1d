//! How many packets a second two ends move there and back, on two CPUs: ours against ours, and ours
//! against `dpdk-testpmd` where it is installed, in turns.
//!
//! `cargo bench -p queue-memif`: rates drift with the machine, so compare those of one run. One
//! end sends packets of 64 bytes, up to a window on their way, and drops what comes back.

use queue::{BURST_MAX, Burst, Queue};
use queue_memif::{Config, MemifQueue, Port, Role};
use std::io::{self, Write, stdout};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
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

fn main() -> io::Result<()> {
    let mut rates = [Vec::new(), Vec::new()];
    for round in 1..=ROUNDS {
        let ours = against_ours()?;
        rates[0].push(ours);
        write!(stdout(), "round {round}: queue-memif {:.2} M/s", ours / 1e6)?;
        if let Some(testpmd) = against_testpmd()? {
            rates[1].push(testpmd);
            write!(
                stdout(),
                ", dpdk-testpmd {:.2} M/s: ratio {:.2}",
                testpmd / 1e6,
                ours / testpmd
            )?;
        }
        writeln!(stdout())?;
    }
    let [ours, testpmd] = rates.map(median);
    match (ours, testpmd) {
        (Some(ours), Some(testpmd)) => writeln!(
            stdout(),
            "median: queue-memif {:.2} M/s, dpdk-testpmd {:.2} M/s: ratio {:.2}",
            ours / 1e6,
            testpmd / 1e6,
            ours / testpmd
        ),
        (ours, _) => writeln!(
            stdout(),
            "median: queue-memif {:.2} M/s; no dpdk-testpmd to compare with: apt-get install \
             dpdk-dev",
            ours.unwrap_or(0.0) / 1e6
        ),
    }
}

fn median(mut rates: Vec<f64>) -> Option<f64> {
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied()
}

fn open(socket: &str, role: Role) -> (Port, MemifQueue) {
    let mut port = Port::open(&Config::new(socket, role)).expect("a free socket");
    let queue = port.take_queues().remove(0);
    (port, queue)
}

/// The rate with a thread of ours that reflects, on the last CPU.
fn against_ours() -> io::Result<f64> {
    let socket = format!("@queue-memif-bench-{}", std::process::id());
    let (port, mut far) = open(&socket, Role::Server);
    let is_over = Arc::new(AtomicBool::new(false));
    let reflector = {
        let is_over = Arc::clone(&is_over);
        thread::spawn(move || {
            pin(last_cpu())?;
            let mut burst = Burst::new();
            while !is_over.load(Ordering::Relaxed) {
                far.rx_burst(&mut burst);
                far.tx_burst(&mut burst);
            }
            let left = burst.len();
            burst.drain(left).for_each(|frame| far.free(frame));
            io::Result::Ok(())
        })
    };
    let rate = rate(&socket);
    is_over.store(true, Ordering::Relaxed);
    reflector.join().expect("no panic")?;
    drop(port);
    rate
}

/// The rate with testpmd, on the same CPU; `None` where it is not installed.
fn against_testpmd() -> io::Result<Option<f64>> {
    let path = std::env::temp_dir().join(format!("memif-bench-{}.sock", std::process::id()));
    let socket = path.to_str().expect("UTF-8").to_owned();
    let vdev = format!("net_memif0,role=server,socket={socket},socket-abstract=no");
    let prefix = format!("memif-bench-{}", std::process::id());
    let mut testpmd = Command::new("dpdk-testpmd");
    testpmd.args(["--no-huge", "-m", "256", "--no-pci", "--no-telemetry", "--vdev", &vdev]);
    testpmd.args(["--file-prefix", &prefix, "--lcores", &format!("0@0,1@{}", last_cpu())]);
    testpmd.args(["--", "--forward-mode=io", "--no-lsc-interrupt", "--total-num-mbufs=8192"]);
    testpmd.arg("--no-flush-rx");
    testpmd.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let Ok(mut child) = testpmd.spawn() else { return Ok(None) };
    let rate = rate(&socket);
    let stopped = stop(&mut child);
    // It removes the file itself when it ends as it should.
    drop(std::fs::remove_file(path));
    stopped?;
    rate.map(Some)
}

fn stop(child: &mut Child) -> io::Result<()> {
    drop(child.stdin.take());
    child.wait().map(drop)
}

/// Sends to whoever reflects on `socket`: packets a second that come back.
///
/// On a thread of its own: what is started later would inherit the CPU that it is pinned to.
fn rate(socket: &str) -> io::Result<f64> {
    thread::scope(|scope| scope.spawn(|| measure(socket)).join().expect("no panic"))
}

fn measure(socket: &str) -> io::Result<f64> {
    let (port, mut queue) = open(socket, Role::Client);
    pin(0)?;
    if !port.wait_for_link(true, PATIENCE) {
        return Err(io::Error::other("no peer connects"));
    }
    let mut traffic = Traffic { out: Burst::new(), back: Burst::new(), sent: 0, seen: 0 };
    traffic.run(&mut queue, WARM_UP);
    let (before, start) = (traffic.seen, Instant::now());
    traffic.run(&mut queue, MEASURED);
    let rate = (traffic.seen - before) as f64 / start.elapsed().as_secs_f64();
    let left = traffic.out.len();
    traffic.out.drain(left).for_each(|frame| queue.free(frame));
    Ok(rate)
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

fn pin(cpu: usize) -> io::Result<()> {
    let mut cpus = rustix::thread::CpuSet::new();
    cpus.set(cpu);
    Ok(rustix::thread::sched_setaffinity(None, &cpus)?)
}
