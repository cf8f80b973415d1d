//! Sends every packet back as it came: the smallest program on a queue, to see that an interface,
//! its driver and its kernel can do AF_XDP, and how many packets they move.
//!
//! Runs until it is killed, by whatever signal: the XDP program then goes with it.
#![deny(unsafe_code)]

use queue::{Burst, Queue};
use queue_xdp::{Config, Port, TcpPorts};
use std::error::Error;
use std::io::{Write, stdout};
use std::net::Ipv4Addr;
use std::process::ExitCode;

const USAGE: &str = "\
usage: xdp-reflect INTERFACE ADDRESS PORT [QUEUE [attach=MODE] [copy=MODE] [busy-poll=MODE]]
  ADDRESS  an IPv4 address that the kernel does not have, for example 198.18.0.2
  PORT     a TCP port; ARP and ICMP for the address are sent back, too
  QUEUE    number of the interface's queue [0]
  attach=auto|native|generic  copy=auto|copy|zero-copy  busy-poll=auto|on|off";

fn main() -> ExitCode {
    match run(std::env::args().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xdp-reflect: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut arguments: impl Iterator<Item = String>) -> Result<(), Box<dyn Error>> {
    let (interface, ip, port) = match (arguments.next(), arguments.next(), arguments.next()) {
        (Some(interface), Some(ip), Some(port)) => {
            (interface, ip.parse::<Ipv4Addr>()?, port.parse()?)
        }
        _ => return Err(USAGE.into()),
    };
    let mut config = Config::new(interface, ip, TcpPorts::List(vec![port]));
    let queue_id = arguments.next().map_or(Ok(0), |queue_id| queue_id.parse())?;
    for wish in arguments {
        match wish.split_once('=') {
            Some(("attach", mode)) => config.attach = mode.parse()?,
            Some(("copy", mode)) => config.copy = mode.parse()?,
            Some(("busy-poll", mode)) => config.busy_poll = mode.parse()?,
            _ => return Err(format!("no such wish: {wish}\n{USAGE}").into()),
        }
    }
    let port = Port::open(&config)?;
    let queue = port.bind(queue_id)?;
    writeln!(stdout(), "ready: {:?} {:?}", queue.caps(), queue.pages())?;
    if let Some(error) = port.native_refusal() {
        writeln!(stdout(), "the driver {} takes no native program: {error}", port.kernel_driver())?;
    }
    stdout().flush()?;
    reflect(queue)
}

fn reflect(mut queue: impl Queue) -> ! {
    let mut burst = Burst::new();
    loop {
        queue.rx_burst(&mut burst);
        queue.tx_burst(&mut burst);
        // What is refused now would only delay what comes next.
        let refused = burst.len();
        for frame in burst.drain(refused) {
            queue.free(frame);
        }
        std::hint::spin_loop();
    }
}
