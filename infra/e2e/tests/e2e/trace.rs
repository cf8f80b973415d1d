//! Every number of a report's main table, computed again from what was measured.
//!
//! This shares no code with `showdown`: it reads `rounds.jsonl` as JSON, merges the histograms
//! itself, and has the formulas of `infra/README.md` in its own words.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use serde_json::Value;
use std::fs;
use std::path::Path;

/// Three digits are shown, so that a number may be half a unit of the last of them off.
const TOLERANCE: f64 = 0.005_01;

/// The 97.5 % quantile of Student's distribution with one to five degrees of freedom.
const STUDENT_975: [f64; 5] = [12.706_205, 4.302_653, 3.182_446, 2.776_445, 2.570_582];

/// What is in a column: the numbers that the cell of this server must show.
type Column = fn(&Run, &[Value], &str) -> Vec<f64>;

/// The columns that are traced, in their order.
const COLUMNS: [(&str, Column); 11] = [
    ("requests/s (95 % interval)", |_, own, _| estimate(&all(own, rps))),
    ("× epoll (95 % interval)", |run, own, _| estimate(&quotients(own, &run.of("epoll")))),
    ("p50", |_, own, _| percentile_us(own, 50.0)),
    ("p99", |_, own, _| percentile_us(own, 99.0)),
    ("p99.9", |_, own, _| percentile_us(own, 99.9)),
    ("errors", |_, own, _| vec![own.iter().map(errors).sum()]),
    ("CPU per request: server", |_, own, _| {
        vec![per_request_us(own, |of| process_s(of, "server"))]
    }),
    ("CPU: client", |_, own, _| vec![per_request_us(own, |of| process_s(of, "client"))]),
    ("CPU: all else", |_, own, _| vec![per_request_us(own, rest_s).max(0.0)]),
    ("cores busy", |_, own, _| vec![sum(own, busy_s) / sum(own, |of| number(of, "/window_s"))]),
    ("share of floor", |run, own, link| {
        estimate(&quotients(own, &run.of(&format!("floor {link},")))).into_iter().take(1).collect()
    }),
];

/// The measurements of a run that its figures are made of.
struct Run {
    measurements: Vec<Value>,
}

impl Run {
    fn read(folder: &Path) -> Self {
        let read = |name: &str| fs::read_to_string(folder.join(name)).expect("it is there");
        let summary: Value = serde_json::from_str(&read("summary.json")).expect("JSON");
        let used = summary["rounds"]["used"].as_array().expect("the rounds used").clone();
        let lines = read("rounds.jsonl");
        let all = lines.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        let mut measurements: Vec<Value> = all.filter(|of| used.contains(&of["round"])).collect();
        measurements.sort_by_key(|of| of["round"].as_u64());
        // Of a cell that was measured again within its round the last attempt counts.
        let last = measurements.clone();
        let is_same = |a: &Value, b: &Value| a["round"] == b["round"] && a["cell"] == b["cell"];
        measurements.retain(|of| {
            !last.iter().any(|b| is_same(of, b) && b["attempt"].as_u64() > of["attempt"].as_u64())
        });
        Self { measurements }
    }

    /// The measurements of the server, or of the floor, that a row begins with.
    fn of(&self, row: &str) -> Vec<Value> {
        let is_meant = |of: &&Value| {
            let cell = &of["cell"];
            let [mode, link] = ["mode", "link"].map(|key| cell[key].as_str().unwrap_or_default());
            let name = cell["name"].as_str().unwrap_or(mode);
            match row.split_once(' ') {
                Some((of, rest)) => name == of && rest.starts_with(&format!("{link},")),
                None => name == row,
            }
        };
        self.measurements.iter().filter(is_meant).cloned().collect()
    }
}

/// Compares every number of the main table of `report.md` with what it has to be; how many there
/// were.
pub(crate) fn check(folder: &Path) -> usize {
    let run = Run::read(folder);
    let report = fs::read_to_string(folder.join("report.md")).expect("it is there");
    let mut table = report.lines().filter(|line| line.starts_with('|')).map(cells);
    let headings = table.next().expect("a table");
    let mut traced = 0;
    for row in table.skip(1) {
        let own = run.of(&row[0]);
        assert!(!own.is_empty(), "{} was not measured: {report}", row[0]);
        let link = own[0]["cell"]["link"].as_str().expect("a link");
        for (heading, numbers) in COLUMNS {
            let place = headings.iter().position(|other| other == heading);
            let place = place.unwrap_or_else(|| panic!("no column {heading}: {headings:?}"));
            let is_floor = row[0].contains(',');
            let shown = &row[place];
            if is_floor && shown == "–" {
                continue;
            }
            let mut computed = numbers(&run, &own, link);
            // The baseline is compared with itself, of which there is no interval.
            if shown == "1" && !heading.starts_with("errors") {
                computed.truncate(1);
            }
            let shown_numbers = parse(shown);
            assert_eq!(shown_numbers.len(), computed.len(), "{}, {heading}: {shown}", row[0]);
            for (shown, computed) in shown_numbers.iter().zip(&computed) {
                let is_close = (shown - computed).abs() <= TOLERANCE * computed.abs() + 1e-9;
                assert!(is_close, "{}, {heading}: {shown} is shown for {computed}", row[0]);
                traced += 1;
            }
        }
    }
    traced
}

fn cells(line: &str) -> Vec<String> {
    line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
}

