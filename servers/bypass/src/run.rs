//! The run loop: one thread, one queue, never sleeping.

use crate::counters::StackCounters;
use crate::flags::{StackFlags, TcpChoice};
use crate::server::Server;
use engine::{Config, Engine, Native, Smoltcp, Tcp};
use queue::Queue;
use server_common::{Admission, Clock, Details, Flags, Service, Worker};
use server_http::Limits;
use std::fs::File;
use std::io::{self, Read};
use std::net::SocketAddrV4;
use std::sync::Arc;
use std::time::Duration;
use tcp::Instant;

/// What all threads are set up with.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Our address, and the port that connections are accepted on.
    pub listen: SocketAddrV4,
    /// What to answer with.
    pub service: Service,
    /// The bounds on one connection.
    pub limits: &'static Limits,
    /// How many connections may be open, all threads together.
    pub admission: Admission,
    /// Most half-open connections of a thread.
    pub backlog: u32,
    /// What connections get to end after the shutdown was requested.
    pub drain_timeout: Duration,
    /// The flags of the stack.
    pub stack: StackFlags,
}

/// How often the counters are copied to where other threads read them.
const COUNTERS_PERIOD_NS: u64 = 50_000_000;
/// So many polls that find nothing, one after another, share one reading of the clock: an idle poll
/// takes about a hundred nanoseconds, of which the clock's would be a quarter, and what arrives is
/// noticed the later for it. The stack's time may be past by three idle polls more than otherwise,
/// which together take less than a tick of its timers (1,024 ns).
const IDLE_POLLS_PER_READING: u32 = 4;
/// What the last resets get to leave the queue, when the drain's deadline has passed.
const LAST_WORDS: Duration = Duration::from_millis(500);

impl Setup {
    /// What the flags that every server has, and those of the stack, ask for.
    ///
    /// # Errors
    /// A sentence where the address is not IPv4, or a bound makes no sense.
    pub fn new(flags: &Flags, stack: &StackFlags) -> Result<Self, String> {
        Ok(Self {
            listen: StackFlags::listen(flags.listen)?,
            service: flags.service,
            limits: flags.limits.limits()?,
            admission: Admission::new(flags.max_connections),
            backlog: flags.backlog,
            drain_timeout: Duration::from_secs(flags.drain_timeout),
            stack: *stack,
        })
    }

    /// The bounds of one thread's stack.
    fn config(&self, key: [u8; 16]) -> Config {
        let bytes = |bytes: u64| usize::try_from(bytes).expect("the flags bound it");
        Config {
            // Those above the admitted number are told so, instead of waiting for a place.
            connections: self.admission.most().saturating_add(self.backlog),
            half_open: self.backlog,
            rx_buffer_bytes: bytes(self.stack.rx_buffer),
            tx_buffer_bytes: bytes(self.stack.tx_buffer),
            rx_pool_bytes: bytes(self.stack.rx_pool),
            tx_pool_bytes: bytes(self.stack.tx_pool),
            time_wait_entries: self.stack.time_wait_entries,
            ..Config::new(self.listen, key)
        }
    }
}

/// Answers on `queue` until the shutdown is requested and every connection is over.
///
/// Calls [`Worker::ready_counting`] with `details` when it is set up. Then it neither allocates
/// (but for the memory of connections and of bodies) nor blocks nor sleeps.
///
/// # Errors
/// Where no random key can be had.
pub fn run<Q: Queue>(queue: Q, setup: &Setup, worker: &Worker, details: Details) -> io::Result<()> {
    let config = setup.config(random_key()?);
    let mtu = queue.caps().mtu;
    match setup.stack.tcp {
        TcpChoice::Smoltcp => {
            let buffers = (config.rx_buffer_bytes, config.tx_buffer_bytes);
            let tcp = Smoltcp::new(*config.listen.ip(), mtu, buffers, &config.key);
            serve(queue, tcp, config, setup, (worker, details));
        }
        TcpChoice::Native => {
            let tcp = Native::new(&config, mtu);
            serve(queue, tcp, config, setup, (worker, details));
        }
    }
    Ok(())
}

/// The same with one TCP.
fn serve<Q: Queue, T: Tcp>(
    queue: Q,
    tcp: T,
    config: Config,
    setup: &Setup,
    (worker, details): (&Worker, Details),
) {
    let mut clock = Clock::new();
    let server = Server::new(
        setup.service,
        setup.limits,
        setup.admission.clone(),
        worker.counters.clone(),
        *clock.now(),
    );
    let mut engine = Engine::new(queue, server, tcp, config);
    let counters = Arc::new(StackCounters::of(&engine));
    worker.ready_counting(details, counters.clone());
    let mut renew_at_ns = 0;
    let mut drain_until = None;
    let mut readings = Readings::default();
    let mut now = Instant::from_nanos(clock.now().monotonic_ns);
    loop {
        if readings.is_due() {
            let reading = clock.tick();
            now = Instant::from_nanos(reading.monotonic_ns);
            engine.app().set_now(reading);
        }
        let found = engine.poll(now) > 0;
        readings.note(found);
        worker.counters.count_poll(found);
        if !found {
            std::hint::spin_loop();
        }
        if now.as_nanos() >= renew_at_ns {
            counters.renew(&engine);
            renew_at_ns = now.as_nanos() + COUNTERS_PERIOD_NS;
        }
        match drain_until {
            None if worker.shutdown.is_requested() => {
                drain_until = Some(now + setup.drain_timeout);
                engine.drain(now, now + setup.drain_timeout);
            }
            Some(until) if engine.is_drained() || now > until + LAST_WORDS => break,
            _ => {}
        }
    }
    counters.renew(&engine);
    drop(engine.close());
}

/// Which polls read the clock.
#[derive(Debug, Default)]
struct Readings {
    /// Polls that still share the last one.
    shared_polls: u32,
}

impl Readings {
    /// Whether the poll that comes reads it.
    const fn is_due(&self) -> bool {
        self.shared_polls == 0
    }

    /// Notes what a poll found: behind one that was busy the time is taken afresh.
    const fn note(&mut self, found: bool) {
        self.shared_polls = match (found, self.shared_polls) {
            (true, _) => 0,
            (false, 0) => IDLE_POLLS_PER_READING - 1,
            (false, left) => left - 1,
        };
    }
}

/// A key that nobody outside can guess.
fn random_key() -> io::Result<[u8; 16]> {
    let mut key = [0; 16];
    File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut key)).map_err(
        |error| io::Error::new(error.kind(), format!("no random key from /dev/urandom: {error}")),
    )?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_polls_read_the_clock_and_idle_ones_share_a_reading() {
        let mut readings = Readings::default();
        let polls = [true, true, false, false, false, false, false, false, true, false, false];
        let due = polls.map(|found| {
            let is_due = readings.is_due();
            readings.note(found);
            is_due
        });
        // The first idle poll has a reading of its own, which the next three share.
        let (yes, no) = (true, false);
        assert_eq!(due, [yes, yes, yes, no, no, no, yes, no, no, yes, no]);
    }
}
