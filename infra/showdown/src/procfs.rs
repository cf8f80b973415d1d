//! CPU time and interrupts from `/proc/stat`, CPU time from `/proc/PID/stat` (proc(5)).

use crate::cost::process_tree;
use anyhow::{Context, Result, bail};
use record::{CpuAccount, CpuTime, ProcessTime};
use std::fs;
use std::time::Instant;

/// CPU times of the machine and of two processes with their descendants, read together.
#[derive(Debug)]
pub(crate) struct Snapshot {
    at: Instant,
    cpus: Vec<CpuTicks>,
    server: ProcessTicks,
    client: ProcessTicks,
}

/// Fields of a `cpuN` line, in ticks since boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct CpuTicks {
    cpu: usize,
    user: u64,
    system: u64,
    idle: u64,
    irq: u64,
    softirq: u64,
    steal: u64,
}

/// User and system time of processes, all their threads, in ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct ProcessTicks {
    user: u64,
    system: u64,
}

impl Snapshot {
    /// Reads them now. A process that has ended can still be read until it is reaped.
    ///
    /// # Errors
    /// Where a file cannot be read or is not as proc(5) says.
    pub(crate) fn take(server_pid: u32, client_pid: u32) -> Result<Self> {
        Ok(Self {
            at: Instant::now(),
            cpus: parse_stat(&read("/proc/stat")?)?,
            server: read_tree(server_pid)?,
            client: read_tree(client_pid)?,
        })
    }

    /// What was read elsewhere, now: `/proc/stat` of each machine, with what is added to the
    /// numbers of its CPUs, and `/proc/PID/stat` of both processes.
    ///
    /// # Errors
    /// Where a text is not as proc(5) says.
    pub(crate) fn of_texts(machines: &[(usize, &str)], server: &str, client: &str) -> Result<Self> {
        let mut cpus = Vec::new();
        for (first, stat) in machines {
            let of_machine = parse_stat(stat)?.into_iter();
            cpus.extend(of_machine.map(|ticks| CpuTicks { cpu: first + ticks.cpu, ..ticks }));
        }
        let (server, client) = (parse_process(server)?, parse_process(client)?);
        Ok(Self { at: Instant::now(), cpus, server, client })
    }

    /// What happened from this snapshot until `later`: seconds, and the CPU time in them.
    ///
    /// `steal_share` is the larger of the shares taken from `measured_cpus`.
    pub(crate) fn until(&self, later: &Self, measured_cpus: &[usize]) -> (f64, CpuAccount) {
        let ticks_per_s = to_f64(rustix::param::clock_ticks_per_second());
        let mut cpus = Vec::with_capacity(self.cpus.len());
        for after in &later.cpus {
            // A CPU that came online in between has no earlier reading.
            if let Some(before) = self.cpus.iter().find(|before| before.cpu == after.cpu) {
                cpus.push(after.since(before, ticks_per_s));
            }
        }
        let steal_share = cpus
            .iter()
            .filter(|time| measured_cpus.contains(&time.cpu))
            .map(steal_share)
            .fold(0.0, f64::max);
        let account = CpuAccount {
            cpus,
            server: later.server.since(self.server, ticks_per_s),
            client: later.client.since(self.client, ticks_per_s),
            steal_share,
        };
        (later.at.duration_since(self.at).as_secs_f64(), account)
    }
}

fn steal_share(time: &CpuTime) -> f64 {
    let total_s = time.busy_s() + time.idle_s + time.steal_s;
    if total_s > 0.0 { time.steal_s / total_s } else { 0.0 }
}

impl CpuTicks {
    /// Counters of `/proc/stat` may step back by a tick (idle and iowait are known to): such a
    /// step counts as no time.
    fn since(&self, before: &Self, ticks_per_s: f64) -> CpuTime {
        let seconds = |after: u64, before: u64| to_f64(after.saturating_sub(before)) / ticks_per_s;
        CpuTime {
            cpu: self.cpu,
            user_s: seconds(self.user, before.user),
            system_s: seconds(self.system, before.system),
            irq_s: seconds(self.irq, before.irq),
            softirq_s: seconds(self.softirq, before.softirq),
            steal_s: seconds(self.steal, before.steal),
            idle_s: seconds(self.idle, before.idle),
        }
    }
}

