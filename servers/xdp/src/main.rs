//! HTTP server on a busy-polled userspace TCP stack over AF_XDP.
//!
//! ```text
//!   NIC queue n ─▶ XDP program ─▶ AF_XDP socket n ─▶ thread n: engine ▸ HTTP, and back
//! ```
//!
//! Opens the queues of one interface, gives up its privileges, and runs one thread per queue, each
//! with a stack of its own (`servers/bypass`). Only what is addressed to `--listen` is taken from
//! the interface; the kernel keeps the rest of it.
#![forbid(unsafe_code)]

use clap::Parser;
use queue::{Attach, BusyPoll, CopyMode, Queue};
use queue_xdp::{AttachWish, BusyPollWish, Config, CopyWish, Pages, Port, TcpPorts, XdpQueue};
use server_bypass::{Setup, StackFlags, run};
use server_common::{
    Details, Flags, Signals, Workers, ready_line, sys, thread_count, thread_details,
};
use std::net::SocketAddr;
use std::process::ExitCode;

/// The mode's name, in flags, lines and reports.
const MODE: &str = "xdp";

/// HTTP server on a busy-polled userspace TCP stack over AF_XDP
#[derive(Parser)]
#[command(name = "server-xdp", version)]
struct Command {
    #[command(flatten)]
    flags: Flags,
    #[command(flatten)]
    stack: StackFlags,
    #[command(flatten)]
    port: PortFlags,
}

