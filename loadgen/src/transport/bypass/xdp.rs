//! Opens a queue of an interface through AF_XDP.

use super::Link;
use super::source::Sources;
use queue_xdp::{Addresses, Config, Port, TcpPorts, XdpQueue};
use std::io::{self, Write};

impl Link for XdpQueue {
    /// The kernel drops what cannot leave, and tells nobody.
    fn is_up(&self) -> bool {
        true
    }
}

/// Binds one queue of an interface, which gets what is sent to our addresses.
///
/// # Errors
/// A sentence with the likely cause and its cure.
pub(crate) fn open(
    interface: &str,
    queue_id: u32,
    sources: Sources,
    threads: usize,
) -> Result<(Port, XdpQueue), String> {
    if threads > 1 {
        return Err(format!(
            "-t {threads} with --transport xdp: the interface spreads answers over its queues by \
             a hash, so that a thread would get those of another; use -t 1"
        ));
    }
    let more = u8::try_from(sources.count() - 1).expect("at most 256 sources");
    let ips = Addresses { first: sources.first(), more };
    // Answers come to ephemeral ports: any.
    let config = Config::new(interface, ips, TcpPorts::Any);
    let failed = |error: queue_xdp::Error| format!("--transport xdp: {error}");
    let port = Port::open(&config).map_err(failed)?;
    warn(&port, queue_id).map_err(|error| format!("standard error: {error}"))?;
    let queue = port.bind(queue_id).map_err(failed)?;
    Ok((port, queue))
}

/// Says what will cost answers or speed.
fn warn(port: &Port, queue_id: u32) -> io::Result<()> {
    let interface = port.interface();
    let mut err = io::stderr();
    if let Some(native) = port.native_refusal() {
        writeln!(
            err,
            "--transport xdp: {interface} takes no native XDP program ({native}): it runs in the \
             generic hook, which is slower"
        )?;
    }
    if let Some(there) = port.queue_count().filter(|there| *there > 1) {
        writeln!(
            err,
            "--transport xdp: {interface} has {there} queues and {queue_id} alone is bound: \
             connections whose answers are steered to the others get none; reduce them with \
             ethtool -L {interface} combined 1"
        )?;
    }
    Ok(())
}
