//! Counters of `perf_event_open(2)` on the threads of other processes.
//!
//! Each thread has a counter of its own for each event, inherited by the threads and processes
//! that it starts from then on. Counters of a thread that has ended can still be read.

use super::process_tree;
use anyhow::{Context, Result};
use perf_event::events::{Hardware, Software, Tracepoint};
use perf_event::{Builder, Counter};
use record::ProcessCounts;
use std::fs;
use std::io;

/// Where the kernel numbers its tracepoints, mounted by itself or below debugfs.
const TRACEPOINTS: [&str; 2] = ["/sys/kernel/tracing/events", "/sys/kernel/debug/tracing/events"];

/// Every system call begins here, whoever makes it.
const SYS_ENTER: &str = "raw_syscalls/sys_enter";

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Syscalls,
    ContextSwitches,
    PageFaults,
    Cycles,
    Instructions,
    LlcMisses,
}

/// All of them, in the order of [`Readings`].
const EVENTS: [Event; 6] = [
    Event::Syscalls,
    Event::ContextSwitches,
    Event::PageFaults,
    Event::Cycles,
    Event::Instructions,
    Event::LlcMisses,
];

impl Event {
    fn name(self) -> &'static str {
        match self {
            Self::Syscalls => "system calls",
            Self::ContextSwitches => "context switches",
            Self::PageFaults => "page faults",
            Self::Cycles => "cycles",
            Self::Instructions => "instructions",
            Self::LlcMisses => "LLC misses",
        }
    }

    fn is_hardware(self) -> bool {
        matches!(self, Self::Cycles | Self::Instructions | Self::LlcMisses)
    }

    /// What opens a counter of it.
    ///
    /// # Errors
    /// A sentence where the kernel's number of a tracepoint cannot be read.
    fn builder(self) -> Result<Builder<'static>, String> {
        let mut builder = match self {
            Self::Syscalls => Builder::new(Tracepoint::with_id(tracepoint(SYS_ENTER)?)),
            Self::ContextSwitches => Builder::new(Software::CONTEXT_SWITCHES),
            Self::PageFaults => Builder::new(Software::PAGE_FAULTS),
            Self::Cycles => Builder::new(Hardware::CPU_CYCLES),
            Self::Instructions => Builder::new(Hardware::INSTRUCTIONS),
            // Linux gives the last level under this name on every machine that counts it.
            Self::LlcMisses => Builder::new(Hardware::CACHE_MISSES),
        };
        // A server's work is done in the kernel as well.
        builder.exclude_kernel(false).inherit(true).enabled(true);
        Ok(builder)
    }

    /// Why a counter of it could not be opened, and what would cure that.
    fn refusal(self, error: &io::Error) -> String {
        let name = self.name();
        match error.raw_os_error() {
            Some(libc_errno::ENOENT | libc_errno::EOPNOTSUPP | libc_errno::ENODEV)
                if self.is_hardware() =>
            {
                format!("{name}: the machine has no hardware counter of them")
            }
            Some(libc_errno::EACCES | libc_errno::EPERM) => format!(
                "{name}: not allowed to this user; cure: sysctl kernel.perf_event_paranoid=1, or \
                 run as root"
            ),
            Some(libc_errno::EMFILE) => {
                format!("{name}: too few files may be open; cure: ulimit -n 65536")
            }
            _ => format!("{name}: perf_event_open: {error}"),
        }
    }
}

/// Numbers of errors, as errno(3) names them.
mod libc_errno {
    use rustix::io::Errno;
    pub(super) const ENOENT: i32 = Errno::NOENT.raw_os_error();
    pub(super) const EOPNOTSUPP: i32 = Errno::OPNOTSUPP.raw_os_error();
    pub(super) const ENODEV: i32 = Errno::NODEV.raw_os_error();
    pub(super) const EACCES: i32 = Errno::ACCESS.raw_os_error();
    pub(super) const EPERM: i32 = Errno::PERM.raw_os_error();
    pub(super) const EMFILE: i32 = Errno::MFILE.raw_os_error();
    pub(super) const ESRCH: i32 = Errno::SRCH.raw_os_error();
}

