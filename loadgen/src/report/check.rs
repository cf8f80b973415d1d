//! What `--check` adds: what the generator was asked for, did and cost, and what went wrong.

use crate::outcome::Outcome;
use crate::samples::Samples;
use crate::transport::reason;
use crate::units::format_time_us;
use record::LoadClient;

/// The lines that follow wrk's.
#[must_use]
pub fn check(outcome: &Outcome, client: &LoadClient) -> String {
    let mut lines = vec!["Check".to_owned()];
    let mut say = |name: &str, what: String| lines.push(format!("  {name:<22}{what}"));
    if let Some(target_rps) = client.target_rps {
        say("Requests due", format!("{target_rps:.2}/s"));
        say("Requests sent", format!("{:.2}/s", client.sent_rps));
        let on_time = client.on_time_percent.unwrap_or(0.0);
        say("Sent within 100us", format!("{on_time:.3}%"));
        say("Waited for connection", outcome.counts.queued.to_string());
        say("Not sent by the end", outcome.counts.unsent.to_string());
    } else {
        say("Requests sent", format!("{:.2}/s", client.sent_rps));
    }
    if let (Some(service), Some(lateness), Some(undisturbed)) =
        (&outcome.service, &outcome.lateness, &outcome.lateness_undisturbed)
    {
        say("Latency from due", summary(&outcome.latency));
        say("Latency from sent", summary(service));
        say("Lateness, all sends", summary(lateness));
        say("Lateness, undisturbed", summary(undisturbed));
        let left_out = client.disturbed.unwrap_or(0);
        say("  leaves out", format!("{left_out} of {} sends", lateness.count()));
    } else {
        say("Latency from sent", summary(&outcome.latency));
    }
    if outcome.counts.censored() > 0 {
        let censored = outcome.counts.censored();
        say("Of those, unanswered", format!("{censored}, with the time they had waited"));
    }
    let shares = |percent: &[f64]| {
        percent.iter().map(|share| format!("{share:.1}%")).collect::<Vec<_>>().join(" ")
    };
    say("CPU of each thread", shares(&client.thread_cpu_percent));
    say("Kept from its CPU", shares(&client.thread_delayed_percent));
    if let Some(share) = client.idle_poll_share {
        say("Polls in vain", format!("{:.1}% of its time", 100.0 * share));
    }
    if let (Some(count), Some(longest_s)) = (client.interruptions, client.longest_interruption_s) {
        let percent = shares(&client.thread_interrupted_percent);
        let longest = format_time_us(longest_s * 1e6);
        say("Interruptions seen", format!("{count}, longest {longest}; of each thread {percent}"));
    }
    say(
        "Requests in flight",
        format!("{:.2}; by Little's law {:.2}", client.in_flight_mean, client.littles_law),
    );
    let time = |seconds: f64| format_time_us(seconds * 1e6);
    say(
        "Longest silence",
        format!("{}, {} into the run", time(client.longest_gap_s), time(client.longest_gap_at_s)),
    );
    for (status, count) in outcome.statuses.iter().enumerate().filter(|(_, count)| **count > 0) {
        say(&format!("Status {status}"), count.to_string());
    }
    for ((failure, errno), count) in &outcome.errnos {
        say(&format!("Failed to {failure}"), format!("{count} ({})", reason(*errno)));
    }
    lines.join("\n") + "\n"
}

/// A distribution in one line.
#[expect(clippy::cast_precision_loss, reason = "printed with two decimals")]
fn summary(samples: &Samples) -> String {
    let at = |percent: f64| format_time_us(samples.percentile(percent) as f64 / 1e3);
    format!(
        "p50 {}  p99 {}  p99.9 {}  max {}",
        at(50.0),
        at(99.0),
        at(99.9),
        format_time_us(samples.max() as f64 / 1e3)
    )
}
