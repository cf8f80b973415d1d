//! Two network namespaces of our own, joined by a veth pair, gone when dropped.

use crate::sys;
use std::io::Write;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

/// Name of the interface in the server's namespace.
pub(crate) const SERVER: &str = "sdq-srv0";
/// Name of the interface in the client's namespace.
pub(crate) const CLIENT: &str = "sdq-cli0";

/// One test at a time: each of them spins on a core.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
static COUNT: AtomicU32 = AtomicU32::new(0);

/// Two namespaces. The kernel has 198.18.0.1 in the server's and 198.18.0.10 in the client's.
pub(crate) struct Net {
    pub(crate) server: String,
    pub(crate) client: String,
    _turn: MutexGuard<'static, ()>,
}

impl Net {
    /// Makes them, or says loudly why it cannot. The server's interface has `queue_count` queues.
    pub(crate) fn make(queue_count: u32) -> Option<Self> {
        if let Some(reason) = why_not() {
            // Past the capture of the test harness: a skipped test must not look like a passed one.
            writeln!(std::io::stderr(), "SKIPPED: {reason}").expect("standard error");
            return None;
        }
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let name =
            format!("sd-qx-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        // From here on, dropping `net` takes away what there is of it.
        let net =
            Self { server: format!("{name}-srv"), client: format!("{name}-cli"), _turn: turn };
        net.build(queue_count);
        Some(net)
    }

    fn build(&self, queue_count: u32) {
        let Self { server, client, .. } = self;
        let pair = format!(
            "link add {SERVER} netns {server} numrxqueues {queue_count} numtxqueues {queue_count} \
             type veth peer name {CLIENT} netns {client} \
             numrxqueues {queue_count} numtxqueues {queue_count}"
        );
        ip(&format!("netns add {server}"));
        ip(&format!("netns add {client}"));
        ip(&pair);
        for (namespace, interface, address) in
            [(server, SERVER, "198.18.0.1/16"), (client, CLIENT, "198.18.0.10/16")]
        {
            // Without IPv6 nobody talks but us.
            ip(&format!("netns exec {namespace} sysctl -qw net.ipv6.conf.all.disable_ipv6=1"));
            ip(&format!("-n {namespace} address add {address} dev {interface}"));
            ip(&format!("-n {namespace} link set {interface} up"));
        }
    }

    /// What `ip -d link` says about the server's interface.
    pub(crate) fn server_link(&self) -> String {
        ip(&format!("-n {} -d link show {SERVER}", self.server))
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for namespace in [&self.server, &self.client] {
            // It is not there if making it failed; a second panic would hide why.
            let result = Command::new("ip").args(["netns", "delete", namespace]).output();
            if !result.is_ok_and(|output| output.status.success()) {
                eprintln!("the namespace {namespace} could not be deleted");
            }
        }
    }
}

/// Runs `work` on a thread of its own in a namespace.
pub(crate) fn within<T: Send>(namespace: &str, work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            sys::enter(namespace);
            work()
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Runs `ip` with words that have no spaces in them; returns what it printed.
pub(crate) fn ip(words: &str) -> String {
    let output = Command::new("ip").args(words.split_whitespace()).output().expect("ip runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {words}: {error}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What is missing for namespaces and XDP programs.
fn why_not() -> Option<String> {
    const CAP_NET_ADMIN: u64 = 1 << 12;
    const CAP_NET_RAW: u64 = 1 << 13;
    const CAP_SYS_ADMIN: u64 = 1 << 21;
    let status = std::fs::read_to_string("/proc/self/status").expect("procfs");
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .expect("a line of capabilities");
    let needed = CAP_NET_ADMIN | CAP_NET_RAW | CAP_SYS_ADMIN;
    if effective & needed != needed {
        return Some("AF_XDP over veth needs namespaces: run the test as root".to_owned());
    }
    let output = Command::new("ip").arg("-V").output();
    if !output.is_ok_and(|output| output.status.success()) {
        return Some("`ip` does not run: apt-get install iproute2".to_owned());
    }
    None
}
