//! CPU time and memory of programs at the two ends.

use crate::cost::MemoryWatch;
use crate::process::{Events, Process};
use crate::procfs::Snapshot;
use anyhow::{Context, Result, ensure};
use record::{CLIENT_MACHINE_CPUS, Memory};
use serde::{Deserialize, Serialize};
use std::fs;
use std::time::{Duration, Instant};

/// Time that the other end gets to answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// The event of an [`Account`].
const ACCOUNT: &str = "account";

/// What the kernel of an end says of its CPUs and of one program.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Account {
    event: String,
    /// Of this boot of this machine, and of no other.
    boot_id: String,
    /// The lines of `/proc/stat` that are about CPUs.
    cpus: String,
    /// `/proc/PID/stat`.
    process: String,
    /// Of a server that has become ready, where the kernel tells.
    memory: Option<Memory>,
    /// Whether the program has ended, so that there will be no other.
    is_last: bool,
}

impl Account {
    /// Reads it here and now.
    ///
    /// # Errors
    /// Where `/proc` is not as proc(5) says.
    pub(super) fn read(pid: i32, memory: Option<&MemoryWatch>, is_last: bool) -> Result<Self> {
        let stat = read("/proc/stat")?;
        let cpus = stat.lines().filter(|line| line.starts_with("cpu"));
        Ok(Self {
            event: ACCOUNT.to_owned(),
            boot_id: boot_id()?,
            cpus: cpus.collect::<Vec<_>>().join("\n"),
            process: read(&format!("/proc/{pid}/stat"))?,
            memory: memory.map_or(Ok(None), MemoryWatch::end)?,
            is_last,
        })
    }

    /// The last one of a program; asks for a new one where it still runs.
    fn of(process: &Process, events: &Events) -> Result<Self> {
        let before = process.count_of_event(ACCOUNT);
        process.tell(ACCOUNT)?;
        let is_last = || process.event_line(ACCOUNT).is_some_and(|line| line["is_last"] == true);
        // Not its end: that may be known before its last line is.
        let answered = || process.count_of_event(ACCOUNT) > before || is_last();
        let in_time = events.wait_until(Instant::now() + ANSWER_MAX, answered)?;
        ensure!(in_time, "the other end did not say in {ANSWER_MAX:?} what CPU time was used");
        Self::last(process)?.context("the other end ended and did not say what CPU time was used")
    }

    fn last(process: &Process) -> Result<Option<Self>> {
        let line = process.event_line(ACCOUNT).map(serde_json::from_value);
        line.transpose()
            .context("the other end speaks otherwise; cure: build the same commit there")
    }
}

/// Says which machine it is, and since which boot.
///
/// # Errors
/// Where the kernel does not say.
pub(super) fn boot_id() -> Result<String> {
    Ok(read("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("{path} cannot be read"))
}

/// CPU times of the machine, or of both, and of server and generator, wherever they run.
///
/// # Errors
/// Where `/proc` is not as proc(5) says, or where an end does not answer;
/// [`crate::process::Interrupted`].
pub(crate) fn snapshot(server: &Process, client: &Process, events: &Events) -> Result<Snapshot> {
    if !server.is_remote() {
        return Snapshot::take(server.id(), client.id());
    }
    let (of_server, of_client) = (Account::of(server, events)?, Account::of(client, events)?);
    let mut machines = vec![(0, of_server.cpus.as_str())];
    if of_server.boot_id != of_client.boot_id {
        machines.push((CLIENT_MACHINE_CPUS, of_client.cpus.as_str()));
    }
    Snapshot::of_texts(&machines, &of_server.process, &of_client.process)
}

/// The memory of a server at another end, as it was last told; none of one that runs here.
///
/// # Errors
/// Where the other end is of another build.
pub(crate) fn memory(server: &Process) -> Result<Option<Memory>> {
    Ok(Account::last(server)?.and_then(|account| account.memory))
}
