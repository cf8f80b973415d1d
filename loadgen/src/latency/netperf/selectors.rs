//! netperf's names for what it can print, as far as they mean something here.
//!
//! What is not known is -1, as netperf prints it.

use super::outcome::Outcome;

/// One thing that can be printed.
#[derive(Debug)]
pub(super) struct Selector {
    /// netperf's name.
    pub(super) name: &'static str,
    /// The heading of its column.
    pub(super) heading: &'static str,
    /// Its value, as text.
    value: fn(&Outcome<'_>) -> String,
}

impl PartialEq for Selector {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Selector {}

impl Selector {
    /// Its value, as text.
    pub(super) fn value(&self, outcome: &Outcome<'_>) -> String {
        (self.value)(outcome)
    }
}

const fn selector(
    name: &'static str,
    heading: &'static str,
    value: fn(&Outcome<'_>) -> String,
) -> Selector {
    Selector { name, heading, value }
}

fn maybe(value: Option<f64>) -> String {
    value.map_or_else(|| "-1.00".to_owned(), |value| format!("{value:.2}"))
}

fn demand(value: Option<f64>) -> String {
    value.map_or_else(|| "-1.000".to_owned(), |value| format!("{value:.3}"))
}

/// A latency in microseconds, from one in nanoseconds.
#[expect(clippy::cast_precision_loss, reason = "printed with two digits")]
fn micros(outcome: &Outcome<'_>, value: u64) -> String {
    let known = outcome.latency.count() > 0;
    maybe(known.then(|| value as f64 / 1000.0))
}

fn micros_f64(outcome: &Outcome<'_>, value: f64) -> String {
    maybe((outcome.latency.count() > 0).then_some(value / 1000.0))
}

/// All of them, in the order in which `-k` prints all.
pub(super) static ALL: [Selector; 45] = [
    selector("PROTOCOL", "Protocol", |o| {
        if o.options.test == super::options::Test::UdpRr { "UDP" } else { "TCP" }.to_owned()
    }),
    selector("DIRECTION", "Direction", |o| match o.options.test {
        super::options::Test::TcpMaerts => "Recv".to_owned(),
        _ => "Send|Recv".to_owned(),
    }),
    selector("ELAPSED_TIME", "Elapsed Time (sec)", |o| format!("{:.2}", o.elapsed_s())),
    selector("THROUGHPUT", "Throughput", |o| format!("{:.2}", o.throughput())),
    selector("THROUGHPUT_UNITS", "Throughput Units", |o| {
        if o.options.test.is_stream() { "10^6bits/s" } else { "Trans/s" }.to_owned()
    }),
    selector("TRANSACTION_RATE", "Transaction Rate (Tran/s)", |o| {
        maybe((!o.options.test.is_stream()).then(|| o.throughput()))
    }),
    selector("RT_LATENCY", "Round Trip Latency (usec/tran)", |o| maybe(o.rt_latency_us())),
    selector("REQUEST_SIZE", "Request Size (bytes)", |o| match o.options.test.is_stream() {
        true => "-1".to_owned(),
        false => o.request_bytes.to_string(),
    }),
    selector("RESPONSE_SIZE", "Response Size (bytes)", |o| match o.options.test.is_stream() {
        true => "-1".to_owned(),
        false => o.options.response.to_string(),
    }),
    selector("BURST_SIZE", "Burst Size", |o| o.options.burst.to_string()),
    selector("MIN_LATENCY", "Minimum Latency (usec)", |o| micros(o, o.latency.min())),
    selector("MAX_LATENCY", "Maximum Latency (usec)", |o| micros(o, o.latency.max())),
    selector("MEAN_LATENCY", "Mean Latency (usec)", |o| micros_f64(o, o.latency.mean())),
    selector("STDDEV_LATENCY", "Stddev Latency (usec)", |o| micros_f64(o, o.latency.stdev())),
    selector("P50_LATENCY", "50th Percentile Latency (usec)", |o| {
        micros(o, o.latency.percentile(50.0))
    }),
    selector("P90_LATENCY", "90th Percentile Latency (usec)", |o| {
        micros(o, o.latency.percentile(90.0))
    }),
    selector("P99_LATENCY", "99th Percentile Latency (usec)", |o| {
        micros(o, o.latency.percentile(99.0))
    }),
    selector("LOCAL_CPU_UTIL", "Local CPU Util (%)", |o| format!("{:.2}", o.local_util())),
    selector("LOCAL_CPU_PERCENT_USER", "Local CPU User (%)", |o| {
        format!("{:.2}", o.local_user_percent())
    }),
    selector("LOCAL_CPU_PERCENT_SYSTEM", "Local CPU System (%)", |o| {
        format!("{:.2}", o.local_system_percent())
    }),
    selector("LOCAL_CPU_METHOD", "Local CPU Util Method", |_| "getrusage".to_owned()),
    selector("LOCAL_CPU_COUNT", "Local CPU Count", |o| o.cpus.to_string()),
    selector("LOCAL_CPU_BIND", "Local CPU Binding", |o| {
        o.options.cpu.map_or_else(|| "-1".to_owned(), |cpu| cpu.to_string())
    }),
    selector("LOCAL_SD", "Local Service Demand", |o| demand(o.local_demand())),
    selector("REMOTE_CPU_UTIL", "Remote CPU Util (%)", |o| maybe(o.remote_util())),
    selector("REMOTE_CPU_METHOD", "Remote CPU Util Method", |o| {
        o.options.server_pid.map_or("unknown", |_| "schedstat").to_owned()
    }),
    selector("REMOTE_SD", "Remote Service Demand", |o| demand(o.remote_demand())),
    selector("SD_UNITS", "Service Demand Units", |o| {
        if o.options.test.is_stream() { "usec/KB" } else { "usec/Tran" }.to_owned()
    }),
    selector("LOCAL_TRANSPORT_RETRANS", "Local Transport Retransmissions", |o| {
        match o.options.test {
            super::options::Test::UdpRr => "-1".to_owned(),
            test if test.connects() => "-1".to_owned(),
            _ => o.total(|run| run.retransmitted).to_string(),
        }
    }),
    selector("LOCAL_BYTES_SENT", "Local Bytes Sent", |o| o.total(|run| run.sent_bytes).to_string()),
    selector("LOCAL_BYTES_RECVD", "Local Bytes Received", |o| {
        o.total(|run| run.received_bytes).to_string()
    }),
    selector("LOCAL_SEND_SIZE", "Local Send Size (bytes)", |o| match o.options.test {
        super::options::Test::TcpStream => o.options.message.to_string(),
        _ => "-1".to_owned(),
    }),
    selector("LSS_SIZE_END", "Local Send Socket Size (bytes)", |o| o.buffers.0.to_string()),
    selector("LSR_SIZE_END", "Local Recv Socket Size (bytes)", |o| o.buffers.1.to_string()),
    selector("LOCAL_NODELAY", "Local TCP_NODELAY", |o| u8::from(o.options.nodelay).to_string()),
    selector("REMOTE_HOST", "Remote Host", |o| o.options.host.clone()),
    selector("REMOTE_PORT", "Remote Port", |o| o.options.port.to_string()),
    selector("CONFIDENCE_LEVEL", "Confidence Level (%)", |o| {
        o.options.rule.map_or_else(|| "-1".to_owned(), |rule| rule.level.percent().to_string())
    }),
    selector("CONFIDENCE_INTERVAL", "Confidence Interval Target (fraction)", |o| {
        let rule = o.options.rule;
        rule.map_or_else(|| "-1".to_owned(), |rule| format!("{:.6}", rule.width_percent / 100.0))
    }),
    selector("CONFIDENCE_ITERATION", "Confidence Iterations Run", |o| o.runs.len().to_string()),
    selector("THROUGHPUT_CONFID", "Throughput Confidence Width (%)", |o| {
        demand(o.options.rule.and_then(|rule| o.throughput_confid(rule.level)))
    }),
    selector("LOCAL_CPU_CONFID", "Local CPU Confidence Width (%)", |o| {
        demand(o.options.rule.and_then(|rule| o.local_cpu_confid(rule.level)))
    }),
    selector("LOCAL_SYSNAME", "Local OS", |_| std::env::consts::OS.to_owned()),
    selector("RESULT_BRAND", "Result Tag", |o| format!("\"{}\"", o.options.brand)),
    selector("COMMAND_LINE", "Command Line", |o| format!("\"{}\"", o.command_line)),
];

/// The selectors of a list such as `THROUGHPUT,P99_LATENCY`, in its order; `all` is all of them.
///
/// # Errors
/// A sentence with those that there are, where one of the list is none of them.
pub(super) fn parse(list: &str) -> Result<Vec<&'static Selector>, String> {
    if list == "all" {
        return Ok(ALL.iter().collect());
    }
    list.split(',').filter(|name| !name.is_empty()).map(find).collect()
}

fn find(name: &str) -> Result<&'static Selector, String> {
    let found = ALL.iter().find(|selector| selector.name.eq_ignore_ascii_case(name));
    found.ok_or_else(|| {
        let names: Vec<_> = ALL.iter().map(|selector| selector.name).collect();
        format!("there is no selector {name:?}; there are {}", names.join(" "))
    })
}