/// The kernel's number of a tracepoint.
fn tracepoint(name: &str) -> Result<u64, String> {
    let mut denied = false;
    for folder in TRACEPOINTS {
        match fs::read_to_string(format!("{folder}/{name}/id")) {
            Ok(text) => {
                return text.trim().parse().map_err(|_| format!("{folder}/{name}/id: '{text}'"));
            }
            Err(error) => denied |= error.kind() == io::ErrorKind::PermissionDenied,
        }
    }
    Err(if denied {
        "only root may read the number of the tracepoint; cure: run as root, or mount -o \
         remount,mode=755 /sys/kernel/tracing"
            .to_owned()
    } else {
        format!(
            "{}/{name} is not there; cure: mount -t tracefs tracefs /sys/kernel/tracing",
            TRACEPOINTS[0]
        )
    })
}

/// What the counters of one event showed, summed over threads. An event that cannot be counted
/// has none.
pub(crate) type Readings = [Option<Reading>; EVENTS.len()];

/// A count since the counters were opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reading {
    count: u64,
    /// Nanoseconds in which the threads ran.
    enabled_ns: u64,
    /// Nanoseconds of these in which the counter was on the CPU; less where it had to share one.
    running_ns: u64,
}

/// Counters on every thread of a process and of its descendants.
pub(crate) struct ProcessCounters {
    /// By event: a counter for each thread; none where it cannot be counted.
    counters: Vec<Option<Vec<Counter>>>,
}

impl ProcessCounters {
    /// Opens them. What cannot be counted is left out, and `unavailable` gets why, once.
    ///
    /// # Errors
    /// Where the threads cannot be listed.
    pub(crate) fn attach(pid: u32, unavailable: &mut Vec<String>) -> Result<Self> {
        let members = process_tree::members(pid)?;
        let tids: Vec<u32> = members.into_iter().flat_map(|member| member.tids).collect();
        let counters = EVENTS.into_iter().map(|event| match open(event, &tids) {
            Ok(counters) => Some(counters),
            Err(sentence) => {
                if !unavailable.contains(&sentence) {
                    unavailable.push(sentence);
                }
                None
            }
        });
        Ok(Self { counters: counters.collect() })
    }

    /// Reads them all.
    ///
    /// # Errors
    /// Where a counter cannot be read.
    pub(crate) fn read(&mut self) -> Result<Readings> {
        let mut readings = [None; EVENTS.len()];
        for (counters, reading) in self.counters.iter_mut().zip(&mut readings) {
            let Some(counters) = counters else { continue };
            let mut sum = Reading::default();
            for counter in counters {
                let one = counter.read_count_and_time().context("a counter cannot be read")?;
                sum.count += one.count;
                sum.enabled_ns += one.time_enabled;
                sum.running_ns += one.time_running;
            }
            *reading = Some(sum);
        }
        Ok(readings)
    }
}

fn open(event: Event, tids: &[u32]) -> Result<Vec<Counter>, String> {
    let builder = event.builder().map_err(|why| format!("{}: {why}", event.name()))?;
    let mut counters = Vec::with_capacity(tids.len());
    for tid in tids {
        let tid = i32::try_from(*tid).map_err(|_| format!("thread {tid} has no such number"))?;
        match builder.clone().observe_pid(tid).build() {
            Ok(counter) => counters.push(counter),
            // It has ended since the threads were listed.
            Err(error) if error.raw_os_error() == Some(libc_errno::ESRCH) => {}
            Err(error) => return Err(event.refusal(&error)),
        }
    }
    Ok(counters)
}

