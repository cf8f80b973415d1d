//! Opens a port of DPDK: any NIC or virtual device that it has a driver for.
//!
//! EAL can be set up once in a process, and a port that is closed is gone; but the generator opens
//! its queues for a probe, and then for each load of a sweep. So the port is opened for the probe
//! and kept until the run is over, and each user has its queue in turn.

use super::Link;
use queue_dpdk::{Config, DpdkQueue, Eal, Port};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a link is waited for: a NIC may negotiate for seconds.
const LINK_TIMEOUT: Duration = Duration::from_secs(10);

impl Link for DpdkQueue {
    fn is_up(&self) -> bool {
        Self::is_up(self)
    }
}

/// The port, once it is open; copies share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept(Arc<Mutex<Option<Opened>>>);

#[derive(Debug)]
struct Opened {
    port: Port,
    /// Dropped after the port: it cleans up behind all devices.
    _eal: Eal,
}

/// Settings are compared by what was asked for, not by what is open.
impl PartialEq for Kept {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl Eq for Kept {}

impl Kept {
    fn lock(&self) -> MutexGuard<'_, Option<Opened>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives the port's queue, after it has set up EAL and opened the port if this is the first time,
/// and has waited for a link.
///
/// # Errors
/// A sentence with the likely cause and its cure.
pub(crate) fn open(
    kept: &Kept,
    (eal, name): (&[String], Option<&str>),
    threads: usize,
) -> Result<DpdkQueue, String> {
    if threads > 1 {
        return Err(format!(
            "-t {threads} with --transport dpdk: the port spreads answers over its queues by a \
             hash, so that a thread would get those of another; use -t 1"
        ));
    }
    let failed = |error: queue_dpdk::Error| format!("--transport dpdk: {error}");
    let mut kept = kept.lock();
    if kept.is_none() {
        let eal = Eal::init(eal).map_err(failed)?;
        let port = Port::open(&eal, &Config::new(name.map(str::to_owned))).map_err(failed)?;
        *kept = Some(Opened { port, _eal: eal });
    }
    let Opened { port, .. } = kept.as_mut().ok_or("a port that is open")?;
    if !port.wait_for_link(true, LINK_TIMEOUT) {
        return Err(no_link(port));
    }
    port.take_queues().pop().ok_or_else(|| "--transport dpdk: the queue is in use".to_owned())
}

fn no_link(port: &Port) -> String {
    let obtained = port.obtained();
    let cure = match obtained.driver.as_str() {
        "net_memif" => {
            "start the server at its other end first, for example server-memif --socket with the \
             path that --eal has as socket=, which wants socket-abstract=no"
        }
        _ => "see to the cable, or bring the interface at the other end up",
    };
    let (name, seconds) = (&obtained.port, LINK_TIMEOUT.as_secs());
    format!("--transport dpdk: {name} ({}) has no link for {seconds} s: {cure}", obtained.driver)
}
