//! How many polls of a spinning server find nothing, from the counters it prints on SIGUSR1.

use crate::process::{Events, Process};
use anyhow::Result;
use std::time::{Duration, Instant};

/// Time that a server gets to print its counters.
const REPORT_MAX: Duration = Duration::from_secs(2);

/// Share of a load that is left out at each of its ends.
const MARGIN: f64 = 0.1;

/// Counters of a server, all threads, since it started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IdlePolls {
    polls: u64,
    idle_polls: u64,
}

impl IdlePolls {
    /// The share of its polls in the middle of a load that found nothing, 0 to 1. `load` has when
    /// it began, and how long it is. None where [`IdlePolls::ask`] has none, or where the server
    /// ended.
    ///
    /// # Errors
    /// As [`IdlePolls::ask`].
    pub(crate) fn share(
        server: &Process,
        ready: &serde_json::Value,
        events: &Events,
        (began, duration): (Instant, Duration),
    ) -> Result<Option<f64>> {
        let at = |share: f64| began + duration.mul_f64(share);
        events.wait_until(at(MARGIN), || server.has_ended())?;
        let Some(earlier) = Self::ask(server, ready, events)? else { return Ok(None) };
        events.wait_until(at(1.0 - MARGIN), || server.has_ended())?;
        let later = Self::ask(server, ready, events)?;
        Ok(later.and_then(|later| later.share_since(earlier)))
    }

    /// Asks a server for its counters. None where it does not say that it spins, so that nothing
    /// is sent to servers that could die of it, and where it counts no polls.
    ///
    /// # Errors
    /// Where it cannot be asked or does not answer; [`crate::process::Interrupted`].
    fn ask(server: &Process, ready: &serde_json::Value, events: &Events) -> Result<Option<Self>> {
        if ready["wait"] != "spin" || ready.get("pid").is_none() {
            return Ok(None);
        }
        let before = server.count_of_event("report");
        server.ask_for_report()?;
        let answered = || server.count_of_event("report") > before || server.has_ended();
        events.wait_until(Instant::now() + REPORT_MAX, answered)?;
        Ok(server.event_line("report").as_ref().and_then(Self::of_report))
    }

    fn of_report(report: &serde_json::Value) -> Option<Self> {
        let counters = report.get("counters").unwrap_or(report);
        let value = |key: &str| counters.get(key)?.as_u64();
        Some(Self { polls: value("polls")?, idle_polls: value("idle_polls")? })
    }

    /// The share of the polls since `earlier` that found nothing, 0 to 1; none without a poll.
    fn share_since(self, earlier: Self) -> Option<f64> {
        let polls = self.polls.checked_sub(earlier.polls).filter(|polls| *polls > 0)?;
        let idle = self.idle_polls.checked_sub(earlier.idle_polls)?;
        #[expect(clippy::cast_precision_loss, reason = "2^53 polls take a year")]
        Some(idle as f64 / polls as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_of_the_polls_in_between() {
        let report = |text: &str| IdlePolls::of_report(&serde_json::from_str(text).unwrap());
        let early = report(r#"{"counters":{"polls":1000,"idle_polls":990}}"#).unwrap();
        let late = report(r#"{"counters":{"polls":1200,"idle_polls":1040}}"#).unwrap();
        assert_eq!(late.share_since(early), Some(0.25));
        assert_eq!(early.share_since(early), None, "no poll, no share");
        assert_eq!(early.share_since(late), None, "counters do not run backwards");
        assert_eq!(report(r#"{"counters":{"responses":3}}"#), None);
    }
}
