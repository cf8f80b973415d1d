//! The threads of a process and of everything that it has started (proc(5)).

use anyhow::{Context, Result, ensure};
use std::collections::VecDeque;
use std::fs;

/// Most processes that one server or generator may consist of.
const PROCESSES_MAX: usize = 1024;

/// A process of a tree, with its threads.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Member {
    /// Number of the process.
    pub(crate) pid: u32,
    /// Numbers of its threads.
    pub(crate) tids: Vec<u32>,
}

/// The process and its descendants. One that ends meanwhile is left out.
///
/// # Errors
/// Where there are more than a server would have, or where `/proc` is not as proc(5) says.
pub(crate) fn members(root: u32) -> Result<Vec<Member>> {
    let mut waiting = VecDeque::from([root]);
    let mut members = Vec::new();
    while let Some(pid) = waiting.pop_front() {
        ensure!(
            members.len() < PROCESSES_MAX,
            "process {root} has more than {PROCESSES_MAX} descendants"
        );
        let Ok(entries) = fs::read_dir(format!("/proc/{pid}/task")) else { continue };
        let mut tids = Vec::new();
        for entry in entries.flatten() {
            let tid = entry.file_name().to_str().and_then(|name| name.parse().ok());
            let tid: u32 = tid.with_context(|| format!("/proc/{pid}/task is not proc(5)'s"))?;
            tids.push(tid);
            // Absent where the thread is gone, or the kernel was built without such lists.
            let children = fs::read_to_string(format!("/proc/{pid}/task/{tid}/children"));
            let children = children.unwrap_or_default();
            let children = children.split_ascii_whitespace();
            waiting.extend(children.filter_map(|pid| pid.parse::<u32>().ok()));
        }
        members.push(Member { pid, tids });
    }
    Ok(members)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::{Events, Process};
    use std::time::{Duration, Instant};

    #[test]
    fn children_of_children_are_found() {
        let events = Events::new().unwrap();
        let ready = r#"{"event":"ready"}"#;
        let script = format!("sh -c 'echo '\\''{ready}'\\''; exec sleep 60' & wait");
        let command = ["sh", "-c", &script].map(str::to_owned).to_vec();
        let process = Process::spawn(&events, "shell", command).unwrap();
        let far = Instant::now() + Duration::from_secs(60);
        assert!(events.wait_until(far, || process.event_line("ready").is_some()).unwrap());
        let members = members(process.id()).unwrap();
        assert_eq!(members[0], Member { pid: process.id(), tids: vec![process.id()] });
        assert_eq!(members.len(), 2, "{members:?}");
    }

    #[test]
    fn a_process_that_is_gone_has_no_members() {
        // Above the largest number that the kernel gives (PID_MAX_LIMIT, 2^22).
        assert_eq!(members(1 << 23).unwrap(), []);
    }
}
