//! How an idle thread waits: `--wait`.

use clap::Args;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// How an idle thread waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Sleep in the kernel until something happens: the core is free, waking costs time.
    Block,
    /// Never sleep: the core is burnt, nothing has to be woken.
    Spin,
    /// Poll the network device from within the waiting call, for that long, then sleep.
    BusyPoll(Duration),
    /// Poll the device while there is work, with its interrupts suspended for at most that long
    /// between two polls; sleep and let it interrupt when there is none (Linux 6.13).
    Suspend(Duration),
}

/// How long a thread polls before it sleeps, where the flag does not say.
const BUSY_POLL: Duration = Duration::from_micros(200);
/// How long interrupts stay suspended after the last poll, where the flag does not say: long enough
/// for every burst of work, and all that a thread that hangs can cost.
const SUSPEND: Duration = Duration::from_millis(20);
/// The longest that either may be.
const LONGEST: Duration = Duration::from_secs(1);

impl Wait {
    /// The first word of the flag's spelling.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Spin => "spin",
            Self::BusyPoll(_) => "busy-poll",
            Self::Suspend(_) => "suspend",
        }
    }
}

impl fmt::Display for Wait {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())?;
        match self {
            Self::Block | Self::Spin => Ok(()),
            Self::BusyPoll(time) | Self::Suspend(time) => {
                write!(formatter, ":{}", time.as_micros())
            }
        }
    }
}

impl FromStr for Wait {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, time) = match text.split_once(':') {
            Some((name, digits)) => (name, Some(microseconds(digits)?)),
            None => (text, None),
        };
        match (name, time) {
            ("block", None) => Ok(Self::Block),
            ("spin", None) => Ok(Self::Spin),
            ("busy-poll", time) => Ok(Self::BusyPoll(time.unwrap_or(BUSY_POLL))),
            ("suspend", time) => Ok(Self::Suspend(time.unwrap_or(SUSPEND))),
            _ => Err("not one of block, spin, busy-poll[:USEC], suspend[:USEC]".to_owned()),
        }
    }
}

fn microseconds(digits: &str) -> Result<Duration, String> {
    match digits.parse().map(Duration::from_micros) {
        Ok(time) if (Duration::from_micros(1)..=LONGEST).contains(&time) => Ok(time),
        _ => Err(format!("'{digits}' is not a number from 1 to {}", LONGEST.as_micros())),
    }
}

/// The flag of servers that can choose how to wait.
#[derive(Args, Clone, Copy, Debug)]
pub struct WaitFlags {
    /// How an idle thread waits
    ///
    /// block: asleep in the kernel. spin: never asleep. busy-poll:USEC: polls the network device
    /// for so long before it sleeps (200). suspend:USEC: polls while there is work, and holds the
    /// device's interrupts back for at most so long meanwhile (20000).
    #[arg(long, value_name = "HOW", default_value_t = Wait::Block)]
    pub wait: Wait,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_is_read_and_written_and_nonsense_is_refused() {
        let micros = Duration::from_micros;
        let check = |text: &str, expect: Result<(Wait, &str), &str>| match (text.parse(), expect) {
            (Ok::<Wait, _>(wait), Ok((expect, written))) => {
                assert_eq!((wait, &*wait.to_string()), (expect, written), "{text}");
            }
            (Err(message), Err(part)) => assert!(message.contains(part), "{text}: {message}"),
            (got, expect) => panic!("{text}: {got:?}, expected {expect:?}"),
        };
        check("block", Ok((Wait::Block, "block")));
        check("spin", Ok((Wait::Spin, "spin")));
        check("busy-poll", Ok((Wait::BusyPoll(micros(200)), "busy-poll:200")));
        check("busy-poll:1", Ok((Wait::BusyPoll(micros(1)), "busy-poll:1")));
        check("suspend", Ok((Wait::Suspend(micros(20_000)), "suspend:20000")));
        check("suspend:1000000", Ok((Wait::Suspend(micros(1_000_000)), "suspend:1000000")));
        check("doze", Err("not one of block, spin"));
        check("block:5", Err("not one of block, spin"));
        check("busy-poll:", Err("'' is not a number from 1 to 1000000"));
        check("busy-poll:0", Err("'0' is not a number from 1 to 1000000"));
        check("suspend:1000001", Err("'1000001' is not a number"));
    }
}