/// What was counted from one reading to a later one.
///
/// A counter that had to share its place on the CPU is scaled to the time in which its threads
/// ran, and `remarks` says so.
pub(crate) fn between(
    earlier: &Readings,
    later: &Readings,
    remarks: &mut Vec<String>,
) -> ProcessCounts {
    let mut counts = [None; EVENTS.len()];
    for (place, event) in EVENTS.into_iter().enumerate() {
        let (Some(earlier), Some(later)) = (earlier[place], later[place]) else { continue };
        let count = later.count.saturating_sub(earlier.count);
        let enabled_ns = later.enabled_ns.saturating_sub(earlier.enabled_ns);
        let running_ns = later.running_ns.saturating_sub(earlier.running_ns);
        counts[place] = scaled(count, enabled_ns, running_ns);
        if running_ns < enabled_ns {
            let percent = u128::from(running_ns) * 100 / u128::from(enabled_ns);
            let remark = format!("{}: counted in {percent} % of the time and scaled", event.name());
            if !remarks.contains(&remark) {
                remarks.push(remark);
            }
        }
    }
    let [syscalls, context_switches, page_faults, cycles, instructions, llc_misses] = counts;
    ProcessCounts { syscalls, context_switches, page_faults, cycles, instructions, llc_misses }
}

