//! Resident memory of a server, when it is idle and at its peak (proc(5)).

use super::process_tree;
use anyhow::Result;
use record::Memory;
use std::fs;

/// What `clear_refs` takes to set the peak of resident memory to what is resident now.
const RESET_PEAK: &str = "5";

/// A server whose peak was reset when it was ready and had no connection.
pub(crate) struct MemoryWatch {
    pid: u32,
    rss_idle: u64,
}

impl MemoryWatch {
    /// Resets the peak and reads what is resident. None where the kernel keeps no peaks, or does
    /// not let this user reset them: the memory of such a server is not known.
    ///
    /// # Errors
    /// Where `/proc` is not as proc(5) says.
    pub(crate) fn begin(pid: u32) -> Result<Option<Self>> {
        for member in process_tree::members(pid)? {
            if fs::write(format!("/proc/{}/clear_refs", member.pid), RESET_PEAK).is_err() {
                return Ok(None);
            }
        }
        Ok(sum(pid, "VmRSS")?.map(|rss_idle| Self { pid, rss_idle }))
    }

    /// Reads the peak since [`MemoryWatch::begin`]: nothing has to be read under load. None where
    /// the process is gone.
    ///
    /// # Errors
    /// Where `/proc` is not as proc(5) says.
    pub(crate) fn end(&self) -> Result<Option<Memory>> {
        let rss_idle = self.rss_idle;
        Ok(sum(self.pid, "VmHWM")?.map(|rss_loaded| Memory { rss_idle, rss_loaded }))
    }
}

/// The sum of a value over a process and its descendants, in bytes; none where none of them has
/// it. One that has ended has no memory.
fn sum(pid: u32, key: &str) -> Result<Option<u64>> {
    let members = process_tree::members(pid)?;
    let statuses = members.iter().filter_map(|member| {
        let text = fs::read_to_string(format!("/proc/{}/status", member.pid)).ok()?;
        value(&text, key)
    });
    Ok(statuses.reduce(|sum, bytes| sum + bytes))
}

/// `VmRSS:  1234 kB`, in bytes.
fn value(status: &str, key: &str) -> Option<u64> {
    let mut pairs = status.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = pairs.find(|(name, _)| *name == key)?;
    let kib: u64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_kibibytes() {
        let status = "Name:\tx\nVmHWM:\t    5000 kB\nVmRSS:\t    4000 kB\n";
        assert_eq!(value(status, "VmRSS"), Some(4_096_000));
        assert_eq!(value(status, "VmHWM"), Some(5_120_000));
        assert_eq!(value(status, "VmSwap"), None);
        assert_eq!(value("VmRSS:\tmuch\n", "VmRSS"), None);
    }

    #[test]
    fn a_peak_is_kept_after_the_memory_is_given_back() {
        const BYTES: usize = 64 << 20;
        let watch = MemoryWatch::begin(std::process::id()).unwrap().expect("our own");
        drop(std::hint::black_box(vec![1_u8; BYTES]));
        let Memory { rss_idle, rss_loaded } = watch.end().unwrap().expect("our own");
        // Other tests of this process take and give memory meanwhile, but none as much.
        assert!(rss_loaded >= rss_idle + BYTES as u64 / 2, "{rss_idle} {rss_loaded}");
    }
}
