//! netperf's classic tables.

use super::options::Layout;
use super::outcome::Outcome;
use std::fmt::Write as _;

/// Everything that is printed, as the options ask for it.
pub(super) fn text(outcome: &Outcome<'_>, peer: &str) -> String {
    let options = outcome.options;
    let mut text = String::new();
    if options.headings && !options.result_only {
        text += &title(outcome, peer);
    }
    text += &warning(outcome);
    match &options.layout {
        Layout::Keys(selectors) => {
            for selector in selectors {
                text += &format!("{}={}\n", selector.name, selector.value(outcome));
            }
        }
        Layout::Csv(selectors) => {
            let line = |values: Vec<String>| values.join(",") + "\n";
            if options.headings {
                text += &line(selectors.iter().map(|one| one.heading.to_owned()).collect());
            }
            text += &line(selectors.iter().map(|one| one.value(outcome)).collect());
        }
        Layout::Classic if options.result_only => text += &format!("{:.2}\n", result(outcome)),
        Layout::Classic if options.test.is_stream() => text += &stream_table(outcome),
        Layout::Classic => text += &transaction_table(outcome),
    }
    text
}

/// What `-v 0` prints: the service demand where CPU was asked for, else the throughput.
fn result(outcome: &Outcome<'_>) -> f64 {
    let demand = if outcome.options.local_cpu { outcome.local_demand() } else { None };
    demand.unwrap_or_else(|| outcome.throughput())
}

fn title(outcome: &Outcome<'_>, peer: &str) -> String {
    let options = outcome.options;
    let what = match options.test.name() {
        "TCP_RR" => "TCP REQUEST/RESPONSE TEST",
        "UDP_RR" => "UDP REQUEST/RESPONSE TEST",
        "HTTP_RR" => "HTTP REQUEST/RESPONSE TEST",
        "TCP_CRR" => "TCP Connect/Request/Response TEST",
        "HTTP_CRR" => "HTTP Connect/Request/Response TEST",
        "TCP_STREAM" => "TCP STREAM TEST",
        _ => "TCP MAERTS TEST",
    };
    let v6 = peer.starts_with('[');
    let (family, any) = if v6 { ("AF_INET6", "::") } else { ("AF_INET", "0.0.0.0") };
    let (address, port) = peer.rsplit_once(':').unwrap_or((peer, "0"));
    let host = &options.host;
    let mut title = format!(
        "{what} from {any} ({any}) port 0 {family} to {host} ({address}) port {port} {family}"
    );
    if let Some(rule) = options.rule {
        let (half, level) = (rule.width_percent / 2.0, rule.level.percent());
        title += &format!(" : +/-{half:.3}% @ {level}% conf.");
    }
    if options.nodelay {
        title += " : nodelay";
    }
    if options.burst > 0 {
        title += &format!(" : first burst {}", options.burst);
    }
    title + "\n"
}

/// The loud warning where the mean is not known as well as was asked for.
fn warning(outcome: &Outcome<'_>) -> String {
    let Some(rule) = outcome.options.rule else { return String::new() };
    if rule.is_met(&outcome.throughputs()) {
        return String::new();
    }
    let percent = |width: Option<f64>| {
        width.map_or_else(|| "unknown".to_owned(), |width| format!("{width:.3}%"))
    };
    format!(
        "!!! WARNING\n\
         !!! Desired confidence was not achieved within the specified iterations.\n\
         !!! The runs differ too much for their mean to be known so well: find out why\n\
         !!! before this figure is used.\n\
         !!! Confidence intervals: Throughput      : {}\n\
         !!!                       Local CPU util  : {}\n\n",
        percent(outcome.throughput_confid(rule.level)),
        percent(outcome.local_cpu_confid(rule.level)),
    )
}