/// None where the counter never was on the CPU while its threads ran.
fn scaled(count: u64, enabled_ns: u64, running_ns: u64) -> Option<u64> {
    if running_ns == enabled_ns {
        return Some(count);
    }
    let product = u128::from(count) * u128::from(enabled_ns);
    u64::try_from(product.checked_div(u128::from(running_ns))?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, Write};
    use std::process::{Child, ChildStdout, Command, Stdio};

    #[test]
    fn every_refusal_names_the_event_and_the_cure() {
        let check = |event: Event, errno: i32, parts: &[&str]| {
            let sentence = event.refusal(&io::Error::from_raw_os_error(errno));
            for part in parts {
                assert!(sentence.contains(part), "{sentence}");
            }
        };
        check(Event::Cycles, libc_errno::ENOENT, &["cycles", "no hardware counter"]);
        check(Event::LlcMisses, libc_errno::EOPNOTSUPP, &["LLC misses", "no hardware counter"]);
        check(Event::Syscalls, libc_errno::EACCES, &["system calls", "perf_event_paranoid=1"]);
        check(Event::PageFaults, libc_errno::EMFILE, &["page faults", "ulimit -n"]);
        check(Event::PageFaults, libc_errno::ENOENT, &["perf_event_open"]);
    }

    #[test]
    fn counts_are_differences_and_those_of_shared_counters_are_scaled() {
        let reading =
            |count, enabled_ns, running_ns| Some(Reading { count, enabled_ns, running_ns });
        let earlier =
            [reading(5, 100, 100), reading(1, 0, 0), None, reading(10, 50, 50), None, None];
        let later =
            [reading(25, 200, 200), reading(1, 0, 0), None, reading(40, 150, 75), None, None];
        let mut remarks = Vec::new();
        let counts = between(&earlier, &later, &mut remarks);
        assert_eq!(counts.syscalls, Some(20));
        assert_eq!(counts.context_switches, Some(0));
        assert_eq!(counts.page_faults, None);
        assert_eq!(counts.cycles, Some(120), "30 in a quarter of the time");
        assert_eq!(remarks, ["cycles: counted in 25 % of the time and scaled"]);
        assert_eq!(scaled(7, 10, 0), None, "it never ran");
    }

    #[test]
    fn page_faults_of_this_process_are_counted_or_refused_with_a_sentence() {
        const PAGES: u64 = 2_000;
        const PAGE_BYTES: usize = 4096;
        let mut unavailable = Vec::new();
        let mut counters = ProcessCounters::attach(std::process::id(), &mut unavailable).unwrap();
        let before = counters.read().unwrap();
        // One byte for each page, as far apart as pages are: every page is touched once.
        let mut memory = vec![0_u8; PAGE_BYTES * usize::try_from(PAGES).unwrap()];
        memory.iter_mut().step_by(PAGE_BYTES).for_each(|byte| *byte = 1);
        std::hint::black_box(&memory);
        let counts = between(&before, &counters.read().unwrap(), &mut Vec::new());
        match counts.page_faults {
            // Huge pages are touched fewer times.
            Some(faults) => assert!(faults >= PAGES / 512, "{faults}"),
            None => assert!(unavailable.iter().any(|line| line.starts_with("page faults: "))),
        }
        // Every event has a count or a sentence.
        let refused = unavailable.len();
        let counted = counters.counters.iter().filter(|counters| counters.is_some()).count();
        assert_eq!(counted + refused, EVENTS.len(), "{unavailable:?}");
    }

    /// A shell that answers line by line, and has no child and no second thread.
    struct Shell {
        child: Child,
        answers: BufReader<ChildStdout>,
    }

    /// What the kernel accounts by itself for a process, in the order of the first three events.
    type Accounted = [u64; 3];

    impl Shell {
        fn start() -> Self {
            let mut command = Command::new("sh");
            command.args(["-c", "while read -r line; do echo \"$line\"; done"]);
            let mut child =
                command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a shell");
            let answers = BufReader::new(child.stdout.take().expect("piped"));
            Self { child, answers }
        }

        fn ask(&mut self) {
            self.child.stdin.as_mut().expect("piped").write_all(b"line\n").expect("it reads");
            let mut answer = String::new();
            self.answers.read_line(&mut answer).expect("it answers");
            assert_eq!(answer, "line\n");
        }

        fn proc(&self, file: &str) -> String {
            fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).expect("it runs")
        }

        /// The figures of proc(5) once it waits for the next line, as it does after an answer.
        fn accounted(&self) -> Accounted {
            let mut last = None;
            loop {
                let (stat, figures) = (self.proc("stat"), self.figures());
                // Behind the name, which is in brackets: the state.
                let waits = stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('S'));
                if waits && last == Some(figures) {
                    return figures;
                }
                last = Some(figures);
                std::thread::yield_now();
            }
        }

        fn figures(&self) -> Accounted {
            let (io, status, stat) = (self.proc("io"), self.proc("status"), self.proc("stat"));
            let of = |text: &str, name: &str| -> u64 {
                let value = text.lines().find_map(|line| line.strip_prefix(name));
                value.unwrap_or_else(|| panic!("no {name}")).trim().parse().expect("a number")
            };
            // Fields 10 and 12, the state being the third: minor and major faults.
            let fields: Vec<&str> = stat.rsplit(") ").next().expect("fields").split(' ').collect();
            let faults =
                [fields[7], fields[9]].map(|field| field.parse::<u64>().expect("a number"));
            [
                of(&io, "syscr:") + of(&io, "syscw:"),
                of(&status, "voluntary_ctxt_switches:")
                    + of(&status, "nonvoluntary_ctxt_switches:"),
                faults[0] + faults[1],
            ]
        }
    }

    impl Drop for Shell {
        fn drop(&mut self) {
            let _already_gone = self.child.kill();
            let _already_waited = self.child.wait();
        }
    }

    #[test]
    fn counts_of_another_process_are_those_that_proc_accounts() {
        let mut shell = Shell::start();
        // What it does for the first time only is done then.
        shell.ask();
        let mut unavailable = Vec::new();
        let mut counters = ProcessCounters::attach(shell.child.id(), &mut unavailable).unwrap();
        let accounted = shell.accounted();
        let before = counters.read().unwrap();
        (0..200).for_each(|_| shell.ask());
        let expected: Vec<u64> =
            shell.accounted().iter().zip(accounted).map(|(after, before)| after - before).collect();
        let counts = between(&before, &counters.read().unwrap(), &mut Vec::new());
        assert!(
            expected[0] >= 2 * 200 && expected[1] > 0,
            "it reads, waits and writes: {expected:?}"
        );
        let counted = [counts.syscalls, counts.context_switches, counts.page_faults];
        for ((event, counted), expected) in EVENTS.into_iter().zip(counted).zip(expected) {
            match counted {
                // Of the shell's calls those that read and write are accounted: it makes no others.
                Some(counted) => assert_eq!(counted, expected, "{}", event.name()),
                None => assert!(unavailable.iter().any(|line| line.starts_with(event.name()))),
            }
        }
    }
}
