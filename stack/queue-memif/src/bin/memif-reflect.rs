//! Sends every packet back as it came: the smallest program on a memif, to see that a peer can be
//! talked to, and how many packets the two ends move.
//!
//! Waits for peers, one after another, until it is killed, by whatever signal; or, with a number of
//! frames, ends when so many have been sent back, and prints its counters.
#![forbid(unsafe_code)]

use queue::{Burst, Queue};
use queue_memif::{Config, MemifQueue, Port};
use std::error::Error;
use std::io::{Write, stdout};
use std::process::ExitCode;

const USAGE: &str = "\
usage: memif-reflect SOCKET server|client [id=N] [secret=TEXT] [rings=FRAMES] [frames=N]
  SOCKET         path of the Unix socket, or @name without a file
  server|client  listens on the socket, or connects to it
  id=N           number of the interface [0]
  secret=TEXT    what a client must know
  rings=FRAMES   descriptors of a client's rings, a power of two [1024]
  frames=N       ends when so many frames were sent back [never]";

fn main() -> ExitCode {
    match run(std::env::args().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("memif-reflect: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut arguments: impl Iterator<Item = String>) -> Result<(), Box<dyn Error>> {
    let (Some(socket), Some(role)) = (arguments.next(), arguments.next()) else {
        return Err(USAGE.into());
    };
    let mut config = Config::new(socket, role.parse()?);
    let mut frames = u64::MAX;
    for argument in arguments {
        let number = |text: &str| {
            text.parse::<u32>().map_err(|_| format!("`{argument}`: not a number\n{USAGE}"))
        };
        match argument.split_once('=') {
            Some(("id", id)) => config.id = number(id)?,
            Some(("secret", secret)) => secret.clone_into(&mut config.secret),
            Some(("rings", rings)) => config.ring_frames = number(rings)?,
            Some(("frames", count)) => frames = number(count)?.into(),
            _ => return Err(format!("no such option: {argument}\n{USAGE}").into()),
        }
    }
    let mut port = Port::open(&config)?;
    let mut queue = port.take_queues().remove(0);
    writeln!(stdout(), "ready: {} on {}, {:?}", config.role, config.socket, queue.caps())?;
    stdout().flush()?;
    reflect(&mut queue, frames);
    let mut lines = String::new();
    queue.counters(&mut |counter, value| lines += &format!("{} {value}\n", counter.0));
    write!(stdout(), "{lines}")?;
    Ok(())
}

fn reflect(queue: &mut MemifQueue, frames: u64) {
    let mut burst = Burst::new();
    let mut reflected = 0;
    while reflected < frames {
        queue.rx_burst(&mut burst);
        let came = burst.len();
        queue.tx_burst(&mut burst);
        reflected += (came - burst.len()) as u64;
        // What is refused now would only delay what comes next.
        let refused = burst.len();
        for frame in burst.drain(refused) {
            queue.free(frame);
        }
        std::hint::spin_loop();
    }
}
