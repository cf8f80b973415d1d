//! What a case costs the server: its memory and CPU time, as `/proc` tells them.
//!
//! Needs the server's process on this machine; a suite that runs against another leaves the
//! bounds unmeasured, and says so.

use crate::case::Bounds;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A process whose cost is measured.
#[derive(Clone, Debug)]
pub struct Process {
    folder: PathBuf,
}

/// Cost at one time: what a case may add to is bounded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vitals {
    /// Anonymous memory that is resident, in bytes.
    pub resident_bytes: u64,
    /// Private memory that was asked for, touched or not, in bytes.
    pub data_bytes: u64,
    /// CPU time of all threads, in user mode and in the kernel.
    pub cpu: Duration,
}

impl Vitals {
    /// Which of `bounds` this growth exceeds, as a sentence.
    #[must_use]
    pub fn beyond(&self, bounds: &Bounds) -> Option<String> {
        let memory_bytes = self.resident_bytes.max(self.data_bytes);
        if let Some(bound) = bounds.memory_bytes.filter(|bound| memory_bytes > *bound) {
            return Some(format!("cost {memory_bytes} bytes of memory, may cost {bound}"));
        }
        let bound = bounds.cpu.filter(|bound| self.cpu > *bound)?;
        Some(format!("cost {:?} of CPU time, may cost {bound:?}", self.cpu))
    }
}

/// Between two looks at a server's memory while a case runs.
const INTERVAL: Duration = Duration::from_millis(5);
/// The kernel's unit of CPU time in `/proc`, `USER_HZ`: 100 a second.
const TICK: Duration = Duration::from_millis(10);

impl Process {
    /// The process with this number.
    ///
    /// # Errors
    /// A sentence where there is none, or it cannot be looked at.
    pub fn new(pid: u32) -> Result<Self, String> {
        let process = Self { folder: PathBuf::from(format!("/proc/{pid}")) };
        process.vitals()?;
        Ok(process)
    }

    /// What the process has cost up to now.
    ///
    /// # Errors
    /// A sentence where it cannot be looked at: it has ended, most likely.
    pub fn vitals(&self) -> Result<Vitals, String> {
        let read = |name: &str| {
            let path = self.folder.join(name);
            fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
        };
        let (status, stat) = (read("status")?, read("stat")?);
        parse(&status, &stat)
            .ok_or_else(|| format!("{} does not read as Linux writes it", self.folder.display()))
    }

    /// Runs `work` and tells by how much the process has grown meanwhile, at its largest.
    ///
    /// # Errors
    /// As [`Self::vitals`].
    pub fn growth<T>(&self, work: impl FnOnce() -> T) -> Result<(T, Vitals), String> {
        let before = self.vitals()?;
        let done = AtomicBool::new(false);
        let (result, peak) = std::thread::scope(|scope| {
            let watcher = scope.spawn(|| self.watch(before, &done));
            let result = work();
            done.store(true, Ordering::Release);
            (result, watcher.join().unwrap_or_else(|_| Err("the watcher panicked".to_owned())))
        });
        let peak = peak?;
        let growth = Vitals {
            resident_bytes: peak.resident_bytes - before.resident_bytes,
            data_bytes: peak.data_bytes - before.data_bytes,
            cpu: peak.cpu - before.cpu,
        };
        Ok((result, growth))
    }

    #[expect(clippy::disallowed_methods, reason = "memory is sampled: no event tells of it")]
    fn watch(&self, before: Vitals, done: &AtomicBool) -> Result<Vitals, String> {
        let mut peak = before;
        loop {
            let last = done.load(Ordering::Acquire);
            let now = self.vitals()?;
            peak.resident_bytes = peak.resident_bytes.max(now.resident_bytes);
            peak.data_bytes = peak.data_bytes.max(now.data_bytes);
            peak.cpu = peak.cpu.max(now.cpu);
            if last {
                return Ok(peak);
            }
            std::thread::sleep(INTERVAL);
        }
    }
}

/// Reads `/proc/PID/status` and `/proc/PID/stat` (proc_pid_status(5), proc_pid_stat(5)).
fn parse(status: &str, stat: &str) -> Option<Vitals> {
    let kib = |name: &str| {
        let value = status.lines().find_map(|line| line.strip_prefix(name))?;
        value.trim().strip_suffix(" kB")?.parse::<u64>().ok()
    };
    // The name of the program stands in parentheses and may hold spaces: count from behind it.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(11);
    let mut ticks = || fields.next()?.parse::<u32>().ok();
    Some(Vitals {
        resident_bytes: kib("RssAnon:")? * 1024,
        data_bytes: kib("VmData:")? * 1024,
        cpu: TICK * (ticks()? + ticks()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_a_process_are_read() {
        let status = "Name:\tx\nRssAnon:\t     128 kB\nVmData:\t    2048 kB\n";
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 100 0 0 0 12 30 0 0 20 0 1 0 5 6";
        let expect = Vitals {
            resident_bytes: 128 * 1024,
            data_bytes: 2048 * 1024,
            cpu: Duration::from_millis(420),
        };
        assert_eq!(parse(status, stat), Some(expect));
        assert_eq!(parse("Name:\tx\n", stat), None);
        assert_eq!(parse(status, "7 (a) S 1"), None);
    }

    #[test]
    fn costs_beyond_a_bound_are_told() {
        let growth = Vitals { resident_bytes: 10, data_bytes: 30, cpu: Duration::from_millis(5) };
        let check = |memory_bytes, cpu_ms: Option<u64>, expect: Option<&str>| {
            let bounds = Bounds { memory_bytes, cpu: cpu_ms.map(Duration::from_millis) };
            assert_eq!(growth.beyond(&bounds).as_deref(), expect);
        };
        check(None, None, None);
        check(Some(30), Some(5), None);
        check(Some(29), None, Some("cost 30 bytes of memory, may cost 29"));
        check(None, Some(4), Some("cost 5ms of CPU time, may cost 4ms"));
    }

    #[test]
    fn memory_that_is_touched_shows_as_growth() {
        const BYTES: usize = 64 * 1024 * 1024;
        let own = Process::new(std::process::id()).expect("this process");
        // What the work returns lives until the last look.
        let work = || std::hint::black_box(vec![1_u8; BYTES]);
        let (_alive, growth) = own.growth(work).expect("this process can be looked at");
        let half = BYTES as u64 / 2;
        assert!(growth.resident_bytes > half && growth.data_bytes > half, "{growth:?}");
        assert!(Process::new(u32::MAX).is_err());
    }
}