/// What a process and its descendants have taken so far. A child that has ended is in the times of
/// the parent that has waited for it; one whose parent did not (SIGCHLD ignored) is lost.
fn read_tree(root: u32) -> Result<ProcessTicks> {
    let stat = |pid: u32| read(&format!("/proc/{pid}/stat"));
    let mut sum = parse_process(&stat(root)?)?;
    for member in process_tree::members(root)?.iter().filter(|member| member.pid != root) {
        // One that has just been waited for is in its parent's times from the next reading on.
        let Ok(text) = stat(member.pid) else { continue };
        let ticks = parse_process(&text)?;
        sum = ProcessTicks { user: sum.user + ticks.user, system: sum.system + ticks.system };
    }
    Ok(sum)
}

impl ProcessTicks {
    fn since(self, before: Self, ticks_per_s: f64) -> ProcessTime {
        let seconds = |after: u64, before: u64| to_f64(after.saturating_sub(before)) / ticks_per_s;
        ProcessTime {
            user_s: seconds(self.user, before.user),
            system_s: seconds(self.system, before.system),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "ticks of a CPU stay far below 2^53")]
fn to_f64(ticks: u64) -> f64 {
    ticks as f64
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("{path} cannot be read"))
}

/// Reads the `cpuN` lines; the sum over all CPUs, which comes first, is left out.
fn parse_stat(text: &str) -> Result<Vec<CpuTicks>> {
    let mut cpus = Vec::new();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let Some(number) = words.next().and_then(|word| word.strip_prefix("cpu")) else { continue };
        if number.is_empty() {
            continue;
        }
        let fields = words.map(str::parse).collect::<Result<Vec<u64>, _>>();
        let (Ok(cpu), Ok(fields)) = (number.parse(), fields) else {
            bail!("/proc/stat has a line that is not numbers: '{line}'");
        };
        // user nice system idle iowait irq softirq steal guest guest_nice; guest time is in user
        // time already.
        let [user, nice, system, idle, iowait, irq, softirq, steal, ..] = fields[..] else {
            bail!("/proc/stat has a line with fewer than eight times: '{line}'");
        };
        let (user, idle) = (user + nice, idle + iowait);
        cpus.push(CpuTicks { cpu, user, system, idle, irq, softirq, steal });
    }
    if cpus.is_empty() {
        bail!("/proc/stat has no line for a CPU");
    }
    Ok(cpus)
}

/// Interrupts of all CPUs since boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interrupts {
    /// Of devices and of the CPUs' own timers and messages.
    pub(crate) hard: u64,
    /// Soft interrupts, of every kind.
    pub(crate) soft: u64,
}

/// Reads them now.
///
/// # Errors
/// Where `/proc/stat` cannot be read or is not as proc(5) says.
pub(crate) fn interrupts() -> Result<Interrupts> {
    parse_interrupts(&read("/proc/stat")?)
}

impl Interrupts {
    /// What happened since `earlier`.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            hard: self.hard.saturating_sub(earlier.hard),
            soft: self.soft.saturating_sub(earlier.soft),
        }
    }
}

/// The first number of the lines `intr` and `softirq` is the sum of all others.
fn parse_interrupts(text: &str) -> Result<Interrupts> {
    let total = |key: &str| {
        let mut lines = text.lines().filter_map(|line| line.strip_prefix(key));
        let numbers = lines.find_map(|rest| rest.strip_prefix(' '));
        let first = numbers.and_then(|numbers| numbers.split(' ').next()?.parse().ok());
        first.with_context(|| format!("/proc/stat has no line '{key}' with a number"))
    };
    Ok(Interrupts { hard: total("intr")?, soft: total("softirq")? })
}

