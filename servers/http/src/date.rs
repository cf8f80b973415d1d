//! The `date` field, rendered once a second by whoever owns the clock.

/// An IMF-fixdate such as `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 §5.6.7): 29 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Date([u8; 29]);

const DAY_NAMES: [&[u8; 3]; 7] = [b"Thu", b"Fri", b"Sat", b"Sun", b"Mon", b"Tue", b"Wed"];
const MONTH_NAMES: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];
/// 9999-12-31T23:59:59Z, the last second that four digits of a year can name.
const LAST_SECOND: u64 = 253_402_300_799;

impl Date {
    /// Renders seconds since 1970-01-01T00:00:00Z, for the years 1970 to 9999.
    ///
    /// A later second is rendered as the last one of the year 9999.
    #[must_use]
    pub fn from_unix_seconds(seconds: u64) -> Self {
        let seconds = seconds.min(LAST_SECOND);
        let (days, second_of_day) = (seconds / 86_400, seconds % 86_400);
        let (year, month, day) = civil_from_days(days);

        let mut text = *b"Ddd, 00 Mmm 0000 00:00:00 GMT";
        // 1970-01-01 was a Thursday, with which the table begins.
        text[0..3].copy_from_slice(DAY_NAMES[index(days % 7)]);
        two_digits(&mut text[5..7], day);
        text[8..11].copy_from_slice(MONTH_NAMES[index(month)]);
        two_digits(&mut text[12..14], year / 100);
        two_digits(&mut text[14..16], year % 100);
        two_digits(&mut text[17..19], second_of_day / 3600);
        two_digits(&mut text[20..22], second_of_day / 60 % 60);
        two_digits(&mut text[23..25], second_of_day % 60);
        Self(text)
    }

    /// The 29 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 29] {
        &self.0
    }
}

/// Year, month from 0 and day from 1 of a day since 1970-01-01, in the Gregorian calendar.
fn civil_from_days(mut day: u64) -> (u64, u64, u64) {
    // Rendered once a second, so years and months are simply walked through.
    let mut year = 1970;
    loop {
        let days_of_year = if is_leap(year) { 366 } else { 365 };
        if day < days_of_year {
            break;
        }
        day -= days_of_year;
        year += 1;
    }
    let february = if is_leap(year) { 29 } else { 28 };
    let mut month = 0;
    for days_of_month in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if day < days_of_month {
            break;
        }
        day -= days_of_month;
        month += 1;
    }
    (year, month, day + 1)
}

const fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn index(small: u64) -> usize {
    usize::try_from(small).expect("a day of the week or a month fits")
}

fn two_digits(place: &mut [u8], value: u64) {
    let digit = |value: u64| b'0' + u8::try_from(value % 10).expect("a digit fits");
    place.copy_from_slice(&[digit(value / 10), digit(value)]);
}

/// The time, as a connection needs it.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Monotonic time in nanoseconds since an arbitrary epoch.
    pub monotonic_ns: u64,
    /// The cached `date` field.
    pub date: Date,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_known_seconds() {
        // Second column: `date --utc --date=@N '+%a, %d %b %Y %H:%M:%S GMT'`.
        for (seconds, expect) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (951_868_799, "Tue, 29 Feb 2000 23:59:59 GMT"),
            (951_868_800, "Wed, 01 Mar 2000 00:00:00 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
            (4_107_542_399, "Sun, 28 Feb 2100 23:59:59 GMT"),
            (LAST_SECOND, "Fri, 31 Dec 9999 23:59:59 GMT"),
            (u64::MAX, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ] {
            let date = Date::from_unix_seconds(seconds);
            assert_eq!(date.as_bytes(), expect.as_bytes(), "{seconds}");
        }
    }
}
