//! Numbers for people: three significant digits, SI prefixes, units.

/// A count as a float: exact below 2^53, and no count of a run is larger.
#[expect(clippy::cast_precision_loss, reason = "no count of a run reaches 2^53")]
pub(super) const fn float(count: u64) -> f64 {
    count as f64
}

/// Three significant digits, and no fewer than the integer part has: `0.0123`, `1.23`, `123`,
/// `1235`. Nothing is `0`.
pub(super) fn digits(value: f64) -> String {
    let size = value.abs();
    if size < 5e-7 || !size.is_finite() {
        return if size.is_finite() { "0".to_owned() } else { "–".to_owned() };
    }
    // Half a unit of the last digit shown decides where 9.995 becomes 10.0.
    let bounds = [99.95, 9.995, 0.9995, 0.09995, 0.009_995, 0.000_999_5];
    let decimals = bounds.iter().take_while(|bound| size < **bound).count();
    format!("{value:.decimals$}")
}

/// With an SI prefix: `12.3`, `89.5k`, `1.42M`.
pub(super) fn si(value: f64) -> String {
    let (scaled, prefix) = match value.abs() {
        size if size < 999.5 => (value, ""),
        size if size < 999.5e3 => (value / 1e3, "k"),
        size if size < 999.5e6 => (value / 1e6, "M"),
        _ => (value / 1e9, "G"),
    };
    format!("{}{prefix}", digits(scaled))
}

/// Microseconds with the unit that suits them: `850 ns`, `34.2 µs`, `1.87 ms`, `2.52 s`.
pub(super) fn duration(us: f64) -> String {
    let (value, unit) = match us {
        us if us < 0.9995 => (us * 1e3, "ns"),
        us if us < 999.5 => (us, "µs"),
        us if us < 999_500.0 => (us / 1e3, "ms"),
        us => (us / 1e6, "s"),
    };
    format!("{} {unit}", digits(value))
}

/// The label of a tick: `50k` instead of `50.0k`, with whatever unit comes after.
pub(super) fn short(words: &str) -> String {
    let end = words.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '-');
    let (number, unit) = words.split_at(end.unwrap_or(words.len()));
    if !number.contains('.') {
        return words.to_owned();
    }
    format!("{}{unit}", number.trim_end_matches('0').trim_end_matches('.'))
}

/// Bytes with a binary prefix where that is exact or large: `64 B`, `1 KiB`, `1.50 MiB`.
pub(super) fn bytes(count: f64) -> String {
    const UNITS: [&str; 4] = ["B", "KiB", "MiB", "GiB"];
    let (mut value, mut unit) = (count, 0);
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let number = if value.fract() == 0.0 { format!("{value:.0}") } else { digits(value) };
    format!("{number} {}", UNITS[unit])
}

/// A share of 0 to 1 in percent.
pub(super) fn percent(share: f64) -> String {
    format!("{} %", digits(share * 100.0))
}

/// `1,234,568`.
pub(super) fn thousands(value: f64) -> String {
    let plain = format!("{value:.0}");
    let mut text = String::with_capacity(plain.len() + plain.len() / 3);
    for (index, digit) in plain.chars().enumerate() {
        if index > 0 && (plain.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `epoll`, `epoll and xdp`, `epoll, uring and xdp`.
pub(super) fn list<S: AsRef<str>>(items: &[S]) -> String {
    match items {
        [] => String::new(),
        [one] => one.as_ref().to_owned(),
        [first @ .., last] => {
            let first: Vec<&str> = first.iter().map(AsRef::as_ref).collect();
            format!("{} and {}", first.join(", "), last.as_ref())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        let check = |value: f64, expect: &str| assert_eq!(digits(value), expect);
        check(0.0, "0");
        check(0.001_234, "0.00123");
        check(0.123_4, "0.123");
        check(1.234, "1.23");
        check(9.996, "10.0");
        check(99.96, "100");
        check(1234.5, "1234");
        check(-1.5, "-1.50");
        check(f64::NAN, "–");
    }

    #[test]
    fn units_suit_the_number() {
        assert_eq!([si(12.0), si(89_543.9), si(1.4e6)], ["12.0", "89.5k", "1.40M"]);
        assert_eq!([si(999.6), si(2e9)], ["1.00k", "2.00G"]);
        assert_eq!([duration(0.85), duration(34.21)], ["850 ns", "34.2 µs"]);
        assert_eq!([duration(1867.8), duration(2.52e6)], ["1.87 ms", "2.52 s"]);
        assert_eq!([bytes(64.0), bytes(1024.0), bytes(1.5e6)], ["64 B", "1 KiB", "1.43 MiB"]);
        assert_eq!(percent(0.256), "25.6 %");
        assert_eq!(thousands(1_234_567.8), "1,234,568");
    }

    #[test]
    fn ticks_are_short() {
        let check = |words: &str, expect: &str| assert_eq!(short(words), expect);
        check("50.0k", "50k");
        check("1.50 ms", "1.5 ms");
        check("1.00 s", "1 s");
        check("100", "100");
        check("-0.500", "-0.5");
    }

    #[test]
    fn lists_read_as_sentences_do() {
        assert_eq!(list::<&str>(&[]), "");
        assert_eq!(list(&["a"]), "a");
        assert_eq!(list(&["a", "b", "c"]), "a, b and c");
    }
}
