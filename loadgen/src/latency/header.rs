//! What is known about the machine and the run, as `# key: value` lines before the columns.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

/// Variables that put another network stack below a program without a word: Onload and VMA.
const STACK_PREFIXES: [&str; 3] = ["EF_", "VMA_", "XLIO_"];

/// Facts about the run, in the order in which they are printed. What cannot be read is left out.
pub(super) fn facts(command_line: &str) -> Vec<(String, String)> {
    let mut facts = vec![
        ("cmdline".to_owned(), command_line.to_owned()),
        ("version".to_owned(), format!("loadgen {}", env!("CARGO_PKG_VERSION"))),
        ("date".to_owned(), date(SystemTime::now())),
    ];
    let mut add = |key: &str, value: Option<String>| {
        facts.extend(value.map(|value| (key.to_owned(), value)));
    };
    add("uname", uname());
    add("cpu", field("/proc/cpuinfo", "model name"));
    add("ram", field("/proc/meminfo", "MemTotal"));
    add("clocksource", line("/sys/devices/system/clocksource/clocksource0/current_clocksource"));
    add("LD_PRELOAD", std::env::var("LD_PRELOAD").ok());
    let mut stack: Vec<(String, String)> = std::env::vars()
        .filter(|(key, _)| STACK_PREFIXES.iter().any(|prefix| key.starts_with(prefix)))
        .collect();
    stack.sort();
    facts.extend(stack);
    facts
}

/// The facts as lines. A line break inside a value would begin a line that is no comment.
pub(super) fn lines(facts: &[(String, String)]) -> String {
    facts.iter().map(|(key, value)| format!("# {key}: {}\n", value.replace('\n', " "))).collect()
}

/// The program's words as one line that a shell would split again where they were apart.
pub(super) fn command_line(words: &[String]) -> String {
    let plain = |word: &str| {
        let safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-_=./:,+%@[]".contains(&byte);
        !word.is_empty() && word.bytes().all(safe)
    };
    let quoted = words.iter().map(|word| {
        if plain(word) { word.clone() } else { format!("'{}'", word.replace('\'', r"'\''")) }
    });
    std::iter::once("loadgen".to_owned()).chain(quoted).collect::<Vec<_>>().join(" ")
}

fn line(path: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    text.lines().next().map(|line| line.trim().to_owned())
}

/// The value behind the first `key:` of a file of `/proc`.
fn field(path: &str, key: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(key))?;
    line.split_once(':').map(|(_, value)| value.trim().to_owned())
}

fn uname() -> Option<String> {
    let kernel = |name: &str| line(&format!("/proc/sys/kernel/{name}"));
    let words = [kernel("ostype")?, kernel("hostname")?, kernel("osrelease")?, kernel("version")?];
    Some(format!("{} {}", words.join(" "), std::env::consts::ARCH))
}

/// A time as `2026-11-23T00:52:00Z`.
fn date(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (year, month, day) = civil(seconds / 86_400);
    let of_day = seconds % 86_400;
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Year, month and day of a number of days since 1970 (proleptic Gregorian calendar): years begin
/// on 1 March here, so that the leap day is their last.
fn civil(days: u64) -> (u64, u64, u64) {
    // 0000-03-01 lies 719,468 days before 1970-01-01; 400 years have 146,097 days.
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let of_era_years = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * of_era_years + of_era_years / 4 - of_era_years / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (era * 400 + of_era_years + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn dates_of_known_seconds() {
        let check = |seconds: u64, expect: &str| {
            assert_eq!(date(UNIX_EPOCH + Duration::from_secs(seconds)), expect);
        };
        check(0, "1970-01-01T00:00:00Z");
        check(951_782_399, "2000-02-28T23:59:59Z");
        check(951_782_400, "2000-02-29T00:00:00Z");
        check(951_868_800, "2000-03-01T00:00:00Z");
        check(1_735_689_599, "2024-12-31T23:59:59Z");
        check(4_107_542_400, "2100-03-01T00:00:00Z");
    }

    #[test]
    fn words_are_quoted_where_a_shell_would_split_them() {
        let words = ["pingpong", "--spin=1;0", "--raw", "a b", "it's", ""].map(str::to_owned);
        assert_eq!(command_line(&words), r"loadgen pingpong '--spin=1;0' --raw 'a b' 'it'\''s' ''");
    }

    #[test]
    fn every_fact_is_a_comment_of_one_line() {
        let facts = vec![("a".to_owned(), "b\nc".to_owned()), ("d".to_owned(), String::new())];
        assert_eq!(lines(&facts), "# a: b c\n# d: \n");
        let text = lines(&self::facts("loadgen pingpong tcp"));
        assert!(text.starts_with("# cmdline: loadgen pingpong tcp\n# version: loadgen "), "{text}");
        assert!(text.lines().all(|line| line.starts_with("# ")), "{text}");
    }
}
