//! The far end of a memif by somebody else: `dpdk-testpmd` sends every frame back as it came.
//!
//! What our own queue reflects, as a share of this, says what the queue itself costs beside the
//! driver of DPDK. It is killed in the end: its counts go with its peer (22.11), which has left by
//! then, so that none are told here; what came back is counted by the end that sends.

use crate::link::Link;
use crate::reflect::say;
use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use std::io::{BufRead, BufReader, ErrorKind};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// What it prints last before it forwards.
const STARTED: &str = "Press enter to exit";
/// What it may take to start: it touches all of its memory.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it is looked for while it should be there.
const LOOK: Duration = Duration::from_millis(50);

/// A running testpmd; killed when dropped, and its socket removed.
struct Testpmd {
    socket: PathBuf,
    child: Child,
    output: BufReader<ChildStdout>,
}

/// Reflects by testpmd until SIGTERM or SIGINT; prints the lines of a server.
pub(crate) fn run(link: &Link, cpu: Option<usize>) -> Result<()> {
    let socket = link.socket().context("--by testpmd reflects on a memif: give --socket")?;
    let (tell, told) = channel();
    let mut signals = signal_hook::iterator::Signals::new([
        signal_hook::consts::SIGTERM,
        signal_hook::consts::SIGINT,
    ])
    .context("signals cannot be taken over")?;
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            if signals.forever().next().is_some() {
                // Where nobody listens any more, it is over anyway.
                let _is_over = tell.send(());
            }
        })
        .context("a thread for signals")?;
    let mut testpmd = Testpmd::start(socket, cpu)?;
    say(&json!({
        "event": "ready", "mode": "floor", "pid": std::process::id(), "wait": "spin",
        "listen": link.address().to_string(), "driver": "net_memif", "reflector": "testpmd",
        "attach": "none", "copy": "copy", "busy_poll": "off",
    }))?;
    loop {
        match told.recv_timeout(LOOK) {
            Ok(()) | Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => testpmd.expect_alive()?,
        }
    }
    drop(testpmd);
    say(&json!({"event": "exit", "mode": "floor", "counters": {}}))
}

impl Testpmd {
    /// Starts it, and waits until it forwards.
    fn start(socket: &str, cpu: Option<usize>) -> Result<Self> {
        clear(Path::new(socket))?;
        let device = format!("net_memif0,role=server,socket={socket},socket-abstract=no");
        let prefix = format!("floor-{}", std::process::id());
        // Its main thread only waits for a key, and may do so where the other one polls.
        let lcores = cpu.map_or_else(|| "0@0,1@0".to_owned(), |cpu| format!("0@{cpu},1@{cpu}"));
        // It ends with this process, however that ends, and prints each line when it is whole.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--", "stdbuf", "-oL", "dpdk-testpmd"]);
        command.args(["--no-huge", "-m", "256"]);
        command.args(["--no-pci", "--no-telemetry", "--file-prefix", &prefix]);
        command.args(["--vdev", &device, "--lcores", &lcores, "--", "--no-flush-rx"]);
        command.args(["--forward-mode=io", "--no-lsc-interrupt", "--total-num-mbufs=8192"]);
        // Its peer comes later: it would wait nine seconds for a link before it forwards.
        command.arg("--disable-link-check");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().map_err(|error| match error.kind() {
            ErrorKind::NotFound => anyhow::anyhow!("no setpriv: apt-get install util-linux"),
            _ => anyhow::anyhow!("setpriv: {error}"),
        })?;
        let output = child.stdout.take().context("a pipe")?;
        let output = BufReader::new(output);
        let mut testpmd = Self { socket: PathBuf::from(socket), child, output };
        testpmd.wait_for_start()?;
        Ok(testpmd)
    }

    /// It has said that it forwards, and its socket is there.
    fn wait_for_start(&mut self) -> Result<()> {
        let start = Instant::now();
        let mut line = String::new();
        // It prints its lines within its start, or ends, which ends its output.
        while !line.contains(STARTED) {
            line.clear();
            let count = self.output.read_line(&mut line).context("what testpmd prints")?;
            if count == 0 {
                let status = self.child.wait().context("our child")?;
                bail!(
                    "dpdk-testpmd did not start ({status}): it says why above; where it is not \
                     installed: apt-get install dpdk-dev"
                );
            }
            ensure!(start.elapsed() < PATIENCE, "dpdk-testpmd takes longer than {PATIENCE:?}");
        }
        let socket = &self.socket;
        ensure!(socket.exists(), "dpdk-testpmd forwards, but not on {}", socket.display());
        Ok(())
    }

    fn expect_alive(&mut self) -> Result<()> {
        match self.child.try_wait().context("our child")? {
            Some(status) => bail!("dpdk-testpmd has ended by itself: {status}"),
            None => Ok(()),
        }
    }
}

impl Drop for Testpmd {
    fn drop(&mut self) {
        // Both fail where it has ended, as it should have.
        let _already_gone = self.child.kill();
        let _already_waited = self.child.wait();
        // It is not there where testpmd did not get as far.
        let _already_removed = std::fs::remove_file(&self.socket);
    }
}

/// Removes the socket that a killed testpmd has left: the next one would find its address in use,
/// and forward nothing without ending.
///
/// # Errors
/// Where somebody listens on it, or it is no socket.
fn clear(socket: &Path) -> Result<()> {
    let shown = socket.display();
    match std::fs::symlink_metadata(socket) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        found => {
            let kind = found.with_context(|| format!("cannot look at {shown}"))?.file_type();
            ensure!(kind.is_socket(), "{shown} is no socket: give another path as --socket");
        }
    }
    // A listener of another type, as a memif's is, refuses in other words.
    let is_stale = UnixStream::connect(socket)
        .is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused);
    ensure!(
        is_stale,
        "{shown} is in use: end the program that listens on it, or give another path"
    );
    std::fs::remove_file(socket).with_context(|| format!("cannot remove {shown}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn only_a_socket_that_nobody_listens_on_is_removed() {
        let folder = std::env::temp_dir().join(format!("floor-testpmd-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder of our own");
        let path = folder.join("memif.sock");
        assert!(clear(&path).is_ok(), "nothing is there");

        let listener = UnixListener::bind(&path).expect("a free path");
        let refused = clear(&path).expect_err("somebody listens").to_string();
        assert!(refused.contains("in use") && path.exists(), "{refused}");
        drop(listener);
        clear(&path).expect("nobody listens any more");
        assert!(!path.exists());

        std::fs::write(&path, "a file").expect("our folder");
        let refused = clear(&path).expect_err("it may be anybody's").to_string();
        assert!(refused.contains("no socket") && path.exists(), "{refused}");
        std::fs::remove_dir_all(&folder).expect("ours");
    }
}