fn transaction_table(outcome: &Outcome<'_>) -> String {
    let options = outcome.options;
    let with_cpu = options.local_cpu || options.remote_cpu;
    let mut text = String::new();
    if options.headings {
        text += "Local /Remote\n";
        text += if with_cpu {
            "Socket Size   Request Resp.  Elapsed Trans.   CPU    CPU    S.dem   S.dem\n\
             Send   Recv   Size    Size   Time    Rate     local  remote local   remote\n\
             bytes  bytes  bytes   bytes  secs.   per sec  % S    % U    us/Tr   us/Tr\n\n"
        } else {
            "Socket Size   Request  Resp.   Elapsed  Trans.\n\
             Send   Recv   Size     Size    Time     Rate\n\
             bytes  Bytes  bytes    bytes   secs.    per sec\n\n"
        };
    }
    let (send, receive) = outcome.buffers;
    let (request, response) = (outcome.request_bytes, options.response);
    let (elapsed, rate) = (outcome.elapsed_s(), outcome.throughput());
    text += &if with_cpu {
        format!(
            "{send:<6} {receive:<6} {request:<7} {response:<6} {elapsed:<7.2} {rate:<8.2} {}\n",
            cpu_columns(outcome)
        )
    } else {
        format!("{send:<6} {receive:<6} {request:<8} {response:<7} {elapsed:<8.2} {rate:<9.2}\n")
    };
    // The server's sockets cannot be seen from here.
    text += "-1     -1\n";
    if options.latencies {
        text += &latency_table(outcome);
    }
    text
}

/// Utilisation and service demand, local and remote; -1 for what was not asked for.
fn cpu_columns(outcome: &Outcome<'_>) -> String {
    let options = outcome.options;
    let local = options.local_cpu;
    let local_util = if local { outcome.local_util() } else { -1.0 };
    let local_demand = if local { outcome.local_demand() } else { None }.unwrap_or(-1.0);
    let remote = options.remote_cpu;
    let remote_util = if remote { outcome.remote_util() } else { None }.unwrap_or(-1.0);
    let remote_demand = if remote { outcome.remote_demand() } else { None }.unwrap_or(-1.0);
    format!("{local_util:<6.2} {remote_util:<6.2} {local_demand:<7.3} {remote_demand:<7.3}")
}

#[expect(clippy::cast_precision_loss, reason = "microseconds with one digit")]
fn latency_table(outcome: &Outcome<'_>) -> String {
    let latency = &outcome.latency;
    let mut text = String::new();
    if outcome.options.headings {
        text += "\nLatency in usec, of each transaction\n\
                 Minimum  Mean     P50      P90      P99      Maximum   Stddev\n";
    }
    let percentile = |percent: f64| latency.percentile(percent) as f64;
    let columns = [
        latency.min() as f64,
        latency.mean(),
        percentile(50.0),
        percentile(90.0),
        percentile(99.0),
    ];
    for ns in columns {
        // Writing to a string cannot fail.
        let _ok = write!(text, "{:<8.1} ", ns / 1000.0);
    }
    let (max, stdev) = (latency.max() as f64 / 1000.0, latency.stdev() / 1000.0);
    text + &format!("{max:<9.1} {stdev:.1}\n")
}

fn stream_table(outcome: &Outcome<'_>) -> String {
    let options = outcome.options;
    let with_cpu = options.local_cpu || options.remote_cpu;
    let mut text = String::new();
    if options.headings {
        text += if with_cpu {
            "Recv   Send    Send                          Utilization   Service Demand\n\
             Socket Socket  Message  Elapsed              Send   Recv   Send    Recv\n\
             Size   Size    Size     Time     Throughput  local  remote local   remote\n\
             bytes  bytes   bytes    secs.    10^6bits/s  % S    % U    us/KB   us/KB\n\n"
        } else {
            "Recv   Send    Send\n\
             Socket Socket  Message  Elapsed\n\
             Size   Size    Size     Time     Throughput\n\
             bytes  bytes   bytes    secs.    10^6bits/sec\n\n"
        };
    }
    let (send, receive) = outcome.buffers;
    let message = options.message;
    let (elapsed, rate) = (outcome.elapsed_s(), outcome.throughput());
    let cpu = if with_cpu { format!("  {}", cpu_columns(outcome)) } else { String::new() };
    text += &format!("{receive:>6} {send:>6} {message:>7}    {elapsed:<8.2} {rate:<10.2}{cpu}\n");
    text
}