/// The numbers of a cell of the table, in requests, microseconds or parts of one.
fn parse(cell: &str) -> Vec<f64> {
    let words: Vec<&str> = cell.split_whitespace().collect();
    let units = words.iter().skip(1).chain([&""]);
    let parsed = words.iter().zip(units).filter_map(|(word, unit)| {
        let word = word.trim_matches(['(', ')', '×']).replace(',', "");
        let digits = word.trim_end_matches(['k', 'M', 'G']);
        let number: f64 = digits.parse().ok()?;
        let prefix = match word.strip_prefix(digits)? {
            "k" => 1e3,
            "M" => 1e6,
            "G" => 1e9,
            _ => 1.0,
        };
        let unit = match *unit {
            "ns" => 1e-3,
            "ms" => 1e3,
            "s" => 1e6,
            "%" => 1e-2,
            _ => 1.0,
        };
        Some(number * prefix * unit)
    });
    parsed.collect()
}

fn number(of: &Value, path: &str) -> f64 {
    let number = of.pointer(path).and_then(Value::as_f64);
    number.unwrap_or_else(|| panic!("{path} is no number: {of}"))
}

fn all(own: &[Value], of: fn(&Value) -> f64) -> Vec<f64> {
    own.iter().map(of).collect()
}

fn sum(own: &[Value], of: fn(&Value) -> f64) -> f64 {
    own.iter().map(of).sum()
}

fn rps(of: &Value) -> f64 {
    number(of, "/load/throughput_rps")
}

/// Of each round what it answers over what another answers.
fn quotients(own: &[Value], other: &[Value]) -> Vec<f64> {
    assert_eq!(own.len(), other.len(), "both were measured in every round");
    own.iter().zip(other).map(|(own, other)| rps(own) / rps(other)).collect()
}

/// The geometric mean, and Student's 95 % interval of the mean of the logarithms.
fn estimate(samples: &[f64]) -> Vec<f64> {
    let logs: Vec<f64> = samples.iter().map(|sample| sample.ln()).collect();
    let count = logs.iter().fold(0.0, |count, _| count + 1.0);
    let mean = logs.iter().sum::<f64>() / count;
    let squares: f64 = logs.iter().map(|log| (log - mean).powi(2)).sum();
    let error = (squares / (count - 1.0) / count).sqrt();
    let half = STUDENT_975[samples.len() - 2] * error;
    [mean, mean - half, mean + half].map(f64::exp).to_vec()
}

/// Off the sum of the histograms; none shows more than the largest sample.
fn percentile_us(own: &[Value], percentile: f64) -> Vec<f64> {
    let mut merged = Histogram::<u64>::new(3).expect("three digits");
    for of in own {
        let text = of["load"]["latency"]["histogram_ns"].as_str().expect("a histogram");
        let bytes = STANDARD.decode(text).expect("base64");
        let histogram: Histogram<u64> =
            Deserializer::new().deserialize(&mut bytes.as_slice()).expect("HdrHistogram V2");
        merged.add(histogram).expect("it fits");
    }
    let max_us = own.iter().map(|of| number(of, "/load/latency/max_us")).fold(0.0, f64::max);
    let ns = u32::try_from(merged.value_at_percentile(percentile)).expect("less than 4 s");
    vec![(f64::from(ns) / 1e3).min(max_us)]
}

fn errors(of: &Value) -> f64 {
    let kinds = of["load"]["errors"].as_object().expect("errors by kind");
    let of_load: f64 = kinds.values().filter_map(Value::as_f64).sum();
    of_load + if of["server"]["ended_well"] == true { 0.0 } else { 1.0 }
}

/// CPU time is read over a window a little longer than that in which requests are counted.
fn per_request_us(own: &[Value], seconds: fn(&Value) -> f64) -> f64 {
    let duration_s = |of: &Value| number(of, "/load/duration_s");
    let spent: f64 =
        own.iter().map(|of| seconds(of) * duration_s(of) / number(of, "/window_s")).sum();
    let requests: f64 = own.iter().map(|of| rps(of) * duration_s(of)).sum();
    spent * 1e6 / requests
}

fn process_s(of: &Value, who: &str) -> f64 {
    ["user_s", "system_s"].map(|key| number(of, &format!("/cpu/{who}/{key}"))).iter().sum()
}

fn busy_s(of: &Value) -> f64 {
    let cpus = of["cpu"]["cpus"].as_array().expect("a list");
    let keys = ["/user_s", "/system_s", "/irq_s", "/softirq_s"];
    cpus.iter().flat_map(|cpu| keys.map(|key| number(cpu, key))).sum()
}

fn rest_s(of: &Value) -> f64 {
    busy_s(of) - process_s(of, "server") - process_s(of, "client")
}

#[test]
fn numbers_of_a_table_are_read_with_their_units() {
    let check = |cell: &str, expect: &[f64]| {
        let read = parse(cell);
        assert_eq!(read.len(), expect.len(), "{cell}: {read:?}");
        assert!(read.iter().zip(expect).all(|(a, b)| (a - b).abs() < 1e-9 * b.abs()), "{read:?}");
    };
    check("116k (105k to 1.29M)", &[116e3, 105e3, 1.29e6]);
    check("1.42 (0.947 to 12.5)", &[1.42, 0.947, 12.5]);
    check("91.1 ns", &[0.0911]);
    check("2.42 ms", &[2420.0]);
    check("1.29 s", &[1.29e6]);
    check("25.6 %", &[0.256]);
    check("1,234", &[1234.0]);
}
