//! The time of day in UTC, as files and folders are named by it.

use std::time::{SystemTime, UNIX_EPOCH};

/// A second of UTC in the Gregorian calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Utc {
    year: u64,
    month: u64,
    day: u64,
    second_of_day: u64,
}

impl Utc {
    /// Now, cut to the second.
    pub(crate) fn now() -> Self {
        // A clock set before 1970 is taken as 1970: the name of a folder is no reason to stop.
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::from_unix_seconds(since_epoch.as_secs())
    }

    /// Counts whole years, then whole months, from 1970.
    fn from_unix_seconds(seconds: u64) -> Self {
        let mut day = seconds / 86_400;
        let mut year = 1970;
        while day >= days_of_year(year) {
            day -= days_of_year(year);
            year += 1;
        }
        let mut month = 1;
        while day >= days_of_month(year, month) {
            day -= days_of_month(year, month);
            month += 1;
        }
        Self { year, month, day: day + 1, second_of_day: seconds % 86_400 }
    }

    /// RFC 3339: `2026-01-31T12:00:00Z`.
    pub(crate) fn rfc3339(self) -> String {
        self.with_time(":") + "Z"
    }

    /// As it names a folder, without colons: `2026-01-31T12-00-00`.
    pub(crate) fn folder(self) -> String {
        self.with_time("-")
    }

    fn with_time(self, between: &str) -> String {
        let (hour, minute) = (self.second_of_day / 3600, self.second_of_day / 60 % 60);
        let second = self.second_of_day % 60;
        let date = format!("{:04}-{:02}-{:02}", self.year, self.month, self.day);
        format!("{date}T{hour:02}{between}{minute:02}{between}{second:02}")
    }
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_of_year(year: u64) -> u64 {
    if is_leap(year) { 366 } else { 365 }
}

fn days_of_month(year: u64, month: u64) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_become_dates() {
        let check = |seconds, expect: &str| {
            assert_eq!(Utc::from_unix_seconds(seconds).rfc3339(), expect);
        };
        check(0, "1970-01-01T00:00:00Z");
        check(951_782_400, "2000-02-29T00:00:00Z");
        check(951_868_799, "2000-02-29T23:59:59Z");
        check(951_868_800, "2000-03-01T00:00:00Z");
        check(1_798_761_599, "2026-12-31T23:59:59Z");
        check(4_107_542_400, "2100-03-01T00:00:00Z");
    }

    #[test]
    fn folders_have_no_colons() {
        let expect = "2001-09-09T01-46-40";
        assert_eq!(Utc::from_unix_seconds(1_000_000_000).folder(), expect);
    }
}
