//! Stacks of samples, from what `perf script` prints, counted by how often each occurs.

use std::collections::BTreeMap;

/// Frames of a stack that are kept, from its root.
const DEPTH_MAX: usize = 256;
/// Addresses from here on are the kernel's, on every 64-bit machine.
const KERNEL: u64 = 1 << 63;
/// What perf shows of a caller that it could not unwind to.
const NO_CALLER: u64 = u64::MAX;

/// A function on a stack.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Frame {
    /// Its name; `[unknown]` where its binary does not tell.
    pub(crate) name: String,
    /// Whether it is the kernel's.
    pub(crate) is_kernel: bool,
}

/// Stacks, the outermost caller first, and how many samples have each.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Stacks {
    /// What was sampled: `cycles`, `cpu-clock`.
    pub(crate) event: String,
    /// The thread's name is the first frame.
    pub(crate) counts: BTreeMap<Vec<Frame>, u64>,
}

impl Stacks {
    /// Reads samples with the fields comm, event, ip and sym: a line with the thread's name and
    /// the event, a line for each frame from the innermost out, and an empty line.
    pub(crate) fn parse(script: &str) -> Self {
        let mut stacks = Self::default();
        for sample in script.split("\n\n") {
            let mut lines = sample.lines().filter(|line| !line.trim().is_empty());
            let Some((thread, event)) = lines.next().and_then(heading) else { continue };
            let mut frames: Vec<Frame> = lines.filter_map(frame).collect();
            frames.push(Frame { name: thread, is_kernel: false });
            frames.reverse();
            frames.truncate(DEPTH_MAX);
            event.clone_into(&mut stacks.event);
            *stacks.counts.entry(frames).or_insert(0) += 1;
        }
        stacks
    }

    /// All samples.
    pub(crate) fn samples(&self) -> u64 {
        self.counts.values().sum()
    }

    /// A line for each stack: its frames, joined by semicolons, and the count. Other tools for
    /// flame graphs read this.
    pub(crate) fn folded(&self) -> String {
        let line = |(frames, count): (&Vec<Frame>, &u64)| {
            let names: Vec<String> =
                frames.iter().map(|frame| frame.name.replace(';', ":")).collect();
            format!("{} {count}\n", names.join(";"))
        };
        self.counts.iter().map(line).collect()
    }
}

/// `worker-0  cpu-clock: `; the name of a thread may have spaces, that of an event has none.
fn heading(line: &str) -> Option<(String, &str)> {
    let (thread, event) = line.trim().rsplit_once(char::is_whitespace)?;
    // How precise perf asked it to be follows a colon: `cpu-clock:ppp:`.
    Some((thread.trim().to_owned(), event.split(':').next().unwrap_or(event)))
}

/// `  ffffffff81e2f2e2 __sys_sendto`.
fn frame(line: &str) -> Option<Frame> {
    let (address, name) = line.trim().split_once(' ')?;
    let address = u64::from_str_radix(address, 16).ok().filter(|address| *address != NO_CALLER)?;
    Some(Frame { name: name.trim().to_owned(), is_kernel: address >= KERNEL })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: &str = "worker-0   cpu-clock:ppp: \n\
        \tffffffff8200d9b5 tcp_sendmsg\n\
        \t          10aba4 __send\n\
        \tffffffffffffffff [unknown]\n\
        \n\
        worker-0   cpu-clock: \n\
        \tffffffff8200d9b5 tcp_sendmsg\n\
        \t          10aba4 __send\n\
        \n\
        my thread cpu-clock: \n\
        \t            fee40 <a as b>::turn\n\n";

    #[test]
    fn equal_stacks_are_counted_together_from_the_outermost_caller() {
        let stacks = Stacks::parse(SCRIPT);
        assert_eq!((stacks.samples(), stacks.event.as_str()), (3, "cpu-clock"));
        let expect = "my thread;<a as b>::turn 1\nworker-0;__send;tcp_sendmsg 2\n";
        assert_eq!(stacks.folded(), expect);
        let kernel: Vec<&str> = stacks
            .counts
            .keys()
            .flatten()
            .filter(|frame| frame.is_kernel)
            .map(|frame| frame.name.as_str())
            .collect();
        assert_eq!(kernel, ["tcp_sendmsg"]);
    }

    #[test]
    fn text_that_is_no_sample_gives_none() {
        assert_eq!(Stacks::parse("").samples(), 0);
        assert_eq!(Stacks::parse("\n\n \n\n").samples(), 0);
    }
}
