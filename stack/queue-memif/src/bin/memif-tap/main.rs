//! A bridge between a memif and a TAP interface, by which the kernel's own clients (curl, wrk, any
//! conformance suite) reach a program that speaks memif.
//!
//! Every frame that the kernel sends on the interface goes to the memif, and the other way round.
//! Made for tests, not for speed: a system call for every frame, and a nap when nothing happens.
//! Runs until it is killed, by whatever signal; the interface goes with it, if it made it.
#![deny(unsafe_code)]

#[expect(unsafe_code, reason = "the system call that makes a TAP interface")]
mod sys;

use queue::{Burst, Queue};
use queue_memif::{Config, MemifQueue, Port};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, read, write};
use std::error::Error;
use std::io::{self, Write, stdout};
use std::os::fd::OwnedFd;
use std::process::ExitCode;

const USAGE: &str = "\
usage: memif-tap SOCKET server|client INTERFACE [id=N] [secret=TEXT]
  SOCKET         path of the Unix socket, or @name without a file
  server|client  listens on the socket, or connects to it
  INTERFACE      name of the TAP interface; made if it is not there
  id=N           number of the memif interface [0]
  secret=TEXT    what a client must know
give the interface an address and bring it up, for example:
  ip address add 198.18.0.10/16 dev INTERFACE && ip link set INTERFACE up";

/// Turns without a frame after which a nap is taken.
const IDLE_TURNS: u32 = 64;
/// Longest nap. It ends when the kernel sends a frame; the memif has nothing to wait on.
const NAP: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000 };

fn main() -> ExitCode {
    match run(std::env::args().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("memif-tap: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut arguments: impl Iterator<Item = String>) -> Result<(), Box<dyn Error>> {
    let (Some(socket), Some(role), Some(interface)) =
        (arguments.next(), arguments.next(), arguments.next())
    else {
        return Err(USAGE.into());
    };
    let mut config = Config::new(socket, role.parse()?);
    for argument in arguments {
        match argument.split_once('=') {
            Some(("id", id)) => config.id = id.parse()?,
            Some(("secret", secret)) => secret.clone_into(&mut config.secret),
            _ => return Err(format!("no such option: {argument}\n{USAGE}").into()),
        }
    }
    if !(1..=sys::NAME_BYTES_MAX).contains(&interface.len()) {
        return Err(format!("`{interface}`: names of interfaces have 1 to 15 bytes").into());
    }
    let tap = sys::open_tap(&interface).map_err(|error| refused(&interface, &error))?;
    let mut port = Port::open(&config)?;
    let queue = port.take_queues().remove(0);
    writeln!(stdout(), "ready: {interface} and {} on {}", config.role, config.socket)?;
    stdout().flush()?;
    Bridge { tap, queue, lost_frames: 0 }.run().map_err(Into::into)
}

fn refused(interface: &str, error: &io::Error) -> String {
    let cure = match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "run it as root, or where you are: unshare --user --map-root-user --net"
        }
        io::ErrorKind::NotFound => "the kernel has no TUN driver (CONFIG_TUN)",
        io::ErrorKind::ResourceBusy => "another program has it: choose another name",
        _ => "choose a name that is no other kind of interface",
    };
    format!("cannot open the TAP interface `{interface}`: {error}; {cure}")
}

struct Bridge {
    tap: OwnedFd,
    queue: MemifQueue,
    /// What the interface did not take, because it was down or out of memory.
    lost_frames: u64,
}

impl Bridge {
    fn run(mut self) -> io::Result<()> {
        let (mut out, mut back) = (Burst::new(), Burst::new());
        let mut idle_turns = 0;
        loop {
            let moved = self.send(&mut out)? + self.receive(&mut back)?;
            idle_turns = if moved > 0 { 0 } else { idle_turns + 1 };
            if idle_turns > IDLE_TURNS {
                self.nap()?;
            }
        }
    }

    /// Takes frames from the kernel while there are some and the burst has room, and sends them.
    fn send(&mut self, burst: &mut Burst) -> io::Result<usize> {
        while burst.room() > 0
            && let Some(mut frame) = self.queue.alloc()
        {
            let room = self.queue.caps().frame_bytes;
            let result = read(&self.tap, self.queue.bytes_mut(&mut frame, room));
            let Ok(len) = result else {
                self.queue.free(frame);
                match result {
                    Ok(_) | Err(Errno::AGAIN | Errno::INTR) => break,
                    Err(error) => return Err(error.into()),
                }
            };
            self.queue.bytes_mut(&mut frame, u16::try_from(len).unwrap_or(room));
            if let Err(frame) = burst.push(frame) {
                self.queue.free(frame);
            }
        }
        Ok(self.queue.tx_burst(burst))
    }

    /// Gives the kernel what has come.
    fn receive(&mut self, burst: &mut Burst) -> io::Result<usize> {
        let came = self.queue.rx_burst(burst);
        for frame in burst.drain(came) {
            match write(&self.tap, self.queue.bytes(&frame)) {
                Ok(_) => {}
                // The interface is down, or its queue is full: what a wire would lose, too.
                Err(Errno::IO | Errno::AGAIN | Errno::NOBUFS | Errno::NOMEM | Errno::INVAL) => {
                    self.lost_frames += 1;
                    if self.lost_frames.is_power_of_two() {
                        eprintln!("memif-tap: the interface has lost {} frames", self.lost_frames);
                    }
                }
                Err(error) => return Err(error.into()),
            }
            self.queue.free(frame);
        }
        Ok(came)
    }

    fn nap(&self) -> io::Result<()> {
        match poll(&mut [PollFd::new(&self.tap, PollFlags::IN)], Some(&NAP)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