/// The flags of the AF_XDP port.
#[derive(clap::Args)]
#[command(next_help_heading = "AF_XDP")]
struct PortFlags {
    /// Interface to take packets from, in this network namespace
    #[arg(long, value_name = "IFACE")]
    interface: String,
    /// Queues of the interface to bind, from 0 on; one thread runs on each
    /// [default: as many as there are --cpus, or one]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    queues: Option<u32>,
    /// Where the XDP program runs: auto, native (in the driver) or generic
    #[arg(long, value_name = "WHERE", default_value_t = AttachWish::Auto)]
    attach: AttachWish,
    /// Whether packets are copied by the kernel: auto, zero-copy or copy
    #[arg(long, value_name = "HOW", default_value_t = CopyWish::Auto)]
    copy: CopyWish,
    /// Whether system calls of ours drive the interface: auto (yes on a device on a bus), on, off
    #[arg(long, value_name = "WHEN", default_value_t = BusyPollWish::Auto)]
    busy_poll: BusyPollWish,
    /// Frames of each queue's memory, both directions together
    #[arg(long, value_name = "N", default_value_t = Config::FRAME_COUNT)]
    frames: u32,
    /// Frames of each queue's receive ring: a power of two
    #[arg(long, value_name = "N", default_value_t = Config::RX_RING_FRAMES)]
    rx_ring: u32,
    /// Frames of each queue's transmit ring: a power of two
    #[arg(long, value_name = "N", default_value_t = Config::TX_RING_FRAMES)]
    tx_ring: u32,
    /// Numeric user and group to become once the queues are open [default: stay who it is]
    #[arg(long, value_name = "UID")]
    user: Option<u32>,
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

fn serve(Command { flags, stack, port: port_flags }: &Command) -> Result<(), String> {
    let signals = Signals::block().map_err(|error| format!("signals: {error}"))?;
    let setup = Setup::new(flags, stack)?;
    let listen = setup.listen;
    let cpus = flags.cpus.as_ref();
    let threads = queue_count(port_flags.queues, cpus.map(|_| thread_count(cpus)))?;
    let config = Config {
        attach: port_flags.attach,
        copy: port_flags.copy,
        busy_poll: port_flags.busy_poll,
        frame_count: port_flags.frames,
        rx_ring_frames: port_flags.rx_ring,
        tx_ring_frames: port_flags.tx_ring,
        ..Config::new(&port_flags.interface, *listen.ip(), TcpPorts::List(vec![listen.port()]))
    };
    let port = Port::open(&config).map_err(|error| error.to_string())?;
    let queues = bind(&port, threads)?;
    let mut details = thread_details(cpus);
    details.extend(port_details(&port, &config, &queues));
    details.insert("service".to_owned(), flags.service.name().into());
    details.insert("wait".to_owned(), "spin".into());
    details.insert("max_connections".to_owned(), setup.admission.most().into());
    // The last privileged step was to bind the queues.
    sys::drop_privileges(port_flags.user)?;
    let workers = Workers::start(cpus, queues, move |queue, worker| {
        let mut details = Details::new();
        details.insert("tcp".to_owned(), setup.stack.tcp.name().into());
        run(queue, &setup, &worker, details)
    })?;
    details.extend(workers.details().clone());
    ready_line(MODE, SocketAddr::V4(listen), details)
        .map_err(|error| format!("standard output: {error}"))?;
    workers.serve(MODE, &signals)
}

/// How many queues to bind: one for each thread, and one thread for each CPU that was named.
fn queue_count(queues: Option<u32>, cpus: Option<usize>) -> Result<u32, String> {
    let cpus = cpus.map(|count| u32::try_from(count).unwrap_or(u32::MAX));
    match (queues, cpus) {
        (Some(queues), Some(cpus)) if queues != cpus => Err(format!(
            "--queues {queues} and --cpus with {cpus} of them: one thread runs on each queue, \
             so give as many CPUs as queues, or leave --queues out"
        )),
        (Some(queues), None) if queues > 1 => Err(format!(
            "--queues {queues} without --cpus: name the {queues} CPUs that shall poll them, \
             for example --cpus 0-{}",
            queues - 1
        )),
        (queues, cpus) => Ok(queues.or(cpus).unwrap_or(1)),
    }
}

fn bind(port: &Port, count: u32) -> Result<Vec<XdpQueue>, String> {
    if let Some(native) = port.native_refusal() {
        eprintln!(
            "server-{MODE}: {} takes no native XDP program ({native}): it runs in the generic \
             hook, which is slower",
            port.interface()
        );
    }
    if let Some(there) = port.queue_count().filter(|there| *there > count) {
        eprintln!(
            "server-{MODE}: {} has {there} queues and {count} are bound: connections that its \
             hardware steers to the others get no answer; reduce them with \
             ethtool -L {} combined {count}, or bind all of them",
            port.interface(),
            port.interface(),
        );
    }
    (0..count).map(|id| port.bind(id).map_err(|error| error.to_string())).collect()
}

/// What was really obtained.
fn port_details(port: &Port, config: &Config, queues: &[XdpQueue]) -> Details {
    let caps = queues[0].caps();
    let attach = match caps.attach {
        Attach::Native => "native",
        Attach::Generic => "generic",
        Attach::None => "none",
    };
    let copy = match caps.copy_mode {
        CopyMode::Copy => "copy",
        CopyMode::ZeroCopy => "zero-copy",
    };
    let pages = match queues[0].pages() {
        Pages::Huge => "huge",
        Pages::Base => "base",
    };
    let mut details = Details::new();
    let mut say = |key: &str, value: serde_json::Value| details.insert(key.to_owned(), value);
    say("interface", port.interface().into());
    say("kernel_driver", port.kernel_driver().into());
    say("queues", queues.len().into());
    say("attach", attach.into());
    say("copy", copy.into());
    say("busy_poll", (caps.busy_poll == BusyPoll::On).into());
    say("mtu_bytes", caps.mtu.into());
    say("pages", pages.into());
    say("frames", caps.frame_count.into());
    say("rx_ring_frames", config.rx_ring_frames.into());
    say("tx_ring_frames", config.tx_ring_frames.into());
    details
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_cpu_for_each_queue_or_a_sentence() {
        assert_eq!(queue_count(None, None), Ok(1));
        assert_eq!(queue_count(Some(1), None), Ok(1));
        assert_eq!(queue_count(None, Some(3)), Ok(3));
        assert_eq!(queue_count(Some(2), Some(2)), Ok(2));
        let refused = |queues, cpus| queue_count(queues, cpus).expect_err("refused");
        assert!(refused(Some(2), Some(1)).contains("as many CPUs as queues"));
        assert!(refused(Some(4), None).contains("--cpus 0-3"));
    }

    #[test]
    fn flags_parse_and_wrong_ones_are_refused_with_the_choices() {
        let parse = |more: &[&str]| {
            let command = ["server-xdp", "--interface", "sd-srv0"];
            Command::try_parse_from(command.iter().chain(more))
        };
        let command = parse(&["--attach", "generic", "--copy", "zero-copy", "--busy-poll", "off"])
            .expect("they are all good");
        assert_eq!(command.port.attach, AttachWish::Generic);
        let refusal = |more: &[&str]| match parse(more) {
            Ok(_) => panic!("{more:?} was taken"),
            Err(error) => error.to_string(),
        };
        assert!(refusal(&["--attach", "fast"]).contains("auto, native, generic"));
        assert!(refusal(&["--tcp", "fancy"]).contains("smoltcp"));
        assert!(refusal(&["--queues", "0"]).contains("1..=64"));
        assert!(
            Command::try_parse_from(["server-xdp"])
                .is_err_and(|error| { error.to_string().contains("--interface") })
        );
    }
}
