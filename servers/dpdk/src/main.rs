//! HTTP server on a busy-polled userspace TCP stack over a port of DPDK.
//!
//! ```text
//!   NIC or virtual device ─▶ queue pair n of the port ─▶ thread n: engine ▸ HTTP, and back
//! ```
//!
//! Opens one port of DPDK, and runs one thread per queue pair, each with a stack of its own
//! (`servers/bypass`). EAL's arguments follow a `--`, as every program of DPDK takes them; its
//! threads are not used: `--cpus` says where ours run.
#![forbid(unsafe_code)]

use clap::Parser;
use queue_dpdk::{ChecksumWish, Config, Eal, Obtained, Port, Rss};
use server_bypass::{Mac, Setup, StackFlags, queue_count, run};
use server_common::{Details, Flags, Signals, Workers, ready_line, thread_count, thread_details};
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;

/// The mode's name, in flags, lines and reports.
const MODE: &str = "dpdk";

/// HTTP server on a busy-polled userspace TCP stack over a port of DPDK
#[derive(Parser)]
#[command(name = "server-dpdk", version)]
struct Command {
    #[command(flatten)]
    flags: Flags,
    #[command(flatten)]
    stack: StackFlags,
    #[command(flatten)]
    port: PortFlags,
    /// Arguments of DPDK's EAL behind a `--`: devices and memory, as in servers/README.md; but none
    /// that choose threads, which is what `--cpus` does
    #[arg(last = true, value_name = "EAL")]
    eal: Vec<String>,
}

/// The flags of the port.
#[derive(clap::Args)]
#[command(next_help_heading = "DPDK")]
struct PortFlags {
    /// Name of the port: a PCI address, or that of a virtual device [default: the only one]
    #[arg(long, value_name = "NAME")]
    port: Option<String>,
    /// MAC address to give the port [default: its own]
    #[arg(long, value_name = "MAC")]
    mac: Option<Mac>,
    /// Queue pairs, each with a thread [default: as many as there are --cpus, or one]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    queues: Option<u16>,
    /// Descriptors of each receive ring; the port may want other sizes
    #[arg(long, value_name = "N", default_value_t = Config::RING_FRAMES)]
    rx_ring: u16,
    /// Descriptors of each transmit ring
    #[arg(long, value_name = "N", default_value_t = Config::RING_FRAMES)]
    tx_ring: u16,
    /// Frames of each queue's memory, both directions together
    #[arg(long, value_name = "N", default_value_t = Config::FRAME_COUNT)]
    frames: u32,
    /// Who deals with checksums: auto (the port, where it offers to) or software
    #[arg(long, value_name = "WHO", default_value_t = ChecksumWish::Auto)]
    checksum: ChecksumWish,
}

fn main() -> ExitCode {
    match serve(&Command::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("server-{MODE}: {sentence}");
            ExitCode::FAILURE
        }
    }
}

fn serve(Command { flags, stack, port, eal }: &Command) -> Result<(), String> {
    // Before EAL's threads start, so that they take no signal.
    let signals = Signals::block().map_err(|error| format!("signals: {error}"))?;
    let setup = Setup::new(flags, stack)?;
    let listen = setup.listen;
    let cpus = flags.cpus.as_ref();
    let config = config(port, queue_count(port.queues, cpus.map(|_| thread_count(cpus)))?);
    config.check().map_err(|error| error.to_string())?;
    // Dropped after the port: it cleans up behind all devices.
    let eal = Eal::init(eal).map_err(|error| error.to_string())?;
    let mut port = Port::open(&eal, &config).map_err(|error| error.to_string())?;
    warn(port.obtained(), config.queue_count);
    let mut details = thread_details(cpus);
    details.extend(port_details(port.obtained(), &config));
    details.insert("service".to_owned(), flags.service.name().into());
    details.insert("tcp".to_owned(), stack.tcp.name().into());
    details.insert("wait".to_owned(), "spin".into());
    details.insert("max_connections".to_owned(), setup.admission.most().into());
    let workers = Workers::start(cpus, port.take_queues(), move |queue, worker| {
        queue.register_thread().map_err(io::Error::other)?;
        run(queue, &setup, &worker, Details::new())
    })?;
    ready_line(MODE, SocketAddr::V4(listen), details)
        .map_err(|error| format!("standard output: {error}"))?;
    workers.serve(MODE, &signals)
}

fn config(flags: &PortFlags, queue_count: u16) -> Config {
    Config {
        mac: flags.mac.map(|Mac(mac)| mac),
        queue_count,
        rx_ring_frames: flags.rx_ring,
        tx_ring_frames: flags.tx_ring,
        frame_count: flags.frames,
        checksum: flags.checksum,
        ..Config::new(flags.port.clone())
    }
}

/// Says what is correct but perhaps not what was meant.
fn warn(obtained: &Obtained, queues: u16) {
    if queues > 1 && obtained.rss == Rss::None {
        eprintln!(
            "server-{MODE}: {} ({}) offers no RSS: whoever fills its {queues} queues must keep all \
             packets of a connection on one of them",
            obtained.port, obtained.driver
        );
    }
}

/// What was really obtained.
fn port_details(obtained: &Obtained, config: &Config) -> Details {
    let by = |port: bool| if port { "offload" } else { "software" };
    let mut details = Details::new();
    let mut say = |key: &str, value: serde_json::Value| details.insert(key.to_owned(), value);
    say("dpdk", Eal::version().into());
    say("port", obtained.port.clone().into());
    say("driver", obtained.driver.clone().into());
    say("mac", obtained.mac.map(|byte| format!("{byte:02x}")).join(":").into());
    say("queues", config.queue_count.into());
    say("rss", obtained.rss.to_string().into());
    say("rx_checksum", by(obtained.offloads_rx_checksum()).into());
    say("tx_checksum", by(obtained.offloads_tx_checksum()).into());
    say("mtu_bytes", obtained.mtu.into());
    say("pages", if obtained.has_huge_pages { "huge" } else { "base" }.into());
    say("numa_node", obtained.numa_node.into());
    say("frames", config.frame_count.into());
    say("rx_ring_frames", obtained.rx_ring_frames.into());
    say("tx_ring_frames", obtained.tx_ring_frames.into());
    details
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Command, clap::Error> {
        Command::try_parse_from(["server-dpdk"].iter().chain(words))
    }

    #[test]
    fn what_follows_two_dashes_is_for_eal() {
        let command = parse(&["--port", "net_null0", "--", "--vdev", "net_null0", "-m", "64"]);
        let command = command.expect("good flags");
        assert_eq!(command.eal, ["--vdev", "net_null0", "-m", "64"]);
        assert_eq!(config(&command.port, 3).port.as_deref(), Some("net_null0"));
        assert_eq!(config(&command.port, 3).queue_count, 3);
    }

    #[test]
    fn wrong_flags_are_refused_with_the_choices() {
        let refusal = |words: &[&str]| match parse(words) {
            Ok(_) => panic!("{words:?} was taken"),
            Err(error) => error.to_string(),
        };
        assert!(refusal(&["--checksum", "none"]).contains("auto, software"));
        assert!(refusal(&["--queues", "0"]).contains("1..=64"));
        assert!(refusal(&["--mac", "x"]).contains("such as 02:00"));
        assert!(refusal(&["net_null0"]).contains("net_null0"));
    }
}
