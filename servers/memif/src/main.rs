//! HTTP server on a busy-polled userspace TCP stack over memif, shared memory.
//!
//! ```text
//!   peer: DPDK, VPP, memif-tap ─▶ ring n in shared memory ─▶ thread n: engine ▸ HTTP, and back
//! ```
//!
//! Opens one end of a memif, which needs neither NIC nor privilege, and runs one thread per queue,
//! each with a stack of its own (`servers/bypass`). The peer chooses the queue of a connection: all
//! packets of one belong on the same.
#![forbid(unsafe_code)]

use clap::Parser;
use queue_memif::{Config, Port, Role};
use server_bypass::{Mac, Setup, StackFlags, queue_count, run};
use server_common::{Details, Flags, Signals, Workers, ready_line, thread_count, thread_details};
use std::net::SocketAddr;
use std::process::ExitCode;

/// The mode's name, in flags, lines and reports.
const MODE: &str = "memif";

/// HTTP server on a busy-polled userspace TCP stack over memif, shared memory
#[derive(Parser)]
#[command(name = "server-memif", version)]
struct Command {
    #[command(flatten)]
    flags: Flags,
    #[command(flatten)]
    stack: StackFlags,
    #[command(flatten)]
    port: PortFlags,
}

/// The flags of the memif port.
#[derive(clap::Args)]
#[command(next_help_heading = "memif")]
struct PortFlags {
    /// Unix socket on which the two ends meet: a path, or @name for one without a file
    #[arg(long, value_name = "PATH")]
    socket: String,
    /// Which end of the socket to be: server (listens) or client (connects, brings the memory)
    #[arg(long, value_name = "ROLE", default_value_t = Role::Server)]
    role: Role,
    /// Number of the interface, which both ends must agree on
    #[arg(long, value_name = "N", default_value_t = 0)]
    id: u32,
    /// What a client must know to connect, at most 23 bytes [default: nothing]
    #[arg(long, value_name = "TEXT")]
    secret: Option<String>,
    /// MAC address [default: 02:4d:00 for a server, 02:4d:01 for a client, and the number --id]
    #[arg(long, value_name = "MAC")]
    mac: Option<Mac>,
    /// Queues, each with a thread and a pair of rings; the client decides, within what the server
    /// offers [default: as many as there are --cpus, or one]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    queues: Option<u16>,
    /// Descriptors of each ring, if --role is client: a power of two
    #[arg(long, value_name = "N", default_value_t = Config::RING_FRAMES)]
    ring: u32,
    /// Frames of each queue's own memory
    #[arg(long, value_name = "N", default_value_t = Config::FRAME_COUNT)]
    frames: u32,
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
    // Before the port's thread starts, so that it takes no signal.
    let signals = Signals::block().map_err(|error| format!("signals: {error}"))?;
    let setup = Setup::new(flags, stack)?;
    let listen = setup.listen;
    let cpus = flags.cpus.as_ref();
    let threads = queue_count(port_flags.queues, cpus.map(|_| thread_count(cpus)))?;
    let config = config(port_flags, threads);
    let mut port = Port::open(&config).map_err(|error| error.to_string())?;
    let mut details = thread_details(cpus);
    details.extend(port_details(&config));
    details.insert("service".to_owned(), flags.service.name().into());
    details.insert("tcp".to_owned(), stack.tcp.name().into());
    details.insert("wait".to_owned(), "spin".into());
    details.insert("max_connections".to_owned(), setup.admission.most().into());
    let workers = Workers::start(cpus, port.take_queues(), move |queue, worker| {
        run(queue, &setup, &worker, Details::new())
    })?;
    ready_line(MODE, SocketAddr::V4(listen), details)
        .map_err(|error| format!("standard output: {error}"))?;
    workers.serve(MODE, &signals)
}

fn config(flags: &PortFlags, queue_count: u16) -> Config {
    let mac = flags.mac.map_or_else(|| Config::derived_mac(flags.role, flags.id), |Mac(mac)| mac);
    Config {
        id: flags.id,
        secret: flags.secret.clone().unwrap_or_default(),
        mac,
        queue_count,
        ring_frames: flags.ring,
        frame_count: flags.frames,
        ..Config::new(&flags.socket, flags.role)
    }
}

/// What was opened. Whether there is a peer changes later: `link_up_now` and its kin in the report.
fn port_details(config: &Config) -> Details {
    let mut details = Details::new();
    let mut say = |key: &str, value: serde_json::Value| details.insert(key.to_owned(), value);
    say("socket", config.socket.clone().into());
    say("role", config.role.to_string().into());
    say("id", config.id.into());
    say("mac", config.mac.map(|byte| format!("{byte:02x}")).join(":").into());
    say("queues", config.queue_count.into());
    say("copy", "copy".into());
    say("mtu_bytes", Config::MTU.into());
    say("frames", config.frame_count.into());
    if config.role == Role::Client {
        say("ring_frames", config.ring_frames.into());
    }
    details
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(more: &[&str]) -> Result<Command, clap::Error> {
        let command = ["server-memif", "--socket", "/tmp/memif.sock"];
        Command::try_parse_from(command.iter().chain(more))
    }

    fn refusal(more: &[&str]) -> String {
        match parse(more) {
            Ok(_) => panic!("{more:?} was taken"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn there_is_one_cpu_for_each_queue_or_a_sentence() {
        assert_eq!(queue_count(None, None), Ok(1));
        assert_eq!(queue_count(None, Some(3)), Ok(3));
        assert_eq!(queue_count(Some(2), Some(2)), Ok(2));
        let refused = |queues, cpus| queue_count(queues, cpus).expect_err("refused");
        assert!(refused(Some(2), Some(1)).contains("as many CPUs as queues"));
        assert!(refused(Some(4), None).contains("--cpus 0-3"));
    }

    #[test]
    fn the_mac_is_derived_or_given() {
        let config = |more: &[&str]| config(&parse(more).expect("good flags").port, 1);
        assert_eq!(config(&[]).mac, [0x02, 0x4d, 0, 0, 0, 0]);
        assert_eq!(config(&["--role", "client", "--id", "258"]).mac, [2, 0x4d, 1, 0, 1, 2]);
        assert_eq!(config(&["--mac", "02:00:00:00:0a:Ff"]).mac, [2, 0, 0, 0, 10, 255]);
        for wrong in ["02:00:00:00:00", "02:00:00:00:00:001", "x", "2:0:0:0:0:1"] {
            assert!(refusal(&["--mac", wrong]).contains("such as 02:00"), "{wrong}");
        }
        let group = config(&["--mac", "ff:ff:ff:ff:ff:ff"]).check().expect_err("refused");
        assert!(group.to_string().contains("one of a single host"), "{group}");
    }

    #[test]
    fn wrong_flags_are_refused_with_the_choices() {
        assert!(refusal(&["--role", "master"]).contains("server, client"));
        assert!(refusal(&["--queues", "0"]).contains("1..=64"));
        let lacks = Command::try_parse_from(["server-memif"]);
        assert!(lacks.is_err_and(|error| error.to_string().contains("--socket")));
    }
}