/// Reads fields 14 to 17: `utime` and `stime` of the process, `cutime` and `cstime` of children
/// that it has waited for, and theirs. The second field is the command's name in parentheses; it
/// may hold spaces and parentheses itself, so that counting begins after the last one.
fn parse_process(text: &str) -> Result<ProcessTicks> {
    let after_name = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields = after_name.split_ascii_whitespace().skip(11).take(4).map(str::parse);
    let fields: Vec<u64> = fields.collect::<Result<_, _>>().unwrap_or_default();
    match fields[..] {
        [user, system, waited_user, waited_system] => {
            Ok(ProcessTicks { user: user + waited_user, system: system + waited_system })
        }
        _ => bail!("/proc/PID/stat is not as proc(5) says: '{}'", text.trim()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::{Events, Process};
    use std::time::Duration;

    const STAT: &str = "cpu  30 2 50 700 6 0 7 8 0 0\n\
                        cpu0 10 2 20 300 5 1 3 4 0 0\n\
                        cpu1 20 0 30 400 1 0 4 4 9 9\n\
                        intr 1 2 3\nctxt 4\n";

    #[test]
    fn lines_of_cpus_are_read_and_all_others_left() {
        let expect = [
            CpuTicks { cpu: 0, user: 12, system: 20, idle: 305, irq: 1, softirq: 3, steal: 4 },
            CpuTicks { cpu: 1, user: 20, system: 30, idle: 401, irq: 0, softirq: 4, steal: 4 },
        ];
        assert_eq!(parse_stat(STAT).unwrap(), expect);
    }

    #[test]
    fn other_texts_are_refused() {
        let check = |text: &str, part: &str| {
            let message = parse_stat(text).unwrap_err().to_string();
            assert!(message.contains(part), "{text}: {message}");
        };
        check("", "no line for a CPU");
        check("cpu0 1 2 3", "fewer than eight");
        check("cpu0 1 2 3 x 5 6 7 8", "not numbers");
        for text in ["", "1 (x) S 1", "1 (x) S 1 1 1 0 -1 0 0 0 0 0 a 2 0"] {
            let message = parse_process(text).unwrap_err().to_string();
            assert!(message.contains("proc(5)"), "{text}: {message}");
        }
    }

    #[test]
    fn interrupts_are_the_totals_of_their_lines() {
        let before = parse_interrupts("cpu0 1\nintr 100 7 8\nsoftirq 40 1 2\n").unwrap();
        let after = parse_interrupts("intr 130 7 8\nsoftirq 90 1 2\n").unwrap();
        assert_eq!(after.since(before), Interrupts { hard: 30, soft: 50 });
        assert_eq!(before.since(after), Interrupts { hard: 0, soft: 0 });
        assert!(parse_interrupts("intr x\nsoftirq 1\n").is_err());
        assert!(parse_interrupts("intr 1\n").unwrap_err().to_string().contains("softirq"));
        interrupts().unwrap();
    }

    #[test]
    fn a_process_is_read_whatever_it_is_called() {
        for name in ["server-epoll", "a b", "x) S 9 (y"] {
            let text = format!("42 ({name}) S 1 42 42 0 -1 4194304 120 0 0 0 77 33 5 6 20 0 1 0\n");
            let expect = ProcessTicks { user: 77 + 5, system: 33 + 6 };
            assert_eq!(parse_process(&text).unwrap(), expect, "{name}");
        }
    }

    /// Ticks that the child of a test takes before it says that it is ready.
    const BURNT_TICKS: u64 = 5;

    /// What a shell that runs `script` and its descendants have taken when the script says that it
    /// is ready. `$burn` in it takes [`BURNT_TICKS`] in the process that evaluates it, by its own
    /// count, however busy the machine is; `$ready` says so.
    fn ticks_when_ready(script: &str) -> ProcessTicks {
        let burn = "t=0; while [ $t -lt LEAST ]; do read -r s </proc/self/stat; \
                    s=${s##*) }; set -- $s; t=$((${12} + ${13})); done"
            .replace("LEAST", &BURNT_TICKS.to_string());
        let environment = [("burn", burn.as_str()), ("ready", r#"echo {"event":"ready"}"#)];
        let pairs = environment.map(|(name, value)| format!("{name}={value}"));
        let command = ["env", &pairs[0], &pairs[1], "sh", "-c", script].map(str::to_owned);
        let events = Events::new().unwrap();
        let process = Process::spawn(&events, "shell", command.to_vec()).unwrap();
        let far = Instant::now() + Duration::from_secs(60);
        assert!(events.wait_until(far, || process.event_line("ready").is_some()).unwrap());
        read_tree(process.id()).unwrap()
    }

    #[test]
    fn children_are_accounted_while_they_run_and_after_they_were_waited_for() {
        let check = |script: &str| {
            let ticks = ticks_when_ready(script);
            assert!(ticks.user + ticks.system >= BURNT_TICKS, "{script}: {ticks:?}");
        };
        let child = r#"sh -c 'eval "$burn"; $ready; exec sleep 60'"#;
        check(&format!("{child} & wait"));
        check(&format!("({child} & wait) & wait"));
        check(r#"sh -c 'eval "$burn"'; $ready; exec sleep 60"#);
    }

    #[test]
    fn a_process_that_is_gone_has_no_time() {
        // Above the largest number that the kernel gives (PID_MAX_LIMIT, 2^22).
        assert!(read_tree(1 << 23).unwrap_err().to_string().contains("cannot be read"));
    }

    #[test]
    fn differences_are_seconds_and_the_worst_of_the_measured_cpus_gives_the_steal() {
        let at = Instant::now();
        let ticks = ProcessTicks { user: 0, system: 0 };
        let cpus = |text| parse_stat(text).unwrap();
        let before = Snapshot { at, cpus: cpus(STAT), server: ticks, client: ticks };
        let later_stat = "cpu0 60 2 20 300 5 1 3 54 0 0\ncpu1 20 0 30 475 1 0 4 29 0 0\n";
        let server = ProcessTicks { user: 50, system: 25 };
        let later = Snapshot { at, cpus: cpus(later_stat), server, client: ticks };
        let close = |left: f64, right: f64| (left - right).abs() < 1e-9;
        let ticks_per_s = to_f64(rustix::param::clock_ticks_per_second());

        let (_, both) = before.until(&later, &[0, 1]);
        assert!(close(both.steal_share, 0.5), "{both:?}");
        assert!(close(both.cpus[0].user_s, 50.0 / ticks_per_s), "{both:?}");
        assert!(close(both.server.total_s(), 75.0 / ticks_per_s), "{both:?}");
        assert!(close(both.client.total_s(), 0.0), "{both:?}");
        let (_, second) = before.until(&later, &[1]);
        assert!(close(second.steal_share, 0.25), "{second:?}");
    }

    /// Minutes and seconds as times(1) of a shell prints them: `0m0.31s`.
    fn shell_seconds(word: &str) -> f64 {
        let (minutes, seconds) = word.trim_end_matches('s').split_once('m').unwrap();
        minutes.parse::<f64>().unwrap() * 60.0 + seconds.parse::<f64>().unwrap()
    }

    /// times(2), which a shell asks, is another way to the same truth than `/proc/PID/stat`.
    #[test]
    fn cpu_time_is_what_a_process_is_told_of_itself() {
        const TICKS_OFF_MAX: f64 = 3.0;
        let events = Events::new().unwrap();
        let script = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; \
                      head -c 100000000 /dev/zero >/dev/null; times; echo over; exec sleep 60";
        let command = ["sh", "-c", script].map(str::to_owned).to_vec();
        let shell = Process::spawn(&events, "shell", command).unwrap();
        let own = std::process::id();
        let before = Snapshot::take(shell.id(), own).unwrap();
        let far = Instant::now() + Duration::from_secs(60);
        assert!(events.wait_until(far, || shell.has_said("over")).unwrap());
        let (_, account) = before.until(&Snapshot::take(shell.id(), own).unwrap(), &[0]);
        let lines = shell.finish(&events, Instant::now()).unwrap().lines;
        // The first line is of the shell, the second of what it has waited for.
        let times: Vec<f64> = lines[0].split_whitespace().map(shell_seconds).collect();
        let tick_s = 1.0 / to_f64(rustix::param::clock_ticks_per_second());
        for (read, told) in [(account.server.user_s, times[0]), (account.server.system_s, times[1])]
        {
            let ticks_off = (read - told).abs() / tick_s;
            assert!(ticks_off <= TICKS_OFF_MAX, "{account:?}, and the shell was told {lines:?}");
        }
        assert!(account.server.user_s > 0.0, "it counted for a while: {account:?}");
    }

    #[test]
    fn two_machines_keep_their_cpus_apart() {
        let process = |user| format!("42 (x) S 1 42 42 0 -1 4194304 120 0 0 0 {user} 0 5 6 20\n");
        let first = record::CLIENT_MACHINE_CPUS;
        let at = |user: u64, of_client: &str| {
            let machines = [(0, STAT), (first, of_client)];
            Snapshot::of_texts(&machines, &process(user), &process(0)).unwrap()
        };
        let later = at(30, &STAT.replace("cpu1 20", "cpu1 70"));
        let (_, account) = at(10, STAT).until(&later, &[0, first + 1]);
        let numbers: Vec<usize> = account.cpus.iter().map(|time| time.cpu).collect();
        assert_eq!(numbers, [0, 1, first, first + 1]);
        let busy: Vec<bool> = account.cpus.iter().map(|time| time.busy_s() > 0.0).collect();
        assert_eq!(busy, [false, false, false, true]);
        assert!(account.server.user_s > 0.0 && account.client.total_s() < 1e-9, "{account:?}");
        assert!(Snapshot::of_texts(&[(0, STAT)], "", &process(0)).is_err());
    }

    #[test]
    fn this_process_and_this_machine_can_be_read() {
        let own = std::process::id();
        let first = Snapshot::take(own, own).unwrap();
        let (window_s, account) = first.until(&Snapshot::take(own, own).unwrap(), &[0]);
        assert!(window_s >= 0.0 && !account.cpus.is_empty());
    }
}
